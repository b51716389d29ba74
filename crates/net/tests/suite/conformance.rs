//! What every transport promises.

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use net::{
    Address, Body, Conditions, Error, HEADER_LIMIT, Incoming, Message, Network, Peers, Simulated,
    Transport, TransportKey,
};
use primitives::PeerId;
use tokio::{
    io::AsyncReadExt as _,
    time::{sleep, timeout},
};

use crate::{
    bodies::{Pattern, check_pattern, settled, until},
    proxy::Proxy,
};

const LARGE: u64 = 64 << 20;
const WAIT: Duration = Duration::from_secs(30);

/// A gateway that listens and a provider that has connected to it.
#[async_trait]
pub(crate) trait Stage: Send {
    fn gateway(&self) -> Arc<dyn Transport>;
    fn provider(&self) -> Arc<dyn Transport>;
    /// Lose the connection between them; the provider makes a new one later.
    fn cut(&self);
    /// The gateway goes away.
    async fn stop_gateway(&mut self);
    /// The gateway comes back with the same key in the same place.
    async fn start_gateway(&mut self);
}

/// Over libp2p, with a wire between the two that can be cut.
pub(crate) struct Real {
    key: TransportKey,
    place: Address,
    gateway: Arc<Peers>,
    provider: Arc<Peers>,
    pub(crate) wire: Proxy,
}

impl Real {
    pub(crate) async fn set() -> Self {
        let key = TransportKey::generate();
        let any = Address::tcp("127.0.0.1:0".parse().expect("an address"));
        let gateway = Peers::listen(&key, &[any]).await.expect("a free port");
        let place = gateway.addresses()[0].clone();
        let wire = Proxy::to(place.socket().expect("TCP")).await;
        let to = Address::tcp(wire.address).of(&key.peer_id()).expect("a peer id");
        let provider = Peers::dial(&TransportKey::generate(), &to).await.expect("a peer is named");
        let stage =
            Self { key, place, gateway: Arc::new(gateway), provider: Arc::new(provider), wire };
        connected(&stage).await;
        stage
    }

    /// Where the gateway itself listens.
    pub(crate) fn place(&self) -> SocketAddr {
        self.place.socket().expect("TCP")
    }
}

#[async_trait]
impl Stage for Real {
    fn gateway(&self) -> Arc<dyn Transport> {
        self.gateway.clone()
    }

    fn provider(&self) -> Arc<dyn Transport> {
        self.provider.clone()
    }

    fn cut(&self) {
        self.wire.cut();
    }

    async fn stop_gateway(&mut self) {
        self.gateway.close().await;
    }

    async fn start_gateway(&mut self) {
        let again = Peers::listen(&self.key, std::slice::from_ref(&self.place)).await;
        self.gateway = Arc::new(again.expect("the port is free again"));
    }
}

/// In the simulated network.
pub(crate) struct Fake {
    network: Network,
    gateway: Arc<Simulated>,
    provider: Arc<Simulated>,
}

impl Fake {
    pub(crate) async fn set() -> Self {
        let network = Network::new(1, Conditions::fair());
        let (gateway, provider) = (PeerId("gateway".to_owned()), PeerId("provider".to_owned()));
        network.link(&provider, &gateway);
        let (gateway, provider) = (network.join(&gateway), network.join(&provider));
        Self { network, gateway: Arc::new(gateway), provider: Arc::new(provider) }
    }
}

#[async_trait]
impl Stage for Fake {
    fn gateway(&self) -> Arc<dyn Transport> {
        self.gateway.clone()
    }

    fn provider(&self) -> Arc<dyn Transport> {
        self.provider.clone()
    }

    fn cut(&self) {
        let (one, other) = (self.provider.local(), self.gateway.local());
        self.network.divide(&one, &other);
        self.network.heal(&one, &other);
    }

    async fn stop_gateway(&mut self) {
        self.network.crash(&self.gateway.local());
    }

