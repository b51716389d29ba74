//! What only a real chain can do: be another one, vanish, lose transactions, ask for higher fees,
//! be slow to become final, and turn out to have gone another way.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::U256;
use chain::{BaseFee, Chain, Config, GenesisAccount, Sealing};
use market::Terms;
use primitives::Clock;
use profile::Depth;
use settlement::{
    Call, Error, Evm, Http, Network, Pace, Rpc, Sent, Settlement, authorisation_digest, deploy,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    deal::{Place, amount, terms},
    pair::{CHAIN_ID, plan, quick},
    people::{Hand, Who, Wire, eventually},
};

struct Net {
    clock: Arc<Hand>,
    chain: Chain,
    wire: Arc<Wire>,
    network: Network,
}

/// Everyone has coins for gas; blocks come as `sealing` says; the contracts stand.
async fn net(sealing: Sealing, base_fee: BaseFee) -> Net {
    let clock = Hand::new();
    let coins = GenesisAccount::default().with_balance(U256::from(10).pow(U256::from(21)));
    let rich = Who::ALL.map(|who| (who.address(), coins.clone()));
    let config = Config { sealing, base_fee, ..Config::local(CHAIN_ID, rich, clock.clone()) };
    let chain = Chain::open(config).unwrap();
    let wire = Wire::to(&chain);
    let (owner, plan) = (Who::Owner.key(), plan());
    let setting_up = deploy(wire.clone(), &owner, &plan);
    let sealed = async {
        if sealing == Sealing::Manual {
            let all = 7 + plan.grants.len();
            eventually("all is handed over", async || wire.handed.lock().unwrap().len() == all)
                .await;
            chain.seal().await.unwrap();
        }
    };
    let (done, ()) = tokio::join!(setting_up, sealed);
    let network = done.unwrap().network;
    wire.handed.lock().unwrap().clear();
    Net { clock, chain, wire, network }
}

async fn instant() -> Net {
    net(Sealing::Instant, BaseFee::Fixed(0)).await
}

/// Looks often and is quick to send again.
fn impatient() -> Pace {
    let poll = Duration::from_millis(5);
    Pace { poll, bump: Duration::from_millis(50), answer: Duration::from_secs(60) }
}

impl Net {
    async fn evm(&self, who: Who, pace: Pace) -> Evm {
        Evm::open(self.wire.clone(), self.network.clone(), who.key(), pace).await.unwrap()
    }

    fn place(&self, evm: &Evm) -> Place {
        let contracts = &self.network.contracts;
        let token_domain = contracts.token_domain.clone();
        Place { escrow: evm.escrow(), token: contracts.token, token_domain }
    }

    fn mint(&self, units: u128) -> Call {
        let to = Who::Stranger.address();
        Call::Mint { token: self.network.contracts.token, to, amount: amount(units) }
    }

    async fn stranger(&self, evm: &Evm) -> u128 {
        let token = self.network.contracts.token;
        evm.balances(token, Who::Stranger.address()).await.unwrap().wallet.units()
    }

    /// Register the provider's key and open a deal straight from the renter's wallet.
    async fn open(&self, evm: &Evm, nonce: u64) -> Terms {
        let place = self.place(evm);
        let (provider, key) = (Who::Provider, Who::ProviderKey);
        let digest = authorisation_digest(&evm.providers(), provider.address(), key.address());
        let consent = key.key().sign(digest);
        let register = Call::Register { provider_key: key.address(), consent };
        assert!(sent(&evm.with_key(provider.key()), register).await);
        let terms = terms(&place, nonce, self.clock.now());
        let call = place.open_by_authorization(&terms, Who::Renter);
        assert!(sent(&evm.with_key(Who::Stranger.key()), call).await);
        terms
    }
}

async fn sent(evm: &Evm, call: Call) -> bool {
    matches!(evm.send(call).await.unwrap(), Sent::Done(_))
}

fn decoded(raw: &[u8]) -> TxEnvelope {
    TxEnvelope::decode_2718_exact(raw).unwrap()
}

#[tokio::test]
async fn another_chain_is_refused_at_the_door() {
    let net = instant().await;
    let network = Network { chain_id: 1, ..net.network.clone() };
    let refused = Evm::open(net.wire.clone(), network, Who::Renter.key(), quick()).await.err();
    assert!(matches!(refused, Some(Error::OtherChain { found: CHAIN_ID, wanted: 1 })));
}

