//! What goes on outside a running deal: the chain's word on it.

use market::State;
use primitives::DealId;
use tokio::time::Instant;

use crate::{error::Error, world::World};

/// The chain's word on a deal that is carried here, and how long it has been out of reach.
pub(crate) struct Outlook {
    deal: DealId,
    seen: Instant,
}

impl Outlook {
    /// The deal was open when last seen, just now.
    pub(crate) fn new(deal: DealId) -> Self {
        Self { deal, seen: Instant::now() }
    }

    /// Whether the chain ended the deal without us, and how. While it is out of reach the deal counts
    /// as open for `grace`, so that work goes on; then it is an error.
    pub(crate) async fn ended(&mut self, world: &World) -> Result<Option<String>, Error> {
        match world.settlement.slot(self.deal).await {
            Ok(slot) => {
                self.seen = Instant::now();
                Ok(story(slot.state))
            }
            Err(_) if self.seen.elapsed() < world.rules.grace.duration() => Ok(None),
            Err(source) => Err(Error::settlement(self.deal)(source)),
        }
    }
}

fn story(state: State) -> Option<String> {
    let story = match state {
        State::Open => return None,
        State::Stopped => "the renter's side stopped the deal on the chain",
        State::Claimed => "the provider claimed its due on the chain",
        State::Settled => "the deal was settled on the chain",
        State::None | State::Cancelled => "the deal is not on the chain",
    };
    Some(story.to_owned())
}
