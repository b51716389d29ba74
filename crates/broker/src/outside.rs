//! What goes on outside a running deal: the chain's word on it, and the word "stop" to its provider.

use market::{
    State,
    document::{Act, Command},
    fact::Agreement,
    message::{CommandAnswer, Instruction},
};
use primitives::DealId;

use crate::{ask, error::Error, world::World};

/// Whether the chain ended the deal without us, and how.
pub(crate) async fn ended(world: &World, deal: DealId) -> Result<Option<String>, Error> {
    let slot = world.settlement.slot(deal).await.map_err(Error::settlement(deal))?;
    Ok(match slot.state {
        State::Open => None,
        State::Stopped => Some("the renter's side stopped the deal on the chain".to_owned()),
        State::Claimed => Some("the provider claimed its due on the chain".to_owned()),
        State::Settled => Some("the deal was settled on the chain".to_owned()),
        State::None | State::Cancelled => Some("the deal is not on the chain".to_owned()),
    })
}

/// Tell the provider to end the run.
pub(crate) async fn tell_stop(
    world: &World,
    agreement: &Agreement,
) -> Result<CommandAnswer, Error> {
    let command = Command { deal: agreement.deal, fence: world.fence, act: Act::Stop };
    let command = command.signed(&world.plaza(), &world.signer);
    ask::command(world, &agreement.peer, Instruction { command, assignment: None }).await
}