#[tokio::test]
async fn a_call_that_would_revert_leaves_no_transaction() {
    let net = instant().await;
    let evm = net.evm(Who::Stranger, quick()).await;
    let refused = evm.send(net.mint(1)).await.unwrap();
    let Sent::Refused(refusal) = refused else { panic!("it is not the owner") };
    assert!(refusal.error.starts_with("OwnableUnauthorizedAccount"), "{refusal}");
    assert!(net.wire.handed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn many_calls_of_one_key_at_once_each_get_their_nonce() {
    let net = instant().await;
    let evm = net.evm(Who::Owner, quick()).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (evm, call) = (evm.clone(), net.mint(3));
        calls.spawn(async move { sent(&evm, call).await });
    }
    assert!(calls.join_all().await.into_iter().all(|done| done));
    assert_eq!(net.stranger(&evm).await, 120);
}

#[tokio::test]
async fn while_the_chain_is_gone_questions_fail_by_name_and_then_nothing_was_missed() {
    let net = instant().await;
    let evm = net.evm(Who::Renter, impatient()).await;
    let elsewhere = Wire::to(&net.chain);
    let other = Evm::open(elsewhere, net.network.clone(), Who::Owner.key(), quick()).await.unwrap();
    let before = *evm.heads().borrow();

    net.wire.gone.store(true, Ordering::SeqCst);
    let terms = net.open(&other, 1).await;
    let deal = net.place(&evm).id(&terms);
    let error = evm.slot(deal).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("the test's wire") && cause.contains("the wire is cut"), "{cause}");
    assert!(evm.send(net.mint(1)).await.unwrap_err().is_retryable());
    assert_eq!(*evm.heads().borrow(), before);

    let mut heads = evm.heads();
    net.wire.gone.store(false, Ordering::SeqCst);
    heads.wait_for(|head| head.number > before.number).await.unwrap();
    let opening = evm.opening(deal).await.unwrap().expect("it was opened meanwhile");
    assert_eq!(opening.at, net.clock.now());
    assert_eq!(evm.slot(deal).await.unwrap().locked, terms.cap);
}

#[tokio::test]
async fn an_announced_block_is_seen_without_asking_again_and_again() {
    let net = instant().await;
    let never = Pace { poll: Duration::from_secs(3_600), ..quick() };
    let wire = Wire::announcing(&net.chain);
    let evm = Evm::open(wire, net.network.clone(), Who::Renter.key(), never).await.unwrap();
    let mut heads = evm.heads();
    let before = heads.borrow_and_update().number;
    let block = net.chain.seal().await.unwrap();
    let seen = heads.wait_for(|head| head.number > before);
    let seen = tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap().unwrap();
    assert_eq!((seen.number, seen.hash), (block.header.number, block.header.hash()));
}

/// The chain behind HTTP on a port of this machine.
async fn served(chain: &Chain) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let chain = chain.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(chain.clone(), socket));
        }
    });
    format!("http://{address}")
}

/// One connection: request after request until the client closes it.
async fn answer(chain: Chain, socket: TcpStream) -> std::io::Result<()> {
    let (read, mut write) = socket.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if read.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            match line.trim().to_lowercase().split_once(": ") {
                Some(("content-length", bytes)) => length = bytes.parse().unwrap(),
                None if line.trim().is_empty() => break,
                _ => {}
            }
        }
        let mut request = vec![0; length];
        read.read_exact(&mut request).await?;
        let body = chain.handle(&request).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        write.write_all(&[head.as_bytes(), &body].concat()).await?;
    }
}

#[tokio::test]
async fn a_network_is_set_up_and_used_over_http() {
    let chain = Chain::open(Config::local(CHAIN_ID, [], Hand::new())).unwrap();
    let http: Arc<dyn Rpc> = Arc::new(Http::new(&served(&chain).await).unwrap());
    let owner = Who::Owner.key();
    let network = deploy(http.clone(), &owner, &plan()).await.unwrap().network;
    let token = network.contracts.token;
    let evm = Evm::open(http, network, owner, quick()).await.unwrap();
    let to = Who::Stranger.address();
    assert!(sent(&evm, Call::Mint { token, to, amount: amount(5) }).await);
    assert_eq!(evm.balances(token, to).await.unwrap().wallet, amount(5));
    let refused = evm.with_key(Who::Renter.key());
    let Sent::Refused(refusal) =
        refused.send(Call::Mint { token, to, amount: amount(5) }).await.unwrap()
    else {
        panic!("it is not the owner")
    };
    assert!(refusal.error.starts_with("OwnableUnauthorizedAccount"), "{refusal}");
}

