//! Inputs on their way into run folders.
//!
//! Upon the first task of a lease: fetch the manifest and every blob that is not here, check each
//! against its digest; once for all tasks. Upon each task: make the tree in its working folder. May
//! be done again at any point; what is there is replaced by the same.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use market::{fact::Agreement, message::Phase};
use primitives::{Bytes, DealId, Digest};
use sandbox::Folder;
use store::{Existing, Expect, Tree, TreeLimits, load_tree, unpack};
use tokio::sync::OnceCell;

use crate::{
    error::{Error, story},
    fate::{Fate, OURS, is_full, words},
    world::Workshop,
};

/// How many blobs are fetched at once.
const AT_ONCE: usize = 8;
/// The longest manifest accepted.
const MANIFEST: Bytes = Bytes::mebi(64);

/// The inputs of one lease.
#[derive(Default)]
pub(crate) struct Inputs {
    /// Their tree, if there are any; or what comes of every task when they can never be had.
    tree: OnceCell<Result<Option<Tree>, Fate>>,
}

impl Inputs {
    /// Put the inputs into a working folder; gives the fate of the task when that can never be done.
    pub(crate) async fn place(
        &self,
        shop: &Workshop,
        agreement: &Agreement,
        inputs: Option<Digest>,
        folder: &Folder,
    ) -> Result<Option<Fate>, Error> {
        let had = self.tree.get_or_try_init(|| had(shop, agreement, inputs)).await?;
        let tree = match had {
            Ok(Some(tree)) => tree,
            Ok(None) => return Ok(None),
            Err(fate) => return Ok(Some(fate.clone())),
        };
        let blobs = shop.world.blobs.as_ref();
        let made = unpack(tree, &folder.work(), blobs, Existing::Replace).await;
        let made = made.map_err(|source| Error::Store { operation: "placing inputs", source });
        made.map_or_else(refusal, |()| Ok(None))
    }
}

/// The inputs, once they are here.
async fn had(
    shop: &Workshop,
    agreement: &Agreement,
    inputs: Option<Digest>,
) -> Result<Result<Option<Tree>, Fate>, Error> {
    let deal = agreement.deal;
    let had = match inputs {
        None => Ok(None),
        Some(inputs) => {
            shop.gateway.tell(deal, Phase::Fetching);
            match fetch_all(shop, agreement, inputs).await {
                Ok(tree) => Ok(Some(tree)),
                Err(error) => match refusal(error)? {
                    Some(fate) => Err(fate),
                    None => Ok(None),
                },
            }
        }
    };
    if had.is_ok() {
        shop.gateway.tell(deal, Phase::Preparing);
    }
    Ok(had)
}

async fn fetch_all(shop: &Workshop, agreement: &Agreement, inputs: Digest) -> Result<Tree, Error> {
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
    Ok(tree)
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

/// The fate of a task whose inputs cannot be had however often the same is tried again; the error
/// itself where they may.
fn refusal(error: Error) -> Result<Option<Fate>, Error> {
    let said = story(&error);
    let refused = |code, action| Ok(Some(Fate::refused(OURS, words(code, &said, action))));
    match &error {
        Error::Denied { .. } => {
            refused("inputs-missing", "hand the inputs in again with a new order")
        }
        Error::Store { source, .. } => match source {
            store::Error::Mismatch { .. }
            | store::Error::TooLarge { .. }
            | store::Error::Entry { .. }
            | store::Error::Manifest { .. } => {
                refused("inputs-refused", "check the inputs, or reserve more disk for them")
            }
            source if is_full(source) => Ok(Some(Fate::fault("disk-full", &said))),
            _ => Err(error),
        },
        _ => Err(error),
    }
}

/// Every blob that a tree is made of, as far as they are here.
pub(crate) async fn blobs_of(shop: &Workshop, root: Option<Digest>) -> BTreeSet<Digest> {
    let Some(root) = root else { return BTreeSet::new() };
    let limits = TreeLimits::up_to(Bytes(u64::MAX));
    let tree = load_tree(&root, shop.world.blobs.as_ref(), &limits).await;
    let inner = tree.map(|tree| tree.blobs().into_keys().collect::<BTreeSet<_>>());
    let mut all = inner.unwrap_or_default();
    all.insert(root);
    all
}
