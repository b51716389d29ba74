//! Blobs in a folder: `ab/cdef...` named by digest, `incoming/` for what is still being written.
//!
//! Upon `put`: write and hash into a file in `incoming`, flush it, rename it to its name, flush the
//! folder. Upon opening: delete what a crash left in `incoming`, count what is there.
//!
//! Invariant: a file under its name is whole; the bytes kept and being written never exceed the
//! limit.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use primitives::{Bytes, Digest, Hasher};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    sync::Mutex,
    task::spawn_blocking,
};

use super::{Blob, Blobs, Expect, Reader, checked::Checked};
use crate::{
    error::Error,
    place::{new_private_file, private_folder, sync_folder},
};

/// How many bytes are read, hashed and written at once.
const PIECE: usize = 256 << 10;

/// Blobs in a folder of ours.
#[derive(Debug)]
pub struct DiskBlobs {
    root: PathBuf,
    limit: Bytes,
    used: AtomicU64,
    names: AtomicU64,
    /// Held while a blob gets or loses its name, so that each is counted once.
    naming: Mutex<()>,
}

impl DiskBlobs {
    /// Keep blobs in the folder `root` (made 0700 if it is not there), at most `limit` in all.
    ///
    /// # Errors
    /// [`Error::Path`] naming the folder.
    pub async fn open(root: &Path, limit: Bytes) -> Result<Self, Error> {
        let root = root.to_path_buf();
        let counted = root.clone();
        let used = blocking("opening", &root, Bytes(0), move || {
            private_folder(&counted)?;
            private_folder(&counted.join("incoming"))?;
            clear_incoming(&counted.join("incoming"))?;
            count(&counted)
        })
        .await?;
        Ok(Self {
            root,
            limit,
            used: AtomicU64::new(used),
            names: AtomicU64::new(0),
            naming: Mutex::new(()),
        })
    }

    /// How much is kept, including what is being written.
    pub fn used(&self) -> Bytes {
        Bytes(self.used.load(Ordering::Relaxed))
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(&name[2..])
    }

    /// Make a file that no other writer uses. It is locked for as long as it is being written, so
    /// that whoever opens the folder meanwhile leaves it alone.
    async fn incoming(&self) -> Result<Incoming<'_>, Error> {
        let name = self.names.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join("incoming").join(format!("{}-{name}", std::process::id()));
        let made = path.clone();
        let file = blocking("making", &self.root, Bytes(0), move || {
            let file = new_private_file(&made)?;
            file.lock()?;
            Ok(file)
        })
        .await?;
        let file = tokio::fs::File::from_std(file);
        Ok(Incoming { blobs: self, path, file, reserved: 0, named: false })
    }

    /// Make the name of a blob durable, whoever gave it.
    async fn sync_name(&self, digest: &Digest) -> Result<(), Error> {
        let place = self.place(digest);
        blocking("writing", &self.root, Bytes(0), move || {
            sync_folder(place.parent().unwrap_or(&place))
        })
        .await
    }

    fn reserve(&self, need: u64) -> Result<(), Error> {
        let fits = |used: u64| used.checked_add(need).filter(|sum| *sum <= self.limit.0);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map(drop).map_err(|_| {
            Error::LimitReached { path: self.root.clone(), need: Bytes(need), limit: self.limit }
        })
    }

    fn release(&self, size: u64) {
        self.used.fetch_sub(size, Ordering::Relaxed);
    }
}

/// A file being written; deleted unless it got its name.
struct Incoming<'a> {
    blobs: &'a DiskBlobs,
    path: PathBuf,
    file: tokio::fs::File,
    reserved: u64,
    named: bool,
}