    async fn start_gateway(&mut self) {
        self.gateway = Arc::new(self.network.join(&self.gateway.local()));
    }
}

/// Wait until each sees the other.
async fn connected(stage: &dyn Stage) {
    sees(&*stage.provider(), &stage.gateway().local()).await;
    sees(&*stage.gateway(), &stage.provider().local()).await;
}

async fn sees(transport: &dyn Transport, peer: &PeerId) {
    let mut peers = transport.watch_peers();
    let seen = timeout(WAIT, peers.wait_for(|peers| peers.contains(peer))).await;
    seen.expect("in time").expect("the transport lives");
}

async fn misses(transport: &dyn Transport, peer: &PeerId) {
    let mut peers = transport.watch_peers();
    let missed = timeout(WAIT, peers.wait_for(|peers| !peers.contains(peer))).await;
    missed.expect("in time").expect("the transport lives");
}

async fn next(transport: &dyn Transport) -> Incoming {
    timeout(WAIT, transport.accept()).await.expect("in time").expect("not closed")
}

/// Answer every request with its own header and body.
fn echo(transport: Arc<dyn Transport>) {
    tokio::spawn(async move {
        while let Some(Incoming { message, reply, .. }) = transport.accept().await {
            tokio::spawn(reply.send(message));
        }
    });
}

async fn ask(from: &dyn Transport, to: &dyn Transport, request: Message) -> Result<Message, Error> {
    timeout(WAIT, from.exchange(&to.local(), request)).await.expect("in time")
}

pub(crate) async fn a_request_is_answered_and_the_asker_is_known(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let (hearing, asker) = (gateway.clone(), provider.local());
    let answering = tokio::spawn(async move {
        let Incoming { peer, message, reply } = next(&*hearing).await;
        assert_eq!(peer, asker);
        assert_eq!(message.header, b"question");
        assert_eq!(message.body.collect(100).await.unwrap(), b"with a body");
        reply.send(Message::new("answer").with_body(b"and its body".to_vec())).await.unwrap();
    });
    let request = Message::new("question").with_body(b"with a body".to_vec());
    let answer = ask(&*provider, &*gateway, request).await.unwrap();
    assert_eq!(answer.header, b"answer");
    assert_eq!(answer.body.collect(100).await.unwrap(), b"and its body");
    answering.await.unwrap();
}

pub(crate) async fn both_sides_ask_over_the_one_connection(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    echo(gateway.clone());
    echo(provider.clone());
    for _ in 0..3 {
        let up = ask(&*provider, &*gateway, Message::new("up")).await.unwrap();
        let down = ask(&*gateway, &*provider, Message::new("down")).await.unwrap();
        assert_eq!((&up.header[..], &down.header[..]), (&b"up"[..], &b"down"[..]));
        assert!(up.body.is_empty() && down.body.is_empty());
    }
}

pub(crate) async fn a_body_longer_than_allowed_is_refused_by_its_reader(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    echo(gateway.clone());
    let request = || Message::new("").with_body(vec![7; 1_000]);
    let answer = ask(&*provider, &*gateway, request()).await.unwrap();
    assert_eq!(answer.body.collect(1_000).await.unwrap(), vec![7; 1_000]);
    let answer = ask(&*provider, &*gateway, request()).await.unwrap();
    assert!(matches!(answer.body.collect(999).await, Err(Error::Receive { .. })));
}

pub(crate) async fn a_large_request_waits_for_its_reader(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let body = Pattern::of(LARGE);
    let given = body.count();
    let asking = tokio::spawn(async move {
        let request = Message::new("take").with_body(Body::reader(body));
        ask(&*provider, &*gateway, request).await.unwrap().header
    });
    let Incoming { message, reply, .. } = next(&*stage.gateway()).await;
    let early = settled(&given).await;
    assert!(early < LARGE / 2, "{early} bytes were sent to a reader that does not read");
    assert_eq!(check_pattern(message.body.into_reader(), 0).await.unwrap(), LARGE);
    reply.send(Message::new("taken")).await.unwrap();
    assert_eq!(asking.await.unwrap(), b"taken");
}

