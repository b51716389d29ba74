//! Documents in memory, for simulations and tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use primitives::UnixSeconds;

use super::{Document, Documents, Stored};
use crate::{error::Error, log::Position};

/// Documents in memory. Clones are the same memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryDocuments(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    last: u64,
    documents: BTreeMap<(String, String), Document>,
}

impl MemoryDocuments {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Every change is complete before the lock is given back.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn put(&mut self, kind: &str, id: &str, json: &[u8], expires: Option<UnixSeconds>) -> Position {
        self.last += 1;
        let position = Position(self.last);
        let key = (kind.to_owned(), id.to_owned());
        let document = Document {
            kind: key.0.clone(),
            id: key.1.clone(),
            json: json.to_vec(),
            expires,
            position,
        };
        self.documents.insert(key, document);
        position
    }

    fn get(&self, kind: &str, id: &str, now: UnixSeconds) -> Option<&Document> {
        let document = self.documents.get(&(kind.to_owned(), id.to_owned()));
        document.filter(|document| !document.expired(now))
    }
}

#[async_trait]
impl Documents for MemoryDocuments {
    async fn put(
        &self,
        kind: &str,
        id: &str,
        json: &[u8],
        expires: Option<UnixSeconds>,
    ) -> Result<Position, Error> {
        Ok(self.lock().put(kind, id, json, expires))
    }

    async fn put_new(
        &self,
        kind: &str,
        id: &str,
        json: &[u8],
        expires: Option<UnixSeconds>,
        now: UnixSeconds,
    ) -> Result<Stored, Error> {
        let mut memory = self.lock();
        if let Some(before) = memory.get(kind, id, now) {
            return Ok(Stored::Before(before.clone()));
        }
        Ok(Stored::New(memory.put(kind, id, json, expires)))
    }

    async fn get(&self, kind: &str, id: &str, now: UnixSeconds) -> Result<Option<Document>, Error> {
        Ok(self.lock().get(kind, id, now).cloned())
    }

    async fn list(
        &self,
        kind: &str,
        after: Position,
        limit: usize,
        now: UnixSeconds,
    ) -> Result<Vec<Document>, Error> {
        let memory = self.lock();
        let of_kind = memory.documents.values().filter(|document| document.kind == kind);
        let mut listed: Vec<_> = of_kind
            .filter(|document| document.position > after && !document.expired(now))
            .cloned()
            .collect();
        listed.sort_by_key(|document| document.position);
        listed.truncate(limit);
        Ok(listed)
    }

    async fn remove(&self, kind: &str, id: &str) -> Result<bool, Error> {
        Ok(self.lock().documents.remove(&(kind.to_owned(), id.to_owned())).is_some())
    }

    async fn expire(&self, now: UnixSeconds) -> Result<u64, Error> {
        let mut memory = self.lock();
        let before = memory.documents.len();
        memory.documents.retain(|_, document| !document.expired(now));
        Ok((before - memory.documents.len()) as u64)
    }
}
