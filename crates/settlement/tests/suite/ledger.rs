//! The ledger's own: chosen faults, late finality, a clock from outside, and that it is the same
//! ledger every time.

use std::sync::Arc;

use market::{State, Terms, escrow::Revert};
use primitives::{Clock, Seconds};
use settlement::{Call, Error, Ledger, Reason, Sent, Settlement, Setup, authorisation_digest};

use crate::{
    deal::{FEE, Place, WINDOWS, amount, terms},
    people::{Hand, Who},
};

struct Fake {
    clock: Arc<Hand>,
    ledger: Ledger,
    place: Place,
}

/// A ledger on which a deal can be opened.
async fn fake() -> Fake {
    let clock = Hand::new();
    let setup = Setup::fake(WINDOWS, FEE, Who::Owner.address());
    let (token, token_domain) = (setup.token, setup.token_domain.clone());
    let place = Place { escrow: setup.escrow, token, token_domain };
    let ledger = Ledger::new(setup, 0, clock.clone());
    let fake = Fake { clock, ledger, place };
    let mint = Call::Mint { token, to: Who::Renter.address(), amount: amount(10_000_000) };
    fake.done(Who::Owner, mint).await;
    let (provider, key) = (Who::Provider.address(), Who::ProviderKey);
    let domain = fake.ledger.seat(provider).providers();
    let consent = key.key().sign(authorisation_digest(&domain, provider, key.address()));
    fake.done(Who::Provider, Call::Register { provider_key: key.address(), consent }).await;
    fake
}

impl Fake {
    async fn send(&self, who: Who, call: Call) -> Result<Sent, Error> {
        let sent = self.ledger.seat(who.address()).send(call).await;
        self.ledger.check().unwrap();
        sent
    }

    async fn done(&self, who: Who, call: Call) {
        assert!(matches!(self.send(who, call).await.unwrap(), Sent::Done(_)));
    }

    fn terms(&self) -> Terms {
        terms(&self.place, 1, self.clock.now())
    }

    async fn state(&self, terms: &Terms) -> State {
        let id = self.place.id(terms);
        self.ledger.seat(Who::Renter.address()).slot(id).await.unwrap().state
    }
}

#[tokio::test]
async fn a_lost_call_changes_nothing_and_can_be_sent_again() {
    let fake = fake().await;
    let terms = fake.terms();
    let open = || fake.place.open_by_authorization(&terms, Who::Renter);
    fake.ledger.lose_calls(1);
    let lost = fake.send(Who::Stranger, open()).await.unwrap_err();
    assert!(lost.is_retryable(), "{lost}");
    assert_eq!(fake.state(&terms).await, State::None);
    fake.done(Who::Stranger, open()).await;
}

#[tokio::test]
async fn a_lost_answer_shows_in_the_slot_and_the_same_call_is_refused_as_already_done() {
    let fake = fake().await;
    let terms = fake.terms();
    let open = || fake.place.open_by_authorization(&terms, Who::Renter);
    fake.ledger.lose_answers(1);
    assert!(fake.send(Who::Stranger, open()).await.unwrap_err().is_retryable());
    assert_eq!(fake.state(&terms).await, State::Open);
    let Sent::Refused(refusal) = fake.send(Who::Stranger, open()).await.unwrap() else {
        panic!("it was opened twice")
    };
    assert!(refusal.is_wrong_state());
}

#[tokio::test]
async fn while_it_is_gone_every_question_fails_by_name() {
    let fake = fake().await;
    let terms = fake.terms();
    let seat = fake.ledger.seat(Who::Renter.address());
    fake.ledger.set_gone(true);
    let gone = seat.slot(fake.place.id(&terms)).await.unwrap_err();
    assert!(gone.is_retryable(), "{gone}");
    assert!(seat.head().await.is_err());
    let open = fake.place.open_by_authorization(&terms, Who::Renter);
    assert!(fake.send(Who::Stranger, open.clone()).await.is_err());
    // Blocks go on elsewhere and are heard of afterwards.
    let mut heads = seat.heads();
    heads.mark_unchanged();
    fake.ledger.seal();
    assert!(!heads.has_changed().unwrap());
    fake.ledger.set_gone(false);
    assert!(heads.has_changed().unwrap());
    fake.done(Who::Stranger, open).await;
}

