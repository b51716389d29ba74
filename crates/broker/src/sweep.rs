//! Sweeping: blobs of jobs that ended long ago are deleted (PROTOCOL, "Privacy").
//!
//! Upon each round: a blob goes when every job that names it ended longer ago than the rules keep
//! it. Jobs share blobs with the same content, so one that is still wanted by a younger job stays.

use std::{collections::BTreeSet, time::Duration};

use market::message::Output;
use primitives::{Bytes, Digest, Epoch, Seconds, TaskIndex, UnixSeconds};
use store::{OutputName, TreeLimits, load_tree};

use crate::{
    board::Board,
    desk::output_name,
    handed::Handed,
    tasks::MOST_EPOCHS,
    view::JobView,
    world::{MOST_FILES, World},
};

/// How often it is swept.
const ROUND: Duration = Duration::from_secs(600);

/// Sweep for as long as the gateway runs.
pub(crate) async fn sweep(world: &World, board: &Board, handed: &Handed) {
    let mut swept = BTreeSet::new();
    loop {
        tokio::time::sleep(ROUND).await;
        let jobs = board.jobs();
        let (past, kept): (Vec<_>, Vec<_>) = jobs
            .iter()
            .partition(|job| is_past(job, world.clock.now(), world.rules.blob_retention));
        // What is being handed in is named by no job yet.
        let mut wanted = handed.blobs();
        for job in kept {
            wanted.extend(blobs_of(world, board, job).await);
        }
        for job in past {
            if !swept.insert(job.id) {
                continue;
            }
            for blob in blobs_of(world, board, job).await.difference(&wanted) {
                if let Err(error) = world.blobs.remove(blob).await {
                    tracing::warn!(%blob, %error, "a blob could not be deleted");
                }
            }
            for name in outputs_of(job) {
                if let Err(error) = world.outputs.remove(&name).await {
                    tracing::warn!(%name, %error, "an output could not be deleted");
                }
            }
        }
    }
}

/// The names under which a job's tasks may have printed.
fn outputs_of(job: &JobView) -> Vec<OutputName> {
    let mut names = Vec::new();
    for task in (0..job.tasks.all).map(TaskIndex) {
        for epoch in (1..=MOST_EPOCHS).map(Epoch) {
            let both = [Output::Stdout, Output::Stderr];
            names.extend(both.map(|output| output_name(job.id, task, epoch, output)));
        }
    }
    names
}

/// Whether a job ended so long ago that its data is to be deleted.
fn is_past(job: &JobView, now: UnixSeconds, retention: Seconds) -> bool {
    if job.conclusion.is_none() {
        return false;
    }
    let settled = job.deals.iter().filter(|deal| deal.closing.is_some());
    let ended = settled.map(|deal| deal.agreement.terms.document.expiry).max();
    let ended = ended.unwrap_or(job.since).max(job.since);
    now >= ended.plus(retention)
}

/// The blobs a job names: its inputs, its outputs and the lists of both.
async fn blobs_of(world: &World, board: &Board, job: &JobView) -> BTreeSet<Digest> {
    let outputs = board.results(job.id);
    let lists: BTreeSet<Digest> = job.submission.work.inputs.into_iter().chain(outputs).collect();
    let mut blobs = BTreeSet::new();
    for list in lists {
        let limits = TreeLimits { entries: MOST_FILES, size: Bytes(u64::MAX) };
        // A list that is gone or wrong names nothing that could be deleted.
        if let Ok(tree) = load_tree(&list, world.blobs.as_ref(), &limits).await {
            blobs.extend(tree.blobs().into_keys());
        }
        blobs.insert(list);
    }
    blobs
}
