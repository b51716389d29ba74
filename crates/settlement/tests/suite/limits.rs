//! The edges of every guard: the last second that counts and the first that does not, the last unit
//! and one more, and documents that were signed for something else.

use market::{Consent, Domain, Outcome, Terms, escrow::Revert};
use primitives::{Address, B256, BasisPoints, Seconds, UnixSeconds};
use settlement::{Call, Reason, Settlement};

use crate::{
    deal::{CAP, WINDOWS, amount, longest_expiry},
    pair::Pair,
    people::Who,
};

const WRONG_TIME: Reason = Reason::Table(Revert::WrongTime);
const OUT_OF_BOUNDS: Reason = Reason::Table(Revert::OutOfBounds);
const WRONG_RECEIPT: Reason = Reason::Table(Revert::WrongReceipt);

async fn opened(pair: &Pair) -> Terms {
    let terms = pair.terms();
    pair.done(Who::Stranger, pair.place.open(&terms)).await;
    terms
}

fn present(pair: &Pair, terms: &Terms, seconds: u64) -> Call {
    Call::Present { terms: terms.clone(), proof: pair.place.running(terms, seconds) }
}

fn claim(pair: &Pair, terms: &Terms, seconds: u64, extra: u64) -> Call {
    let proof = Some(pair.place.running(terms, seconds));
    Call::Claim { terms: terms.clone(), proof, extra: Seconds(extra) }
}

fn settle(pair: &Pair, terms: &Terms, seconds: u64) -> Call {
    Call::Settle { terms: terms.clone(), proof: pair.place.completed(terms, seconds) }
}

fn finalize(terms: &Terms) -> Call {
    Call::Finalize { terms: terms.clone() }
}

fn top_up(terms: &Terms) -> Call {
    Call::TopUp { terms: terms.clone(), more: amount(1), session: None, intent: None }
}

#[tokio::test]
async fn a_deal_opens_up_to_accept_by_and_at_most_its_lead_ahead() {
    let pair = Pair::new().await;
    let at = |accept_by: UnixSeconds| {
        let mut terms = pair.terms();
        terms.accept_by = accept_by;
        terms.expiry = accept_by.plus(Seconds(900));
        terms
    };
    let now = pair.now();
    let lead = WINDOWS.accept.0;
    pair.refused(Who::Stranger, pair.place.open(&at(now.minus(Seconds(1)))), WRONG_TIME).await;
    pair.done(Who::Stranger, pair.place.open(&at(now))).await;
    pair.done(Who::Stranger, pair.place.open(&at(now.plus(Seconds(lead))))).await;
    pair.refused(Who::Stranger, pair.place.open(&at(now.plus(Seconds(lead + 1)))), WRONG_TIME)
        .await;
}

#[tokio::test]
async fn expiry_lies_after_accept_by_and_at_most_366_days_after() {
    let pair = Pair::new().await;
    let with = |expiry: fn(&Terms) -> UnixSeconds| {
        let mut terms = pair.terms();
        terms.expiry = expiry(&terms);
        pair.place.open(&terms)
    };
    pair.refused(Who::Stranger, with(|terms| terms.accept_by), WRONG_TIME).await;
    pair.done(Who::Stranger, with(|terms| terms.accept_by.plus(Seconds(1)))).await;
    pair.done(Who::Stranger, with(longest_expiry)).await;
    let beyond = |terms: &Terms| longest_expiry(terms).plus(Seconds(1));
    pair.refused(Who::Stranger, with(beyond), WRONG_TIME).await;
}

#[tokio::test]
async fn terms_that_no_escrow_carries_are_refused() {
    let pair = Pair::new().await;
    let with = |change: fn(&mut Terms)| {
        let mut terms = pair.terms();
        change(&mut terms);
        pair.place.open(&terms)
    };
    let session = with(|terms| terms.session = B256::repeat_byte(1));
    pair.refused(Who::Stranger, session, Reason::Terms).await;
    let no_renter_key = with(|terms| terms.renter_key = Address::ZERO);
    pair.refused(Who::Stranger, no_renter_key, Reason::Terms).await;
    let no_provider_key = with(|terms| terms.provider_key = Address::ZERO);
    pair.refused(Who::Stranger, no_provider_key, Reason::Terms).await;
    let no_cap = with(|terms| terms.cap = amount(0));
    pair.refused(Who::Stranger, no_cap, OUT_OF_BOUNDS).await;
    let endless = with(|terms| terms.grace = Seconds(1 << 16));
    pair.refused(Who::Stranger, endless, Reason::Terms).await;
    let far = with(|terms| terms.expiry = UnixSeconds(1 << 40));
    pair.refused(Who::Stranger, far, Reason::Terms).await;
}

