//! The real thing: the network's contracts on any EVM chain that answers JSON-RPC.
//!
//! Upon opening: the node's chain id is compared with the network's, and the chain is followed from
//! then on. Handles of several keys share the following; each has a sender of its own.

use std::sync::Arc;

use alloy_primitives::{Bytes, TxKind, U256};
use async_trait::async_trait;
use market::{
    Domain, SessionUse, Slot, State,
    escrow::Windows,
    fact::{Closing, Opening},
};
use primitives::{Address, Amount, BasisPoints, DealId, Key, SessionId};
use profile::{Contracts, Depth, Descriptor};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    abi::{self, Escrow, Plaza, Providers, TestDollar},
    call::{Call, Sent},
    encode::{encode, terms_word},
    error::Error,
    follow::Follower,
    node::Node,
    refusal::{Reason, Refusal},
    rpc::Rpc,
    seam::Settlement,
    sender::{Landed, Order, Pace, Payload, Sender},
    view::{Admission, Balances, Head},
};

/// Orders that may wait for the sender.
const QUEUE: usize = 64;

/// Gas beyond a simulation: the slots it finds may have changed by the time it is sealed.
const SPARE_GAS: u64 = 30_000;

/// The states of a deal that never opened.
const UNOPENED: [State; 2] = [State::None, State::Cancelled];

/// Which contracts on which chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The chain.
    pub chain_id: u64,
    /// The contracts.
    pub contracts: Contracts,
    /// The escrow's windows.
    pub windows: Windows,
    /// When a block counts.
    pub depth: Depth,
    /// A block before which nothing of the network lies.
    pub first_block: u64,
}

/// The network's contracts on an EVM chain, as one key sees and calls them. Clones share it.
#[derive(Clone)]
pub struct Evm {
    chain: Arc<Shared>,
    account: Address,
    orders: mpsc::Sender<Order>,
}

struct Shared {
    node: Node,
    network: Network,
    pace: Pace,
    follower: Arc<Follower>,
    following: JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Network {
    /// The network a descriptor describes.
    pub fn of(descriptor: &Descriptor) -> Self {
        Self {
            chain_id: descriptor.chain_id,
            contracts: descriptor.contracts.clone(),
            windows: descriptor.windows(),
            depth: descriptor.profile.depth,
            first_block: descriptor.first_block,
        }
    }

    fn domain(&self, contract: Address) -> Domain {
        Domain { chain_id: self.chain_id, contract }
    }
}

impl Evm {
    /// Follow the network's chain through `rpc` and send from `key`. Needs a tokio runtime; the
    /// tasks end when the last clone is dropped and what it sent is seen through.
    ///
    /// # Errors
    /// When the chain cannot be asked, or is another one.
    pub async fn open(
        rpc: Arc<dyn Rpc>,
        network: Network,
        key: Key,
        pace: Pace,
    ) -> Result<Self, Error> {
        let node = Node::new(rpc);
        let found = node.chain_id().await?;
        if found != network.chain_id {
            return Err(Error::OtherChain { found, wanted: network.chain_id });
        }
        let escrow = network.contracts.escrow;
        let follower =
            Arc::new(Follower::new(node.clone(), escrow, network.depth, network.first_block));
        follower.sync().await?;
        let followed = follower.clone();
        let following = tokio::spawn(async move { followed.run(pace.poll).await });
        let shared = Arc::new(Shared { node, network, pace, follower, following });
        Ok(Self::over(shared, key))
    }

    /// The same contracts, called by another key.
    #[must_use]
    pub fn with_key(&self, key: Key) -> Self {
        Self::over(self.chain.clone(), key)
    }

    fn over(chain: Arc<Shared>, key: Key) -> Self {
        let (orders, taken) = mpsc::channel(QUEUE);
        let account = key.address();
        let chain_id = chain.network.chain_id;
        let (node, follower) = (chain.node.clone(), chain.follower.clone());
        let sender = Sender::new(node, follower, chain_id, key, chain.pace);
        tokio::spawn(sender.run(taken));
        Self { chain, account, orders }
    }

    /// The contracts and chain this speaks to.
    pub fn network(&self) -> &Network {
        &self.chain.network
    }

    /// The id the contract gives these terms, for comparing with our own.
    ///
    /// # Errors
    /// When the chain cannot be asked.
    pub async fn deal_id(&self, terms: &market::Terms) -> Result<DealId, Error> {
        let call = Escrow::dealIdCall { terms: terms_word(terms) };
        Ok(DealId(self.view(self.contracts().escrow, call).await?))
    }

    fn contracts(&self) -> &Contracts {
        &self.chain.network.contracts
    }

    /// A view at the network's depth.
    async fn view<C: alloy_sol_types::SolCall>(
        &self,
        to: Address,
        call: C,
    ) -> Result<C::Return, Error> {
        self.chain.node.view(to, call, &self.chain.follower.tag()).await
    }

    /// What an event tells of a deal. Where none does although the slot's state says that there
    /// `must_be` one, the node answered late or in part, and is asked for this deal alone.
    async fn told<T>(
        &self,
        deal: DealId,
        told: impl Fn() -> Option<T>,
        must_be: impl Fn(State) -> bool,
    ) -> Result<Option<T>, Error> {
        let follower = &self.chain.follower;
        follower.sync().await?;
        if let Some(told) = told() {
            return Ok(Some(told));
        }
        if must_be(self.slot(deal).await?.state) {
            // The slot may be of a block after those that were read.
            follower.sync().await?;
            if told().is_none() {
                follower.search(deal).await?;
            }
        }
        Ok(told())
    }

