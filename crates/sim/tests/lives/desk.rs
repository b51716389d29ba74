//! The gateway's desk against peers that ask for what is not theirs.

use std::time::Duration;

use market::message::{BlobAnswer, CountersignAnswer, Done, Listed, Missing, Output, ToGateway};
use net::{Message, Simulated, Transport as _};
use primitives::{Amount, DealId, Digest, Epoch, PeerId, TaskIndex};
use serde::de::DeserializeOwned;
use sim::{Behaviour, Gateway, Puppet, Renter, Town, Wanted, key};
use store::Blobs as _;

struct Scene {
    town: Town,
    gateway: Gateway,
    deal: DealId,
    stranger: Simulated,
    _puppet: Puppet,
}

/// A running deal of an honest provider, and a stranger connected to the same gateway.
async fn scene() -> Scene {
    let town = Town::new(1);
    let mut gateway = Gateway::new("gateway");
    gateway.start(&town).await;
    let lasting = Duration::from_secs(500);
    let puppet = Puppet::start(&town, &gateway.peer, 1, Behaviour::Honest, lasting).await;
    let renter = Renter { key: key(200) };
    town.fund(renter.account(), Amount::new(100_000_000).expect("small")).await;
    let wanted = renter.submission(&town, &gateway, &Wanted::plain(1));
    let job = renter.order(&gateway, &wanted).await.expect("a fair order");
    let mut deal = None;
    while deal.is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let view = gateway.broker().job(job).expect("just ordered");
        renter.consent(&town, &gateway, &view).await.expect("fair terms");
        deal = view
            .deal()
            .cloned()
            .filter(|deal| deal.state == "running")
            .map(|deal| deal.agreement.deal);
    }
    let name = PeerId("stranger".to_owned());
    let stranger = town.network.join(&name);
    town.network.link(&name, &gateway.peer);
    Scene { deal: deal.expect("running"), town, gateway, stranger, _puppet: puppet }
}

impl Scene {
    async fn ask<A: DeserializeOwned>(&self, question: &ToGateway, body: &[u8]) -> A {
        let header = serde_json::to_vec(question).expect("plain data");
        let message = Message::new(header).with_body(body.to_vec());
        let answer = self.stranger.exchange(&self.gateway.peer, message).await;
        serde_json::from_slice(&answer.expect("connected").header).expect("an answer")
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_reads_and_writes_nothing_of_another_s_deal() {
    let scene = scene().await;
    let secret = scene.gateway.blobs.put_bytes(b"secret").await.expect("kept").digest;
    let deal = scene.deal;

    let answer = scene.ask(&ToGateway::GetBlob { deal, blob: secret }, b"").await;
    assert!(matches!(answer, BlobAnswer::Refused { .. }), "{answer:?}");
    let forged = Digest::of(b"forged");
    let answer = scene.ask(&ToGateway::PutBlob { deal, blob: forged }, b"forged").await;
    assert!(matches!(answer, Done::Refused { .. }), "{answer:?}");
    assert!(!scene.gateway.blobs.has(&forged).await.expect("asked"));
    let (task, epoch, output) = (TaskIndex(0), Epoch(1), Output::Stdout);
    let print = ToGateway::Print { deal, task, epoch, output, offset: 0 };
    let answer: Done = scene.ask(&print, b"lies").await;
    assert!(matches!(answer, Done::Refused { .. }), "{answer:?}");
    let missing = ToGateway::Missing { deal, blobs: vec![secret] };
    let answer: Result<Missing, _> =
        serde_json::from_value(scene.ask::<serde_json::Value>(&missing, b"").await);
    assert!(answer.is_err(), "whether a blob is here is nobody else's business");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_s_receipt_is_not_even_looked_at() {
    let scene = scene().await;
    let view = scene.gateway.broker().jobs().remove(0).deal().cloned().expect("running");
    let last = view.last.expect("co-signed at readiness");
    let ask = market::message::Countersign {
        receipt: last.receipt,
        samples_before: 0,
        samples: Vec::new(),
        results: Vec::new(),
        ending: None,
    };
    let answer = scene.ask(&ToGateway::Countersign(Box::new(ask)), b"").await;
    assert!(matches!(answer, CountersignAnswer::Refused { .. }), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_listed_only_for_the_peer_and_key_it_names() {
    let scene = scene().await;
    let listed = scene.gateway.broker().offers().remove(0).offer;
    let copied = ToGateway::Announce(Box::new(listed.clone()));
    let answer: Listed = scene.ask(&copied, b"").await;
    assert!(matches!(&answer, Listed::Refused { why } if why.contains("names peer")), "{answer:?}");

    let mut own = listed;
    own.document.peer = PeerId("stranger".to_owned());
    own.signature = key(9).sign(own.document.digest(&scene.town.plaza()));
    let answer: Listed = scene.ask(&ToGateway::Announce(Box::new(own.clone())), b"").await;
    assert!(matches!(&answer, Listed::Refused { why } if why.contains("not signed")), "{answer:?}");

    own.document.provider_key = key(9).address();
    own.signature = key(9).sign(own.document.digest(&scene.town.plaza()));
    let answer: Listed = scene.ask(&ToGateway::Announce(Box::new(own)), b"").await;
    assert!(matches!(&answer, Listed::Refused { why } if why.contains("authorised")), "{answer:?}");
    assert_eq!(scene.gateway.broker().offers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_answered_and_the_desk_goes_on() {
    let scene = scene().await;
    for nonsense in [&b"{"[..], b"", b"{\"say\":\"steal\"}", &[0xff; 64]] {
        let message = Message::new(nonsense.to_vec());
        let answer = scene.stranger.exchange(&scene.gateway.peer, message).await;
        let answer: Done =
            serde_json::from_slice(&answer.expect("connected").header).expect("an answer");
        assert!(matches!(answer, Done::Refused { .. }));
    }
    let answer: Done = scene.ask(&ToGateway::Rpc, b"{}").await;
    assert!(matches!(answer, Done::Refused { .. }), "no tunnel was given");
}

#[tokio::test(start_paused = true)]
async fn blobs_of_a_settled_deal_are_deleted_when_their_time_is_over_and_others_stay() {
    let scene = scene().await;
    let broker = scene.gateway.broker();
    let job = broker.jobs().remove(0).id;
    broker.stop(job).await.expect("known");
    let other = scene.gateway.blobs.put_bytes(b"someone else's").await.expect("kept").digest;
    while broker.job(job).is_some_and(|job| job.state != "done") {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let name = broker::output_name(job, TaskIndex(0), Epoch(1), Output::Stdout);
    let limit = primitives::Bytes(100);
    let kept = store::Outputs::write(&*scene.gateway.outputs, &name, 0, b"hello", limit).await;
    assert_eq!(kept.expect("kept"), store::Written::Until(5));
    tokio::time::sleep(Duration::from_secs(86_000)).await;
    let read = store::Outputs::read(&*scene.gateway.outputs, &name, 0, 10).await;
    assert_eq!(read.expect("read"), b"hello");
    tokio::time::sleep(Duration::from_secs(5_000)).await;
    let read = store::Outputs::read(&*scene.gateway.outputs, &name, 0, 10).await;
    assert!(read.expect("read").is_empty(), "a day after the deal's end it is gone");
    assert!(scene.gateway.blobs.has(&other).await.expect("asked"));
}
