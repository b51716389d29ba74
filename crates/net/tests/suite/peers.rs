//! What the libp2p transport promises besides.

use std::time::Duration;

use net::{Address, Error, Incoming, Message, Peers, Transport, TransportKey};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::conformance::{Real, Stage};

fn loopback() -> Address {
    Address::tcp("127.0.0.1:0".parse().expect("an address"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_is_noticed_by_both_sides_within_seconds() {
    let stage = Real::set().await;
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let (name, asker) = (gateway.local(), provider.clone());
    let asking =
        tokio::spawn(async move { asker.exchange(&name, Message::new("unanswered")).await });
    let Incoming { reply, .. } = gateway.accept().await.unwrap();
    let silence = Instant::now();
    stage.wire.go_silent();
    for (one, other) in [(&gateway, &provider), (&provider, &gateway)] {
        let mut peers = one.watch_peers();
        let gone = peers.wait_for(|peers| !peers.contains(&other.local()));
        timeout(Duration::from_secs(15), gone).await.expect("it is noticed").unwrap();
    }
    assert!(silence.elapsed() < Duration::from_secs(12), "{:?}", silence.elapsed());
    assert!(matches!(asking.await.unwrap(), Err(Error::Cut { .. })));
    drop(reply);
    stage.wire.cut();
    stage.wire.speak();
    let mut peers = gateway.watch_peers();
    let back = peers.wait_for(|peers| peers.contains(&provider.local()));
    timeout(Duration::from_secs(20), back).await.expect("it comes back").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_peer_in_the_named_peers_place_is_never_connected() {
    let impostor = Peers::listen(&TransportKey::generate(), &[loopback()]).await.unwrap();
    let meant = TransportKey::generate().peer_id();
    let place = Address::tcp(impostor.addresses()[0].socket().unwrap()).of(&meant).unwrap();
    let caller = Peers::dial(&TransportKey::generate(), &place).await.unwrap();
    let mut seen = impostor.watch_peers();
    // The impostor may see the caller for the moment that the caller needs to look at its key.
    let _ = timeout(Duration::from_secs(1), seen.wait_for(|peers| !peers.is_empty())).await;
    assert!(caller.watch_peers().borrow().is_empty());
    let asked = caller.exchange(&meant, Message::new("?")).await;
    assert!(matches!(asked, Err(Error::NotConnected { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_starts_first_finds_its_gateway_later() {
    let key = TransportKey::generate();
    let gateway = Peers::listen(&key, &[loopback()]).await.unwrap();
    let place = gateway.addresses()[0].clone();
    gateway.close().await;
    let provider = Peers::dial(&TransportKey::generate(), &place).await.unwrap();
    let asked = provider.exchange(&key.peer_id(), Message::new("?")).await;
    assert!(matches!(asked, Err(Error::NotConnected { .. })));
    let gateway = Peers::listen(&key, &[place]).await.unwrap();
    let mut peers = provider.watch_peers();
    let found = peers.wait_for(|peers| peers.contains(&key.peer_id()));
    timeout(Duration::from_secs(20), found).await.expect("it is found").unwrap();
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_that_speak_no_protocol_do_no_harm() {
    let stage = Real::set().await;
    let gateway = stage.gateway();
    let place = stage.place();
    let mut strangers = Vec::new();
    for number in 0..300 {
        // More than may be pending: the surplus is refused, and the others run out of time.
        let Ok(mut stranger) = TcpStream::connect(place).await else { continue };
        if number % 2 == 0 {
            let _ = stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        }
        strangers.push(stranger);
    }
    let provider = stage.provider();
    let name = gateway.local();
    let asking = tokio::spawn(async move { provider.exchange(&name, Message::new("still")).await });
    let Incoming { message, reply, .. } = gateway.accept().await.unwrap();
    assert_eq!(message.header, b"still");
    reply.send(Message::new("here")).await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap().header, b"here");
}

#[tokio::test]
async fn an_address_in_use_is_refused_by_name() {
    let first = Peers::listen(&TransportKey::generate(), &[loopback()]).await.unwrap();
    let taken = Address::tcp(first.addresses()[0].socket().unwrap());
    let error = Peers::listen(&TransportKey::generate(), std::slice::from_ref(&taken)).await;
    let error = error.expect_err("the port is taken").to_string();
    assert!(error.contains(&taken.to_string()), "{error}");
}

#[tokio::test]
async fn an_address_without_a_peer_is_not_dialled() {
    let nobody = Address::tcp("127.0.0.1:1".parse().unwrap());
    let dialled = Peers::dial(&TransportKey::generate(), &nobody).await;
    assert!(matches!(dialled, Err(Error::Address { .. })));
}