#[tokio::test]
async fn opening_asks_for_the_present_fee_a_listed_token_an_authorised_key_and_no_pause() {
    let pair = Pair::new().await;
    let with = |change: fn(&mut Terms)| {
        let mut terms = pair.terms();
        change(&mut terms);
        pair.place.open(&terms)
    };
    let other_fee = with(|terms| terms.fee = BasisPoints(299));
    pair.refused(Who::Stranger, other_fee, Reason::Fee).await;
    let other_token = with(|terms| terms.token = Address::repeat_byte(0x77));
    pair.refused(Who::Stranger, other_token, Reason::Token).await;
    let other_provider = with(|terms| terms.provider = Who::Stranger.address());
    pair.refused(Who::Stranger, other_provider, Reason::ProviderKey).await;

    let pause = Call::PauseOpens { span: Seconds(100) };
    pair.refused(Who::Stranger, pause.clone(), Reason::Sender).await;
    let open = opened(&pair).await;
    pair.done(Who::Owner, pause).await;
    pair.refused(Who::Stranger, with(|_| {}), Reason::Paused).await;
    pair.refused(Who::Renter, top_up(&open), Reason::Paused).await;
    // Exits never pause.
    pair.done(Who::Stranger, settle(&pair, &open, 1)).await;
    pair.clock.advance(99);
    pair.refused(Who::Stranger, with(|_| {}), Reason::Paused).await;
    pair.clock.advance(1);
    pair.done(Who::Stranger, with(|_| {})).await;

    pair.done(Who::Owner, Call::SetFee { fee: BasisPoints(400) }).await;
    pair.refused(Who::Stranger, with(|_| {}), Reason::Fee).await;
    pair.done(Who::Stranger, with(|terms| terms.fee = BasisPoints(400))).await;
    let list = Call::List { token: pair.place.token, listed: false };
    pair.done(Who::Owner, list).await;
    pair.refused(Who::Stranger, with(|terms| terms.fee = BasisPoints(400)), Reason::Token).await;
}

#[tokio::test]
async fn both_sides_must_have_signed_these_very_terms() {
    let pair = Pair::new().await;
    let terms = pair.terms();
    let signed = |bid: Who, renter: Who| Call::Open {
        terms: terms.clone(),
        bid: pair.place.by(bid, &terms),
        consent: Consent::Terms { signature: pair.place.by(renter, &terms) },
    };
    let wrong_bid = signed(Who::Provider, Who::Renter);
    pair.refused(Who::Stranger, wrong_bid, Reason::ProviderConsent).await;
    // The key that signs receipts cannot spend the renter's balance.
    let by_key = signed(Who::ProviderKey, Who::RenterKey);
    pair.refused(Who::Stranger, by_key, Reason::RenterConsent).await;
    let forged = pair.place.open_by_authorization(&terms, Who::RenterKey);
    pair.refused(Who::Stranger, forged, Reason::Authorization).await;

    // Signed for another chain, and for another contract.
    let real = pair.real(Who::Renter).escrow();
    let elsewhere = [
        Domain { chain_id: real.chain_id + 1, ..real },
        Domain { contract: Address::repeat_byte(1), ..real },
    ];
    for domain in elsewhere {
        let digest = terms.id(&domain).0;
        let call = Call::Open {
            terms: terms.clone(),
            bid: Who::ProviderKey.key().sign(digest),
            consent: Consent::Terms { signature: Who::Renter.key().sign(digest) },
        };
        pair.refused(Who::Stranger, call, Reason::RenterConsent).await;
    }
    pair.done(Who::Stranger, pair.place.open(&terms)).await;
}

#[tokio::test]
async fn a_renter_cannot_open_with_money_it_does_not_have() {
    let pair = Pair::new().await;
    let mut terms = pair.terms();
    terms.cap = amount(500_000_000_000);
    pair.refused(Who::Stranger, pair.place.open(&terms), Reason::Funds).await;
    let pulled = pair.place.open_by_authorization(&terms, Who::Renter);
    pair.refused(Who::Stranger, pulled, Reason::Funds).await;
    terms.cap = amount(500_000_000_000 - 18);
    pair.done(Who::Stranger, pair.place.open(&terms)).await;
    pair.refused(Who::Renter, top_up(&terms), Reason::Funds).await;
}