pub(crate) async fn a_large_answer_waits_for_its_reader(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let body = Pattern::of(LARGE);
    let given = body.count();
    let hearing = gateway.clone();
    let answering = tokio::spawn(async move {
        let Incoming { reply, .. } = next(&*hearing).await;
        reply.send(Message::new("here").with_body(Body::reader(body))).await
    });
    let answer = ask(&*provider, &*gateway, Message::new("give")).await.unwrap();
    let early = settled(&given).await;
    assert!(early < LARGE / 2, "{early} bytes were sent to a reader that does not read");
    assert_eq!(check_pattern(answer.body.into_reader(), 0).await.unwrap(), LARGE);
    answering.await.unwrap().unwrap();
}

pub(crate) async fn a_conversation_flows_both_ways_in_one_exchange(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    echo(gateway.clone());
    let request = Message::new("echo").with_body(Body::reader(Pattern::of(4 << 20)));
    let answer = ask(&*provider, &*gateway, request).await.unwrap();
    assert_eq!(check_pattern(answer.body.into_reader(), 0).await.unwrap(), 4 << 20);
}

pub(crate) async fn an_answer_may_come_before_the_request_was_read(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let hearing = gateway.clone();
    let answering = tokio::spawn(async move {
        let Incoming { message, reply, .. } = next(&*hearing).await;
        reply.send(Message::new("too large")).await.unwrap();
        drop(message);
    });
    let request = Message::new("take").with_body(Body::reader(Pattern::of(LARGE)));
    assert_eq!(ask(&*provider, &*gateway, request).await.unwrap().header, b"too large");
    answering.await.unwrap();
}

pub(crate) async fn a_cut_fails_a_request_on_both_sides(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let asking = tokio::spawn(async move {
        let request = Message::new("take").with_body(Body::reader(Pattern::endless()));
        ask(&*provider, &*gateway, request).await
    });
    let Incoming { message, .. } = next(&*stage.gateway()).await;
    let mut reader = message.body.into_reader();
    reader.read_exact(&mut vec![0; 100_000]).await.unwrap();
    stage.cut();
    let heard = timeout(WAIT, check_pattern(reader, 100_000)).await.expect("in time");
    heard.expect_err("a cut body is no short body");
    assert!(matches!(asking.await.unwrap(), Err(Error::Cut { .. })));
}

pub(crate) async fn a_cut_fails_an_answer_on_both_sides(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let hearing = gateway.clone();
    let answering = tokio::spawn(async move {
        let Incoming { reply, .. } = next(&*hearing).await;
        reply.send(Message::new("here").with_body(Body::reader(Pattern::endless()))).await
    });
    let answer = ask(&*provider, &*gateway, Message::new("give")).await.unwrap();
    let mut reader = answer.body.into_reader();
    reader.read_exact(&mut vec![0; 100_000]).await.unwrap();
    stage.cut();
    let heard = timeout(WAIT, check_pattern(reader, 100_000)).await.expect("in time");
    heard.expect_err("a cut body is no short body");
    let sent = timeout(WAIT, answering).await.expect("in time").unwrap();
    assert!(matches!(sent, Err(Error::Cut { .. })));
}

pub(crate) async fn an_unanswered_request_fails_when_the_connection_is_cut(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let asking =
        tokio::spawn(async move { ask(&*provider, &*gateway, Message::new("wait")).await });
    let kept = next(&*stage.gateway()).await;
    stage.cut();
    assert!(matches!(asking.await.unwrap(), Err(Error::Cut { .. })));
    drop(kept);
}

