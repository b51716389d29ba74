//! The contracts and the ledger side by side: every call goes to both, and everything that can be
//! seen afterwards is compared between them and with the pure table.

use std::sync::Arc;

use chain::{Chain, Config};
use market::{
    Slot, Terms,
    escrow::{Revert, Split},
};
use primitives::{Amount, Clock, UnixSeconds};
use profile::{Depth, Profile};
use settlement::{
    Call, Deployment, Evm, Ledger, Mined, Pace, Plan, Reason, Sent, Settlement, Setup,
    authorisation_digest, deploy,
};

use crate::{
    deal::{FEE, Place, WINDOWS, amount},
    people::{Hand, Who, Wire},
};

pub(crate) const CHAIN_ID: u64 = 7_700_000_042;
pub(crate) const GRANT: Amount = amount(1_000_000_000_000);

pub(crate) struct Pair {
    pub(crate) clock: Arc<Hand>,
    pub(crate) place: Place,
    pub(crate) ledger: Ledger,
    evm: Evm,
    next: std::sync::atomic::AtomicU64,
}

/// How closely two refusals must agree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Agreement {
    /// For the same reason: the call breaks one rule.
    Reason,
    /// Both refuse: the call may break several rules, which are checked in different orders.
    Refusal,
}

pub(crate) fn plan() -> Plan {
    let mut profile = Profile::preset("local").unwrap();
    profile.escrow = WINDOWS;
    profile.fee = FEE;
    Plan {
        profile,
        highest_fee: primitives::BasisPoints(1_000),
        fee_receiver: Who::Owner.address(),
        first_block: 0,
        grants: vec![(Who::Renter.address(), GRANT)],
    }
}

pub(crate) fn quick() -> Pace {
    Pace::of(Depth::Blocks(0))
}

impl Pair {
    /// A fresh network on both sides: the renter has a grant and a deposit of half of it, the
    /// provider's key is authorised.
    pub(crate) async fn new() -> Self {
        let clock = Hand::new();
        let chain = Chain::open(Config::local(CHAIN_ID, [], clock.clone())).unwrap();
        let wire = Wire::to(&chain);
        let owner = Who::Owner.key();
        let Deployment { network, .. } = deploy(wire.clone(), &owner, &plan()).await.unwrap();
        let contracts = network.contracts.clone();
        let evm = Evm::open(wire, network, owner, quick()).await.unwrap();
        let setup = Setup {
            escrow: evm.escrow(),
            plaza: evm.plaza(),
            providers: evm.providers(),
            windows: evm.windows(),
            token: contracts.token,
            token_domain: contracts.token_domain.clone(),
            fee: FEE,
            highest_fee: plan().highest_fee,
            owner: Who::Owner.address(),
        };
        let ledger = Ledger::new(setup, 0, clock.clone());
        let (token, renter) = (contracts.token, Who::Renter.address());
        let mint = Call::Mint { token, to: renter, amount: GRANT };
        ledger.seat(Who::Owner.address()).send(mint).await.unwrap();
        let place = Place { escrow: evm.escrow(), token, token_domain: contracts.token_domain };
        let pair = Self { clock, place, ledger, evm, next: 1.into() };

        let half = amount(GRANT.units() / 2);
        pair.done(Who::Renter, Call::Deposit { token, account: renter, amount: half }).await;
        pair.done(Who::Provider, pair.register(Who::Provider, Who::ProviderKey)).await;
        pair
    }

    pub(crate) fn real(&self, who: Who) -> Evm {
        self.evm.with_key(who.key())
    }

    pub(crate) fn fake(&self, who: Who) -> settlement::Seat {
        self.ledger.seat(who.address())
    }

    pub(crate) fn now(&self) -> UnixSeconds {
        self.clock.now()
    }

    /// Terms that were never used and can be opened now.
    pub(crate) fn terms(&self) -> Terms {
        let nonce = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        crate::deal::terms(&self.place, nonce, self.now())
    }

    pub(crate) fn register(&self, provider: Who, key: Who) -> Call {
        let digest = authorisation_digest(&self.evm.providers(), provider.address(), key.address());
        Call::Register { provider_key: key.address(), consent: key.key().sign(digest) }
    }

    /// Send to both; both must do it.
    pub(crate) async fn done(&self, who: Who, call: Call) -> Mined {
        let sent = self.send(who, call.clone()).await;
        match sent {
            Sent::Done(mined) => mined,
            Sent::Refused(refusal) => panic!("{who:?} {}: {refusal}", call.name()),
        }
    }

    /// Send to both; both must refuse for this reason.
    pub(crate) async fn refused(&self, who: Who, call: Call, reason: Reason) {
        let name = call.name();
        match self.send(who, call).await {
            Sent::Refused(refusal) => assert_eq!(refusal.reason, reason, "{who:?} {name}"),
            Sent::Done(_) => panic!("{who:?} {name} was to be refused: {reason}"),
        }
    }

    /// Send to both; they must agree, refusals by their reasons.
    pub(crate) async fn send(&self, who: Who, call: Call) -> Sent {
        self.compare(who, call, Agreement::Reason).await
    }