#[tokio::test]
async fn receipts_are_taken_before_d_and_a_deal_expires_from_d_on() {
    let pair = Pair::new().await;
    let (open, other) = (opened(&pair).await, opened(&pair).await);
    let deadline = market::Slot::deadline(&open, &WINDOWS);
    let expire = |terms: &Terms| Call::Expire { terms: terms.clone() };
    pair.clock.set(deadline.minus(Seconds(1)));
    pair.refused(Who::Stranger, expire(&open), WRONG_TIME).await;
    pair.done(Who::Stranger, present(&pair, &open, 100)).await;
    pair.done(Who::Provider, claim(&pair, &other, 100, 0)).await;
    pair.clock.set(deadline);
    pair.refused(Who::Stranger, present(&pair, &open, 200), WRONG_TIME).await;
    pair.refused(Who::Provider, claim(&pair, &open, 200, 0), WRONG_TIME).await;
    pair.done(Who::Stranger, expire(&open)).await;
    let closing = pair.real(Who::Owner).closing(pair.place.id(&open)).await.unwrap().unwrap();
    assert_eq!(closing.split.charge(), amount(100_000), "settled at the floor");
}

#[tokio::test]
async fn a_stopped_deal_takes_receipts_before_its_window_ends_and_is_final_from_then_on() {
    let pair = Pair::new().await;
    let terms = opened(&pair).await;
    pair.done(Who::RenterKey, Call::Stop { terms: terms.clone(), intent: None }).await;
    pair.clock.advance(WINDOWS.dispute.0 - 1);
    pair.refused(Who::Stranger, finalize(&terms), WRONG_TIME).await;
    pair.done(Who::Stranger, present(&pair, &terms, 100)).await;
    pair.clock.advance(1);
    pair.refused(Who::Stranger, present(&pair, &terms, 101), WRONG_TIME).await;
    pair.refused(Who::Provider, claim(&pair, &terms, 101, 1), WRONG_TIME).await;
    pair.done(Who::Stranger, finalize(&terms)).await;
}

#[tokio::test]
async fn a_claim_is_contested_before_its_window_ends_and_final_from_then_on() {
    let pair = Pair::new().await;
    let (one, other) = (opened(&pair).await, opened(&pair).await);
    pair.clock.advance(200);
    for terms in [&one, &other] {
        pair.done(Who::ProviderKey, claim(&pair, terms, 100, 60)).await;
    }
    let contest = |terms: &Terms| Call::Contest { terms: terms.clone(), intent: None };
    pair.clock.advance(WINDOWS.dispute.0 - 1);
    pair.refused(Who::Stranger, finalize(&one), WRONG_TIME).await;
    pair.done(Who::Renter, contest(&one)).await;
    pair.clock.advance(1);
    pair.refused(Who::Renter, contest(&other), WRONG_TIME).await;
    pair.done(Who::Stranger, finalize(&other)).await;
    let charge = async |terms: &Terms| {
        let id = pair.place.id(terms);
        pair.real(Who::Owner).closing(id).await.unwrap().unwrap().split.charge()
    };
    assert_eq!(charge(&one).await, amount(100_000), "the floor");
    assert_eq!(charge(&other).await, amount(160_000), "the floor and the extra seconds");
}

#[tokio::test]
async fn a_receipt_stays_within_what_is_locked_what_time_costs_and_what_can_have_passed() {
    let pair = Pair::new().await;
    let terms = opened(&pair).await;
    // acceptBy is 30 s ahead and A is 120 s, so 90 s can have passed.
    pair.refused(Who::Stranger, settle(&pair, &terms, 91), OUT_OF_BOUNDS).await;
    pair.done(Who::Stranger, present(&pair, &terms, 90)).await;
    pair.refused(Who::Stranger, present(&pair, &terms, 91), OUT_OF_BOUNDS).await;
    pair.refused(Who::Provider, claim(&pair, &terms, 90, 1), OUT_OF_BOUNDS).await;

    // From expiry on no more seconds come.
    pair.clock.set(terms.expiry.plus(Seconds(60)));
    let most = terms.expiry.since(terms.accept_by).0 + WINDOWS.accept.0;
    let mut receipt = pair.place.receipt(&terms, most, Outcome::Running);
    receipt.amount = CAP;
    let with = |receipt: &market::Receipt| Call::Present {
        terms: terms.clone(),
        proof: pair.place.cosigned(receipt.clone()),
    };
    let mut late = receipt.clone();
    late.seconds = Seconds(most + 1);
    pair.refused(Who::Stranger, with(&late), OUT_OF_BOUNDS).await;
    pair.done(Who::Stranger, with(&receipt)).await;

    let other = opened(&pair).await;
    pair.clock.advance(1_200);
    let mut receipt = pair.place.receipt(&other, 1_001, Outcome::Completed);
    let with = |receipt: &market::Receipt| Call::Settle {
        terms: other.clone(),
        proof: pair.place.cosigned(receipt.clone()),
    };
    pair.refused(Who::Stranger, with(&receipt), OUT_OF_BOUNDS).await;
    (receipt.amount, receipt.seconds) = (amount(10_001), Seconds(10));
    pair.refused(Who::Stranger, with(&receipt), OUT_OF_BOUNDS).await;
    (receipt.amount, receipt.seconds) = (CAP, Seconds(1_000));
    pair.done(Who::Stranger, with(&receipt)).await;
}

