//! The gateway's doors against a provider that has a deal: what it asks, prints and hands in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use broker::JobView;
use market::{
    Machine, Meter, Offer, Outcome, Receipt, Rules, Signed, Terms,
    document::terms_spec,
    fact::{Agreement, Submission},
    message::{
        Bid, BidAnswer, BidRequest, CommandAnswer, Countersign, CountersignAnswer, Done, Missing,
        Output, Printed, ToGateway, ToProvider,
    },
    task::{TaskResult, result_root},
};
use net::{Incoming, Message, Simulated, Transport as _};
use primitives::{
    Amount, B256, BasisPoints, Bytes, Clock as _, Digest, Epoch, Key, Millicores, PeerId, Rate,
    Resources, Seconds, TaskIndex, UnixSeconds,
};
use serde::{Serialize, de::DeserializeOwned};
use sim::{Gateway, Renter, Town, Wanted, key};
use store::{Blobs as _, Tree, TreeEntry, TreeKind, TreeLimits, TreePath};
use tokio::{task::JoinSet, time::Instant};

fn json(words: &impl Serialize) -> Message {
    Message::new(serde_json::to_vec(words).expect("plain data"))
}

fn machine() -> Machine {
    Machine {
        resources: Resources {
            cpu: Millicores::cores(4),
            memory: Bytes::gibi(8),
            disk: Bytes::gibi(64),
            gpus: 0,
        },
        divisible: true,
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        cpu_model: None,
        gpu_models: None,
        host_root: true,
        isolation: Default::default(),
    }
}