pub(crate) async fn a_request_dropped_unanswered_fails(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let asking = tokio::spawn(async move { ask(&*provider, &*gateway, Message::new("?")).await });
    drop(next(&*stage.gateway()).await);
    assert!(matches!(asking.await.unwrap(), Err(Error::Cut { .. })));
}

pub(crate) async fn an_answer_that_nobody_wants_stops_being_sent(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let hearing = gateway.clone();
    let answering = tokio::spawn(async move {
        let Incoming { reply, .. } = next(&*hearing).await;
        reply.send(Message::new("here").with_body(Body::reader(Pattern::endless()))).await
    });
    let answer = ask(&*provider, &*gateway, Message::new("give")).await.unwrap();
    drop(answer);
    let sent = timeout(WAIT, answering).await.expect("in time").unwrap();
    assert!(matches!(sent, Err(Error::Cut { .. })));
}

pub(crate) async fn a_request_given_up_reaches_its_reader_as_a_cut(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let asking = tokio::spawn(async move {
        let request = Message::new("take").with_body(Body::reader(Pattern::endless()));
        ask(&*provider, &*gateway, request).await
    });
    let Incoming { message, reply, .. } = next(&*stage.gateway()).await;
    asking.abort();
    let heard = timeout(WAIT, check_pattern(message.body.into_reader(), 0)).await.expect("in time");
    heard.expect_err("a request given up is no short request");
    drop(reply);
}

pub(crate) async fn a_body_that_cannot_be_read_fails_on_both_sides(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let hearing = gateway.clone();
    let answering = tokio::spawn(async move {
        let Incoming { message, reply, .. } = next(&*hearing).await;
        let heard = check_pattern(message.body.into_reader(), 0).await;
        assert_eq!(heard.expect_err("the source failed").kind(), io::ErrorKind::Other);
        drop(reply);
        let Incoming { reply, .. } = next(&*hearing).await;
        let body = Body::reader(Pattern::failing_after(100_000));
        let sent = reply.send(Message::new("here").with_body(body)).await;
        assert!(matches!(sent, Err(Error::Source { .. })));
    });
    let request = Message::new("").with_body(Body::reader(Pattern::failing_after(100_000)));
    let asked = ask(&*provider, &*gateway, request).await;
    assert!(matches!(asked, Err(Error::Source { .. })), "{asked:?}");
    let answer = ask(&*provider, &*gateway, Message::new("give")).await.unwrap();
    check_pattern(answer.body.into_reader(), 0).await.expect_err("the source failed");
    answering.await.unwrap();
}

pub(crate) async fn asking_a_peer_that_is_not_connected_fails_at_once(stage: impl Stage) {
    let stranger = TransportKey::generate().peer_id();
    for nobody in [stranger, PeerId("no peer id at all".to_owned())] {
        let asked = stage.provider().exchange(&nobody, Message::new("?")).await;
        assert!(matches!(asked, Err(Error::NotConnected { peer }) if peer == nobody));
    }
}

pub(crate) async fn two_hundred_exchanges_run_at_once(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    echo(gateway.clone());
    let asking: Vec<_> = (0..200u32)
        .map(|number| {
            let (gateway, provider) = (gateway.clone(), provider.clone());
            tokio::spawn(async move {
                let body = vec![u8::try_from(number).expect("small"); 10_000];
                let request = Message::new(number.to_string()).with_body(body.clone());
                let answer = ask(&*provider, &*gateway, request).await.unwrap();
                assert_eq!(answer.header, number.to_string().into_bytes());
                assert_eq!(answer.body.collect(10_000).await.unwrap(), body);
            })
        })
        .collect();
    for one in asking {
        one.await.unwrap();
    }
}

pub(crate) async fn more_exchanges_than_allowed_wait_for_their_turn(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let asking: Vec<_> = (0..600)
        .map(|_| {
            let (gateway, provider) = (gateway.clone(), provider.clone());
            tokio::spawn(async move { ask(&*provider, &*gateway, Message::new("?")).await })
        })
        .collect();
    // Nothing is accepted until all have been asked.
    sleep(Duration::from_millis(50)).await;
    echo(gateway);
    for one in asking {
        one.await.unwrap().unwrap();
    }
}

