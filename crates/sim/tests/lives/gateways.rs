//! Hostile gateways attack the real provider.

use std::time::Duration;

use market::{
    State,
    document::Act,
    message::{Assignment, BidAnswer, CommandAnswer, Instruction, ToProvider},
};
use primitives::{Epoch, TaskIndex};
use sim::{Cell, Mood, Renter, Wanted, key, lasting};

use crate::sums::charge;

#[tokio::test(start_paused = true)]
async fn a_gateway_that_puts_receipts_off_for_ever_ends_in_a_claim() {
    for mood in [Mood::NotYet, Mood::BehindFor(0), Mood::BehindFor(u64::MAX), Mood::BehindFor(3)] {
        let cell = Cell::begin(lasting(100)).await;
        let wanted = cell.wanted(&Wanted::plain(1));
        let terms = cell.running(&wanted).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        let before = cell.keeper.asked();
        cell.keeper.set(mood);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let asked = cell.keeper.asked() - before;
        assert!(asked <= 400, "{mood:?}: {asked} questions in a minute");
        assert!(cell.rest(4 * 3_600).await, "{mood:?}: {:?}", cell.workshop.provider().status());
        assert_eq!(cell.slot(&terms).await.state, State::Settled, "{mood:?}");
        assert!(cell.earned().await >= charge(terms.rate, 15) * 97 / 100, "{mood:?}");
        assert!(cell.keeper.terminals() <= 1, "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_signature_of_another_key_counts_as_none() {
    let cell = Cell::begin(lasting(100)).await;
    cell.keeper.set(Mood::SignsWithAnotherKey);
    let wanted = cell.wanted(&Wanted::plain(1));
    cell.running(&wanted).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let status = cell.workshop.provider().status();
    assert!(status.leases.iter().any(|lease| lease.held), "{status:?}");
    assert!(cell.rest(4 * 3_600).await, "{:?}", cell.workshop.provider().status());
    assert_eq!(cell.earned().await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_assignment_said_often_and_by_many_gateways_starts_one_run() {
    let cell = Cell::begin(lasting(100)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let Some(BidAnswer::Bid(bid)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    let Some(BidAnswer::Bid(again)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    assert_eq!(bid, again, "the same request has the same bid");
    let deal = cell.open(&bid).await;
    for fence in [3, 3, 5, 5] {
        assert_eq!(cell.assign(deal, &wanted, fence).await, Some(CommandAnswer::Taken));
    }
    for (fence, by) in [(4, key(101)), (9, key(8)), (9, key(200)), (9, key(51))] {
        let stop = cell.command(deal, fence, Act::Stop, &by);
        let told = Instruction { commands: vec![stop], assignment: None };
        let answer = cell.tell(&ToProvider::Command(Box::new(told))).await;
        assert!(matches!(answer, Some(CommandAnswer::Refused { .. })), "{fence}: {answer:?}");
    }
    let other = cell.wanted(&Wanted { command: vec!["other".to_owned()], ..Wanted::plain(1) });
    let answer = cell.assign(deal, &other, 6).await;
    assert!(matches!(answer, Some(CommandAnswer::Refused { .. })), "{answer:?}");
    let spec = wanted.order.document.spec;
    let act = Act::Assign { task: TaskIndex(0), epoch: Epoch(1), spec };
    let assignment = Some(Assignment { work: other.work.clone(), salt: other.salt });
    let command = cell.command(deal, 6, act, &key(101));
    let told = Instruction { commands: vec![command], assignment };
    let answer = cell.tell(&ToProvider::Command(Box::new(told))).await;
    assert!(matches!(answer, Some(CommandAnswer::Refused { .. })), "{answer:?}");
    assert!(cell.rest(3_600).await);
    assert_eq!(cell.keeper.terminals(), 1);
    assert_eq!(cell.earned().await, {
        let due = charge(bid.terms.document.rate, 100);
        due - due * 300 / 10_000
    });
}

#[tokio::test(start_paused = true)]
async fn the_fence_of_an_assignment_holds_after_a_restart_of_the_provider() {
    let mut cell = Cell::begin(lasting(100)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let Some(BidAnswer::Bid(bid)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    let deal = cell.open(&bid).await;
    assert_eq!(cell.assign(deal, &wanted, 8).await, Some(CommandAnswer::Taken));
    cell.workshop.restart(&cell.town, &cell.gateway).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let stop = cell.command(deal, 7, Act::Stop, &key(101));
    let told = Instruction { commands: vec![stop], assignment: None };
    let answer = cell.tell(&ToProvider::Command(Box::new(told))).await;
    assert!(matches!(answer, Some(CommandAnswer::Refused { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn bids_that_are_never_opened_hold_no_more_than_the_machine_and_not_for_long() {
    let cell = Cell::begin(lasting(12)).await;
    let mut given = 0;
    for salt in 1..=40 {
        let wanted = cell.wanted(&Wanted::plain(salt.into()));
        if let Some(BidAnswer::Bid(_)) = cell.bid(&wanted, salt).await {
            given += 1;
        }
    }
    assert_eq!(given, 4, "a machine of four cores");
    tokio::time::sleep(Duration::from_secs(20 * 60)).await;
    let status = cell.workshop.provider().status();
    assert_eq!(status.free, status.capacity);
    assert!(status.leases.is_empty(), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_before_the_deal_is_open_and_nobody_without_money_is_bid_to() {
    let cell = Cell::begin(lasting(12)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let Some(BidAnswer::Bid(bid)) = cell.bid(&wanted, 1).await else { panic!("no bid") };
    let deal = bid.terms.document.id(&cell.town.escrow());
    for _ in 0..3 {
        assert_eq!(cell.assign(deal, &wanted, 1).await, Some(CommandAnswer::NotYet));
    }
    assert_eq!(cell.workshop.provider().status().leases[0].stage, "offered");
    let poor = Renter { key: key(210) };
    let wanted = poor.submission(&cell.town, &cell.gateway, &Wanted::plain(2));
    let answer = cell.bid(&wanted, 2).await;
    assert!(matches!(answer, Some(BidAnswer::Refused { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_ended_run_frees_the_machine_although_its_receipt_is_not_signed() {
    let cell = Cell::begin(lasting(12)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    cell.running(&wanted).await;
    cell.keeper.set(Mood::NotYet);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let status = cell.workshop.provider().status();
    assert_eq!((status.leases.len(), status.free), (1, status.capacity), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_dies_in_the_first_minutes_earns_nothing_from_a_silent_gateway() {
    let cell = Cell::begin(lasting(500)).await;
    let wanted = cell.wanted(&Wanted::plain(1));
    let terms = cell.running(&wanted).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    cell.keeper.set(Mood::NotYet);
    let deal = terms.id(&cell.town.escrow()).to_string();
    let folder = std::path::PathBuf::from("/nowhere/runs").join(deal.trim_start_matches("0x"));
    let folder = folder.join("0-1");
    assert!(cell.workshop.runtime.lose(&folder));
    assert!(cell.rest(4 * 3_600).await, "{:?}", cell.workshop.provider().status());
    assert_eq!(cell.keeper.terminals(), 1);
    assert_eq!(cell.earned().await, 0);
}
