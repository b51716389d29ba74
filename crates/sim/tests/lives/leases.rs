//! Leases at a provider whose gateway is slow, vanishes, or never assigns what it opened.

use std::time::Duration;

use market::{
    State,
    document::Act,
    message::{BidAnswer, CommandAnswer, Instruction, ToProvider},
};
use primitives::Clock as _;
use settlement::{Call, Sent, Settlement as _};
use sim::{Cell, Gateway, Mood, Renter, Town, WALLET, Wanted, Workshop, key, lasting};
use store::Crash;

use crate::sums::charge;

#[tokio::test(start_paused = true)]
async fn a_deal_that_is_opened_and_never_assigned_does_not_stay_for_ever() {
    let cell = Cell::begin(lasting(12)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let Some(BidAnswer::Bid(bid)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    cell.open(&bid).await;
    assert!(cell.rest(3 * 3_600).await, "{:?}", cell.workshop.provider().status());
    assert_eq!(cell.town.wealth(cell.renter.account()).await, WALLET);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_vanishes_after_opening_leaves_no_lease_and_no_money_behind() {
    let town = Town::new(13);
    let mut gateway = Gateway::new("gateway");
    gateway.start(&town).await;
    let mut workshop = Workshop::new(1, lasting(12));
    workshop.start(&town, &gateway).await;
    let renter = Renter { key: key(200) };
    town.fund(renter.account(), WALLET).await;
    let wanted = renter.submission(&town, &gateway, &Wanted::plain(1));
    // Started, submitted, placed, chosen, signed, opened: the transaction is out, and the process
    // that sent it never comes back.
    gateway.crash_at(6, Crash::Before);
    while !gateway.is_down() {
        if let Ok(job) = renter.order(&gateway, &wanted).await
            && let Some(view) = gateway.broker().job(job)
        {
            let consent = renter.consent(&town, &gateway, &view);
            let _ = tokio::time::timeout(Duration::from_secs(1), consent).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    town.network.crash(&gateway.peer);
    tokio::time::sleep(Duration::from_secs(3 * 3_600)).await;
    let status = workshop.provider().status();
    assert!(status.leases.is_empty(), "after every deadline: {:?}", status.leases);
    assert_eq!(status.free, status.capacity);
    assert_eq!(town.wealth(renter.account()).await, WALLET);
}

#[tokio::test(start_paused = true)]
async fn what_was_co_signed_is_claimed_before_the_deal_can_expire_however_slowly_it_was_signed() {
    let cell = Cell::begin(lasting(600)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let terms = cell.running(&wanted).await;
    let dead = market::Slot::deadline(&terms, &cell.town.setup.windows);
    let mut signed = 0;
    while cell.town.clock.now() <= dead && cell.slot(&terms).await.state == State::Open {
        cell.keeper.set(Mood::Signs);
        tokio::time::sleep(Duration::from_secs(6)).await;
        signed = cell.keeper.signed_seconds();
        cell.keeper.set(Mood::NotYet);
        tokio::time::sleep(Duration::from_secs(500)).await;
    }
    let slot = cell.slot(&terms).await;
    if slot.state == State::Open {
        let call = Call::Expire { terms: terms.clone() };
        let sent = cell.town.ledger.seat(cell.renter.account()).send(call).await;
        assert!(matches!(sent, Ok(Sent::Done(_))), "{sent:?}");
    }
    assert!(cell.rest(2 * 3_600).await, "{:?}", cell.workshop.provider().status());
    let due = charge(terms.rate, signed);
    let earned = cell.earned().await;
    assert!(earned >= due - due * 300 / 10_000, "{signed} s were signed, {earned} earned");
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_was_seen_before_a_restart_is_still_the_lowest() {
    let mut cell = Cell::begin(lasting(100)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let Some(BidAnswer::Bid(bid)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    let deal = cell.open(&bid).await;
    assert_eq!(cell.assign(deal, &wanted, 3).await, Some(CommandAnswer::Taken));
    assert_eq!(cell.assign(deal, &wanted, 8).await, Some(CommandAnswer::Taken));
    cell.workshop.restart(&cell.town, &cell.gateway).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let stop = cell.command(deal, 5, Act::Stop, &key(101));
    let told = Instruction { commands: vec![stop], assignment: None };
    let answer = cell.tell(&ToProvider::Command(Box::new(told))).await;
    assert!(matches!(answer, Some(CommandAnswer::Refused { .. })), "{answer:?}");
}
