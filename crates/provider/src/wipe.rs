//! Settled -> Over: nothing of the renter's is left on this machine.
//!
//! Upon entering: end the runs that still go, give their capacity back, remove their folders, forget
//! their blobs unless another lease needs them. May be done again at any point.

use std::{collections::BTreeSet, io, time::Duration};

use futures::future::try_join_all;
use market::{LeaseFact, LeaseStage, task::Load};
use primitives::{DealId, Digest};
use sandbox::Folder;
use tokio::time::timeout;

use crate::{
    error::Error,
    inputs::blobs_of,
    line::{Line, Stride},
    world::{AGAIN, Workshop},
};

/// How many runs are ended at the same time.
const AT_ONCE: usize = 32;

pub(crate) async fn clean(shop: &Workshop, deal: DealId) -> Result<Stride, Error> {
    let runs = runs(shop, deal).await?;
    for runs in runs.chunks(AT_ONCE) {
        try_join_all(runs.iter().map(|run| end(shop, run))).await?;
    }
    let mut bytes = 0;
    for run in &runs {
        bytes += remove(shop, run).await?;
    }
    // The runtime wipes no folder whose run still goes.
    shop.floor.release(deal);
    let folder = shop.folder(deal);
    match tokio::fs::remove_dir_all(&folder).await {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::Folder { path: folder, source }),
    }
    bytes += forget_blobs(shop, deal).await?;
    Ok(Stride::of(LeaseFact::Wiped { bytes }))
}

/// The run folders of a lease: one for each task that was ever handed over.
async fn runs(shop: &Workshop, deal: DealId) -> Result<Vec<Folder>, Error> {
    let mut load = Load::default();
    for fact in Line::facts(shop.world.log.as_ref(), deal).await? {
        if let LeaseFact::Assigned { commands, .. } = fact {
            load.take(&commands);
        }
    }
    Ok(load.assigned().map(|(task, epoch)| shop.task_folder(deal, task, epoch)).collect())
}

/// Remove a run's folder; how many bytes it had.
async fn remove(shop: &Workshop, run: &Folder) -> Result<u64, Error> {
    let present = tokio::fs::try_exists(run.path()).await.unwrap_or(true);
    match shop.world.runtime.wipe(run.path()).await {
        Ok(wiped) => Ok(wiped.bytes.0),
        Err(_) if !present => Ok(0),
        Err(source) => Err(Error::Sandbox { operation: "wiping a run folder", source }),
    }
}

/// End a run if it still goes.
async fn end(shop: &Workshop, run: &Folder) -> Result<(), Error> {
    let failed = |operation| move |source| Error::Sandbox { operation, source };
    let found = shop.world.runtime.adopt(run.path()).await;
    let Some(run) = found.map_err(failed("looking for a run"))? else { return Ok(()) };
    loop {
        let progress = run.progress().await;
        if progress.as_ref().is_ok_and(|progress| progress.exit().is_some()) {
            return Ok(());
        }
        match run.stop(Duration::ZERO).await {
            Ok(()) | Err(sandbox::Error::NotRunning { .. }) => {}
            Err(source) => return Err(failed("ending a run")(source)),
        }
        if progress.is_err() {
            // Whether it has ended cannot be read; a wipe that comes too early says so.
            return Ok(());
        }
        // Work that is held changes no more, so it is told again after a moment.
        if let Ok(changed) = timeout(AGAIN, run.changed()).await {
            changed.map_err(failed("watching a run"))?;
        }
    }
}

/// Forget the lease's blobs; how many bytes they had.
async fn forget_blobs(shop: &Workshop, deal: DealId) -> Result<u64, Error> {
    let kept = |source| Error::Store { operation: "forgetting a blob", source };
    let own = blobs_of_lease(shop, deal).await?;
    let mut others = BTreeSet::new();
    for other in shop.floor.others(deal) {
        others.extend(blobs_of_lease(shop, other).await?);
    }
    let mut bytes = 0;
    for blob in own.difference(&others) {
        bytes += shop.world.blobs.size(blob).await.map_err(kept)?.map_or(0, |size| size.0);
        shop.world.blobs.remove(blob).await.map_err(kept)?;
    }
    Ok(bytes)
}

/// Inputs and outputs of a lease, as far as its journal names them.
async fn blobs_of_lease(shop: &Workshop, deal: DealId) -> Result<BTreeSet<Digest>, Error> {
    let mut roots = BTreeSet::new();
    for fact in Line::facts(shop.world.log.as_ref(), deal).await? {
        match fact {
            LeaseFact::Assigned { assignment: Some(assignment), .. } => {
                roots.extend(assignment.work.inputs);
            }
            LeaseFact::Finished { results } => {
                roots.extend(results.iter().map(|it| it.result.output));
            }
            _ => {}
        }
    }
    let mut blobs = BTreeSet::new();
    for root in roots {
        blobs.extend(blobs_of(shop, Some(root)).await);
    }
    Ok(blobs)
}

/// Whether a lease's capacity is free: its work is over, or never begins. A deal may be settled
/// while its run still goes, so that settling frees nothing.
pub(crate) fn is_free(stage: &LeaseStage) -> bool {
    matches!(stage, LeaseStage::Ended(_) | LeaseStage::Over { .. })
}