impl Incoming<'_> {
    async fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        let need = piece.len() as u64;
        self.blobs.reserve(need)?;
        self.reserved += need;
        let failed = Error::path("writing", &self.blobs.root, Bytes(need));
        self.file.write_all(piece).await.map_err(failed)
    }

    /// Make the file durable and give it its name.
    async fn name(mut self, digest: Digest) -> Result<(), Error> {
        let root = &self.blobs.root;
        let size = Bytes(self.reserved);
        if !self.blobs.has(&digest).await? {
            self.file.flush().await.map_err(Error::path("writing", root, size))?;
            self.file.sync_all().await.map_err(Error::path("writing", root, size))?;
            self.named = self.rename(digest, size).await?;
        }
        self.blobs.sync_name(&digest).await
    }

    /// Whether the file got its name; it does not when the blob has come another way meanwhile.
    async fn rename(&self, digest: Digest, size: Bytes) -> Result<bool, Error> {
        let (from, place) = (self.path.clone(), self.blobs.place(&digest));
        let _naming = self.blobs.naming.lock().await;
        blocking("naming a blob in", &self.blobs.root, size, move || {
            if place.try_exists()? {
                return Ok(false);
            }
            let shard = place.parent().unwrap_or(&place);
            if !shard.try_exists()? {
                private_folder(shard)?;
                sync_folder(shard.parent().unwrap_or(shard))?;
            }
            fs::rename(&from, &place)?;
            Ok(true)
        })
        .await
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        if !self.named {
            self.blobs.release(self.reserved);
            if let Err(error) = fs::remove_file(&self.path) {
                tracing::warn!(path = %self.path.display(), %error, "deleting an unfinished blob");
            }
        }
    }
}

#[async_trait]
impl Blobs for DiskBlobs {
    async fn put(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        expect: Expect,
    ) -> Result<Blob, Error> {
        if let Some(blob) = self.find(&expect).await? {
            self.sync_name(&blob.digest).await?;
            return Ok(blob);
        }
        let mut incoming = self.incoming().await?;
        let mut hasher = Hasher::default();
        let mut piece = vec![0; PIECE];
        loop {
            let filled = fill(content, &mut piece).await.map_err(|e| expect.unreadable(e))?;
            if filled == 0 {
                break;
            }
            expect.check_size(incoming.reserved + filled as u64)?;
            hasher.update(&piece[..filled]);
            incoming.write(&piece[..filled]).await?;
        }
        let (digest, size) = (hasher.finish(), Bytes(incoming.reserved));
        expect.check(digest)?;
        incoming.name(digest).await?;
        Ok(Blob { digest, size })
    }

    async fn get(&self, digest: &Digest) -> Result<Reader, Error> {
        let (place, digest) = (self.place(digest), *digest);
        match tokio::fs::File::open(&place).await {
            Ok(file) => Ok(Box::new(Checked::new(file, digest))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Absent { digest }),
            Err(source) => Err(Error::Path { operation: "opening", path: place, source }),
        }
    }

    async fn size(&self, digest: &Digest) -> Result<Option<Bytes>, Error> {
        let place = self.place(digest);
        match tokio::fs::metadata(&place).await {
            Ok(metadata) => Ok(Some(Bytes(metadata.len()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Path { operation: "looking at", path: place, source }),
        }
    }

    async fn remove(&self, digest: &Digest) -> Result<bool, Error> {
        let place = self.place(digest);
        let _naming = self.naming.lock().await;
        let Some(size) = self.size(digest).await? else { return Ok(false) };
        tokio::fs::remove_file(&place).await.map_err(Error::path("deleting", &place, Bytes(0)))?;
        self.release(size.0);
        Ok(true)
    }
}

/// Read until the piece is full or the content ends.
async fn fill(content: &mut (dyn AsyncRead + Send + Unpin), piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match content.read(&mut piece[filled..]).await? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Do work on files where waiting is allowed.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    path: &Path,
    need: Bytes,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let outcome = spawn_blocking(work).await.map_err(io::Error::other).flatten();
    outcome.map_err(Error::path(operation, path, need))
}

/// Delete what nobody is writing any more.
fn clear_incoming(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let unused = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if unused {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The bytes of all blobs.
fn count(root: &Path) -> io::Result<u64> {
    let mut used = 0;
    for shard in fs::read_dir(root)? {
        let shard = shard?;
        if shard.file_name() == "incoming" || !shard.file_type()?.is_dir() {
            continue;
        }
        for blob in fs::read_dir(shard.path())? {
            used += blob?.metadata()?.len();
        }
    }
    Ok(used)
}
