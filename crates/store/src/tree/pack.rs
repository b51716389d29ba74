//! From a folder to a tree and its blobs.
//!
//! Upon `pack`: list everything below the sources without following a link; refuse what cannot
//! travel or is too large, before anything is stored; then store the files, some at once.
//!
//! Invariant: memory is bounded by the number of entries, not by their size; nothing outside the
//! sources is read, whatever their owner does meanwhile.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use primitives::Bytes;
use tokio::task::spawn_blocking;

use super::{
    Tree, TreeEntry, TreeKind, TreeLimits,
    path::{TreePath, check_target},
};
use crate::{
    beneath::{Beneath, Found},
    blobs::{Blob, Blobs, Expect},
    error::Error,
};

/// Files stored at once: flushing several to the disk takes hardly longer than flushing one.
const AT_ONCE: usize = 16;

/// Something to be packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    /// The name it gets at the top of the tree; without one its content is the top.
    name: Option<TreePath>,
}

impl Source {
    /// What the folder at `path` contains, at the top of the tree.
    pub fn contents(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), name: None }
    }

    /// The file or folder at `path`, under its own name.
    ///
    /// # Errors
    /// [`Error::Entry`] when it has no name (such as `..`) or one that is not UTF-8.
    pub fn named(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        Ok(Self { name: Some(own_name(&path)?), path })
    }

    /// The same name, with what is read at `path`: for a link that its owner wants followed.
    #[must_use]
    pub fn read_at(self, path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..self }
    }
}

/// Store everything in `sources` as blobs and give the tree that they make. A link at the end of a
/// source's path is not followed.
///
/// # Errors
/// [`Error::Entry`] naming what cannot travel: special files, links that lead outside, names that
/// are not UTF-8, two sources of one name. [`Error::TooLarge`] naming the file with which the size
/// exceeds `limits`, before anything is stored. Else as [`Blobs::put`]; what was stored by then
/// stays.
pub async fn pack(
    sources: &[Source],
    blobs: &dyn Blobs,
    limits: &TreeLimits,
) -> Result<Tree, Error> {
    let (mut found, mut size) = (Vec::new(), 0);
    for source in sources {
        let (walked, most) = (source.clone(), limits.entries.saturating_sub(found.len()));
        let walk = spawn_blocking(move || list(&walked, most)).await;
        let (root, items) = walk.map_err(|error| refused(&source.path, &error.to_string()))??;
        let root = Arc::new(root);
        for item in items {
            size = within(size, &item, limits.size)?;
            found.push((Arc::clone(&root), item));
        }
    }
    let entries = stream::iter(found)
        .map(|(root, item)| entry(root, item, blobs))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Tree::new(entries, limits)
}

/// The size of everything so far together with this, if that is no more than allowed.
fn within(size: u64, item: &Item, limit: Bytes) -> Result<u64, Error> {
    let Listed::File { size: more, .. } = &item.kind else { return Ok(size) };
    size.checked_add(*more).filter(|sum| *sum <= limit.0).ok_or_else(|| Error::TooLarge {
        what: format!("{} and all before it", item.shown.display()),
        limit,
    })
}

/// What a thing that was found is in the tree; a file is stored for it.
async fn entry(root: Arc<Beneath>, item: Item, blobs: &dyn Blobs) -> Result<TreeEntry, Error> {
    let kind = match item.kind {
        Listed::Folder => TreeKind::Folder,
        Listed::Link(target) => TreeKind::Link { target },
        Listed::File { size, executable } => {
            let blob = store(root, &item.inside, &item.shown, Bytes(size), blobs).await?;
            TreeKind::File { digest: blob.digest, size: blob.size, executable }
        }
    };
    Ok(TreeEntry { path: item.path, kind })
}

/// Something found below a source.
struct Item {
    /// Where it is going to be in the tree.
    path: TreePath,
    /// Where it is below the folder that was opened.
    inside: TreePath,
    /// Where it is, for people.
    shown: PathBuf,
    kind: Listed,
}

enum Listed {
    File { size: u64, executable: bool },
    Folder,
    Link(String),
}

