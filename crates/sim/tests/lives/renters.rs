//! Renters that change their mind, come late or play false.

use std::time::Duration;

use market::{Consent, State};
use primitives::Amount;
use settlement::{Call, Sent, Settlement as _};
use sim::{House, Town, WALLET, Wanted, key, lasting};
use tokio::time::Instant;

use crate::sums::charge;

#[tokio::test(start_paused = true)]
async fn a_renter_that_cancels_on_the_chain_or_spends_its_money_pays_nothing() {
    for cancels in [true, false] {
        let mut house = House::begin(8, lasting(12)).await;
        let wanted = house.submission(&Wanted::plain(1));
        let job = house.renter.order(&house.gateway, &wanted).await.expect("fair");
        let view = loop {
            let view = house.gateway.broker().job(job).expect("ordered");
            if view.deal().is_some() {
                break view;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let terms = view.deal().cloned().expect("chosen").agreement.terms.document;
        let seat = house.town.ledger.seat(house.renter.account());
        let call = match cancels {
            true => Call::Cancel { terms, intent: None },
            false => Call::Deposit {
                token: house.town.setup.token,
                account: key(201).address(),
                amount: WALLET,
            },
        };
        assert!(matches!(seat.send(call).await, Ok(Sent::Done(_))));
        let view = house.live_until_done(&wanted).await;
        assert!(matches!(view.deal(), Some(deal) if deal.state == "void"), "{:?}", view.conclusion);
        house.rest().await;
        assert_eq!(house.town.wealth(house.workshop.account).await, Amount::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_consent_that_is_not_the_renter_s_to_these_terms_is_refused() {
    let mut house = House::begin(9, lasting(12)).await;
    let first = house.submission(&Wanted::plain(1));
    let done = house.live_until_done(&first).await.deal().cloned().expect("placed");
    let second = house.submission(&Wanted::plain(2));
    let job = house.renter.order(&house.gateway, &second).await.expect("fair");
    let deal = loop {
        if let Some(deal) = house.gateway.broker().job(job).and_then(|view| view.deal().cloned()) {
            break deal.agreement;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let (escrow, domain) = (house.town.escrow(), &house.town.setup.token_domain);
    let old = done.agreement.terms.document.authorization(&escrow, domain).expect("small");
    let new = deal.terms.document.authorization(&escrow, domain).expect("small");
    let consents = [
        Consent::Authorization { signature: house.renter.key.sign(old) },
        Consent::Terms { signature: house.renter.key.sign(done.agreement.deal.0) },
        Consent::Authorization { signature: key(9).sign(new) },
        Consent::Terms { signature: key(101).sign(deal.deal.0) },
        Consent::Terms { signature: house.renter.key.sign(new) },
    ];
    for consent in consents {
        let said = house.gateway.broker().consent(deal.deal, consent.clone()).await;
        assert!(matches!(said, Err(broker::Refusal::NotSigned(_))), "{consent:?}: {said:?}");
    }
    let seat = house.town.ledger.seat(house.renter.account());
    assert_eq!(seat.slot(deal.deal).await.expect("there").state, State::None);
}

#[tokio::test(start_paused = true)]
async fn a_deal_that_opens_at_the_last_moment_of_a_deep_chain_is_not_given_up() {
    for (late, crashes) in [(5, false), (27, false), (27, true), (29, true)] {
        let here = format!("consent after {late} s, crash: {crashes}");
        let (town, _sealing) = Town::deep(14, 4);
        let mut house = House::in_town(town, lasting(12)).await;
        let wanted = house.submission(&Wanted::plain(1));
        let job = house.renter.order(&house.gateway, &wanted).await.expect("fair");
        while house.gateway.broker().job(job).is_none_or(|view| view.deal().is_none()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(late)).await;
        house.nudge(&wanted).await;
        if crashes {
            tokio::time::sleep(Duration::from_secs(3)).await;
            house.gateway.restart(&house.town).await;
        }
        let view = house.live_until_done(&wanted).await;
        let deal = view.deal().cloned().expect("placed");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let seat = house.town.ledger.seat(house.renter.account());
        let slot = seat.slot(deal.agreement.deal).await.expect("there");
        assert!(
            matches!(slot.state, State::None | State::Settled),
            "{here}: the job is over ({}, {:?}) and the money is {:?}",
            deal.state,
            deal.problem,
            slot.state
        );
        let offered = house.lease_stage();
        tokio::time::sleep(Duration::from_secs(3 * 3_600)).await;
        assert_eq!(house.lease_stage(), None, "{here}: it was {offered:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_any_moment_ends_the_job_and_costs_at_most_what_ran() {
    for after in (0..28).map(|half| half * 500) {
        let here = format!("stopped after {after} ms");
        let mut house = House::begin(5, lasting(12)).await;
        let wanted = house.submission(&Wanted::plain(1));
        let (begun, mut stopped) = (Instant::now(), false);
        let view = loop {
            let view = house.nudge(&wanted).await.expect("nothing fails");
            if !stopped && begun.elapsed() >= Duration::from_millis(after) {
                house.gateway.broker().stop(view.id).await.expect("known");
                stopped = true;
            }
            if view.state == "done" {
                break view;
            }
            assert!(begun.elapsed() < Duration::from_secs(3_600), "{here}: {view:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        house.rest().await;
        let (charged, _) = house.paid().await;
        if let Some(deal) = view.deal().cloned() {
            let rate = deal.agreement.terms.document.rate;
            assert!(charged <= charge(rate, after / 1_000 + 2), "{here}: {charged}");
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(after / 1_000 + 60), "{here}: {waited:?}");
        } else {
            assert_eq!(charged, 0, "{here}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_taken_survives_a_crash_of_the_gateway() {
    for after in 0..20 {
        let mut house = House::begin(15, lasting(500)).await;
        let wanted = house.submission(&Wanted::plain(1));
        let job = house.live_until(&wanted, "running").await.id;
        tokio::time::sleep(Duration::from_millis(after * 100)).await;
        house.gateway.broker().stop(job).await.expect("known");
        house.gateway.log.crash();
        house.revive().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let view = house.gateway.broker().job(job).expect("known");
        assert!(view.stopping || view.state == "done", "crashed {after} x 100 ms into running");
    }
}
