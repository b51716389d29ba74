//! A scene: the real provider with a gateway under a test's control.

use std::time::Duration;

use market::{
    Consent, Signed, Slot, Terms,
    document::{Act, Command},
    fact::Submission,
    message::{Assignment, Bid, BidAnswer, BidRequest, CommandAnswer, Instruction, ToProvider},
};
use primitives::{Amount, B256, DealId, Epoch, Key, TaskIndex};
use sandbox::Script;
use serde::de::DeserializeOwned;
use settlement::{Call, Sent, Settlement as _};
use tokio::time::Instant;

use crate::{
    gateway::Gateway,
    keeper::Keeper,
    renter::{Renter, WALLET, Wanted},
    town::{Town, key},
    wire,
    workshop::Workshop,
};

/// The provider, the keeper and a renter.
pub struct Cell {
    /// Where they live.
    pub town: Town,
    /// The gateway that answers.
    pub keeper: Keeper,
    /// The provider.
    pub workshop: Workshop,
    /// Never started: it only lends its names.
    pub gateway: Gateway,
    /// Who pays.
    pub renter: Renter,
}

impl Cell {
    /// A cell whose provider's runs play `script`.
    pub async fn begin(script: Script) -> Self {
        let town = Town::new(1);
        let gateway = Gateway::new("gateway");
        let keeper = Keeper::start(&town);
        let mut workshop = Workshop::new(1, script);
        workshop.start(&town, &gateway).await;
        let renter = Renter { key: key(200) };
        town.fund(renter.account(), WALLET).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { town, keeper, workshop, gateway, renter }
    }

    /// Tell the provider something.
    pub async fn tell<A: DeserializeOwned>(&self, question: &ToProvider) -> Option<A> {
        wire::ask(&self.keeper.wire, &self.workshop.peer, wire::message(question)).await
    }

    /// The renter's signed order.
    pub fn wanted(&self, wanted: &Wanted) -> Submission {
        self.renter.submission(&self.town, &self.gateway, wanted)
    }

    /// Ask for a bid; the salt tells deals for the same order apart.
    pub async fn bid(&self, wanted: &Submission, salt: u8) -> Option<BidAnswer> {
        let request = BidRequest {
            order: wanted.order.clone(),
            wish: wanted.work.wish.clone(),
            salt: wanted.salt,
            deal_salt: B256::repeat_byte(salt),
            open_fee: Amount::ZERO,
            close_fee: Amount::ZERO,
        };
        self.tell(&ToProvider::Bid(Box::new(request))).await
    }

    /// Open a deal with the renter's authorisation.
    pub async fn open(&self, bid: &Bid) -> DealId {
        let terms = bid.terms.document.clone();
        let digest = terms.authorization(&self.town.escrow(), &self.town.setup.token_domain);
        let signature = self.renter.key.sign(digest.expect("small"));
        let deal = terms.id(&self.town.escrow());
        let consent = Consent::Authorization { signature };
        let call = Call::Open { terms, bid: bid.terms.signature, consent };
        let sent = self.town.ledger.seat(self.keeper.account).send(call).await;
        assert!(matches!(sent, Ok(Sent::Done(_))), "opening gave {sent:?}");
        deal
    }

    /// A command to a deal, signed by whatever key.
    pub fn command(&self, deal: DealId, fence: u64, act: Act, by: &Key) -> Signed<Command> {
        Command { deal, fence, act }.signed(&self.town.plaza(), by)
    }

    /// Assign the work to an open deal.
    pub async fn assign(
        &self,
        deal: DealId,
        wanted: &Submission,
        fence: u64,
    ) -> Option<CommandAnswer> {
        let spec = wanted.order.document.spec;
        let act = Act::Assign { task: TaskIndex(0), epoch: Epoch(1), spec };
        let assignment = Some(Assignment { work: wanted.work.clone(), salt: wanted.salt });
        let commands = [act, Act::Release]
            .map(|act| self.command(deal, fence, act, &self.keeper.signer))
            .to_vec();
        self.tell(&ToProvider::Command(Box::new(Instruction { commands, assignment }))).await
    }

    /// Bring a lease to run; its terms.
    pub async fn running(&self, wanted: &Submission) -> Terms {
        let Some(BidAnswer::Bid(bid)) = self.bid(wanted, 1).await else {
            unreachable!("an honest provider with a free machine bids")
        };
        let deal = self.open(&bid).await;
        while self.assign(deal, wanted, 1).await != Some(CommandAnswer::Taken) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bid.terms.document
    }

    /// The deal's slot.
    pub async fn slot(&self, terms: &Terms) -> Slot {
        let seat = self.town.ledger.seat(self.keeper.account);
        seat.slot(terms.id(&self.town.escrow())).await.expect("the ledger is there")
    }

    /// Until the provider has nothing left to do; `false` after so many seconds.
    pub async fn rest(&self, most: u64) -> bool {
        let deadline = Instant::now() + Duration::from_secs(most);
        while Instant::now() < deadline {
            if self.workshop.provider().status().leases.is_empty() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        false
    }

    /// What the provider has, in base units.
    pub async fn earned(&self) -> u128 {
        self.town.wealth(self.workshop.account).await.units()
    }
}
