//! What jobs print, one file per output in a folder of ours.
//!
//! A name's parts but the last become folders with a dot before their names, so that `a` and `a/b`
//! can both exist; no part begins with a dot itself.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use primitives::Bytes;
use tokio::{sync::watch, task::spawn_blocking};

use super::{OutputName, Outputs, Written, plan};
use crate::{
    error::Error,
    place::{private_file, private_folder},
};

/// Files kept open; beyond that those that nobody uses are closed.
const OPEN_FILES: usize = 256;

/// Outputs in a folder of ours.
#[derive(Debug)]
pub struct DiskOutputs {
    root: PathBuf,
    open: Mutex<HashMap<OutputName, Arc<Output>>>,
}

#[derive(Debug)]
struct Output {
    path: PathBuf,
    length: watch::Sender<u64>,
    /// Made with the first byte.
    file: Mutex<Option<File>>,
}

impl DiskOutputs {
    /// Keep outputs in the folder `root`, which is made (0700) if it is not there.
    ///
    /// # Errors
    /// [`Error::Path`] naming the folder.
    pub async fn open(root: &Path) -> Result<Self, Error> {
        let root = root.to_path_buf();
        let made = root.clone();
        blocking("opening", root.clone(), Bytes(0), move || private_folder(&made)).await?;
        Ok(Self { root, open: Mutex::default() })
    }

    fn path(&self, name: &OutputName) -> PathBuf {
        let mut path = self.root.clone();
        let (folders, file) = name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()));
        path.extend(
            folders.split('/').filter(|part| !part.is_empty()).map(|part| format!(".{part}")),
        );
        path.join(file)
    }

    async fn output(&self, name: &OutputName) -> Result<Arc<Output>, Error> {
        if let Some(output) = self.lock().get(name) {
            return Ok(Arc::clone(output));
        }
        let path = self.path(name);
        let found = path.clone();
        let file = blocking("opening", path.clone(), Bytes(0), move || {
            match File::options().read(true).write(true).open(&found) {
                Ok(file) => Ok(Some((file.metadata()?.len(), file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await?;
        let (length, file) = file.map_or((0, None), |(length, file)| (length, Some(file)));
        let output =
            Arc::new(Output { path, length: watch::Sender::new(length), file: Mutex::new(file) });
        let mut open = self.lock();
        if open.len() >= OPEN_FILES {
            open.retain(|_, one| Arc::strong_count(one) > 1 || one.length.receiver_count() > 0);
        }
        // Another caller may have been first; there must be only one per name.
        Ok(Arc::clone(open.entry(name.clone()).or_insert(output)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OutputName, Arc<Output>>> {
        // Single calls change the map; none can leave it half-changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    fn file(&self) -> MutexGuard<'_, Option<File>> {
        // A writer that panicked has not yet announced a new length, so its bytes are not counted.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, offset: u64, bytes: &[u8], limit: Bytes) -> io::Result<Written> {
        let mut slot = self.file();
        let end = *self.length.borrow();
        let (new, written) = plan(end, offset, bytes, limit);
        if new.is_empty() {
            return Ok(written);
        }
        let file = match &mut *slot {
            Some(file) => file,
            None => {
                private_folder(self.path.parent().unwrap_or(&self.path))?;
                slot.insert(private_file(&self.path)?)
            }
        };
        file.write_all_at(new, end)?;
        self.length.send_replace(end + new.len() as u64);
        Ok(written)
    }

    fn read(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let slot = self.file();
        let Some(file) = &*slot else { return Ok(Vec::new()) };
        let left = self.length.borrow().saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(most).min(most)];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn remove(&self) -> io::Result<bool> {
        let mut slot = self.file();
        let known = slot.take().is_some();
        self.length.send_replace(0);
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(known),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Outputs for DiskOutputs {
    async fn write(
        &self,
        name: &OutputName,
        offset: u64,
        bytes: &[u8],
        limit: Bytes,
    ) -> Result<Written, Error> {
        let output = self.output(name).await?;
        let (path, bytes) = (output.path.clone(), bytes.to_vec());
        let need = Bytes(bytes.len() as u64);
        blocking("writing", path, need, move || output.write(offset, &bytes, limit)).await
    }

    async fn read(&self, name: &OutputName, offset: u64, most: usize) -> Result<Vec<u8>, Error> {
        let output = self.output(name).await?;
        blocking("reading", output.path.clone(), Bytes(0), move || output.read(offset, most)).await
    }

    async fn watch(&self, name: &OutputName) -> Result<watch::Receiver<u64>, Error> {
        Ok(self.output(name).await?.length.subscribe())
    }

    async fn sync(&self, name: &OutputName) -> Result<(), Error> {
        let output = self.output(name).await?;
        blocking("writing", output.path.clone(), Bytes(0), move || {
            output.file().as_ref().map_or(Ok(()), File::sync_all)
        })
        .await
    }

    async fn remove(&self, name: &OutputName) -> Result<bool, Error> {
        let output = self.output(name).await?;
        self.lock().remove(name);
        blocking("deleting", output.path.clone(), Bytes(0), move || output.remove()).await
    }
}

/// Do work on files where waiting is allowed.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    path: PathBuf,
    need: Bytes,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let outcome = spawn_blocking(work).await.map_err(io::Error::other).flatten();
    outcome.map_err(Error::path(operation, path, need))
}