/// A connected peer with an authorised key and an offer in the book, which bids for every order
/// and takes every command; everything else it says is up to a test.
struct Rogue {
    wire: Arc<Simulated>,
    gateway: PeerId,
    key: Key,
    escrow: market::Domain,
    /// Whether it leaves commands unanswered.
    deaf: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Rogue {
    async fn start(town: &Town, gateway: &Gateway) -> Self {
        let (account, provider_key) = (key(30), key(31));
        town.register(account.address(), &provider_key).await;
        let name = PeerId("rogue".to_owned());
        let wire = Arc::new(town.network.join(&name));
        town.network.link(&name, &gateway.peer);
        let document = Offer {
            provider: account.address(),
            provider_key: provider_key.address(),
            peer: name,
            machine: machine(),
            rate: Rate::per_hour(40_000).expect("small"),
            token: town.setup.token,
            sla: B256::ZERO,
            region: String::new(),
            sequence: 1,
            valid_until: town.clock.now().plus(Seconds(30 * 86_400)),
        };
        let signature = provider_key.sign(document.digest(&town.plaza()));
        let offer = Signed { document, signature };
        let deaf = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let (speaking, to, listed) = (wire.clone(), gateway.peer.clone(), offer.clone());
        tasks.spawn(async move {
            loop {
                let question = json(&ToGateway::Announce(Box::new(listed.clone())));
                let asking = speaking.exchange(&to, question);
                let _ = tokio::time::timeout(Duration::from_secs(5), asking).await;
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
        let (listening, signer, ears) = (wire.clone(), provider_key.clone(), deaf.clone());
        let (plaza, escrow, clock) = (town.plaza(), town.escrow(), town.clock.clone());
        let (rules, fee) = (town.profile.market.clone(), town.setup.fee);
        tasks.spawn(async move {
            // Answers that are never given are kept, so that the asker waits.
            let mut silences = Vec::new();
            while let Some(Incoming { message, reply, .. }) = listening.accept().await {
                match serde_json::from_slice(&message.header) {
                    Ok(ToProvider::Bid(request)) => {
                        let now = clock.now();
                        let domains = (&plaza, &escrow);
                        let bid =
                            bid(&offer.document, &signer, &request, domains, (&rules, fee, now));
                        drop(reply.send(json(&BidAnswer::Bid(Box::new(bid)))).await);
                    }
                    Ok(ToProvider::Command(_)) if ears.load(Ordering::Relaxed) => {
                        silences.push(reply);
                    }
                    Ok(ToProvider::Command(_)) => {
                        drop(reply.send(json(&CommandAnswer::Taken)).await);
                    }
                    Err(_) => {}
                }
            }
        });
        let gateway = gateway.peer.clone();
        Self { wire, gateway, key: provider_key, escrow: town.escrow(), deaf, _tasks: tasks }
    }

    async fn ask<A: DeserializeOwned>(&self, question: &ToGateway, body: &[u8]) -> Option<A> {
        let message = json(question).with_body(body.to_vec());
        let exchange = self.wire.exchange(&self.gateway, message);
        let answer = tokio::time::timeout(Duration::from_secs(10), exchange).await;
        serde_json::from_slice(&answer.ok()?.ok()?.header).ok()
    }

    /// A question for a receipt over no samples to be co-signed.
    fn countersign(
        &self,
        deal: &Agreement,
        seconds: u64,
        outcome: Outcome,
        results: &[TaskResult],
    ) -> Countersign {
        let seconds = Seconds(seconds);
        let document = Receipt {
            deal: deal.deal,
            amount: deal.terms.document.rate.charge_down(seconds),
            seconds,
            outcome,
            result: result_root(results),
            meter: Meter::default().root(),
        };
        let signature = self.key.sign(document.digest(&self.escrow));
        Countersign {
            receipt: Signed { document, signature },
            samples_before: 0,
            samples: Vec::new(),
            results: results.to_vec(),
            ending: None,
        }
    }
}

fn bid(
    offer: &Offer,
    signer: &Key,
    request: &BidRequest,
    (plaza, escrow): (&market::Domain, &market::Domain),
    (rules, fee, now): (&Rules, BasisPoints, UnixSeconds),
) -> Bid {
    let order = &request.order.document;
    let resources = request.wish.resources;
    let rate = market::quote::bundle_rate(offer.rate, &offer.machine, &resources).expect("small");
    let accept_by = now.plus(rules.bid_lead);
    let digest = Digest(offer.digest(plaza).0);
    let terms = Terms {
        renter: order.renter,
        provider: offer.provider,
        renter_key: order.renter_key,
        provider_key: offer.provider_key,
        session: order.session,
        token: order.token,
        cap: rate.hold_up(order.time_limit, rules.hold_buffer).expect("small"),
        rate,
        fee,
        kind: order.kind,
        accept_by,
        expiry: accept_by.plus(rules.preparation).plus(order.time_limit),
        grace: rules.grace,
        gateway: order.gateway,
        open_fee: request.open_fee,
        close_fee: request.close_fee,
        nonce: 1,
        spec: terms_spec(request.deal_salt, order.id(plaza), &resources, digest, B256::ZERO),
    };
    let signature = signer.sign(terms.id(escrow).0);
    let terms = Signed { document: terms, signature };
    Bid { terms, offer: digest, salt: request.deal_salt, resources }
}

/// A gateway and a renter against a rogue.
struct Den {
    town: Town,
    gateway: Gateway,
    rogue: Rogue,
    renter: Renter,
    wanted: Submission,
}

impl Den {
    async fn begin() -> Self {
        let town = Town::new(1);
        let mut gateway = Gateway::new("gateway");
        gateway.start(&town).await;
        let rogue = Rogue::start(&town, &gateway).await;
        let renter = Renter { key: key(200) };
        town.fund(renter.account(), Amount::new(100_000_000).expect("small")).await;
        let wanted = renter.submission(&town, &gateway, &Wanted::plain(1));
        Self { town, gateway, rogue, renter, wanted }
    }

    /// One look of a renter that says everything again.
    async fn nudge(&mut self) -> Option<JobView> {
        let job = self.renter.order(&self.gateway, &self.wanted).await.ok()?;
        let view = self.gateway.broker().job(job)?;
        let consent = self.renter.consent(&self.town, &self.gateway, &view);
        let _ = tokio::time::timeout(Duration::from_secs(1), consent).await;
        Some(view)
    }

    /// Until the deal is open and assigned.
    async fn opened(&mut self) -> Agreement {
        let deadline = Instant::now() + Duration::from_secs(3_600);
        loop {
            if let Some(deal) = self.nudge().await.and_then(|view| view.deal)
                && deal.state == "open"
            {
                return deal.agreement;
            }
            assert!(Instant::now() < deadline, "never open");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn state(&self) -> &'static str {
        let view = self.gateway.broker().jobs().remove(0);
        view.deal.map_or(view.state, |deal| deal.state)
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_much_and_answers_nothing_does_not_silence_the_others() {
    let mut den = Den::begin().await;
    den.rogue.deaf.store(true, Ordering::Relaxed);
    let deal = den.opened().await;
    let mut floods = JoinSet::new();
    for _ in 0..100 {
        let (wire, gateway) = (den.rogue.wire.clone(), den.rogue.gateway.clone());
        let ask = den.rogue.countersign(&deal, 1, Outcome::Running, &[]);
        // Always behind, so that it changes nothing and can be asked for ever.
        let question = ToGateway::Countersign(Box::new(Countersign { samples_before: 7, ..ask }));
        let question = json(&question);
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
        let exchange = bystander.exchange(&den.gateway.peer, json(&ToGateway::Rpc));
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
    let mut den = Den::begin().await;
    let deal = den.opened().await.deal;
    let (limit, piece) = (den.wanted.work.output_limit.0, vec![b'x'; 1 << 20]);
    let mut kept = 0;
    for task in 0..4 {
        for output in [Output::Stdout, Output::Stderr] {
            let (task, mut offset) = (TaskIndex(task), 0);
            let half = if output == Output::Stdout { limit / 2 } else { limit };
            while offset < half {
                let print = ToGateway::Print { deal, task, output, offset };
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
    let mut den = Den::begin().await;
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
    let mut den = Den::begin().await;
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
    let ask = den.rogue.countersign(&deal, 1, Outcome::Completed, &[result]);
    let question = ToGateway::Countersign(Box::new(ask));
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
    let mut den = Den::begin().await;
    let deal = den.opened().await.deal;
    let limit = den.wanted.work.output_limit;
    let most = limit.0 + TreeLimits { entries: broker::MOST_FILES, size: limit }.manifest().0;
    let length = usize::try_from(most / 3 + 1).expect("small");
    let blobs: Vec<Vec<u8>> = (0..4u8).map(|byte| vec![byte; length]).collect();
    let mut puts = JoinSet::new();
    for blob in blobs {
        let (wire, gateway) = (den.rogue.wire.clone(), den.rogue.gateway.clone());
        let put = json(&ToGateway::PutBlob { deal, blob: Digest::of(&blob) }).with_body(blob);
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
    let mut den = Den::begin().await;
    let deal = den.opened().await.deal;
    let put = ToGateway::PutBlob { deal, blob: Digest::of(b"never") };
    let (reader, _writer) = tokio::io::duplex(8);
    let message = Message { body: net::Body::reader(reader), ..json(&put) };
    let begun = Instant::now();
    let exchange = den.rogue.wire.exchange(&den.rogue.gateway, message);
    let answer = tokio::time::timeout(Duration::from_secs(300), exchange).await;
    let answer = answer.expect("in time").expect("connected");
    let answer: Done = serde_json::from_slice(&answer.header).expect("an answer");
    assert!(matches!(answer, Done::Refused { .. }), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