#[tokio::test]
async fn a_transaction_whose_handing_over_was_cut_is_handed_over_again() {
    let net = instant().await;
    let evm = net.evm(Who::Owner, impatient()).await;
    net.wire.cut_after.store(0, Ordering::SeqCst);
    let call = net.mint(5);
    let sending = tokio::spawn({
        let evm = evm.clone();
        async move { sent(&evm, call).await }
    });
    eventually("the wire is cut", async || net.wire.gone.load(Ordering::SeqCst)).await;
    net.wire.cut_after.store(u32::MAX, Ordering::SeqCst);
    net.wire.gone.store(false, Ordering::SeqCst);
    assert!(sending.await.unwrap());
    assert_eq!(net.stranger(&evm).await, 5, "once");
}

#[tokio::test]
async fn a_transaction_that_the_node_lost_is_sent_again_under_its_nonce() {
    let net = instant().await;
    let evm = net.evm(Who::Owner, impatient()).await;
    net.wire.lose.store(1, Ordering::SeqCst);
    assert!(sent(&evm, net.mint(5)).await);
    assert_eq!(net.stranger(&evm).await, 5, "once");
    let handed = net.wire.handed.lock().unwrap().clone();
    let nonces: Vec<_> = handed.iter().map(|raw| decoded(raw).nonce()).collect();
    assert!(nonces.len() >= 2 && nonces.iter().all(|nonce| *nonce == nonces[0]), "{nonces:?}");
}

#[tokio::test]
async fn a_transaction_that_no_block_takes_is_replaced_at_a_higher_fee() {
    let net = net(Sealing::Manual, BaseFee::ByLoad(1_000_000_000)).await;
    let evm = net.evm(Who::Owner, impatient()).await;
    let call = net.mint(5);
    let sending = tokio::spawn({
        let evm = evm.clone();
        async move { evm.send(call).await.unwrap() }
    });
    eventually("it was replaced twice", async || net.wire.handed.lock().unwrap().len() > 2).await;
    net.chain.seal().await.unwrap();
    let Sent::Done(mined) = sending.await.unwrap() else { panic!("it was refused") };
    assert_eq!(net.stranger(&evm).await, 5, "once");

    let handed = net.wire.handed.lock().unwrap().clone();
    let forms: Vec<_> = handed.iter().map(|raw| decoded(raw)).collect();
    for pair in forms.windows(2) {
        assert_eq!(pair[0].nonce(), pair[1].nonce());
        let (before, after) = (pair[0].max_fee_per_gas(), pair[1].max_fee_per_gas());
        assert!(after >= before + before / 10, "{before} then {after}");
    }
    assert!(forms.iter().any(|form| *form.tx_hash() == mined.tx));
}

#[tokio::test]
async fn whoever_waits_too_long_is_told_so_and_later_calls_are_not_stuck_behind() {
    let net = net(Sealing::Manual, BaseFee::Fixed(0)).await;
    let hasty = Pace { answer: Duration::from_millis(20), ..impatient() };
    let evm = net.evm(Who::Owner, hasty).await;
    // The node loses the transaction as well.
    net.wire.lose.store(1, Ordering::SeqCst);
    let unknown = evm.send(net.mint(5)).await.unwrap_err();
    assert!(matches!(unknown, Error::Unconfirmed { .. }) && unknown.is_retryable(), "{unknown}");
    assert!(evm.send(net.mint(7)).await.is_err());
    eventually("both are sealed", async || {
        net.chain.seal().await.unwrap();
        net.stranger(&evm).await == 12
    })
    .await;
}

#[tokio::test]
async fn after_a_restart_the_pending_nonce_is_taken_up() {
    let net = net(Sealing::Manual, BaseFee::Fixed(0)).await;
    let first = net.evm(Who::Owner, quick()).await;
    let call = net.mint(5);
    let sending = tokio::spawn(async move { first.send(call).await });
    eventually("it is pending", async || net.wire.handed.lock().unwrap().len() == 1).await;
    sending.abort();

    let second = net.evm(Who::Owner, impatient()).await;
    let call = net.mint(7);
    let sending = tokio::spawn({
        let second = second.clone();
        async move { sent(&second, call).await }
    });
    eventually("both are pending", async || net.wire.handed.lock().unwrap().len() >= 2).await;
    net.chain.seal().await.unwrap();
    assert!(sending.await.unwrap());
    assert_eq!(net.stranger(&second).await, 12, "each once");
}