    /// Simulate, send and see through one transaction.
    async fn transact(&self, to: Address, input: Bytes) -> Result<Sent, Error> {
        let simulated = self.chain.node.simulate(self.account, to, U256::ZERO, &input).await?;
        let gas = match simulated {
            Ok(gas) => gas.saturating_add(gas / 4).saturating_add(SPARE_GAS),
            Err(refusal) => return Ok(Sent::Refused(refusal)),
        };
        let closed = || Error::Closed { account: self.account };
        let (reply, landed) = oneshot::channel();
        let payload =
            Payload { to: TxKind::Call(to), value: U256::ZERO, input: input.clone(), gas };
        let order = Order { payload, reply };
        self.orders.send(order).await.map_err(|_| closed())?;
        match landed.await.map_err(|_| closed())?? {
            Landed::Done(mined) => Ok(Sent::Done(mined)),
            Landed::Reverted => {
                let again = self.chain.node.simulate(self.account, to, U256::ZERO, &input).await?;
                Ok(Sent::Refused(again.err().unwrap_or_else(|| Refusal {
                    reason: Reason::Other,
                    error: "it reverted when it was sealed and would not now".into(),
                })))
            }
        }
    }

    /// Let the escrow take `amount` from the sender's wallet, if it may not yet.
    async fn allow(&self, token: Address, amount: Amount) -> Result<Option<Refusal>, Error> {
        let (owner, spender) = (self.account, self.contracts().escrow);
        let value = U256::from(amount.units());
        let call = TestDollar::allowanceCall { owner, spender };
        if self.view(token, call).await? >= value {
            return Ok(None);
        }
        let approve = TestDollar::approveCall { spender, value };
        let input = alloy_sol_types::SolCall::abi_encode(&approve).into();
        match self.transact(token, input).await? {
            Sent::Done(_) => Ok(None),
            Sent::Refused(refusal) => Ok(Some(refusal)),
        }
    }
}

#[async_trait]
impl Settlement for Evm {
    fn sender(&self) -> Address {
        self.account
    }

    fn escrow(&self) -> Domain {
        self.chain.network.domain(self.contracts().escrow)
    }

    fn plaza(&self) -> Domain {
        self.chain.network.domain(self.contracts().plaza)
    }

    fn providers(&self) -> Domain {
        self.chain.network.domain(self.contracts().providers)
    }

    fn windows(&self) -> Windows {
        self.chain.network.windows
    }

    fn heads(&self) -> watch::Receiver<Head> {
        self.chain.follower.heads()
    }

    async fn head(&self) -> Result<Head, Error> {
        self.chain.follower.sync().await
    }

    async fn slot(&self, deal: DealId) -> Result<Slot, Error> {
        let escrow = self.contracts().escrow;
        let kept = self.view(escrow, Escrow::dealsCall { id: deal.0 }).await?;
        abi::slot(&kept).ok_or_else(|| Error::Answer {
            operation: format!("reading the slot of deal {deal}"),
            why: format!("there is no state {}", kept.state),
        })
    }

    async fn opening(&self, deal: DealId) -> Result<Option<Opening>, Error> {
        let follower = &self.chain.follower;
        let told = || follower.opened(deal);
        let Some(place) = self.told(deal, told, |state| !UNOPENED.contains(&state)).await? else {
            return Ok(None);
        };
        let head = *follower.heads().borrow();
        let at = if head.number == place.block {
            head.time
        } else {
            let found = self.chain.node.block_at(place.block).await?;
            let missing = || Error::Answer {
                operation: format!("asking for the block deal {deal} was opened in"),
                why: format!("the node has no block {}", place.block),
            };
            found.ok_or_else(missing)?.head().time
        };
        Ok(Some(Opening { tx: place.tx, block: place.block, at }))
    }

    async fn closing(&self, deal: DealId) -> Result<Option<Closing>, Error> {
        let told = || self.chain.follower.closed(deal);
        self.told(deal, told, |state| state == State::Settled).await
    }

    async fn session(&self, session: SessionId) -> Result<SessionUse, Error> {
        let call = Escrow::sessionsCall { id: session.0 };
        Ok(abi::session(&self.view(self.contracts().escrow, call).await?))
    }

    async fn admission(&self, token: Address) -> Result<Admission, Error> {
        let contracts = self.contracts();
        let found = self.view(contracts.plaza, Plaza::admissionCall { token }).await?;
        Ok(Admission {
            present: found.escrow == contracts.escrow,
            fee: BasisPoints(found.feeBps),
            listed: found.listed,
            paused: found.paused,
        })
    }

    async fn is_authorised(&self, provider: Address, key: Address) -> Result<bool, Error> {
        let call = Providers::isAuthorisedCall { provider, key };
        self.view(self.contracts().providers, call).await
    }

    async fn balances(&self, token: Address, account: Address) -> Result<Balances, Error> {
        let escrow = self.contracts().escrow;
        let tag = self.chain.follower.tag();
        let (wallet, inside, native) = tokio::join!(
            self.view(token, TestDollar::balanceOfCall { account }),
            self.view(escrow, Escrow::balanceOfCall { token, account }),
            self.chain.node.native(account, &tag),
        );
        Ok(Balances { wallet: abi::amount(wallet?), escrow: abi::amount(inside?), native: native? })
    }

    async fn send(&self, call: Call) -> Result<Sent, Error> {
        let (to, input) = match encode(&call, self.contracts()) {
            Ok(encoded) => encoded,
            Err(refusal) => return Ok(Sent::Refused(refusal)),
        };
        if let Call::Deposit { token, amount, .. } = &call
            && let Some(refusal) = self.allow(*token, *amount).await?
        {
            return Ok(Sent::Refused(refusal));
        }
        self.transact(to, input).await
    }
}
