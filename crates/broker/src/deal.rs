//! The line of a deal: the product in one match.
//!
//! Upon each stage: the step of that stage waits for what it needs and gives one fact; the fact is
//! written down, moves the stage on, and only then is whoever waits for it answered. Any step may
//! be taken again after a crash: it looks at the chain and at the provider, and acts on the
//! difference.
//!
//! Failure runs down the same line: before money is locked it ends the deal; afterwards it is a
//! verdict that pays nobody, and settling refunds.

use std::error::Error as _;

use market::{DealFact, DealStage, fact::Submission};

use crate::{
    board::Board,
    error::Error,
    line::{DealLine, Inbox, Stride},
    meter, open, run, settle, sign, verify,
    world::{AGAIN, World},
};

/// Take the next step of a deal; `None` at its end.
async fn advance(
    world: &World,
    wanted: &Submission,
    stage: &DealStage,
    inbox: &mut Inbox,
) -> Result<Option<Stride>, Error> {
    let stride = match stage {
        DealStage::Chosen(it) => sign::terms(world, wanted, it, inbox).await?,
        DealStage::Signed(it) => open::escrow(world, it).await?,
        DealStage::Open(it) => run::start(world, wanted, it, inbox).await?,
        DealStage::Running(it) => meter::collect(world, wanted, it, inbox).await?,
        DealStage::Delivered(it) => verify::judge(world, wanted, it).await?,
        DealStage::Judged(it) => settle::pay(world, it, inbox).await?,
        DealStage::Settled(_) | DealStage::Void { .. } => return Ok(None),
    };
    Ok(Some(stride))
}

/// Carry a deal on, until it opened (which its job writes down too) or to its end.
///
/// # Errors
/// When another gateway took the line over, or the journal cannot be read after a failed write;
/// everything else is tried again here.
pub(crate) async fn carry(
    world: &World,
    board: &Board,
    wanted: &Submission,
    line: &mut DealLine,
    inbox: &mut Inbox,
) -> Result<(), Error> {
    loop {
        let taken = match advance(world, wanted, &line.stage, inbox).await {
            Ok(None) => return Ok(()),
            Ok(Some(stride)) => {
                let opened = matches!(stride.fact, DealFact::Opened(_));
                line.take(world, stride).await.map(|()| opened)
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok(opened) => {
                board.show_deal(line);
                if opened {
                    return Ok(());
                }
            }
            Err(error @ Error::Fenced { .. }) => return Err(error),
            Err(error) => {
                let (deal, source) = (line.stage.id(), error.source().map(ToString::to_string));
                tracing::warn!(%deal, stage = line.stage.name(), %error, source, "trying again");
                tokio::time::sleep(AGAIN).await;
                if matches!(error, Error::Store { .. }) {
                    // The fact may be there although its writer was told of a failure.
                    line.reload(world).await?;
                }
            }
        }
    }
}
