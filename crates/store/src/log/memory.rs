//! A log in memory that crashes when told to, for simulations and tests.
//!
//! Upon a crash: what is not yet durable is gone, every handle to the log is down for good, and
//! `reopen` gives the next process its handle to what was durable.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::watch, time::sleep};

use super::{Appended, Batch, Cursor, Entry, Log, Position, StreamHead};
use crate::error::Error;

/// When, around the moment at which a fact becomes durable, the process crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Just before: the batch is lost.
    Before,
    /// Just after: the batch is durable, and its writer never learns it.
    After,
}

/// A log in memory, as one process sees it. Clones belong to the same process.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    memory: Arc<Mutex<Memory>>,
    life: u64,
    last: watch::Receiver<Position>,
}

#[derive(Debug)]
struct Memory {
    /// Which process is alive; grows with every crash.
    life: u64,
    entries: Vec<Entry>,
    next: BTreeMap<String, u64>,
    cursors: BTreeMap<String, Cursor>,
    /// Tells the living process of new facts; dropped with it.
    last: Option<watch::Sender<Position>>,
    latency: Duration,
    planned: Option<(Position, Crash)>,
    failing: u32,
}

impl MemoryLog {
    /// An empty log; appends are durable at once.
    pub fn new() -> Self {
        Self::with_latency(Duration::ZERO)
    }

    /// An empty log whose appends need `latency` to become durable and are lost by a crash until
    /// then.
    pub fn with_latency(latency: Duration) -> Self {
        let (sender, last) = watch::channel(Position(0));
        let memory = Memory {
            life: 0,
            entries: Vec::new(),
            next: BTreeMap::new(),
            cursors: BTreeMap::new(),
            last: Some(sender),
            latency,
            planned: None,
            failing: 0,
        };
        Self { memory: Arc::new(Mutex::new(memory)), life: 0, last }
    }

    /// Crash now.
    pub fn crash(&self) {
        self.lock().crash();
    }

    /// Crash when the fact at `position` is being made durable.
    pub fn crash_at(&self, position: Position, when: Crash) {
        self.lock().planned = Some((position, when));
    }

    /// Fail the next `count` appends as a full disk does.
    pub fn fail_appends(&self, count: u32) {
        self.lock().failing = count;
    }

    /// What is durable after this position, whoever lives: for those who watch from outside.
    pub fn kept(&self, after: Position) -> Vec<Entry> {
        let from = usize::try_from(after.0).unwrap_or(usize::MAX);
        self.lock().entries.get(from..).unwrap_or_default().to_vec()
    }

    /// Whether this handle's process has crashed.
    pub fn is_down(&self) -> bool {
        self.lock().life != self.life
    }

    /// The next process's handle. The present process, if it is still alive, crashes.
    pub fn reopen(&self) -> Self {
        let mut memory = self.lock();
        memory.crash();
        let (sender, last) = watch::channel(memory.last_position());
        memory.last = Some(sender);
        Self { memory: Arc::clone(&self.memory), life: memory.life, last }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Every change is complete before the lock is given back.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory, as long as this handle's process is alive.
    fn alive(&self, operation: &'static str) -> Result<MutexGuard<'_, Memory>, Error> {
        let memory = self.lock();
        if memory.life == self.life { Ok(memory) } else { Err(Error::Down { operation }) }
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    fn crash(&mut self) {
        self.life += 1;
        self.last = None;
        self.planned = None;
    }

    fn last_position(&self) -> Position {
        self.entries.last().map_or(Position(0), |entry| entry.position)
    }

    /// The first stream whose next number is not the expected one.
    fn conflict(&self, batch: &Batch) -> Option<Appended> {
        let mut heads: BTreeMap<&str, u64> = BTreeMap::new();
        for append in &batch.appends {
            let kept = self.next.get(&append.stream).copied().unwrap_or(0);
            let next = heads.entry(&append.stream).or_insert(kept);
            if *next != append.expected_next {
                return Some(Appended::Conflict { stream: append.stream.clone(), next: *next });
            }
            *next += append.facts.len() as u64;
        }
        None
    }

    fn apply(&mut self, batch: Batch) {
        for append in batch.appends {
            let next = self.next.entry(append.stream.clone()).or_insert(0);
            for fact in append.facts {
                let position = Position(self.entries.len() as u64 + 1);
                let stream = append.stream.clone();
                self.entries.push(Entry { position, stream, number: *next, fact });
                *next += 1;
            }
        }
        self.next.retain(|_, next| *next > 0);
        self.cursors.extend(batch.cursor);
    }

    fn append(&mut self, batch: Batch) -> Result<Appended, Error> {
        const OPERATION: &str = "appending facts";
        if self.failing > 0 {
            self.failing -= 1;
            return Err(Error::DiskFull { path: "memory".into(), need: primitives::Bytes(1) });
        }
        if let Some(conflict) = self.conflict(&batch) {
            return Ok(conflict);
        }
        let facts: usize = batch.appends.iter().map(|append| append.facts.len()).sum();
        let reached = self.last_position().0 + facts as u64;
        let crash = self.planned.filter(|(position, _)| facts > 0 && position.0 <= reached);
        match crash {
            Some((_, Crash::Before)) => {
                self.crash();
                return Err(Error::Down { operation: OPERATION });
            }
            Some((_, Crash::After)) => {
                self.apply(batch);
                self.crash();
                return Err(Error::Down { operation: OPERATION });
            }
            None => self.apply(batch),
        }
        let last = self.last_position();
        if let Some(sender) = &self.last {
            sender.send_replace(last);
        }
        Ok(Appended::Stored { last })
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&self, batch: Batch) -> Result<Appended, Error> {
        let latency = self.alive("appending facts")?.latency;
        if !latency.is_zero() {
            sleep(latency).await;
        }
        self.alive("appending facts")?.append(batch)
    }

    async fn replay(&self, stream: &str, from: u64) -> Result<Vec<Entry>, Error> {
        let memory = self.alive("replaying a stream")?;
        let of_stream = memory.entries.iter().filter(|entry| entry.stream == stream);
        Ok(of_stream.filter(|entry| entry.number >= from).cloned().collect())
    }

    async fn streams(&self, prefix: &str) -> Result<Vec<StreamHead>, Error> {
        let memory = self.alive("listing streams")?;
        let named = memory.next.iter().filter(|(stream, _)| stream.starts_with(prefix));
        Ok(named.map(|(stream, next)| StreamHead { stream: stream.clone(), next: *next }).collect())
    }

    async fn read_all(&self, after: Position, limit: usize) -> Result<Vec<Entry>, Error> {
        let memory = self.alive("reading facts")?;
        let later = memory.entries.iter().filter(|entry| entry.position > after);
        Ok(later.take(limit).cloned().collect())
    }

    async fn cursor(&self, chain: &str) -> Result<Option<Cursor>, Error> {
        Ok(self.alive("reading a cursor")?.cursors.get(chain).copied())
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.last.clone()
    }
}
