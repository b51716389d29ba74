//! The seams this workshop stands on, and what it is told once, at the start.

use std::{path::PathBuf, sync::Arc, time::Duration};

use market::{Machine, Rules};
use net::Transport;
use primitives::{Address, B256, Clock, DealId, Epoch, Key, PeerId, TaskIndex, UnixSeconds};
use sandbox::{Folder, Runtime};
use settlement::Settlement;
use store::{Blobs, Log};

use crate::{error::Error, floor::Floor, gateway::Gateway, policy::Policy};

/// Everything a provider touches outside itself. Assembled by `plaza` over the real world and by
/// `sim` over a simulated one.
#[derive(Clone)]
pub struct World {
    /// The contracts, as the provider key or the paid account calls them.
    pub settlement: Arc<dyn Settlement>,
    /// The gateway.
    pub transport: Arc<dyn Transport>,
    /// Where work runs.
    pub runtime: Arc<dyn Runtime>,
    /// Inputs on their way in, outputs on their way out; nobody else's.
    pub blobs: Arc<dyn Blobs>,
    /// Facts; the streams `lease/...` are this room's.
    pub log: Arc<dyn Log>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fresh unpredictable words.
    pub salts: Arc<dyn Fn() -> B256 + Send + Sync>,
}

/// What a provider is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// The provider key: signs offers, bids and receipts.
    pub key: Key,
    /// The account that is paid.
    pub account: Address,
    /// The gateway's transport key.
    pub gateway: PeerId,
    /// The gateway's account, as orders name it.
    pub gateway_account: Address,
    /// The token that prices are in.
    pub token: Address,
    /// The network's rules.
    pub rules: Rules,
    /// What is sold, to whom, for how much.
    pub policy: Policy,
    /// What is sold of the machine: see [`crate::for_sale`].
    pub machine: Machine,
    /// Where the machine stands; empty for unknown.
    pub region: String,
    /// Under which run folders are made.
    pub runs: PathBuf,
}

/// How long to wait before something that could not be done is tried again.
pub(crate) const AGAIN: Duration = Duration::from_millis(250);

/// World, configuration and what all lines share.
pub(crate) struct Workshop {
    pub(crate) world: World,
    pub(crate) config: Config,
    pub(crate) gateway: Gateway,
    pub(crate) floor: Floor,
}

impl Workshop {
    /// The folder of a lease, which holds those of its runs.
    pub(crate) fn folder(&self, deal: DealId) -> PathBuf {
        self.config.runs.join(folder_name(deal))
    }

    /// The run folder of a task.
    pub(crate) fn task_folder(&self, deal: DealId, task: TaskIndex, epoch: Epoch) -> Folder {
        Folder::new(self.folder(deal).join(format!("{}-{}", task.0, epoch.0)))
    }

    /// The time deadlines are held against: the later of the chain's and our own, so that neither
    /// a clock that was stepped back nor a chain that seals rarely holds a deadline up.
    pub(crate) async fn time(&self) -> Result<UnixSeconds, Error> {
        let head = self.world.settlement.head().await;
        let head = head.map_err(|source| Error::Chain { operation: "reading the head", source })?;
        Ok(head.time.max(self.world.clock.now()))
    }

    /// How often long work is to be heard of: well within what the renter's side takes for silence.
    pub(crate) fn sign_of_life(&self) -> Duration {
        (self.config.rules.grace.duration() / 3).max(Duration::from_secs(1))
    }

    /// The deal's slot at the network's depth.
    pub(crate) async fn slot(&self, deal: DealId) -> Result<market::Slot, Error> {
        let slot = self.world.settlement.slot(deal).await;
        slot.map_err(|source| Error::Chain { operation: "reading a deal's slot", source })
    }
}

/// A folder's name: the deal's digits without the customary prefix.
fn folder_name(deal: DealId) -> String {
    deal.to_string().trim_start_matches("0x").to_owned()
}