#[tokio::test]
async fn a_top_up_raises_what_can_be_paid_until_expiry() {
    let pair = Pair::new().await;
    let terms = opened(&pair).await;
    pair.clock.set(terms.expiry.minus(Seconds(1)));
    pair.done(Who::Renter, top_up(&terms)).await;
    let mut receipt = pair.place.receipt(&terms, 1_002, Outcome::OutOfFunds);
    receipt.amount = amount(CAP.units() + 1);
    pair.clock.set(terms.expiry);
    pair.refused(Who::Renter, top_up(&terms), WRONG_TIME).await;
    let proof = pair.place.cosigned(receipt);
    pair.done(Who::Stranger, Call::Settle { terms, proof }).await;
}

#[tokio::test]
async fn a_provider_s_early_fault_is_free() {
    let pair = Pair::new().await;
    let terms = opened(&pair).await;
    pair.clock.advance(600);
    let fault = |seconds, units| {
        let mut receipt = pair.place.receipt(&terms, seconds, Outcome::ProviderFault);
        receipt.amount = amount(units);
        Call::Settle { terms: terms.clone(), proof: pair.place.cosigned(receipt) }
    };
    pair.refused(Who::Stranger, fault(299, 1), OUT_OF_BOUNDS).await;
    pair.done(Who::Stranger, fault(300, 1)).await;
    let terms = opened(&pair).await;
    let mut receipt = pair.place.receipt(&terms, 10, Outcome::ProviderFault);
    receipt.amount = amount(0);
    let proof = pair.place.cosigned(receipt);
    pair.done(Who::Stranger, Call::Settle { terms, proof }).await;
}

#[tokio::test]
async fn receipts_replayed_decreased_of_another_deal_or_by_wrong_signers_are_refused() {
    let pair = Pair::new().await;
    let (terms, other) = (opened(&pair).await, opened(&pair).await);
    pair.done(Who::Stranger, present(&pair, &terms, 50)).await;

    // A lower receipt changes nothing; a claim cannot lower the floor.
    pair.done(Who::Stranger, present(&pair, &terms, 40)).await;
    pair.refused(Who::Provider, claim(&pair, &terms, 40, 0), WRONG_RECEIPT).await;

    // Of another deal.
    let proof = pair.place.running(&other, 60);
    let stolen = Call::Present { terms: terms.clone(), proof };
    pair.refused(Who::Stranger, stolen, WRONG_RECEIPT).await;

    // Of the wrong kind.
    let proof = pair.place.completed(&terms, 60);
    let terminal = Call::Present { terms: terms.clone(), proof };
    pair.refused(Who::Stranger, terminal, WRONG_RECEIPT).await;
    let proof = pair.place.running(&terms, 60);
    let running = Call::Settle { terms: terms.clone(), proof };
    pair.refused(Who::Stranger, running, WRONG_RECEIPT).await;

    // By the wrong signers: accounts where keys are asked for, one key twice, none.
    let receipt = pair.place.receipt(&terms, 60, Outcome::Running);
    let key = Some(Who::ProviderKey);
    for renter in [Some(Who::Renter), Some(Who::ProviderKey), None] {
        let proof = pair.place.signed_by(receipt.clone(), renter, key);
        let call = Call::Present { terms: terms.clone(), proof };
        pair.refused(Who::Stranger, call, Reason::RenterConsent).await;
    }
    for provider in [Some(Who::Provider), Some(Who::RenterKey), None] {
        let proof = pair.place.signed_by(receipt.clone(), Some(Who::RenterKey), provider);
        let call = Call::Present { terms: terms.clone(), proof };
        pair.refused(Who::Stranger, call, Reason::ProviderConsent).await;
    }

    // More seconds than grace.
    pair.clock.advance(300);
    pair.refused(Who::Provider, claim(&pair, &terms, 60, 61), OUT_OF_BOUNDS).await;
    pair.done(Who::Provider, claim(&pair, &terms, 60, 60)).await;

    // Settled once, and never again.
    pair.done(Who::Stranger, settle(&pair, &terms, 10)).await;
    let again = Reason::Table(Revert::WrongState);
    pair.refused(Who::Stranger, settle(&pair, &terms, 10), again).await;
    pair.refused(Who::Stranger, pair.place.open(&terms), again).await;
}