#[tokio::test]
async fn at_a_depth_of_two_blocks_nothing_counts_before_two_more_are_sealed() {
    let mut net = net(Sealing::Manual, BaseFee::Fixed(0)).await;
    for _ in 0..2 {
        net.chain.seal().await.unwrap();
    }
    net.network.depth = Depth::Blocks(2);
    let evm = net.evm(Who::Owner, impatient()).await;
    let call = net.mint(5);
    let sending = tokio::spawn({
        let evm = evm.clone();
        async move { evm.send(call).await.unwrap() }
    });
    eventually("it is pending", async || !net.wire.handed.lock().unwrap().is_empty()).await;
    let head = evm.head().await.unwrap().number;
    for _ in 0..2 {
        net.chain.seal().await.unwrap();
        evm.head().await.unwrap();
        assert!(!sending.is_finished());
        assert_eq!(net.stranger(&evm).await, 0);
    }
    net.chain.seal().await.unwrap();
    let Sent::Done(mined) = sending.await.unwrap() else { panic!("it was refused") };
    assert_eq!(mined.block, head + 3);
    assert_eq!(evm.head().await.unwrap().number, mined.block);
    assert_eq!(net.stranger(&evm).await, 5);
}

#[tokio::test]
async fn a_chain_that_went_another_way_is_read_again() {
    let (one, other) = (instant().await, instant().await);
    let evm = one.evm(Who::Renter, impatient()).await;
    let here = one.open(&evm, 1).await;
    let there = {
        let evm = other.evm(Who::Renter, quick()).await;
        other.clock.advance(5);
        other.open(&evm, 2).await
    };
    let place = one.place(&evm);
    let (here, there) = (place.id(&here), place.id(&there));
    assert!(evm.opening(here).await.unwrap().is_some());
    assert!(evm.opening(there).await.unwrap().is_none());

    // Of the same height at first, then longer.
    one.wire.lead_to(&other.chain);
    assert!(evm.opening(here).await.unwrap().is_none());
    let opening = evm.opening(there).await.unwrap().expect("it is on this branch");
    assert_eq!(opening.at, other.clock.now());
    other.chain.seal().await.unwrap();
    assert!(evm.opening(there).await.unwrap().is_some());
}

#[tokio::test]
async fn events_that_a_node_kept_back_are_asked_for_once_the_slot_tells_of_them() {
    let net = instant().await;
    let evm = net.evm(Who::Renter, quick()).await;
    net.wire.deaf.store(true, Ordering::SeqCst);
    let terms = net.open(&evm, 1).await;
    let place = net.place(&evm);
    let deal = place.id(&terms);
    evm.head().await.unwrap();
    assert!(evm.opening(deal).await.unwrap().is_none(), "nobody tells of it");

    net.wire.deaf.store(false, Ordering::SeqCst);
    let opening = evm.opening(deal).await.unwrap().expect("its slot tells of it");
    assert_eq!(opening.at, net.clock.now());

    net.wire.deaf.store(true, Ordering::SeqCst);
    let proof = place.completed(&terms, 1);
    assert!(sent(&evm, Call::Settle { terms, proof }).await);
    assert!(evm.closing(deal).await.unwrap().is_none());
    net.wire.deaf.store(false, Ordering::SeqCst);
    assert!(evm.closing(deal).await.unwrap().is_some());
}

#[tokio::test]
async fn a_range_that_the_node_finds_too_wide_is_asked_for_in_parts_that_miss_nothing() {
    let net = instant().await;
    let first = net.evm(Who::Renter, quick()).await;
    let deal = net.place(&first).id(&net.open(&first, 1).await);
    // It would go on reading beside the others.
    drop(first);
    for _ in 0..30 {
        net.chain.seal().await.unwrap();
    }
    for widest in [1, 2, 7] {
        net.wire.widest.store(widest, Ordering::SeqCst);
        net.wire.ranges.lock().unwrap().clear();
        let evm = net.evm(Who::Renter, quick()).await;
        assert!(evm.opening(deal).await.unwrap().is_some());
        let ranges = net.wire.ranges.lock().unwrap().clone();
        let mut next = 0;
        for (from, to) in ranges {
            assert_eq!(from, next);
            next = to + 1;
        }
        assert_eq!(next, evm.head().await.unwrap().number + 1);
    }
}

#[tokio::test]
async fn events_are_read_from_the_network_s_first_block_on() {
    let mut net = instant().await;
    let first_block = net.chain.seal().await.unwrap().header.number;
    net.network.first_block = first_block;
    net.wire.ranges.lock().unwrap().clear();
    let evm = net.evm(Who::Renter, quick()).await;
    let deal = net.place(&evm).id(&net.open(&evm, 1).await);
    assert!(evm.opening(deal).await.unwrap().is_some());
    let ranges = net.wire.ranges.lock().unwrap().clone();
    assert_eq!(ranges.first().map(|range| range.0), Some(first_block), "{ranges:?}");
    assert!(ranges.iter().all(|range| range.0 >= first_block), "{ranges:?}");
}