    /// Send to both; they must agree on whether it is done.
    pub(crate) async fn send_any(&self, who: Who, call: Call) -> Sent {
        self.compare(who, call, Agreement::Refusal).await
    }

    async fn compare(&self, who: Who, call: Call, agreement: Agreement) -> Sent {
        let (real, fake) = (self.real(who), self.fake(who));
        let terms: Vec<_> = call.deals().into_iter().cloned().collect();
        let mut before = Vec::new();
        for terms in &terms {
            before.push(fake.slot(self.place.id(terms)).await.unwrap());
        }
        let on_chain = real.send(call.clone()).await.unwrap();
        let in_memory = fake.send(call.clone()).await.unwrap();
        let name = call.name();
        let context = || format!("{who:?} {name} on {before:?}: {on_chain:?} / {in_memory:?}");
        let slot = before.first().copied().unwrap_or_default();
        let expected = predict(&call, &slot, self.now());
        match (&on_chain, &in_memory) {
            (Sent::Done(one), Sent::Done(other)) => {
                assert_eq!(one.at, other.at, "{}", context());
                assert_eq!(one.skipped, other.skipped, "{}", context());
                if let (Some(terms), Some(expected)) = (terms.first(), expected) {
                    let deal = self.place.id(terms);
                    let (slot, split) = expected.unwrap_or_else(|_| panic!("{}", context()));
                    assert_eq!(real.slot(deal).await.unwrap(), slot, "{}", context());
                    let closing = real.closing(deal).await.unwrap();
                    assert_eq!(closing.map(|closing| closing.split), split, "{}", context());
                }
            }
            (Sent::Refused(one), Sent::Refused(other)) => {
                if agreement == Agreement::Reason {
                    assert_eq!(one.reason, other.reason, "{}", context());
                }
                if let (Reason::Table(_), Some(expected)) = (other.reason, expected) {
                    let wrong_deal = other.reason == Reason::Table(Revert::WrongReceipt);
                    assert!(expected.is_err() || wrong_deal, "{}", context());
                }
                for (terms, before) in terms.iter().zip(&before) {
                    let slot = real.slot(self.place.id(terms)).await.unwrap();
                    assert_eq!(slot, *before, "{}", context());
                }
            }
            _ => panic!("{}", context()),
        }
        self.same_view(&terms).await;
        self.ledger.check().unwrap();
        on_chain
    }

    /// Both sides show the same balances and, for each deal, the same slot, opening, closing and
    /// use of its session.
    async fn same_view(&self, deals: &[Terms]) {
        let (real, fake) = (self.real(Who::Stranger), self.fake(Who::Stranger));
        let token = self.place.token;
        for who in Who::ALL {
            let account = who.address();
            let one = real.balances(token, account).await.unwrap();
            let other = fake.balances(token, account).await.unwrap();
            assert_eq!((one.wallet, one.escrow), (other.wallet, other.escrow), "{who:?}");
        }
        assert_eq!(real.admission(token).await.unwrap(), fake.admission(token).await.unwrap());
        for terms in deals {
            let deal = self.place.id(terms);
            assert_eq!(real.slot(deal).await.unwrap(), fake.slot(deal).await.unwrap());
            let one = real.opening(deal).await.unwrap();
            let other = fake.opening(deal).await.unwrap();
            assert_eq!(one.map(|opening| opening.at), other.map(|opening| opening.at));
            let one = real.closing(deal).await.unwrap();
            let other = fake.closing(deal).await.unwrap();
            assert_eq!(one.map(|closing| closing.split), other.map(|closing| closing.split));
            if let Some(session) = terms.session() {
                let one = real.session(session).await.unwrap();
                assert_eq!(one, fake.session(session).await.unwrap());
            }
        }
    }
}

/// What the pure table says of a call: the slot after it and, where it settles, the split. `None`
/// for calls that no table governs.
fn predict(
    call: &Call,
    slot: &Slot,
    now: UnixSeconds,
) -> Option<Result<(Slot, Option<Split>), Revert>> {
    let stays = |slot: Result<Slot, Revert>| Some(slot.map(|slot| (slot, None)));
    let ends =
        |ended: Result<(Slot, Split), Revert>| Some(ended.map(|(slot, split)| (slot, Some(split))));
    match call {
        Call::Open { terms, .. } => stays(slot.open(terms, &WINDOWS, now)),
        Call::Cancel { .. } => stays(slot.cancel()),
        Call::TopUp { terms, more, .. } => stays(slot.top_up(terms, *more, now)),
        Call::Present { terms, proof } => stays(slot.present(terms, &WINDOWS, &proof.receipt, now)),
        Call::Stop { .. } => stays(slot.stop(&WINDOWS, now)),
        Call::Claim { terms, proof, extra } => {
            let receipt = proof.as_ref().map(|proof| &proof.receipt);
            stays(slot.claim(terms, &WINDOWS, receipt, *extra, now))
        }
        Call::Settle { terms, proof } => ends(slot.settle(terms, &WINDOWS, &proof.receipt, now)),
        Call::Contest { terms, .. } => ends(slot.contest(terms, now)),
        Call::Finalize { terms } => ends(slot.finalize(terms, now)),
        Call::Expire { terms } => ends(slot.expire(terms, &WINDOWS, now)),
        _ => None,
    }
}
