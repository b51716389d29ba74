//! The seams this workshop stands on, gathered in one place.

use std::{sync::Arc, time::Duration};

use market::{
    Domain, Rules, Signed,
    document::{Intent, Purpose, TokenDomain},
};
use net::Transport;
use primitives::{Address, Amount, B256, Clock, Key, Seconds, UnixSeconds};
use settlement::Settlement;
use store::{Blobs, Log, Outputs};

use crate::ready::Ready;

/// Everything a broker touches outside itself. Assembled by `plaza` over the real world and by
/// `sim` over a simulated one.
#[derive(Clone)]
pub struct World {
    /// The contracts.
    pub settlement: Arc<dyn Settlement>,
    /// The providers.
    pub transport: Arc<dyn Transport>,
    /// Inputs and outputs.
    pub blobs: Arc<dyn Blobs>,
    /// Facts.
    pub log: Arc<dyn Log>,
    /// What tasks print.
    pub outputs: Arc<dyn Outputs>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fresh unpredictable words, for salts.
    pub salts: Arc<dyn Fn() -> B256 + Send + Sync>,
    /// The key that co-signs receipts: the `renterKey` of orders placed here.
    pub signer: Key,
    /// The number of this start, from [`crate::next_fence`]: providers obey the highest.
    pub fence: u64,
    /// This gateway's account, named in orders.
    pub account: Address,
    /// The stablecoin.
    pub token: Address,
    /// What the stablecoin calls itself in its typed data.
    pub token_domain: TokenDomain,
    /// Paid to whoever opens a deal.
    pub open_fee: Amount,
    /// Paid to whoever ends a deal.
    pub close_fee: Amount,
    /// The market's rules on this network.
    pub rules: Rules,
    /// When work got ready, as this process saw it.
    pub ready: Arc<Ready>,
}

/// The most files and folders one task may take in or leave.
pub const MOST_FILES: usize = 100_000;

/// How long to wait before something that could not be done is tried again.
pub(crate) const AGAIN: Duration = Duration::from_millis(250);

/// How often a line that waits for time to pass looks at the chain again.
pub(crate) const TICK: Duration = Duration::from_secs(1);

impl World {
    /// The domain of orders, offers and commands.
    pub(crate) fn plaza(&self) -> Domain {
        self.settlement.plaza()
    }

    /// The domain of terms and receipts.
    pub(crate) fn escrow(&self) -> Domain {
        self.settlement.escrow()
    }

    /// Our leave for what the sender of our calls does as the renter's side; none is needed where
    /// the signer itself is the sender, which is cheaper.
    pub(crate) fn intent(&self, purpose: &Purpose) -> Option<Signed<Intent>> {
        let foreign = self.settlement.sender() != self.signer.address();
        foreign.then(|| purpose.signed(&self.escrow(), Intent::FREE, &self.signer))
    }

    /// How long a provider may be silent while work runs, and how much of it the first receipt may
    /// therefore state: `grace` and two signing intervals.
    pub(crate) fn allowed_silence(&self) -> Seconds {
        let interval = self.rules.receipt_interval;
        self.rules.grace.plus(interval).plus(interval)
    }

    /// The same time as [`World::time`], as far as it is known without asking the chain.
    pub(crate) fn seen_time(&self) -> UnixSeconds {
        self.settlement.heads().borrow().time.max(self.clock.now())
    }

    /// The time deadlines are held against: the later of the chain's and our own, so that neither
    /// a clock that was stepped back nor a chain that seals rarely holds a deadline up.
    pub(crate) async fn time(&self) -> Result<UnixSeconds, settlement::Error> {
        Ok(self.settlement.head().await?.time.max(self.clock.now()))
    }
}
