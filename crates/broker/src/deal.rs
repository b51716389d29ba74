//! The line of a deal: the product in one match.
//!
//! Upon each stage: the step of that stage waits for what it needs and gives one fact; the fact is
//! written down, moves the stage on, and only then is whoever waits for it answered. Any step may
//! be taken again after a crash: it looks at the chain and at the provider, and acts on the
//! difference.
//!
//! Upon anything that leaves an open deal with room: it is handed its next share of the job's tasks,
//! in the same write.
//!
//! Failure runs down the same line: before money is locked it ends the deal; afterwards it is a
//! verdict that pays nobody, and settling refunds.

use std::error::Error as _;

use market::{DealFact, DealStage, fact::Submission};

use crate::{
    board::Board,
    error::Error,
    line::{DealLine, Inbox, Stride},
    meter, open, run, settle, sign,
    tasks::Tasks,
    tell::Told,
    verify,
    world::{AGAIN, World},
};

/// Take the next step of a deal; `None` at its end.
async fn advance(
    world: &World,
    wanted: &Submission,
    stage: &DealStage,
    inbox: &mut Inbox,
    told: &mut Told,
) -> Result<Option<Stride>, Error> {
    let stride = match stage {
        DealStage::Chosen(it) => sign::terms(world, wanted, it, inbox).await?,
        DealStage::Signed(it) => open::escrow(world, it).await?,
        DealStage::Open(it) => run::start(world, wanted, it, inbox, told).await?,
        DealStage::Running(it) => meter::collect(world, wanted, it, inbox, told).await?,
        DealStage::Delivered(it) => verify::judge(world, wanted, it).await?,
        DealStage::Judged(it) => settle::pay(world, it, inbox).await?,
        DealStage::Settled(_) | DealStage::Void { .. } => return Ok(None),
    };
    Ok(Some(stride))
}

/// Carry a deal to its end.
///
/// # Errors
/// When another gateway took the line over, or the journal cannot be read after a failed write;
/// everything else is tried again here.
pub(crate) async fn carry(
    world: &World,
    board: &Board,
    wanted: &Submission,
    tasks: &Tasks,
    mut line: DealLine,
    mut inbox: Inbox,
) -> Result<(), Error> {
    let mut told = Told::default();
    loop {
        let step = match handed(tasks, &line.stage) {
            Some(fact) => Ok(Some(Stride::of(fact))),
            None => advance(world, wanted, &line.stage, &mut inbox, &mut told).await,
        };
        let taken = match step {
            Ok(None) => return Ok(()),
            Ok(Some(mut stride)) => {
                stride.facts.extend(handed_after(tasks, &line.stage, &stride.facts));
                line.take(world, stride).await
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok(()) => {}
            Err(error @ Error::Fenced { .. }) => return Err(error),
            Err(error) => {
                let (deal, source) = (line.stage.id(), error.source().map(ToString::to_string));
                tracing::warn!(%deal, stage = line.stage.name(), %error, source, "trying again");
                tokio::time::sleep(AGAIN).await;
                if matches!(error, Error::Store { .. }) {
                    // The facts may be there although their writer was told of a failure.
                    line.reload(world).await?;
                }
            }
        }
        board.show_deal(&line);
        tasks.see(&line.stage);
    }
}

/// The share that an open deal with room is handed.
fn handed(tasks: &Tasks, stage: &DealStage) -> Option<DealFact> {
    let is_open = matches!(stage, DealStage::Open(_) | DealStage::Running(_));
    if !is_open || stage.stop().is_some() {
        return None;
    }
    let share = tasks.next_share(stage)?;
    Some(DealFact::Assigned { tasks: share.tasks, released: share.last })
}

/// The share that a deal is handed once these facts have moved it on.
fn handed_after(tasks: &Tasks, stage: &DealStage, facts: &[DealFact]) -> Option<DealFact> {
    let gives_room = |fact| matches!(fact, &DealFact::Opened(_) | &DealFact::Reported { .. });
    if !facts.iter().any(gives_room) {
        return None;
    }
    let after = facts.iter().try_fold(stage.clone(), |stage, fact| stage.apply(fact.clone()));
    handed(tasks, &after.ok()?)
}
