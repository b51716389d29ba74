//! Blobs in memory, with faults on demand, for simulations and tests.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use primitives::{Bytes, Digest};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Blob, Blobs, Expect, Reader, checked::Checked};
use crate::error::Error;

/// Blobs in memory. Clones are the same memory.
#[derive(Clone, Debug)]
pub struct MemoryBlobs(Arc<Mutex<Memory>>);

#[derive(Debug)]
struct Memory {
    blobs: BTreeMap<Digest, Arc<[u8]>>,
    used: u64,
    limit: Bytes,
    failing_puts: u32,
}

impl MemoryBlobs {
    /// Nothing yet, and never more than `limit` in all.
    pub fn new(limit: Bytes) -> Self {
        let memory = Memory { blobs: BTreeMap::new(), used: 0, limit, failing_puts: 0 };
        Self(Arc::new(Mutex::new(memory)))
    }

    /// Fail the next `count` puts as a full disk does.
    pub fn fail_puts(&self, count: u32) {
        self.lock().failing_puts = count;
    }

    /// Damage a kept blob, as a bad disk does; whether it was there.
    pub fn damage(&self, digest: &Digest) -> bool {
        let mut memory = self.lock();
        let Some(bytes) = memory.blobs.get_mut(digest) else { return false };
        let mut damaged = bytes.to_vec();
        match damaged.first_mut() {
            Some(byte) => *byte ^= 1,
            None => damaged.push(0),
        }
        *bytes = damaged.into();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Every change is complete before the lock is given back.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn put(&mut self, bytes: Vec<u8>, digest: Digest) -> Result<Blob, Error> {
        let size = Bytes(bytes.len() as u64);
        if self.failing_puts > 0 {
            self.failing_puts -= 1;
            return Err(Error::DiskFull { path: "memory".into(), need: size });
        }
        if !self.blobs.contains_key(&digest) {
            if self.used + size.0 > self.limit.0 {
                let (path, limit) = ("memory".into(), self.limit);
                return Err(Error::LimitReached { path, need: size, limit });
            }
            self.used += size.0;
            self.blobs.insert(digest, bytes.into());
        }
        Ok(Blob { digest, size })
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        expect: Expect,
    ) -> Result<Blob, Error> {
        if let Some(blob) = self.find(&expect).await? {
            return Ok(blob);
        }
        let mut bytes = Vec::new();
        let most = expect.limit.0.saturating_add(1);
        let read = content.take(most).read_to_end(&mut bytes).await;
        read.map_err(|source| expect.unreadable(source))?;
        expect.check_size(bytes.len() as u64)?;
        let digest = Digest::of(&bytes);
        expect.check(digest)?;
        self.lock().put(bytes, digest)
    }

    async fn get(&self, digest: &Digest) -> Result<Reader, Error> {
        let bytes = self.lock().blobs.get(digest).cloned();
        let bytes = bytes.ok_or(Error::Absent { digest: *digest })?;
        Ok(Box::new(Checked::new(io::Cursor::new(bytes), *digest)))
    }

    async fn size(&self, digest: &Digest) -> Result<Option<Bytes>, Error> {
        Ok(self.lock().blobs.get(digest).map(|bytes| Bytes(bytes.len() as u64)))
    }

    async fn remove(&self, digest: &Digest) -> Result<bool, Error> {
        let mut memory = self.lock();
        let removed = memory.blobs.remove(digest);
        memory.used -= removed.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(removed.is_some())
    }
}
