//! Filters that a client installs and polls.
//!
//! Upon a poll: what happened since the last one. A filter that nobody polled for five minutes is
//! forgotten.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::U64;
use alloy_rpc_types_eth::{Filter, FilterBlockOption};
use serde_json::{Value, json};

use crate::{
    node::Node,
    rpc::{
        logs,
        moment::Moment,
        params::{Params, RpcError},
    },
};

/// How long a filter outlives its last poll.
const IDLE: Duration = Duration::from_secs(300);

/// Filters that may be installed at once.
const CAPACITY: usize = 4_096;

enum Subject {
    Blocks,
    Logs(Box<Filter>),
}

struct Installed {
    subject: Subject,
    /// The first block that was not told yet.
    next: u64,
    polled: Duration,
}

#[derive(Default)]
struct Registry {
    last: u64,
    installed: HashMap<u64, Installed>,
}

/// All installed filters.
#[derive(Default)]
pub(crate) struct Filters(Mutex<Registry>);

impl Filters {
    pub(super) fn new_logs(&self, node: &Node, params: &Params) -> Result<Value, RpcError> {
        let filter = logs::filter(params)?;
        self.install(node, Subject::Logs(Box::new(filter)))
    }

    pub(super) fn new_blocks(&self, node: &Node) -> Result<Value, RpcError> {
        self.install(node, Subject::Blocks)
    }

    pub(super) fn changes(&self, node: &Node, params: &Params) -> Result<Value, RpcError> {
        let head = Moment::head(node)?;
        let newest = head.header.number;
        let mut registry = self.registry();
        let filter = registry.polled(node, params)?;
        let first = filter.next;
        filter.next = first.max(newest + 1);
        match &filter.subject {
            Subject::Blocks => {
                let hashes = (first..=newest).map(|number| head.snapshot.hash(number));
                Ok(json!(hashes.collect::<Result<Vec<_>, _>>()?))
            }
            Subject::Logs(filter) => {
                let filter = filter.clone();
                drop(registry);
                let (first, last) = clipped(&filter, first, newest);
                Ok(json!(logs::between(&head.snapshot, &filter, first, last)?))
            }
        }
    }

    pub(super) fn logs(&self, node: &Node, params: &Params) -> Result<Value, RpcError> {
        let filter = match &self.registry().polled(node, params)?.subject {
            Subject::Logs(filter) => filter.clone(),
            Subject::Blocks => return Err(RpcError::failed("this filter is not one of logs")),
        };
        Ok(json!(logs::matching(node, &filter)?))
    }

    pub(super) fn uninstall(&self, params: &Params) -> Result<Value, RpcError> {
        let id: U64 = params.required(0, "filterId")?;
        Ok(json!(self.registry().installed.remove(&id.to()).is_some()))
    }

    fn install(&self, node: &Node, subject: Subject) -> Result<Value, RpcError> {
        let next = Moment::head(node)?.header.number + 1;
        let now = node.clock.monotonic();
        let mut registry = self.registry();
        registry.installed.retain(|_, filter| now.saturating_sub(filter.polled) <= IDLE);
        if registry.installed.len() >= CAPACITY {
            return Err(RpcError::failed("too many filters are installed"));
        }
        registry.last += 1;
        let id = registry.last;
        registry.installed.insert(id, Installed { subject, next, polled: now });
        Ok(json!(U64::from(id)))
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Every change leaves the registry consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn polled(&mut self, node: &Node, params: &Params) -> Result<&mut Installed, RpcError> {
        let id: U64 = params.required(0, "filterId")?;
        let now = node.clock.monotonic();
        let filter = self
            .installed
            .get_mut(&id.to())
            .filter(|filter| now.saturating_sub(filter.polled) <= IDLE)
            .ok_or_else(|| RpcError::failed("filter not found"))?;
        filter.polled = now;
        Ok(filter)
    }
}

/// The part of a range that the filter's own range allows.
fn clipped(filter: &Filter, first: u64, last: u64) -> (u64, u64) {
    let FilterBlockOption::Range { from_block, to_block } = filter.block_option else {
        return (first, last);
    };
    let from = match from_block {
        Some(BlockNumberOrTag::Number(number)) => number,
        _ => 0,
    };
    let to = match to_block {
        Some(BlockNumberOrTag::Number(number)) => number,
        Some(BlockNumberOrTag::Earliest) => 0,
        _ => u64::MAX,
    };
    (first.max(from), last.min(to))
}
