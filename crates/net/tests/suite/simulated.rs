//! What the simulated network promises besides: faults on demand, the same ones for the same seed.

use std::{sync::Arc, time::Duration};

use net::{Conditions, Error, Incoming, Message, Network, Simulated, Transport};
use primitives::PeerId;
use tokio::time::Instant;

fn name(text: &str) -> PeerId {
    PeerId(text.to_owned())
}

fn pair(seed: u64, conditions: Conditions) -> (Network, Simulated, Simulated) {
    let network = Network::new(seed, conditions);
    network.link(&name("provider"), &name("gateway"));
    let (gateway, provider) = (network.join(&name("gateway")), network.join(&name("provider")));
    (network, gateway, provider)
}

/// Answer everything, and count what was heard.
fn answer(gateway: Simulated) -> Arc<std::sync::Mutex<Vec<String>>> {
    let heard: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Some(Incoming { message, reply, .. }) = gateway.accept().await {
            let text = String::from_utf8(message.header.clone()).expect("text");
            kept.lock().expect("no panic").push(text);
            tokio::spawn(reply.send(message));
        }
    });
    heard
}

fn rough() -> Conditions {
    Conditions {
        latency: Duration::from_millis(1)..=Duration::from_millis(40),
        request_lost: 100,
        response_lost: 100,
        heard_twice: 100,
    }
}

/// What happens to a hundred exchanges, and when.
async fn story(seed: u64) -> Vec<(u128, bool)> {
    let (_network, gateway, provider) = pair(seed, rough());
    answer(gateway);
    let start = Instant::now();
    let mut story = Vec::new();
    for number in 0..100 {
        let asked = provider.exchange(&name("gateway"), Message::new(number.to_string())).await;
        story.push((start.elapsed().as_micros(), asked.is_ok()));
    }
    story
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_tells_the_same_story() {
    let first = story(42).await;
    assert_eq!(first, story(42).await);
    assert_ne!(first, story(43).await);
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_never_heard() {
    let lossy = Conditions { request_lost: 1_000, ..Conditions::fair() };
    let (_network, gateway, provider) = pair(1, lossy);
    let heard = answer(gateway);
    let asked = provider.exchange(&name("gateway"), Message::new("lost")).await;
    assert!(matches!(asked, Err(Error::Cut { .. })));
    assert!(heard.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_response_is_lost_was_heard() {
    let lossy = Conditions { response_lost: 1_000, ..Conditions::fair() };
    let (_network, gateway, provider) = pair(1, lossy);
    let heard = answer(gateway);
    let asked = provider.exchange(&name("gateway"), Message::new("done")).await;
    assert!(matches!(asked, Err(Error::Cut { .. })));
    assert_eq!(*heard.lock().unwrap(), ["done"]);
}

#[tokio::test(start_paused = true)]
async fn a_doubled_request_is_heard_twice_and_answered_once() {
    let doubling = Conditions { heard_twice: 1_000, ..Conditions::fair() };
    let (_network, gateway, provider) = pair(1, doubling);
    let heard = answer(gateway);
    let asked = provider.exchange(&name("gateway"), Message::new("again")).await;
    assert_eq!(asked.unwrap().header, b"again");
    assert_eq!(*heard.lock().unwrap(), ["again", "again"]);
}

#[tokio::test(start_paused = true)]
async fn latency_is_spent_each_way() {
    let latency = Duration::from_millis(25);
    let slow = Conditions { latency: latency..=latency, ..Conditions::fair() };
    let (_network, gateway, provider) = pair(1, slow);
    answer(gateway);
    let start = Instant::now();
    provider.exchange(&name("gateway"), Message::new("")).await.unwrap();
    assert_eq!(start.elapsed(), 2 * latency);
}

#[tokio::test(start_paused = true)]
async fn a_partition_divides_until_it_is_healed() {
    let (network, gateway, provider) = pair(1, Conditions::fair());
    answer(gateway);
    network.divide(&name("gateway"), &name("provider"));
    assert!(provider.watch_peers().borrow().is_empty());
    let asked = provider.exchange(&name("gateway"), Message::new("")).await;
    assert!(matches!(asked, Err(Error::NotConnected { .. })));
    network.heal(&name("gateway"), &name("provider"));
    provider.exchange(&name("gateway"), Message::new("")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_partition_while_a_header_is_under_way_loses_it() {
    let (network, gateway, provider) = pair(1, Conditions::fair());
    let heard = answer(gateway);
    let asking = tokio::spawn(async move {
        provider.exchange(&name("gateway"), Message::new("under way")).await
    });
    tokio::task::yield_now().await;
    network.divide(&name("gateway"), &name("provider"));
    assert!(matches!(asking.await.unwrap(), Err(Error::Cut { .. })));
    assert!(heard.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_crashed_peer_is_gone_and_its_next_life_is_another() {
    let (network, gateway, provider) = pair(1, Conditions::fair());
    network.crash(&name("gateway"));
    assert!(gateway.accept().await.is_none());
    assert!(provider.watch_peers().borrow().is_empty());
    let next_life = network.join(&name("gateway"));
    assert!(gateway.accept().await.is_none(), "the former life stays closed");
    assert!(provider.watch_peers().borrow().contains(&name("gateway")));
    answer(next_life);
    provider.exchange(&name("gateway"), Message::new("")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn peers_that_are_not_linked_do_not_know_each_other() {
    let network = Network::new(1, Conditions::fair());
    let (one, _other) = (network.join(&name("one")), network.join(&name("other")));
    let asked = one.exchange(&name("other"), Message::new("")).await;
    assert!(matches!(asked, Err(Error::NotConnected { .. })));
}
