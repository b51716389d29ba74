//! The line of a job: Submitted -> Placed -> Working -> Done.
//!
//! Upon Submitted: find a provider, and write the choice down on both lines at once.
//! Upon Placed and Working: carry the deal; what becomes of it becomes of the job.

use std::error::Error as _;

use market::{DealStage, JobFact, JobStage, fact::Conclusion};

use crate::{
    board::Board,
    book::Book,
    deal,
    error::Error,
    line::{DealLine, Inbox, JobLine},
    place::{self, Choice},
    world::{AGAIN, World},
};

/// Carry a job to its end.
pub(crate) async fn carry(
    world: &World,
    board: &Board,
    book: &Book,
    mut job: JobLine,
    mut deal: Option<DealLine>,
    mut inbox: Inbox,
) {
    while !matches!(job.stage, JobStage::Done { .. }) {
        match advance(world, board, book, &mut job, &mut deal, &mut inbox).await {
            Ok(()) => board.show(&job, deal.as_ref()),
            Err(error @ Error::Fenced { .. }) => {
                tracing::warn!(job = %job.id, %error, "another gateway carries this job");
                return;
            }
            Err(error) => {
                let source = error.source().map(ToString::to_string);
                tracing::warn!(job = %job.id, stage = job.stage.name(), %error, source, "trying again");
                tokio::time::sleep(AGAIN).await;
                if matches!(error, Error::Store { .. }) {
                    // A fact may be there although its writer was told of a failure.
                    while job.reload(world).await.is_err() {
                        tokio::time::sleep(AGAIN).await;
                    }
                    deal = None;
                }
            }
        }
    }
}

async fn advance(
    world: &World,
    board: &Board,
    book: &Book,
    job: &mut JobLine,
    deal: &mut Option<DealLine>,
    inbox: &mut Inbox,
) -> Result<(), Error> {
    match (&job.stage, deal) {
        (JobStage::Submitted { submission, stop }, deal) => {
            match place::choose(world, book, job.id, submission, *stop, inbox).await? {
                Choice::Chosen(agreement) => *deal = Some(job.place(world, *agreement).await?),
                Choice::Stopped(asker) => {
                    job.take(world, JobFact::StopAsked).await?;
                    // Whoever asked may have gone meanwhile.
                    let _ = asker.send(());
                }
                Choice::Nobody(conclusion) => {
                    job.take(world, JobFact::Done(Box::new(conclusion))).await?;
                }
            }
        }
        (JobStage::Placed { .. } | JobStage::Working { .. }, Some(line)) => {
            let fact = match &line.stage {
                DealStage::Settled(_) => Some(JobFact::Done(Box::new(Conclusion::Settled))),
                DealStage::Void { why, .. } => {
                    let conclusion = Conclusion::Unopened { why: why.clone() };
                    Some(JobFact::Done(Box::new(conclusion)))
                }
                DealStage::Chosen(_) | DealStage::Signed(_) => None,
                opened => matches!(job.stage, JobStage::Placed { .. })
                    .then(|| JobFact::Working { deal: opened.id() }),
            };
            match fact {
                Some(fact) => job.take(world, fact).await?,
                None => deal::carry(world, board, job.stage.submission(), line, inbox).await?,
            }
        }
        (JobStage::Placed { deal: id, .. } | JobStage::Working { deal: id, .. }, missing) => {
            *missing = DealLine::replayed(world, *id).await?;
        }
        (JobStage::Done { .. }, _) => {}
    }
    Ok(())
}
