//! Settled -> Over: nothing of the renter's is left on this machine.
//!
//! Upon entering: end the run if it still goes, give its capacity back, remove its folder, forget its
//! blobs unless another lease needs them. May be done again at any point.

use std::{collections::BTreeSet, io, time::Duration};

use market::{LeaseFact, LeaseStage};
use primitives::{DealId, Digest};
use tokio::time::timeout;

use crate::{
    error::Error,
    inputs::blobs_of,
    line::{Line, Stride},
    world::{AGAIN, Workshop},
};

pub(crate) async fn clean(shop: &Workshop, deal: DealId) -> Result<Stride, Error> {
    end(shop, deal).await?;
    let folder = shop.folder(deal);
    let failed = |source| Error::Sandbox { operation: "wiping a run folder", source };
    let present = tokio::fs::try_exists(folder.path()).await.unwrap_or(true);
    let mut bytes = match shop.world.runtime.wipe(folder.path()).await {
        Ok(wiped) => wiped.bytes.0,
        Err(_) if !present => 0,
        Err(source) => return Err(failed(source)),
    };
    // The runtime wipes no folder whose run still goes.
    shop.floor.release(deal);
    match tokio::fs::remove_dir_all(folder.path()).await {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::Folder { path: folder.path().to_owned(), source }),
    }
    bytes += forget_blobs(shop, deal).await?;
    Ok(Stride::of(LeaseFact::Wiped { bytes }))
}

/// End the run if it still goes.
async fn end(shop: &Workshop, deal: DealId) -> Result<(), Error> {
    let failed = |operation| move |source| Error::Sandbox { operation, source };
    let found = shop.world.runtime.adopt(shop.folder(deal).path()).await;
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
            LeaseFact::Assigned { assignment, .. } => roots.extend(assignment.work.inputs),
            LeaseFact::Ended(delivery) => {
                roots.extend(delivery.results.iter().map(|result| result.output));
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
