//! What a job left in `./out`, on its way back.

use std::path::Path;

use api::Job;
use primitives::Bytes;
use store::{Existing, TreeLimits, load_tree, unpack};

use crate::{
    client::{Client, blobs::RemoteBlobs},
    failure::{Doing as _, Failure, Result},
};

/// The most entries brought back.
const ENTRIES: usize = 1_000_000;

/// Bring back what a job left into `target`; how many entries, or `None` when there is nothing and
/// `always` does not ask for an empty folder.
pub(crate) async fn bring(
    client: &Client,
    job: &Job,
    target: &Path,
    always: bool,
) -> Result<Option<usize>> {
    let delivery = job.deal.as_ref().and_then(|deal| deal.delivery.as_ref());
    let Some(result) = delivery.and_then(|delivery| delivery.results.first()) else {
        return Ok(None);
    };
    let what = || format!("bringing back outputs into {}", target.display());
    let blobs = RemoteBlobs(client.clone());
    let size = Bytes(job.submission.order.document.output_limit);
    let limits = TreeLimits { entries: ENTRIES, size };
    if result.output.word().is_zero() {
        return Ok(None);
    }
    let tree = load_tree(&result.output, &blobs, &limits).await.doing(what)?;
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
