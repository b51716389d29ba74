//! From a tree and its blobs to a folder.
//!
//! Upon `unpack`: make all folders, then file after file, then all links; every name is made new
//! in a folder reached without following a link, so nothing outside the target can be touched,
//! whatever stands there already. Each file is checked against size and digest as it is written.
//!
//! Not here: cleaning up after a failure; what was written by then stays in the target.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use primitives::Bytes;
use rustix::io::Errno;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::spawn_blocking,
};

use super::{Tree, TreeKind, path::TreePath};
use crate::{
    beneath::{Beneath, Found},
    blobs::Blobs,
    error::Error,
    place::private_folder,
};

/// What happens to a file or link that stands where one of the tree belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The tree is refused.
    Refuse,
    /// It is deleted and replaced. A folder is never replaced by anything else.
    Replace,
}

/// Make the tree in the folder `target`, which is made (0700) if it is not there. Files get 0600
/// or 0700, folders 0700. A link at the end of the target's path is not followed.
///
/// # Errors
/// [`Error::Entry`] naming the path that cannot be made and why, [`Error::Absent`] for a missing
/// blob, [`Error::DiskFull`], [`Error::Path`].
pub async fn unpack(
    tree: &Tree,
    target: &Path,
    blobs: &dyn Blobs,
    existing: Existing,
) -> Result<(), Error> {
    let place = Place { target: target.to_path_buf(), root: open(target).await?, existing };
    let folders = paths(tree, |kind| matches!(kind, TreeKind::Folder).then_some(()));
    place.work(folders, |place, path, ()| place.folder(path)).await?;
    for entry in tree.entries() {
        if let TreeKind::File { digest, size, executable } = &entry.kind {
            let made = vec![(entry.path.clone(), *executable)];
            let file = place.work(made, |place, path, runs| place.file(path, runs)).await?.pop();
            let Some(file) = file else { continue };
            let content = blobs.get(digest).await?;
            fill(file, content, *size)
                .await
                .map_err(|error| place.named(&entry.path, *size)(error))?;
        }
    }
    let links = paths(tree, |kind| match kind {
        TreeKind::Link { target } => Some(target.clone()),
        _ => None,
    });
    place.work(links, |place, path, target| place.link(path, &target)).await?;
    Ok(())
}

/// The folder that a tree is made in.
#[derive(Clone)]
struct Place {
    target: PathBuf,
    root: Arc<Beneath>,
    existing: Existing,
}

async fn open(target: &Path) -> Result<Arc<Beneath>, Error> {
    let path = target.to_path_buf();
    let opened = spawn_blocking(move || {
        if !path.try_exists()? && path.symlink_metadata().is_err() {
            private_folder(&path)?;
        }
        Beneath::open(&path)
    });
    let opened = opened.await.map_err(io::Error::other).flatten();
    opened.map(Arc::new).map_err(Error::path("opening", target, Bytes(4_096)))
}

fn paths<T>(tree: &Tree, choose: impl Fn(&TreeKind) -> Option<T>) -> Vec<(TreePath, T)> {
    let chosen = tree.entries().iter();
    chosen.filter_map(|entry| Some((entry.path.clone(), choose(&entry.kind)?))).collect()
}

impl Place {
    /// Make things one after the other where waiting is allowed.
    async fn work<T: Send + 'static, V: Send + 'static>(
        &self,
        items: Vec<(TreePath, T)>,
        make: impl Fn(&Self, &TreePath, T) -> io::Result<V> + Send + 'static,
    ) -> Result<Vec<V>, Error> {
        let place = self.clone();
        let work = spawn_blocking(move || {
            let made = items.into_iter().map(|(path, item)| {
                make(&place, &path, item).map_err(|error| place.named(&path, Bytes(4_096))(error))
            });
            made.collect()
        });
        work.await.map_err(|error| Error::Path {
            operation: "unpacking",
            path: self.target.clone(),
            source: io::Error::other(error),
        })?
    }

    fn folder(&self, path: &TreePath) -> io::Result<()> {
        let parent = self.root.inner(path.parent())?;
        match parent.new_folder(path.name()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match parent.look(path.name())? {
                    Found::Folder => Ok(()),
                    _ => Err(in_the_way("something that is not a folder")),
                }
            }
            outcome => outcome,
        }
    }

    fn file(&self, path: &TreePath, executable: bool) -> io::Result<std::fs::File> {
        let parent = self.make_room(path)?;
        parent.new_file(path.name(), executable)
    }

    fn link(&self, path: &TreePath, target: &str) -> io::Result<()> {
        let parent = self.make_room(path)?;
        parent.new_link(path.name(), target)
    }

    /// The folder that contains `path`, with nothing of that name in it.
    fn make_room(&self, path: &TreePath) -> io::Result<Beneath> {
        let parent = self.root.inner(path.parent())?;
        match parent.look(path.name()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(Found::Folder) => return Err(in_the_way("a folder")),
            Ok(_) if self.existing == Existing::Refuse => {
                return Err(in_the_way("something of that name"));
            }
            Ok(_) => parent.remove(path.name())?,
        }
        Ok(parent)
    }

    /// Name what failed.
    fn named(&self, path: &TreePath, need: Bytes) -> impl FnOnce(io::Error) -> Error + use<> {
        let (target, path) = (self.target.clone(), path.as_str().to_owned());
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::DiskFull { path: target.join(path), need }
            }
            _ if leads_away(&error) => Error::Entry {
                operation: "unpacking",
                path,
                why: "a link or something else that is not a folder is in the way".to_owned(),
            },
            _ => Error::Entry { operation: "unpacking", path, why: error.to_string() },
        }
    }
}

/// Whether a folder could not be entered because it is a link or no folder.
fn leads_away(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::LOOP, Errno::NOTDIR, Errno::MLINK].iter().any(|no| code == Some(no.raw_os_error()))
}

fn in_the_way(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("{what} is in the way"))
}

/// Write a blob of a known size into a new file.
async fn fill(file: std::fs::File, content: crate::blobs::Reader, size: Bytes) -> io::Result<()> {
    let mut file = tokio::fs::File::from_std(file);
    let mut content = content.take(size.0.saturating_add(1));
    let written = tokio::io::copy(&mut content, &mut file).await?;
    file.flush().await?;
    if written == size.0 {
        Ok(())
    } else {
        let why = format!("its blob does not have the {size} that the tree says");
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}
