//! What the chain does to a lease while it is prepared or runs.
//!
//! Upon a stopped deal: the same as a stop command, nothing more will be paid for. Upon a settled
//! or cancelled one: the lease has nothing left but to wipe.

use std::time::Duration;

use market::{LeaseFact, State};
use primitives::DealId;
use settlement::Head;
use tokio::sync::watch;

use crate::{
    error::{Error, story},
    world::Workshop,
};

/// How often a deal's slot is looked at while no block comes.
const SELDOM: Duration = Duration::from_secs(30);
/// How often while the chain cannot be asked.
const OFTEN: Duration = Duration::from_secs(1);

/// Wait until the chain ends the deal: a stop, unless one was `stopped` already, or the settling.
pub(crate) async fn ended(shop: &Workshop, deal: DealId, stopped: bool) -> LeaseFact {
    let mut heads = shop.world.settlement.heads();
    loop {
        match look(shop, deal, stopped).await {
            Ok(Some(fact)) => return fact,
            Ok(None) => next_head(&mut heads, SELDOM).await,
            Err(error) => {
                shop.floor.trouble(story(&error));
                tokio::time::sleep(OFTEN).await;
            }
        }
    }
}

async fn look(shop: &Workshop, deal: DealId, stopped: bool) -> Result<Option<LeaseFact>, Error> {
    match shop.slot(deal).await?.state {
        State::Settled => settled(shop, deal).await,
        State::Stopped | State::Claimed if !stopped => Ok(Some(LeaseFact::StopTaken)),
        _ => Ok(None),
    }
}

/// The last fact of the chain about a deal, once it is settled at the network's depth.
pub(crate) async fn settled(shop: &Workshop, deal: DealId) -> Result<Option<LeaseFact>, Error> {
    let closing = shop.world.settlement.closing(deal).await;
    let closing = closing
        .map_err(|source| Error::Chain { operation: "reading how a deal was settled", source })?;
    Ok(closing.map(|closing| LeaseFact::Settled(Box::new(closing))))
}

/// Wait for the next block, or for `most`.
pub(crate) async fn next_head(heads: &mut watch::Receiver<Head>, most: Duration) {
    let changed = async {
        if heads.changed().await.is_err() {
            // No block will ever be told of; time decides alone.
            std::future::pending::<()>().await;
        }
    };
    // Either is a reason to look again.
    drop(tokio::time::timeout(most, changed).await);
}