pub(crate) async fn a_header_has_a_limit(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    echo(gateway.clone());
    let longest = vec![b' '; HEADER_LIMIT];
    let answer = ask(&*provider, &*gateway, Message::new(longest.clone())).await.unwrap();
    assert_eq!(answer.header, longest);
    let asked = ask(&*provider, &*gateway, Message::new(vec![b' '; HEADER_LIMIT + 1])).await;
    assert!(matches!(asked, Err(Error::HeaderTooLong { .. })));
}

pub(crate) async fn the_provider_connects_again_after_a_cut(stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    echo(gateway.clone());
    for round in 0..3 {
        stage.cut();
        // The old connection may still be seen for a moment, so what is awaited is an answer.
        let mut answered = false;
        for _ in 0..1_000 {
            sees(&*provider, &gateway.local()).await;
            answered = ask(&*provider, &*gateway, Message::new("again")).await.is_ok();
            if answered {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert!(answered, "no answer after cut {round}");
    }
}

pub(crate) async fn the_provider_connects_again_after_the_gateway_restarts(mut stage: impl Stage) {
    let provider = stage.provider();
    let gateway = stage.gateway();
    stage.stop_gateway().await;
    misses(&*provider, &gateway.local()).await;
    let asked = ask(&*provider, &*gateway, Message::new("?")).await;
    assert!(matches!(asked, Err(Error::NotConnected { .. })));
    stage.start_gateway().await;
    connected(&stage).await;
    echo(stage.gateway());
    ask(&*provider, &*stage.gateway(), Message::new("back")).await.unwrap();
}

pub(crate) async fn a_closed_transport_says_so(mut stage: impl Stage) {
    let (gateway, provider) = (stage.gateway(), stage.provider());
    let waiting = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.accept().await.is_none() }
    });
    stage.stop_gateway().await;
    assert!(timeout(WAIT, waiting).await.expect("in time").unwrap());
    assert!(gateway.accept().await.is_none());
    let asked = gateway.exchange(&provider.local(), Message::new("?")).await;
    assert!(matches!(asked, Err(Error::Closed)));
    until("nobody is seen", || *gateway.watch_peers().borrow() == BTreeSet::new()).await;
}

macro_rules! over_both {
    ($($behaviour:ident,)*) => {
        mod over_libp2p {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                super::$behaviour(super::Real::set().await).await;
            })*
        }

        mod over_the_simulation {
            $(#[tokio::test(start_paused = true)]
            async fn $behaviour() {
                super::$behaviour(super::Fake::set().await).await;
            })*
        }
    };
}

over_both! {
    a_request_is_answered_and_the_asker_is_known,
    both_sides_ask_over_the_one_connection,
    a_body_longer_than_allowed_is_refused_by_its_reader,
    a_large_request_waits_for_its_reader,
    a_large_answer_waits_for_its_reader,
    a_conversation_flows_both_ways_in_one_exchange,
    an_answer_may_come_before_the_request_was_read,
    a_cut_fails_a_request_on_both_sides,
    a_cut_fails_an_answer_on_both_sides,
    an_unanswered_request_fails_when_the_connection_is_cut,
    a_request_dropped_unanswered_fails,
    an_answer_that_nobody_wants_stops_being_sent,
    a_request_given_up_reaches_its_reader_as_a_cut,
    a_body_that_cannot_be_read_fails_on_both_sides,
    asking_a_peer_that_is_not_connected_fails_at_once,
    two_hundred_exchanges_run_at_once,
    more_exchanges_than_allowed_wait_for_their_turn,
    a_header_has_a_limit,
    the_provider_connects_again_after_a_cut,
    the_provider_connects_again_after_the_gateway_restarts,
    a_closed_transport_says_so,
}
