//! The gateway's doors against a provider that has a deal: what it asks, prints and hands in.

use std::time::Duration;

use market::{
    Outcome,
    message::{CountersignAnswer, Done, Missing, Output, Printed, ToGateway},
    task::TaskResult,
};
use net::{Message, Transport as _};
use primitives::{B256, Bytes, Digest, Epoch, PeerId, Seconds, TaskIndex};
use sim::{Den, Rogue, message};
use store::{Blobs as _, Tree, TreeEntry, TreeKind, TreeLimits, TreePath};
use tokio::{task::JoinSet, time::Instant};

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_much_and_answers_nothing_does_not_silence_the_others() {
    let mut den = Den::begin(1, |_| {}).await;
    den.rogue.turn_deaf();
    let deal = den.opened().await;
    let mut floods = JoinSet::new();
    for _ in 0..100 {
        let (wire, gateway) = (den.rogue.wire.clone(), den.rogue.gateway.clone());
        let receipt = den.rogue.signed(&deal, 1, Outcome::Running, &[], &[]);
        // Always behind, so that it changes nothing and can be asked for ever.
        let question = message(&Rogue::question(&receipt, 7, &[], &[]));
        floods.spawn(async move {
            loop {
                let copy = Message::new(question.header.clone());
                drop(wire.exchange(&gateway, copy).await);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let name = PeerId("bystander".to_owned());
    let bystander = den.town.network.join(&name);
    den.town.network.link(&name, &den.gateway.peer);
    for _ in 0..20 {
        let asked = Instant::now();
        let exchange = bystander.exchange(&den.gateway.peer, message(&ToGateway::Rpc));
        let answer = tokio::time::timeout(Duration::from_secs(60), exchange).await;
        assert!(
            matches!(answer, Ok(Ok(_))) && asked.elapsed() < Duration::from_secs(1),
            "another peer's question took {:?}",
            asked.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    let job = den.gateway.broker().jobs().remove(0).id;
    let asked = Instant::now();
    while den.gateway.broker().stop(job).await.is_err() {
        assert!(asked.elapsed() < Duration::from_secs(60), "the renter is heard too");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_prints_no_more_than_the_limit_over_all_tasks_and_streams() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await.deal;
    let (limit, piece) = (den.wanted.work.output_limit.0, vec![b'x'; 1 << 20]);
    let mut kept = 0;
    for task in 0..4 {
        for output in [Output::Stdout, Output::Stderr] {
            let (task, mut offset) = (TaskIndex(task), 0);
            let half = if output == Output::Stdout { limit / 2 } else { limit };
            while offset < half {
                let print = ToGateway::Print { deal, task, epoch: Epoch(1), output, offset };
                let printed: Option<Printed> = den.rogue.ask(&print, &piece).await;
                let Some(Printed { next, full }) = printed else { break };
                let grown = next.saturating_sub(offset);
                offset = next;
                kept += grown;
                if full || grown == 0 {
                    break;
                }
            }
        }
    }
    assert_eq!(kept, limit, "all that the order allows is kept, and no more");
}

#[tokio::test(start_paused = true)]
async fn whether_the_gateway_has_a_blob_of_another_deal_is_not_told() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await.deal;
    let secret = den.gateway.blobs.put_bytes(b"another's").await.expect("kept").digest;
    let unknown = Digest::of(b"nobody's");
    let question = ToGateway::Missing { deal, blobs: vec![secret, unknown] };
    let answer: Option<Missing> = den.rogue.ask(&question, b"").await;
    assert_eq!(answer, Some(Missing { blobs: vec![secret, unknown] }));

    let put = ToGateway::PutBlob { deal, blob: secret };
    for guess in [&b""[..], b"a guess", b"another's and more"] {
        let answer: Option<Done> = den.rogue.ask(&put, guess).await;
        assert!(matches!(answer, Some(Done::Refused { .. })), "{answer:?}");
    }
    let answer: Option<Missing> = den.rogue.ask(&question, b"").await;
    assert_eq!(answer, Some(Missing { blobs: vec![secret, unknown] }));

    // Whoever has the bytes may hand them in, and is then not asked for them again.
    let answer: Option<Done> = den.rogue.ask(&put, b"another's").await;
    assert_eq!(answer, Some(Done::Done));
    let answer: Option<Missing> = den.rogue.ask(&question, b"").await;
    assert_eq!(answer, Some(Missing { blobs: vec![unknown] }));
}

#[tokio::test(start_paused = true)]
async fn a_provider_cannot_hand_in_what_only_another_deal_s_parties_have() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await;
    let secret = den.gateway.blobs.put_bytes(b"another's").await.expect("kept");
    let kind = TreeKind::File { digest: secret.digest, size: secret.size, executable: false };
    let path = TreePath::new("stolen".to_owned()).expect("a name");
    let limits = TreeLimits::up_to(Bytes::mebi(1));
    let tree = Tree::new(vec![TreeEntry { path, kind }], &limits).expect("a tree");
    let put = ToGateway::PutBlob { deal: deal.deal, blob: tree.digest() };
    let answer: Option<Done> = den.rogue.ask(&put, &tree.manifest()).await;
    assert_eq!(answer, Some(Done::Done));
    let result = TaskResult {
        task: TaskIndex(0),
        epoch: Epoch(1),
        exit_code: 0,
        output: tree.digest(),
        seconds: Seconds(1),
        salt: B256::repeat_byte(3),
    };
    let receipt = den.rogue.signed(&deal, 1, Outcome::Completed, &[result], &[]);
    let question = Rogue::question(&receipt, 0, &[], &[result]);
    for _ in 0..10 {
        let answer: Option<CountersignAnswer> = den.rogue.ask(&question, b"").await;
        assert_eq!(answer, Some(CountersignAnswer::NotYet));
        assert_eq!(den.state(), "open", "nothing is delivered that was not handed in");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    // With the bytes it is a delivery like any other.
    let put = ToGateway::PutBlob { deal: deal.deal, blob: secret.digest };
    let answer: Option<Done> = den.rogue.ask(&put, b"another's").await;
    assert_eq!(answer, Some(Done::Done));
    let answer: Option<CountersignAnswer> = den.rogue.ask(&question, b"").await;
    assert!(matches!(answer, Some(CountersignAnswer::Signed { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn blobs_that_come_at_once_share_the_room() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await.deal;
    let limit = den.wanted.work.output_limit;
    let most = limit.0 + TreeLimits { entries: broker::MOST_FILES, size: limit }.manifest().0;
    let length = usize::try_from(most / 3 + 1).expect("small");
    let blobs: Vec<Vec<u8>> = (0..4u8).map(|byte| vec![byte; length]).collect();
    let mut puts = JoinSet::new();
    for blob in blobs {
        let (wire, gateway) = (den.rogue.wire.clone(), den.rogue.gateway.clone());
        let put = message(&ToGateway::PutBlob { deal, blob: Digest::of(&blob) }).with_body(blob);
        puts.spawn(async move {
            let answer = wire.exchange(&gateway, put).await.expect("connected");
            serde_json::from_slice::<Done>(&answer.header).expect("an answer")
        });
    }
    let answers = puts.join_all().await;
    let taken = answers.iter().filter(|answer| **answer == Done::Done).count();
    assert_eq!(taken, 2, "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let mut den = Den::begin(1, |_| {}).await;
    let deal = den.opened().await.deal;
    let put = ToGateway::PutBlob { deal, blob: Digest::of(b"never") };
    let (reader, _writer) = tokio::io::duplex(8);
    let message = Message { body: net::Body::reader(reader), ..message(&put) };
    let begun = Instant::now();
    let exchange = den.rogue.wire.exchange(&den.rogue.gateway, message);
    let answer = tokio::time::timeout(Duration::from_secs(300), exchange).await;
    let answer = answer.expect("in time").expect("connected");
    let answer: Done = serde_json::from_slice(&answer.header).expect("an answer");
    assert!(matches!(answer, Done::Refused { .. }), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
