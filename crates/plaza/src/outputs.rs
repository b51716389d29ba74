//! What the tasks of a job left in `./out`, on its way back.

use std::path::{Path, PathBuf};

use api::{Job, Task};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use primitives::{Bytes, Digest};
use store::{Existing, TreeLimits, load_tree, unpack};

use crate::{
    client::{Client, blobs::RemoteBlobs},
    failure::{Doing as _, Failure, Result},
};

/// The most entries brought back of one task.
const ENTRIES: usize = 1_000_000;

/// How many tasks' outputs are under way at once.
const AT_ONCE: usize = 8;

/// Bring back what a job of one task left into `target`; how many entries, or `None` when there is
/// nothing and `always` does not ask for an empty folder.
pub(crate) async fn bring(
    client: &Client,
    job: &Job,
    tasks: &[Task],
    target: &Path,
    always: bool,
) -> Result<Option<usize>> {
    // What a deal handed in is brought back even if it did not count.
    let delivery = job.deal().and_then(|deal| deal.delivery.as_ref());
    let delivered = delivery.and_then(|delivery| delivery.results.first());
    let delivered = delivered.map(|reported| reported.result.output);
    let counted = tasks.first().and_then(|task| task.output);
    match counted.or(delivered.filter(|list| *list != Digest::default())) {
        Some(list) => bring_tree(client, job, list, target, always).await,
        None => Ok(None),
    }
}

/// Bring back what each task of a job left into a folder of its own under `target`, by index; how
/// many tasks left anything.
pub(crate) async fn bring_all(
    client: &Client,
    job: &Job,
    tasks: &[Task],
    target: &Path,
) -> Result<usize> {
    let left: Vec<(PathBuf, Digest)> = tasks
        .iter()
        .filter_map(|task| Some((target.join(task.task.0.to_string()), task.output?)))
        .collect();
    let brought = left
        .iter()
        .map(|(place, list)| async move { bring_tree(client, job, *list, place, false).await });
    let brought: Vec<Option<usize>> =
        stream::iter(brought).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(brought.into_iter().flatten().count())
}

async fn bring_tree(
    client: &Client,
    job: &Job,
    list: Digest,
    target: &Path,
    always: bool,
) -> Result<Option<usize>> {
    let what = || format!("bringing back outputs into {}", target.display());
    let blobs = RemoteBlobs(client.clone());
    let size = Bytes(job.submission.order.document.output_limit);
    let limits = TreeLimits { entries: ENTRIES, size };
    let tree = load_tree(&list, &blobs, &limits).await.doing(what)?;
    if tree.entries().is_empty() && !always {
        return Ok(None);
    }
    if let Some(above) = target.parent().filter(|above| !above.as_os_str().is_empty()) {
        std::fs::create_dir_all(above).doing(what)?;
    }
    let unpacked = unpack(&tree, target, &blobs, Existing::Replace).await;
    unpacked.map_err(|error| {
        Failure::new(what())
            .because(&error)
            .advise(format!("try again elsewhere: plaza job fetch {} --output DIR", job.id.short()))
    })?;
    Ok(Some(tree.entries().len()))
}
