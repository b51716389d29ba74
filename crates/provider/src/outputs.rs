//! What a run left under `out`, on its way to the gateway.
//!
//! Upon the end of a run: its files become blobs and a tree, within the limit that was ordered.
//! Upon delivery: the gateway says which of the blobs it does not have, and gets those.

use std::{collections::BTreeSet, time::Duration};

use market::message::{Done, Missing, ToGateway};
use net::Body;
use primitives::{Bytes, DealId, Digest};
use sandbox::{Output, Run};
use store::{Blob, Blobs, Expect, Tree, TreeEntry, TreeKind, TreeLimits, TreePath, store_tree};
use tokio::{
    io::{AsyncWriteExt as _, duplex},
    time::Instant,
};

use crate::{error::Error, gateway::PROMPT, inputs::blobs_of, world::Workshop};

/// Bytes read from an output at once.
const CHUNK: usize = 256 << 10;
/// Blobs asked about at once: as many as surely fit into one header.
const ASKED_AT_ONCE: usize = 4_096;

/// Store what the run left, in order of path, as far as it is within `limit`; the tree's digest, or
/// zero when it left nothing.
pub(crate) async fn keep(shop: &Workshop, run: &dyn Run, limit: Bytes) -> Result<Digest, Error> {
    let failed = |source| Error::Sandbox { operation: "listing what a run left", source };
    let kept = |source| Error::Store { operation: "keeping what a run left", source };
    let blobs = shop.world.blobs.as_ref();
    let (mut entries, mut folders, mut left) = (Vec::new(), BTreeSet::new(), limit.0);
    for output in run.outputs().await.map_err(failed)? {
        let Some(rest) = left.checked_sub(output.length.0) else { break };
        left = rest;
        let path = TreePath::new(output.path.clone()).map_err(kept)?;
        folders.extend(parents(&path));
        let blob = keep_file(run, &output, blobs).await?;
        let kind =
            TreeKind::File { digest: blob.digest, size: blob.size, executable: output.executable };
        entries.push(TreeEntry { path, kind });
    }
    if entries.is_empty() {
        return Ok(Digest::default());
    }
    for folder in folders {
        let path = TreePath::new(folder).map_err(kept)?;
        entries.push(TreeEntry { path, kind: TreeKind::Folder });
    }
    let tree = Tree::new(entries, &TreeLimits::up_to(limit)).map_err(kept)?;
    store_tree(&tree, blobs).await.map_err(kept)
}

/// The folders above a path.
fn parents(path: &TreePath) -> impl Iterator<Item = String> {
    let path = path.as_str();
    path.match_indices('/').map(|(at, _)| path[..at].to_owned())
}

async fn keep_file(run: &dyn Run, output: &Output, blobs: &dyn Blobs) -> Result<Blob, Error> {
    let (mut content, mut into) = duplex(CHUNK);
    let pump = async {
        let mut from = 0;
        loop {
            let piece = run.read_output(&output.path, from, CHUNK).await;
            let piece = piece.map_err(|source| Error::Sandbox {
                operation: "reading what a run left",
                source,
            })?;
            if piece.is_empty() {
                break;
            }
            from += piece.len() as u64;
            if into.write_all(&piece).await.is_err() {
                // The reader has failed and says why.
                break;
            }
        }
        drop(into);
        Ok(())
    };
    let (stored, read) = tokio::join!(blobs.put(&mut content, Expect::any(output.length)), pump);
    read?;
    stored.map_err(|source| Error::Store { operation: "keeping what a run left", source })
}

/// How long a body of this size may take: at 64 KiB a second even a poor line is done by then.
fn patience(size: Bytes) -> Duration {
    PROMPT + Duration::from_secs(size.0 >> 16)
}

/// Hand trees in, blob by blob, as far as the gateway does not have them; notes when it last
/// `heard` from the gateway.
pub(crate) async fn hand_in(
    shop: &Workshop,
    deal: DealId,
    trees: impl IntoIterator<Item = Digest>,
    heard: &mut Instant,
) -> Result<(), Error> {
    let mut blobs = BTreeSet::new();
    for tree in trees {
        if tree != Digest::default() {
            blobs.extend(blobs_of(shop, Some(tree)).await);
        }
    }
    let blobs: Vec<Digest> = blobs.into_iter().collect();
    for blobs in blobs.chunks(ASKED_AT_ONCE) {
        hand_in_some(shop, deal, blobs.to_vec(), heard).await?;
    }
    Ok(())
}

async fn hand_in_some(
    shop: &Workshop,
    deal: DealId,
    blobs: Vec<Digest>,
    heard: &mut Instant,
) -> Result<(), Error> {
    const OPERATION: &str = "handing in an output";
    let question = ToGateway::Missing { deal, blobs };
    let missing: Missing = shop
        .gateway
        .ask("asking which outputs are missing", &question, Body::Empty, PROMPT)
        .await?;
    for blob in missing.blobs {
        let kept = |source| Error::Store { operation: OPERATION, source };
        let content = shop.world.blobs.get(&blob).await.map_err(kept)?;
        let size = shop.world.blobs.size(&blob).await.map_err(kept)?.unwrap_or_default();
        let question = ToGateway::PutBlob { deal, blob };
        let body = Body::Reader(content);
        match shop.gateway.ask(OPERATION, &question, body, patience(size)).await? {
            Done::Done => *heard = Instant::now(),
            Done::Refused { why } => return Err(Error::Denied { operation: OPERATION, why }),
        }
    }
    Ok(())
}
