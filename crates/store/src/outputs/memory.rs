//! What jobs print, in memory, for simulations and tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use primitives::Bytes;
use tokio::sync::watch;

use super::{OutputName, Outputs, Written, plan};
use crate::error::Error;

/// Outputs in memory. Clones are the same memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryOutputs(Arc<Mutex<BTreeMap<OutputName, Output>>>);

#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    length: watch::Sender<u64>,
}

impl MemoryOutputs {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<OutputName, Output>> {
        // Every change is complete before the lock is given back.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Outputs for MemoryOutputs {
    async fn write(
        &self,
        name: &OutputName,
        offset: u64,
        bytes: &[u8],
        limit: Bytes,
    ) -> Result<Written, Error> {
        let mut outputs = self.lock();
        let output = outputs.entry(name.clone()).or_default();
        let (new, written) = plan(output.bytes.len() as u64, offset, bytes, limit);
        output.bytes.extend_from_slice(new);
        output.length.send_replace(output.bytes.len() as u64);
        Ok(written)
    }

    async fn read(&self, name: &OutputName, offset: u64, most: usize) -> Result<Vec<u8>, Error> {
        let outputs = self.lock();
        let bytes = outputs.get(name).map_or(&[][..], |output| &output.bytes);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(most).min(bytes.len());
        Ok(bytes[start..end].to_vec())
    }

    async fn watch(&self, name: &OutputName) -> Result<watch::Receiver<u64>, Error> {
        Ok(self.lock().entry(name.clone()).or_default().length.subscribe())
    }

    async fn sync(&self, _: &OutputName) -> Result<(), Error> {
        Ok(())
    }

    async fn remove(&self, name: &OutputName) -> Result<bool, Error> {
        Ok(self.lock().remove(name).is_some_and(|output| !output.bytes.is_empty()))
    }
}