/// Everything below a source, and the open folder to which its paths are relative.
fn list(source: &Source, most: usize) -> Result<(Beneath, Vec<Item>), Error> {
    let look = |source_error| Error::Path {
        operation: "opening",
        path: source.path.clone(),
        source: source_error,
    };
    let mut items = Vec::new();
    match &source.name {
        None => {
            let root = Beneath::open(&source.path).map_err(look)?;
            let top = root.folder(".").map_err(look)?;
            walk(&top, &source.path, None, None, most, &mut items)?;
            Ok((root, items))
        }
        Some(name) => {
            let parent = source.path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new("."));
            // The parent is the caller's own and may well be a link.
            let parent = parent.canonicalize().map_err(look)?;
            let root = Beneath::open(&parent).map_err(look)?;
            let inside = own_name(&source.path)?;
            visit(&root, &source.path, inside.as_str(), name, &inside, most, &mut items)?;
            Ok((root, items))
        }
    }
}

/// The last name of a path.
fn own_name(path: &Path) -> Result<TreePath, Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    TreePath::new(name.ok_or_else(|| refused(path, "it has no name in UTF-8"))?)
}

/// List what a folder contains. `path` and `inside` are the folder's own.
fn walk(
    folder: &Beneath,
    shown: &Path,
    path: Option<&TreePath>,
    inside: Option<&TreePath>,
    most: usize,
    items: &mut Vec<Item>,
) -> Result<(), Error> {
    let names = folder.names().map_err(|source| unreadable(shown, source))?;
    for name in names {
        let name = name.map_err(|bytes| {
            refused(&shown.join(&*String::from_utf8_lossy(&bytes)), "its name is not UTF-8")
        })?;
        let shown = shown.join(&name);
        let path = below(path, &name, &shown)?;
        let inside = below(inside, &name, &shown)?;
        visit(folder, &shown, &name, &path, &inside, most, items)?;
    }
    Ok(())
}

/// List the thing of that name in a folder, and what is below it.
fn visit(
    folder: &Beneath,
    shown: &Path,
    name: &str,
    path: &TreePath,
    inside: &TreePath,
    most: usize,
    items: &mut Vec<Item>,
) -> Result<(), Error> {
    if items.len() >= most {
        return Err(refused(shown, "there are more files and folders than allowed"));
    }
    let found = folder.look(name).map_err(|source| unreadable(shown, source))?;
    let item = |kind| Item {
        path: path.clone(),
        inside: inside.clone(),
        shown: shown.to_path_buf(),
        kind,
    };
    match found {
        Found::File { size, executable } => items.push(item(Listed::File { size, executable })),
        Found::Folder => {
            items.push(item(Listed::Folder));
            let inner = folder.folder(name).map_err(|source| unreadable(shown, source))?;
            walk(&inner, shown, Some(path), Some(inside), most, items)?;
        }
        Found::Link => {
            let target = folder.read_link(name).map_err(|source| unreadable(shown, source))?;
            let target =
                String::from_utf8(target).map_err(|_| refused(shown, "its target is not UTF-8"))?;
            check_target(path, &target).map_err(|why| refused(shown, &why))?;
            items.push(item(Listed::Link(target)));
        }
        Found::Special => return Err(refused(shown, "it is a socket, a pipe or a device")),
    }
    Ok(())
}

fn below(folder: Option<&TreePath>, name: &str, shown: &Path) -> Result<TreePath, Error> {
    let path = match folder {
        Some(folder) => format!("{folder}/{name}"),
        None => name.to_owned(),
    };
    TreePath::new(path).map_err(|error| refused(shown, &error.to_string()))
}

/// Store a file that was found with this size. One that has grown since is refused, because its
/// new bytes were never counted.
async fn store(
    root: Arc<Beneath>,
    inside: &TreePath,
    shown: &Path,
    size: Bytes,
    blobs: &dyn Blobs,
) -> Result<Blob, Error> {
    let inside = inside.clone();
    let opened = spawn_blocking(move || root.inner(inside.parent())?.read_file(inside.name()));
    let opened = opened.await.map_err(io::Error::other).flatten();
    let mut content = tokio::fs::File::from_std(opened.map_err(|e| unreadable(shown, e))?);
    match blobs.put(&mut content, Expect::any(size)).await {
        Err(Error::TooLarge { .. }) => Err(refused(shown, "it grows while it is being packed")),
        Err(Error::Content { source, .. }) => Err(unreadable(shown, source)),
        outcome => outcome,
    }
}

fn refused(path: &Path, why: &str) -> Error {
    let path = path.to_string_lossy().into_owned();
    Error::Entry { operation: "packing", path, why: why.to_owned() }
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Path { operation: "reading", path: path.to_path_buf(), source }
}