#[tokio::test]
async fn with_late_finality_a_call_is_answered_when_enough_blocks_follow() {
    let clock = Hand::new();
    let setup = Setup::fake(WINDOWS, FEE, Who::Owner.address());
    let token = setup.token;
    let ledger = Ledger::new(setup, 2, clock);
    let owner = ledger.seat(Who::Owner.address());
    let mint = Call::Mint { token, to: Who::Renter.address(), amount: amount(9) };
    let sending = tokio::spawn({
        let owner = owner.clone();
        async move { owner.send(mint).await.unwrap() }
    });
    let wallet = async || owner.balances(token, Who::Renter.address()).await.unwrap().wallet;
    crate::people::eventually("it is sealed", async || ledger.height() == 1).await;
    for _ in 0..2 {
        assert_eq!(wallet().await, amount(0));
        assert!(!sending.is_finished());
        ledger.seal();
    }
    let Sent::Done(mined) = sending.await.unwrap() else { panic!("it was refused") };
    assert_eq!(mined.block, owner.head().await.unwrap().number);
    assert_eq!(wallet().await, amount(9));
}

#[tokio::test]
async fn blocks_that_are_taken_back_before_depth_never_happened() {
    let setup = Setup::fake(WINDOWS, FEE, Who::Owner.address());
    let token = setup.token;
    let ledger = Ledger::new(setup, 2, Hand::new());
    let owner = ledger.seat(Who::Owner.address());
    let mint = Call::Mint { token, to: Who::Renter.address(), amount: amount(9) };
    let sending = tokio::spawn({
        let (owner, mint) = (owner.clone(), mint.clone());
        async move { owner.send(mint).await }
    });
    crate::people::eventually("it is sealed", async || ledger.height() == 1).await;
    ledger.reorganise(5);
    assert_eq!(ledger.height(), 1, "another block takes its place");
    (0..2).for_each(|_| ledger.seal());
    let sent = sending.await.unwrap();
    assert!(matches!(sent, Err(Error::Unconfirmed { .. })), "{sent:?}");
    assert_eq!((ledger.carried(0), ledger.check()), (Vec::new(), Ok(())));

    // What lies at depth stays, whatever is taken back above it.
    let again = tokio::spawn(async move { owner.send(mint).await.unwrap() });
    crate::people::eventually("it is sealed", async || ledger.height() == 4).await;
    (0..2).for_each(|_| ledger.seal());
    ledger.reorganise(5);
    assert!(matches!(again.await.unwrap(), Sent::Done(_)));
    assert_eq!(ledger.carried(0).len(), 1);
}

#[tokio::test]
async fn block_time_follows_the_clock_and_never_runs_backwards() {
    let fake = fake().await;
    let seat = fake.ledger.seat(Who::Renter.address());
    let before = seat.head().await.unwrap();
    fake.clock.advance(17);
    fake.ledger.seal();
    let after = seat.head().await.unwrap();
    assert_eq!((after.number, after.time), (before.number + 1, before.time.plus(Seconds(17))));
    fake.ledger.seal();
    assert_eq!(seat.head().await.unwrap().time, after.time);
}

#[tokio::test]
async fn a_refused_call_makes_no_block_and_the_same_calls_make_the_same_blocks() {
    let one = fake().await;
    let other = fake().await;
    let mut heads = Vec::new();
    for fake in [&one, &other] {
        let terms = fake.terms();
        let expire = Call::Expire { terms: terms.clone() };
        let height = fake.ledger.height();
        let Sent::Refused(refusal) = fake.send(Who::Stranger, expire).await.unwrap() else {
            panic!("there is nothing to expire")
        };
        assert_eq!(refusal.reason, Reason::Table(Revert::WrongState));
        assert_eq!(fake.ledger.height(), height);
        fake.done(Who::Stranger, fake.place.open_by_authorization(&terms, Who::Renter)).await;
        heads.push(fake.ledger.seat(Who::Owner.address()).head().await.unwrap());
    }
    assert_eq!(heads[0], heads[1]);
}
