//! The seam: what the rooms above ask of a chain, whichever chain it is.
//!
//! Upon a call: it is simulated; what the contracts refuse comes back as `Sent::Refused` and no
//! transaction leaves; what they accept is sent once per nonce until it lies at the network's depth.
//! Upon a new block at the network's depth: `heads` changes, and whoever waits looks again.
//! Upon a lost connection: every question fails with a retryable error that names the endpoint;
//! `heads` keeps its last value and goes on when the chain is back.

use async_trait::async_trait;
use market::{
    Domain, SessionUse, Slot,
    escrow::Windows,
    fact::{Closing, Opening},
};
use primitives::{Address, DealId, SessionId};
use tokio::sync::watch;

use crate::{
    call::{Call, Sent},
    error::Error,
    view::{Admission, Balances, Head},
};

/// The network's contracts on some chain, seen and called by one account.
///
/// Everything is read at the network's depth, so that nothing read here is ever taken back.
#[async_trait]
pub trait Settlement: Send + Sync {
    /// The account that sends this handle's calls.
    fn sender(&self) -> Address;

    /// The domain of terms, receipts, sessions, batches and on-chain intents.
    fn escrow(&self) -> Domain;

    /// The domain of offers, orders and off-chain intents.
    fn plaza(&self) -> Domain;

    /// The domain of a hot key's consent to serve a provider, and of intents to register.
    fn providers(&self) -> Domain;

    /// The escrow's windows.
    fn windows(&self) -> Windows;

    /// The latest block at the network's depth, as it comes.
    fn heads(&self) -> watch::Receiver<Head>;

    /// The latest block at the network's depth, asked for now.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    async fn head(&self) -> Result<Head, Error>;

    /// The slot of a deal.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    async fn slot(&self, deal: DealId) -> Result<Slot, Error>;

    /// How a deal was opened, once it was.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    async fn opening(&self, deal: DealId) -> Result<Option<Opening>, Error>;

    /// How a deal was settled, once it was.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    async fn closing(&self, deal: DealId) -> Result<Option<Closing>, Error>;

    /// The slot of a session.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    async fn session(&self, session: SessionId) -> Result<SessionUse, Error>;

    /// What opening a deal in `token` depends on: the present fee among it.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    async fn admission(&self, token: Address) -> Result<Admission, Error>;

    /// Whether `key` may sign for `provider`.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    async fn is_authorised(&self, provider: Address, key: Address) -> Result<bool, Error>;

    /// What `account` has in `token`.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    async fn balances(&self, token: Address, account: Address) -> Result<Balances, Error>;

    /// Make a call and wait until it is sealed at the network's depth, or refused. Sending the
    /// same call again is safe: the contracts carry out each at most once where that matters.
    ///
    /// # Errors
    /// When the chain cannot be asked, or a transaction that left is not confirmed in time;
    /// then look at the slot before sending again.
    async fn send(&self, call: Call) -> Result<Sent, Error>;
}
