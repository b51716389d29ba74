//! A folder as one value: paths, the digests of files, the targets of links.
//!
//! The manifest is canonical JSON (no spaces, fields in one order, entries by path), so that equal
//! folders have equal digests:
//!
//! ```text
//! {"version":1,"entries":[{"path":"a","kind":"folder"},
//!   {"path":"a/b","kind":"file","digest":"...","size":3,"executable":false},
//!   {"path":"c","kind":"link","target":"a/b"}]}
//! ```
//!
//! Invariant: paths are relative and clean, unique, and sorted by their bytes; every parent is an
//! entry and a folder; a link leads to a place inside. The last follows because a target is
//! relative, has `..` only at its beginning, and not more of them than the link has parents: what
//! those lead to is a true folder inside, and from a true folder names lead only further in, or
//! through another link, of which the same is true.
//!
//! Not here: owners, times, extended attributes, special files; they do not travel.

pub(crate) mod pack;
pub(crate) mod path;
pub(crate) mod unpack;

use std::collections::BTreeMap;

use primitives::{Bytes, Digest};
use serde::{Deserialize, Serialize};

use self::path::TreePath;
use crate::{blobs::Blobs, error::Error};

/// A folder as one value; see [`Tree::digest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    entries: Vec<TreeEntry>,
}

/// One thing in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Where it is.
    pub path: TreePath,
    /// What it is.
    #[serde(flatten)]
    pub kind: TreeKind,
}

/// What a thing in a folder is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TreeKind {
    /// Bytes.
    File {
        /// The blob that holds them.
        digest: Digest,
        /// How many there are.
        size: Bytes,
        /// Whether its owner may run it.
        executable: bool,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// Where it leads, relative to the folder it is in.
        target: String,
    },
}

/// The largest tree accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeLimits {
    /// Entries of any kind.
    pub entries: usize,
    /// The bytes of all files together.
    pub size: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    version: u32,
    entries: Vec<TreeEntry>,
}

const VERSION: u32 = 1;
/// Manifest bytes allowed per entry: a path and a target of full length, and the rest.
const BYTES_PER_ENTRY: u64 = 512;
/// Manifest bytes allowed besides.
const BYTES_BESIDES: u64 = 64 << 10;

impl Tree {
    /// The tree of these entries, in any order.
    ///
    /// # Errors
    /// [`Error::Entry`] naming the path that breaks a rule, [`Error::Manifest`] beyond `limits`.
    pub fn new(mut entries: Vec<TreeEntry>, limits: &TreeLimits) -> Result<Self, Error> {
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        let tree = Self { entries };
        tree.check(limits)?;
        Ok(tree)
    }

    /// Read a manifest.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::Manifest`] when the bytes are not the canonical form of
    /// a tree.
    pub fn from_manifest(bytes: &[u8], limits: &TreeLimits) -> Result<Self, Error> {
        let refuse = |why: String| Error::Manifest { why };
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(refuse(format!("version {} is unknown", manifest.version)));
        }
        let tree = Self { entries: manifest.entries };
        tree.check(limits)?;
        if tree.manifest() != bytes {
            return Err(refuse("it is not in canonical form".to_owned()));
        }
        Ok(tree)
    }

    /// The canonical manifest.
    pub fn manifest(&self) -> Vec<u8> {
        let manifest = Manifest { version: VERSION, entries: self.entries.clone() };
        serde_json::to_vec(&manifest).expect("a manifest has only strings for keys")
    }

    /// The digest of the canonical manifest: the name of the tree.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest())
    }

    /// The entries, by path.
    pub fn entries(&self) -> &[TreeEntry] {
        &self.entries
    }

    /// The bytes of all files together.
    pub fn size(&self) -> Bytes {
        Bytes(self.files().fold(0, |sum, (_, size)| sum.saturating_add(size.0)))
    }

    /// The digest and size of every blob needed, each once.
    pub fn blobs(&self) -> BTreeMap<Digest, Bytes> {
        self.files().collect()
    }

    fn files(&self) -> impl Iterator<Item = (Digest, Bytes)> {
        self.entries.iter().filter_map(|entry| match &entry.kind {
            TreeKind::File { digest, size, .. } => Some((*digest, *size)),
            _ => None,
        })
    }

    /// Check every rule of a tree.
    fn check(&self, limits: &TreeLimits) -> Result<(), Error> {
        if self.entries.len() > limits.entries {
            let (count, most) = (self.entries.len(), limits.entries);
            return Err(Error::Manifest {
                why: format!("{count} entries, at most {most} allowed"),
            });
        }
        if self.size() > limits.size {
            let (size, most) = (self.size(), limits.size);
            return Err(Error::Manifest {
                why: format!("{size} in files, at most {most} allowed"),
            });
        }
        for neighbours in self.entries.windows(2) {
            let [one, other] = neighbours else { continue };
            if one.path >= other.path {
                return Err(refused(&other.path, "it is there twice or out of order"));
            }
        }
        self.entries.iter().try_for_each(|entry| self.check_entry(entry))
    }

    fn check_entry(&self, entry: &TreeEntry) -> Result<(), Error> {
        if let Some(parent) = entry.path.parent() {
            match self.find(parent) {
                Some(TreeKind::Folder) => {}
                Some(_) => return Err(refused(&entry.path, "what contains it is not a folder")),
                None => return Err(refused(&entry.path, "the folder that contains it is missing")),
            }
        }
        match &entry.kind {
            TreeKind::Link { target } => {
                path::check_target(&entry.path, target).map_err(|why| refused(&entry.path, &why))
            }
            TreeKind::File { .. } | TreeKind::Folder => Ok(()),
        }
    }

    fn find(&self, path: &str) -> Option<&TreeKind> {
        let place = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        Some(&self.entries[place].kind)
    }
}

impl TreeLimits {
    /// 100,000 entries with at most `size` in files.
    pub const fn up_to(size: Bytes) -> Self {
        Self { entries: 100_000, size }
    }

    /// The longest manifest that is read.
    pub const fn manifest(&self) -> Bytes {
        Bytes((self.entries as u64).saturating_mul(BYTES_PER_ENTRY).saturating_add(BYTES_BESIDES))
    }
}

fn refused(path: &TreePath, why: &str) -> Error {
    let path = path.as_str().to_owned();
    Error::Entry { operation: "reading tree entry", path, why: why.to_owned() }
}

/// Keep a tree's manifest among the blobs; its digest names the tree.
///
/// # Errors
/// As [`Blobs::put`].
pub async fn store_tree(tree: &Tree, blobs: &dyn Blobs) -> Result<Digest, Error> {
    Ok(blobs.put_bytes(&tree.manifest()).await?.digest)
}

/// Read a tree whose manifest is among the blobs.
///
/// # Errors
/// As [`Blobs::get_bytes`] and [`Tree::from_manifest`].
pub async fn load_tree(
    digest: &Digest,
    blobs: &dyn Blobs,
    limits: &TreeLimits,
) -> Result<Tree, Error> {
    Tree::from_manifest(&blobs.get_bytes(digest, limits.manifest()).await?, limits)
}
