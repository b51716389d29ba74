//! What the resources ask: the workshops behind this server, assembled by `plaza`.

use std::sync::Arc;

use broker::{Broker, JobView};
use futures::future::BoxFuture;
use primitives::{Address, JobId};
use profile::Descriptor;
use settlement::Settlement;
use store::{Blobs, Outputs};

use crate::problem::Problem;

/// Answers one JSON-RPC request or a batch, as bytes.
pub type Rpc = Arc<dyn Fn(Vec<u8>) -> BoxFuture<'static, Vec<u8>> + Send + Sync>;

/// A gateway's workshops.
#[derive(Clone)]
pub struct World {
    /// Carries jobs and deals.
    pub broker: Broker,
    /// The contracts.
    pub settlement: Arc<dyn Settlement>,
    /// Inputs and outputs.
    pub blobs: Arc<dyn Blobs>,
    /// What jobs print.
    pub outputs: Arc<dyn Outputs>,
    /// The network.
    pub descriptor: Arc<Descriptor>,
    /// The account orders name as their gateway.
    pub account: Address,
    /// The chain's JSON-RPC.
    pub rpc: Rpc,
}

/// The fewest hexadecimal digits by which a job can be named.
const SHORTEST_NAME: usize = 4;

impl World {
    /// The job of this id, or of the one id that begins so.
    pub(crate) fn job(&self, name: &str) -> Result<JobView, Problem> {
        if let Ok(id) = name.parse::<JobId>() {
            return self
                .broker
                .job(id)
                .ok_or_else(|| Problem::unknown(format!("no job {id} is kept here")));
        }
        let start = name.strip_prefix("0x").unwrap_or(name).to_ascii_lowercase();
        if start.len() < SHORTEST_NAME || !start.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Problem::malformed(format!(
                "'{name}' names no job: give its id, or at least the first {SHORTEST_NAME} of its \
                 hexadecimal digits"
            )));
        }
        let mut found =
            self.broker.jobs().into_iter().filter(|job| digits(job.id).starts_with(&start));
        match (found.next(), found.next()) {
            (Some(job), None) => Ok(job),
            (Some(_), Some(_)) => Err(Problem::conflict(format!(
                "several jobs begin with '{start}': give more digits"
            ))),
            (None, _) => Err(Problem::unknown(format!("no job begins with '{start}'"))),
        }
    }
}

fn digits(id: JobId) -> String {
    id.to_string().split_off(2)
}
