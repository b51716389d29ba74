//! What a lease does not do, whoever asks.

use market::{
    Outcome,
    message::{BidAnswer, CommandAnswer, Instruction},
};
use primitives::{Amount, B256, Bytes, Millicores, Seconds};
use settlement::{Call, Settlement as _};

use super::hall::{Hall, key, lasting, renter, work};

fn refused(answer: Option<CommandAnswer>) -> String {
    match answer {
        Some(CommandAnswer::Refused { why }) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_broker_for_the_same_capacity_hears_busy() {
    let hall = Hall::with(lasting(12)).await;
    let mut large = work();
    large.wish.resources.cpu = Millicores::cores(3);
    hall.bid(&hall.request(&large, 1)).await;
    let second = hall.request(&large, 2);
    let answer = hall.price(&second).await;
    let Some(BidAnswer::Busy { until }) = answer else { panic!("not busy: {answer:?}") };
    // The first lapses unopened, and the capacity is free when it was said to be.
    let now = primitives::Clock::now(hall.clock.as_ref());
    hall.pass(until.since(now).0 + 1).await;
    hall.bid(&second).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_request_gets_the_same_bid() {
    let hall = Hall::with(lasting(12)).await;
    let request = hall.request(&work(), 1);
    let (one, two) = tokio::join!(hall.bid(&request), hall.bid(&request));
    hall.pass(3).await;
    let three = hall.bid(&request).await;
    assert_eq!((&one, &two), (&two, &three));
    let status = hall.provider.as_ref().expect("it runs").status();
    assert_eq!(status.leases.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bid_that_is_never_opened_lapses() {
    let hall = Hall::with(lasting(12)).await;
    let bid = hall.bid(&hall.request(&work(), 1)).await;
    hall.pass(31).await;
    hall.ledger.seal();
    hall.until_over(hall.deal(&bid)).await;
    let status = hall.provider.as_ref().expect("it runs").status();
    assert_eq!(status.free, status.capacity);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_deal_lapses_at_once() {
    let hall = Hall::with(lasting(12)).await;
    let bid = hall.bid(&hall.request(&work(), 1)).await;
    let cancel = Call::Cancel { terms: bid.terms.document.clone(), intent: None };
    hall.done(hall.ledger.seat(renter().address()).send(cancel).await);
    hall.pass(1).await;
    assert_eq!(hall.stage(hall.deal(&bid)), None);
}

#[tokio::test(start_paused = true)]
async fn work_waits_for_its_deal_to_be_open() {
    let hall = Hall::with(lasting(12)).await;
    let bid = hall.bid(&hall.request(&work(), 1)).await;
    let command = hall.assignment(hall.deal(&bid), &work(), 1);
    assert_eq!(hall.command(command.clone()).await, Some(CommandAnswer::NotYet));
    assert_eq!(hall.starts(), 0);
    hall.open(&bid).await;
    assert_eq!(hall.command(command).await, Some(CommandAnswer::Taken));
}

#[tokio::test(start_paused = true)]
async fn commands_that_are_not_the_renter_keys_or_of_an_older_gateway_are_refused() {
    let hall = Hall::with(lasting(3_000)).await;
    let bid = hall.bid(&hall.request(&work(), 1)).await;
    hall.open(&bid).await;
    let deal = hall.deal(&bid);
    let good = hall.assignment(deal, &work(), 5);

    let stranger = good.commands[0].document.signed(&hall.plaza(), &key(9));
    let forged = Instruction { commands: vec![stranger], ..good.clone() };
    assert!(refused(hall.command(forged).await).contains("renter key"));

    let mut other = work();
    other.command = vec!["something".into(), "else".into()];
    let mut swapped = good.clone();
    swapped.assignment = hall.assignment(deal, &other, 5).assignment;
    assert!(refused(hall.command(swapped).await).contains("signed for"));

    let longer = market::Work { time_limit: Seconds(7_200), ..work() };
    let longer = hall.assignment(deal, &longer, 5);
    assert!(refused(hall.command(longer).await).contains("longer than the deal"));

    let mut larger = work();
    larger.wish.resources.memory = Bytes::gibi(7);
    let larger = hall.assignment(deal, &larger, 5);
    assert!(refused(hall.command(larger).await).contains("reserved"));

    assert_eq!(hall.command(good.clone()).await, Some(CommandAnswer::Taken));
    assert_eq!(hall.command(good).await, Some(CommandAnswer::Taken), "twice is once");
    assert!(refused(hall.command(hall.stop(deal, 4)).await).contains("fence"));
    assert!(
        refused(hall.command(hall.stop(primitives::DealId(B256::repeat_byte(1)), 9)).await)
            .contains("no such lease")
    );
    hall.until_stage(deal, "running").await;
    assert_eq!(hall.starts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_any_work_begins_nothing_and_settles_at_nothing_at_once() {
    let hall = Hall::with(lasting(12)).await;
    let bid = hall.bid(&hall.request(&work(), 1)).await;
    let deal = hall.deal(&bid);
    assert_eq!(hall.command(hall.stop(deal, 1)).await, Some(CommandAnswer::NotYet));
    hall.open(&bid).await;
    assert_eq!(hall.command(hall.stop(deal, 1)).await, Some(CommandAnswer::Taken));
    hall.command(hall.assignment(deal, &work(), 1)).await;
    hall.until_over(deal).await;
    let receipt = hall.gate.deal(deal).last.expect("a terminal receipt").document;
    assert_eq!((receipt.outcome, receipt.amount), (Outcome::Stopped, Amount::ZERO));
    assert_eq!(hall.closing(deal).await.split.charge(), Amount::ZERO);
    assert_eq!(hall.starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn strangers_get_no_answer() {
    let hall = Hall::with(lasting(12)).await;
    let stranger = hall.network.join(&super::hall::peer("stranger"));
    hall.network.link(&super::hall::peer("provider"), &super::hall::peer("stranger"));
    let request = market::message::ToProvider::Bid(Box::new(hall.request(&work(), 1)));
    let header = serde_json::to_vec(&request).expect("plain data");
    let provider = super::hall::peer("provider");
    let answer = net::Transport::exchange(&stranger, &provider, net::Message::new(header)).await;
    assert!(matches!(answer, Err(net::Error::Cut { .. })));
}
