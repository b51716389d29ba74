//! The line of a lease: accept -> prepare -> run -> meter -> deliver -> wipe, in one match.
//!
//! Upon each stage: the step of that stage waits for what it needs and gives one fact; the fact is
//! written down, moves the stage on, and only then is whoever waits for it answered. Any step may
//! be taken again after a crash: it looks at the chain, at the run folders and at the gateway, and
//! acts on the difference. The tasks of the lease go on between the strides, at the bench.
//!
//! Failure runs down the same line: what cannot run ends in a terminal receipt over nothing, and a
//! renter that signs no more is given up, whereupon the exits of the escrow decide.

use std::sync::Arc;

use market::LeaseStage;

use crate::{
    accept,
    bench::Bench,
    deliver,
    error::{Error, story},
    inbox::Inbox,
    line::{Line, Stride},
    meter::{self, Watch},
    prepare, wipe,
    world::{AGAIN, Workshop},
};

/// What a lease at work knows beyond its facts; found again after a restart.
#[derive(Default)]
struct AtWork {
    bench: Option<Bench>,
    watch: Option<Watch>,
}

/// Take the next step of a lease.
async fn advance(
    shop: &Arc<Workshop>,
    stage: &LeaseStage,
    inbox: &mut Inbox,
    AtWork { bench, watch }: &mut AtWork,
) -> Result<Stride, Error> {
    match stage {
        LeaseStage::Offered(it) => accept::work(shop, it, inbox).await,
        LeaseStage::Assigned(it) => prepare::start(shop, it, inbox, bench).await,
        LeaseStage::Running(it) => meter::next(shop, it, inbox, bench, watch).await,
        LeaseStage::Ended(it) => deliver::collect(shop, it, inbox).await,
        LeaseStage::Settled { agreement, .. } => wipe::clean(shop, agreement.deal).await,
        LeaseStage::Over { .. } => std::future::pending().await,
    }
}

/// Carry a lease to its end.
pub(crate) async fn carry(shop: Arc<Workshop>, mut line: Line, mut inbox: Inbox) {
    let mut at_work = AtWork::default();
    line.show(&shop);
    while !line.stage.is_over() {
        let taken = match advance(&shop, &line.stage, &mut inbox, &mut at_work).await {
            Ok(stride) => {
                let fence = inbox.fence();
                line.take(&shop, stride, fence).await.inspect(|()| inbox.written(fence))
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok(()) if is_at_work(&line.stage) => {}
            Ok(()) => at_work = AtWork::default(),
            Err(error @ Error::Shared { .. }) => {
                shop.floor.trouble(story(&error));
                return;
            }
            Err(error) => {
                shop.floor.trouble(story(&error));
                at_work = AtWork::default();
                again(&shop, &mut line).await;
            }
        }
        if wipe::is_free(&line.stage) {
            shop.floor.release(line.deal());
        }
    }
    shop.floor.leave(line.deal());
}

fn is_at_work(stage: &LeaseStage) -> bool {
    matches!(stage, LeaseStage::Assigned(_) | LeaseStage::Running(_))
}

/// After a moment, begin again from what the journal says: a fact may be there although its writer
/// was told of a failure.
async fn again(shop: &Workshop, line: &mut Line) {
    loop {
        tokio::time::sleep(AGAIN).await;
        match line.reload(shop).await {
            Ok(()) => return,
            Err(error) => shop.floor.trouble(story(&error)),
        }
    }
}

#[cfg(test)]
mod tests;
