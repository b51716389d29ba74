//! A town: one simulated network and chain on which parties live, and the accounts they have.

use std::{sync::Arc, time::Duration};

use market::Domain;
use net::{Conditions, Network};
use primitives::{Address, Amount, Key, PeerId};
use profile::{Depth, Profile};
use settlement::{Call, Ledger, Sent, Settlement, Setup, authorisation_digest};
use tokio::task::JoinSet;

use crate::clock::SimulatedClock;

/// What all parties of one simulation share.
pub struct Town {
    /// Everything random follows from it.
    pub seed: u64,
    /// The constitution.
    pub profile: Profile,
    /// The time, the same for all.
    pub clock: Arc<SimulatedClock>,
    /// The connections.
    pub network: Network,
    /// The contracts.
    pub ledger: Ledger,
    /// How they are set up.
    pub setup: Setup,
}

/// A key that follows from a small number: for parties of a simulation, never for money.
pub fn key(number: u8) -> Key {
    Key::from_bytes([number.max(1); 32]).expect("small repeated bytes are below the order")
}

/// The key of the network's owner, who makes the play money.
const OWNER: u8 = 250;

/// From one block of a deep chain to the next.
const BLOCK_TIME: Duration = Duration::from_secs(2);

impl Town {
    /// A town under the local profile, with a network that loses nothing.
    pub fn new(seed: u64) -> Self {
        Self::under(seed, Profile::preset("local").expect("the local preset exists"))
    }

    /// A town under this profile, with a network that loses nothing. Where blocks must follow for
    /// one to be seen, none comes by itself: see [`Self::keep_sealing`].
    pub fn under(seed: u64, profile: Profile) -> Self {
        let clock = Arc::new(SimulatedClock::new());
        let setup = Setup::fake(profile.escrow, profile.fee, key(OWNER).address());
        let depth = match profile.depth {
            Depth::Blocks(blocks) => usize::try_from(blocks).expect("a shallow chain"),
            // Who attests blocks is not simulated; some must follow.
            Depth::Safe | Depth::Finalized => 2,
        };
        let ledger = Ledger::new(setup.clone(), depth, clock.clone());
        let network = Network::new(seed, Conditions::default());
        Self { seed, profile, clock, network, ledger, setup }
    }

    /// A town whose chain needs `depth` blocks on top of one before it is seen, with a block every
    /// two seconds for as long as the task lives.
    pub fn deep(seed: u64, depth: u64) -> (Self, JoinSet<()>) {
        let local = Profile::preset("local").expect("the local preset exists");
        let town = Self::under(seed, Profile { depth: Depth::Blocks(depth), ..local });
        let sealing = town.keep_sealing();
        (town, sealing)
    }

    /// A block every two seconds for as long as the task lives.
    pub fn keep_sealing(&self) -> JoinSet<()> {
        let ledger = self.ledger.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(BLOCK_TIME).await;
                ledger.seal();
            }
        });
        tasks
    }

    /// The domain of terms and receipts.
    pub fn escrow(&self) -> Domain {
        self.setup.escrow
    }

    /// The domain of orders and offers.
    pub fn plaza(&self) -> Domain {
        self.setup.plaza
    }

    /// Make play money for an account's wallet.
    pub async fn fund(&self, account: Address, amount: Amount) {
        let call = Call::Mint { token: self.setup.token, to: account, amount };
        self.must(key(OWNER).address(), call).await;
    }

    /// Move some of an account's wallet into its balance inside the escrow.
    pub async fn deposit(&self, account: Address, amount: Amount) {
        self.must(account, Call::Deposit { token: self.setup.token, account, amount }).await;
    }

    /// Register a provider's key.
    pub async fn register(&self, provider: Address, provider_key: &Key) {
        let digest = authorisation_digest(&self.setup.providers, provider, provider_key.address());
        let consent = provider_key.sign(digest);
        let call = Call::Register { provider_key: provider_key.address(), consent };
        self.must(provider, call).await;
    }

    /// What an account has, wallet and escrow together.
    pub async fn wealth(&self, account: Address) -> Amount {
        let seat = self.ledger.seat(account);
        let has = seat.balances(self.setup.token, account).await.expect("the ledger is there");
        has.wallet.plus(has.escrow).expect("all money fits")
    }

    async fn must(&self, sender: Address, call: Call) {
        let name = call.name();
        match self.ledger.seat(sender).send(call).await {
            Ok(Sent::Done(_)) => {}
            other => unreachable!("setting up the town: {name} gave {other:?}"),
        }
    }
}

/// The peer of a name.
pub(crate) fn peer(name: &str) -> PeerId {
    PeerId(name.to_owned())
}
