//! Inputs on their way into a run folder.
//!
//! Upon a tree: fetch its manifest and every blob that is not here, check each against its digest,
//! and make the tree in the working folder. May be done again at any point; what is there is
//! replaced by the same.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use market::{Outcome, fact::Agreement, message::Phase, task::Ending, work::Work};
use primitives::{Bytes, DealId, Digest};
use sandbox::Folder;
use store::{Existing, Expect, TreeLimits, load_tree, unpack};

use crate::{
    error::{Error, story},
    terminal::{End, words},
    world::Workshop,
};

/// How many blobs are fetched at once.
const AT_ONCE: usize = 8;
/// The longest manifest accepted.
const MANIFEST: Bytes = Bytes::mebi(64);

/// Put the inputs into the working folder; gives the end of the run when that can never be done.
pub(crate) async fn place(
    shop: &Workshop,
    agreement: &Agreement,
    work: &Work,
    folder: &Folder,
) -> Result<Option<End>, Error> {
    let Some(inputs) = work.inputs else { return Ok(None) };
    shop.gateway.tell(agreement.deal, Phase::Fetching);
    match fetch_and_unpack(shop, agreement, inputs, folder).await {
        Ok(()) => Ok(None),
        Err(error) => match refusal(&error) {
            Some((outcome, ending)) => Ok(Some(match outcome {
                Outcome::ProviderFault => {
                    End::our_fault(&ending.code, ending.cause, &ending.action)
                }
                outcome => End::unstarted(outcome, 125, ending),
            })),
            None => Err(error),
        },
    }
}

async fn fetch_and_unpack(
    shop: &Workshop,
    agreement: &Agreement,
    inputs: Digest,
    folder: &Folder,
) -> Result<(), Error> {
    let deal = agreement.deal;
    let blobs = shop.world.blobs.as_ref();
    let limits = TreeLimits::up_to(room(agreement));
    fetch(shop, deal, inputs, MANIFEST).await?;
    let kept = |source| Error::Store { operation: "reading the list of inputs", source };
    let tree = load_tree(&inputs, blobs, &limits).await.map_err(kept)?;
    stream::iter(tree.blobs())
        .map(|(blob, size)| fetch(shop, deal, blob, size))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let made = unpack(&tree, &folder.work(), blobs, Existing::Replace).await;
    made.map_err(|source| Error::Store { operation: "placing inputs", source })
}

async fn fetch(shop: &Workshop, deal: DealId, blob: Digest, limit: Bytes) -> Result<(), Error> {
    let blobs = shop.world.blobs.as_ref();
    let kept = |source| Error::Store { operation: "keeping an input", source };
    if blobs.has(&blob).await.map_err(kept)? {
        return Ok(());
    }
    let mut content = shop.gateway.fetch(deal, blob).await?;
    blobs.put(&mut content, Expect::exactly(blob, limit)).await.map_err(kept)?;
    Ok(())
}

/// The most bytes of input: the disk that is reserved, or the machine's where none was wished.
fn room(agreement: &Agreement) -> Bytes {
    match agreement.resources.disk {
        Bytes(0) => Bytes(u64::MAX),
        disk => disk,
    }
}

/// Whether an error stays one however often the same is tried again, and whose fault it is.
fn refusal(error: &Error) -> Option<(Outcome, Ending)> {
    let said = story(error);
    match error {
        Error::Denied { .. } => Some((
            Outcome::Failed,
            words("inputs-missing", &said, "hand the inputs in again with a new order"),
        )),
        Error::Store { source, .. } => match source {
            store::Error::Mismatch { .. }
            | store::Error::TooLarge { .. }
            | store::Error::Entry { .. }
            | store::Error::Manifest { .. } => Some((
                Outcome::Failed,
                words("inputs-refused", &said, "check the inputs, or reserve more disk for them"),
            )),
            store::Error::DiskFull { .. } | store::Error::LimitReached { .. } => Some((
                Outcome::ProviderFault,
                words("disk-full", &said, "order again; another provider may have room"),
            )),
            _ => None,
        },
        _ => None,
    }
}

/// Every blob that the inputs of `work` are made of, as far as they are here.
pub(crate) async fn blobs_of(shop: &Workshop, root: Option<Digest>) -> BTreeSet<Digest> {
    let Some(root) = root else { return BTreeSet::new() };
    let limits = TreeLimits::up_to(Bytes(u64::MAX));
    let tree = load_tree(&root, shop.world.blobs.as_ref(), &limits).await;
    let inner = tree.map(|tree| tree.blobs().into_keys().collect::<BTreeSet<_>>());
    let mut all = inner.unwrap_or_default();
    all.insert(root);
    all
}
