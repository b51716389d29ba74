//! Sweeping: blobs of jobs that ended long ago are deleted (PROTOCOL, "Privacy").
//!
//! Upon each round: a blob goes when every job that names it ended longer ago than the rules keep
//! it. Jobs share blobs with the same content, so one that is still wanted by a younger job stays.

use std::{collections::BTreeSet, time::Duration};

use market::fact::Conclusion;
use primitives::{Bytes, Digest, Seconds, UnixSeconds};
use store::{TreeLimits, load_tree};

use crate::{
    board::Board,
    desk::output_name,
    handed::Handed,
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
            wanted.extend(blobs_of(world, job).await);
        }
        for job in past {
            if !swept.insert(job.id) {
                continue;
            }
            for blob in blobs_of(world, job).await.difference(&wanted) {
                if let Err(error) = world.blobs.remove(blob).await {
                    tracing::warn!(%blob, %error, "a blob could not be deleted");
                }
            }
            for output in [market::message::Output::Stdout, market::message::Output::Stderr] {
                let name = output_name(job.id, primitives::TaskIndex(0), output);
                if let Err(error) = world.outputs.remove(&name).await {
                    tracing::warn!(%name, %error, "an output could not be deleted");
                }
            }
        }
    }
}

/// Whether a job ended so long ago that its data is to be deleted.
fn is_past(job: &JobView, now: UnixSeconds, retention: Seconds) -> bool {
    let ended = match (&job.conclusion, &job.deal) {
        (None, _) => return false,
        (Some(Conclusion::Settled), Some(deal)) => {
            deal.agreement.terms.document.expiry.max(job.since)
        }
        (Some(_), _) => job.since,
    };
    now >= ended.plus(retention)
}

/// The blobs a job names: its inputs, its outputs and the lists of both.
async fn blobs_of(world: &World, job: &JobView) -> BTreeSet<Digest> {
    let delivered = job.deal.as_ref().and_then(|deal| deal.delivery.as_ref());
    let outputs = delivered.into_iter().flat_map(|it| it.results.iter().map(|one| one.output));
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
