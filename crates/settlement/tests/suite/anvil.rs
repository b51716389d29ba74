//! A chain of somebody else's: anvil, which can be slow to final, dear, and go back on its blocks.
//!
//! It seals only when told, and its clock goes by its blocks. Where it is not installed the tests say
//! so and pass over: `npm ci` in `contracts` brings it, `PLAZA_ANVIL` names another.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{U64, U256};
use async_trait::async_trait;
use market::{State, Terms};
use primitives::{B256, DealId, Key, Seconds, UnixSeconds};
use profile::Depth;
use serde_json::{Value, json};
use settlement::{
    Call, Error, Evm, Http, Network, Pace, Rpc, RpcError, Sent, Settlement, authorisation_digest,
    deploy, endow,
};

use crate::{
    deal::{Place, amount, terms},
    pair::plan,
    people::{Who, eventually},
};

/// A node of the test's own.
struct Anvil {
    process: Child,
    http: Arc<Watched>,
}

/// The way to it, which counts the receipts that were found.
struct Watched {
    http: Http,
    receipts: AtomicU64,
    /// The receipts found last; while `stale` is set they are told as if nothing had changed.
    found: Mutex<HashMap<String, Value>>,
    stale: AtomicBool,
}

#[async_trait]
impl Rpc for Watched {
    fn endpoint(&self) -> String {
        self.http.endpoint()
    }

    async fn request(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let about = params.to_string();
        let answer = self.http.request(method, params).await?;
        if method != "eth_getTransactionReceipt" {
            return Ok(answer);
        }
        let mut found = self.found.lock().unwrap();
        if !answer.is_null() {
            self.receipts.fetch_add(1, Ordering::SeqCst);
            found.insert(about, answer.clone());
        } else if self.stale.load(Ordering::SeqCst) {
            return Ok(found.get(&about).cloned().unwrap_or_default());
        }
        Ok(answer)
    }
}

/// The contracts on it.
struct Net {
    anvil: Anvil,
    network: Network,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Anvil {
    /// `None`, with the reason printed, where there is none.
    fn start(flags: &[&str]) -> Option<Self> {
        let usual = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
        );
        let named = std::env::var_os("PLAZA_ANVIL").map(PathBuf::from);
        let program = named.clone().unwrap_or_else(|| usual.into());
        if named.is_none() && !program.exists() {
            println!("passed over: there is no anvil; npm ci in contracts brings it");
            return None;
        }
        let mut process = Command::new(program)
            .args(["--port", "0", "--no-mining", "--timestamp", "1800000000"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("anvil starts");
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = said.next().expect("anvil says where it listens").unwrap();
            if let Some(address) = line.strip_prefix("Listening on ") {
                break address.to_owned();
            }
        };
        std::thread::spawn(move || said.for_each(drop));
        let http = Http::new(&format!("http://{address}")).unwrap();
        let (receipts, found, stale) = Default::default();
        Some(Self { process, http: Arc::new(Watched { http, receipts, found, stale }) })
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        self.http.request(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn number(&self, method: &str, params: Value) -> u64 {
        serde_json::from_value::<U64>(self.ask(method, params).await).unwrap().to()
    }

    async fn seal(&self, blocks: u64) {
        for _ in 0..blocks {
            self.ask("evm_mine", json!([])).await;
        }
    }

    /// Replace so many blocks by as many empty ones; what they held is forgotten.
    async fn go_another_way(&self, blocks: u64) {
        self.ask("anvil_reorg", json!([blocks, []])).await;
    }

    async fn pending(&self) -> u64 {
        let status = self.ask("txpool_status", json!([])).await;
        serde_json::from_value::<U64>(status["pending"].clone()).unwrap().to()
    }

    async fn transactions_of(&self, who: Who) -> u64 {
        self.number("eth_getTransactionCount", json!([who.address(), "latest"])).await
    }

    /// Blocks come until the work is done.
    async fn while_sealing<T>(&self, work: impl Future<Output = T>) -> T {
        let sealing = async {
            loop {
                self.seal(1).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            done = work => done,
            () = sealing => unreachable!("it goes on for ever"),
        }
    }
}

/// Looks often and is quick to send again.
fn impatient() -> Pace {
    let poll = Duration::from_millis(5);
    Pace { poll, bump: Duration::from_millis(50), answer: Duration::from_secs(60) }
}

/// Looks often and does not send again by itself.
fn patient() -> Pace {
    Pace { bump: Duration::from_secs(3_600), ..impatient() }
}

impl Net {
    /// Everyone has coins for gas; the contracts stand; the provider's key is registered.
    async fn new(depth: Depth, flags: &[&str]) -> Option<Self> {
        let anvil = Anvil::start(flags)?;
        anvil.ask("anvil_setBlockTimestampInterval", json!([1])).await;
        let coins = U256::from(10).pow(U256::from(21));
        for who in Who::ALL {
            anvil.ask("anvil_setBalance", json!([who.address(), coins])).await;
        }
        let mut plan = plan();
        plan.profile.depth = depth;
        plan.first_block = anvil.number("eth_blockNumber", json!([])).await;
        let owner = Who::Owner.key();
        let deployed = anvil.while_sealing(deploy(anvil.http.clone(), &owner, &plan)).await;
        let net = Self { anvil, network: deployed.unwrap().network };
        let (provider, key) = (Who::Provider, Who::ProviderKey);
        let evm = net.evm(provider, impatient()).await;
        let digest = authorisation_digest(&evm.providers(), provider.address(), key.address());
        let consent = key.key().sign(digest);
        let register = Call::Register { provider_key: key.address(), consent };
        assert!(net.done(&evm, register).await);
        Some(net)
    }

    async fn evm(&self, who: Who, pace: Pace) -> Evm {
        let rpc = self.anvil.http.clone();
        Evm::open(rpc, self.network.clone(), who.key(), pace).await.unwrap()
    }

    /// Send, with blocks coming, and see whether it was done.
    async fn done(&self, evm: &Evm, call: Call) -> bool {
        matches!(self.anvil.while_sealing(evm.send(call)).await.unwrap(), Sent::Done(_))
    }

    /// Send, and leave it to the test to seal.
    fn sending(&self, evm: &Evm, call: Call) -> tokio::task::JoinHandle<Sent> {
        let evm = evm.clone();
        tokio::spawn(async move { evm.send(call).await.unwrap() })
    }

    fn place(&self, evm: &Evm) -> Place {
        let contracts = &self.network.contracts;
        let token_domain = contracts.token_domain.clone();
        Place { escrow: evm.escrow(), token: contracts.token, token_domain }
    }

    /// Terms that can be opened for the next hundred blocks, and the call that opens them.
    async fn deal(&self, evm: &Evm, nonce: u64) -> (Terms, DealId, Call) {
        let place = self.place(evm);
        let latest = self.anvil.ask("eth_getBlockByNumber", json!(["latest", false])).await;
        let now = serde_json::from_value::<U64>(latest["timestamp"].clone()).unwrap().to();
        let mut terms = terms(&place, nonce, UnixSeconds(now));
        terms.accept_by = UnixSeconds(now).plus(Seconds(100));
        let open = place.open_by_authorization(&terms, Who::Renter);
        let id = place.id(&terms);
        (terms, id, open)
    }

    fn mint(&self, units: u128) -> Call {
        let to = Who::Stranger.address();
        Call::Mint { token: self.network.contracts.token, to, amount: amount(units) }
    }

    async fn stranger(&self, evm: &Evm) -> u128 {
        let token = self.network.contracts.token;
        evm.balances(token, Who::Stranger.address()).await.unwrap().wallet.units()
    }

    /// Wait until a sender has seen its transaction in a block.
    async fn was_seen_sealed(&self) {
        let receipts = &self.anvil.http.receipts;
        let before = receipts.load(Ordering::SeqCst);
        let seen = async || receipts.load(Ordering::SeqCst) > before;
        eventually("its receipt is found", seen).await;
    }

    async fn is_pending(&self) {
        eventually("it is pending", async || self.anvil.pending().await > 0).await;
    }
}

#[tokio::test]
async fn a_deal_is_opened_and_settled_for_gas_that_costs_something() {
    let Some(net) = Net::new(Depth::Blocks(2), &[]).await else { return };
    let evm = net.evm(Who::Stranger, impatient()).await;
    let token = net.network.contracts.token;
    let before = evm.balances(token, Who::Stranger.address()).await.unwrap();
    let (terms, deal, open) = net.deal(&evm, 1).await;
    assert!(net.done(&evm, open).await);
    let opening = evm.opening(deal).await.unwrap().expect("it lies at depth");
    let proof = net.place(&evm).completed(&terms, 1);
    assert!(net.done(&evm, Call::Settle { terms: terms.clone(), proof }).await);
    let closing = evm.closing(deal).await.unwrap().expect("it lies at depth");
    assert!(opening.block < closing.block);
    assert_eq!(closing.locked(), terms.cap);
    let after = evm.balances(token, Who::Stranger.address()).await.unwrap();
    let receipt = net.anvil.ask("eth_getTransactionReceipt", json!([closing.tx])).await;
    assert_ne!(receipt["effectiveGasPrice"], "0x0");
    assert!(after.native < before.native, "whoever sends pays the chain");
    assert_eq!(after.escrow, amount(18), "and gets the open and the close fee");
}

#[tokio::test]
async fn what_is_safe_or_final_counts_and_nothing_before() {
    for depth in [Depth::Safe, Depth::Finalized] {
        let Some(net) = Net::new(depth, &["--slots-in-an-epoch", "2"]).await else { return };
        let evm = net.evm(Who::Owner, impatient()).await;
        let sending = net.sending(&evm, net.mint(5));
        net.is_pending().await;
        net.anvil.seal(1).await;
        let sealed = net.anvil.number("eth_blockNumber", json!([])).await;
        let tag = if depth == Depth::Safe { "safe" } else { "finalized" };
        let head = async || {
            let block = net.anvil.ask("eth_getBlockByNumber", json!([tag, false])).await;
            serde_json::from_value::<U64>(block["number"].clone()).unwrap().to::<u64>()
        };
        while head().await + 1 < sealed {
            assert_eq!(evm.head().await.unwrap().number, head().await);
            assert!(!sending.is_finished());
            assert_eq!(net.stranger(&evm).await, 0);
            net.anvil.seal(1).await;
        }
        net.anvil.seal(1).await;
        let Sent::Done(mined) = sending.await.unwrap() else { panic!("it was refused") };
        assert_eq!(mined.block, sealed);
        assert_eq!(net.stranger(&evm).await, 5);
    }
}

#[tokio::test]
async fn a_chain_too_young_to_call_anything_final_is_seen_at_its_first_block() {
    let Some(anvil) = Anvil::start(&[]) else { return };
    anvil.seal(3).await;
    let contracts = profile::Contracts {
        plaza: Who::Owner.address(),
        escrow: Who::Owner.address(),
        providers: Who::Owner.address(),
        token: Who::Owner.address(),
        token_domain: market::document::TokenDomain { name: String::new(), version: String::new() },
        token_decimals: 6,
    };
    let chain_id = anvil.number("eth_chainId", json!([])).await;
    let windows = plan().profile.escrow;
    let network = Network { chain_id, contracts, windows, depth: Depth::Finalized, first_block: 2 };
    let key = Who::Renter.key();
    let evm = Evm::open(anvil.http.clone(), network, key, impatient()).await.unwrap();
    assert_eq!(evm.head().await.unwrap().number, 0);
}

#[tokio::test]
async fn an_opening_that_the_chain_took_back_before_its_depth_is_sent_again_and_counts_once() {
    let Some(net) = Net::new(Depth::Blocks(3), &[]).await else { return };
    let evm = net.evm(Who::Stranger, patient()).await;
    let (terms, deal, open) = net.deal(&evm, 1).await;
    let sending = net.sending(&evm, open);
    net.is_pending().await;
    net.anvil.seal(3).await;
    net.was_seen_sealed().await;
    let first = net.anvil.transactions_of(Who::Stranger).await;
    net.anvil.go_another_way(3).await;
    assert_eq!(
        net.anvil.transactions_of(Who::Stranger).await,
        first - 1,
        "it is not there any more"
    );
    assert!(!sending.is_finished() && evm.opening(deal).await.unwrap().is_none());

    net.is_pending().await;
    net.anvil.seal(3).await;
    assert!(!sending.is_finished(), "again it counts only at depth");
    net.anvil.seal(1).await;
    let Sent::Done(mined) = sending.await.unwrap() else { panic!("it was refused") };
    let opening = evm.opening(deal).await.unwrap().expect("it is on the new branch");
    assert_eq!((opening.tx, opening.block), (mined.tx, mined.block));
    assert_eq!(evm.slot(deal).await.unwrap().locked, terms.cap);
    assert_eq!(net.anvil.transactions_of(Who::Stranger).await, first, "one transaction, once");
}

#[tokio::test]
async fn a_receipt_of_a_block_that_another_one_has_replaced_is_not_believed() {
    let Some(net) = Net::new(Depth::Blocks(2), &[]).await else { return };
    let evm = net.evm(Who::Stranger, patient()).await;
    let (_, deal, open) = net.deal(&evm, 1).await;
    let sending = net.sending(&evm, open);
    net.is_pending().await;
    net.anvil.seal(1).await;
    net.was_seen_sealed().await;
    net.anvil.http.stale.store(true, Ordering::SeqCst);
    net.anvil.go_another_way(1).await;
    net.anvil.seal(2).await;
    // It is sent again although its node tells of it.
    net.is_pending().await;
    assert!(!sending.is_finished());
    net.anvil.http.stale.store(false, Ordering::SeqCst);
    net.anvil.seal(3).await;
    let Sent::Done(mined) = sending.await.unwrap() else { panic!("it was refused") };
    assert_eq!(evm.opening(deal).await.unwrap().map(|it| it.block), Some(mined.block));
}

#[tokio::test]
async fn a_network_that_was_set_up_is_there_at_its_depth() {
    let Some(anvil) = Anvil::start(&[]) else { return };
    let coins = U256::from(10).pow(U256::from(21));
    anvil.ask("anvil_setBalance", json!([Who::Owner.address(), coins])).await;
    let mut plan = plan();
    plan.profile.depth = Depth::Blocks(5);
    let (http, owner) = (anvil.http.clone(), Who::Owner.key());
    let network = anvil.while_sealing(deploy(http.clone(), &owner, &plan)).await.unwrap().network;
    let token = network.contracts.token;
    let evm = Evm::open(http, network, owner, patient()).await.unwrap();
    assert!(evm.admission(token).await.unwrap().listed);
}

#[tokio::test]
async fn a_settlement_that_the_chain_took_back_before_its_depth_is_sent_again_and_pays_once() {
    let Some(net) = Net::new(Depth::Blocks(2), &[]).await else { return };
    let evm = net.evm(Who::Stranger, patient()).await;
    let (terms, deal, open) = net.deal(&evm, 1).await;
    assert!(net.done(&evm, open).await);
    let proof = net.place(&evm).completed(&terms, 1);
    let sending = net.sending(&evm, Call::Settle { terms: terms.clone(), proof });
    net.is_pending().await;
    net.anvil.seal(2).await;
    net.was_seen_sealed().await;
    net.anvil.go_another_way(2).await;
    assert!(evm.closing(deal).await.unwrap().is_none());
    assert_eq!(evm.slot(deal).await.unwrap().state, State::Open);

    net.is_pending().await;
    net.anvil.seal(3).await;
    assert!(matches!(sending.await.unwrap(), Sent::Done(_)));
    let closing = evm.closing(deal).await.unwrap().expect("it is on the new branch");
    let token = net.network.contracts.token;
    let provider = evm.balances(token, Who::Provider.address()).await.unwrap();
    assert_eq!(provider.escrow, closing.split.paid);
}

#[tokio::test]
async fn beyond_its_depth_a_chain_that_went_another_way_is_read_again_from_where_it_parted() {
    let Some(net) = Net::new(Depth::Blocks(1), &[]).await else { return };
    let evm = net.evm(Who::Stranger, patient()).await;
    let (_, kept, open) = net.deal(&evm, 1).await;
    assert!(net.done(&evm, open).await);
    net.anvil.seal(5).await;
    evm.head().await.unwrap();
    let (_, lost, open) = net.deal(&evm, 2).await;
    let sending = net.sending(&evm, open);
    net.is_pending().await;
    net.anvil.seal(2).await;
    assert!(matches!(sending.await.unwrap(), Sent::Done(_)));
    assert!(evm.opening(lost).await.unwrap().is_some());

    net.anvil.go_another_way(4).await;
    assert!(evm.opening(lost).await.unwrap().is_none(), "it never happened");
    assert!(evm.opening(kept).await.unwrap().is_some(), "it lies before");
    net.anvil.seal(3).await;
    assert!(evm.opening(lost).await.unwrap().is_none());
    assert_eq!(evm.slot(lost).await.unwrap().state, State::None);
}

#[tokio::test]
async fn a_chain_that_was_set_back_is_believed_once_it_is_as_long_again() {
    let Some(net) = Net::new(Depth::Blocks(1), &[]).await else { return };
    let evm = net.evm(Who::Stranger, patient()).await;
    let (_, kept, open) = net.deal(&evm, 1).await;
    assert!(net.done(&evm, open).await);
    let snapshot = net.anvil.ask("evm_snapshot", json!([])).await;
    let (_, lost, open) = net.deal(&evm, 2).await;
    let sending = net.sending(&evm, open);
    net.is_pending().await;
    net.anvil.seal(2).await;
    assert!(matches!(sending.await.unwrap(), Sent::Done(_)));
    let before = evm.head().await.unwrap();

    net.anvil.ask("evm_revert", json!([snapshot])).await;
    assert_eq!(evm.head().await.unwrap(), before, "it may be a node that lags behind");
    // The new blocks are others, as their time is.
    net.anvil.ask("anvil_setBlockTimestampInterval", json!([2])).await;
    net.anvil.seal(3).await;
    assert!(evm.opening(lost).await.unwrap().is_none());
    assert!(evm.opening(kept).await.unwrap().is_some());
    assert!(evm.head().await.unwrap().number > before.number);
}

#[tokio::test]
async fn a_transaction_that_became_too_cheap_is_replaced_under_its_nonce() {
    let Some(net) = Net::new(Depth::Blocks(0), &[]).await else { return };
    let evm = net.evm(Who::Owner, impatient()).await;
    let first = net.anvil.transactions_of(Who::Owner).await;
    let fee = U256::from(100_000_000_000_u64);
    // What its newest form offers, where it waits.
    let offered = async || {
        let pool = net.anvil.ask("txpool_content", json!([])).await;
        let first = |it: &Value| it.as_object().and_then(|them| them.values().next().cloned());
        let waits = first(&pool["pending"]).as_ref().and_then(first);
        waits.map(|it| serde_json::from_value::<U256>(it["maxFeePerGas"].clone()).unwrap())
    };
    let sending = net.sending(&evm, net.mint(5));
    net.is_pending().await;
    assert!(offered().await.is_some_and(|price| price < fee));
    net.anvil.ask("anvil_setNextBlockBaseFeePerGas", json!([fee])).await;
    net.anvil.seal(1).await;
    assert_eq!(net.anvil.transactions_of(Who::Owner).await, first, "no block takes it");
    eventually("it pays more", async || offered().await.is_some_and(|price| price > fee)).await;
    net.anvil.seal(1).await;
    let Sent::Done(mined) = sending.await.unwrap() else { panic!("it was refused") };
    assert_eq!(net.stranger(&evm).await, 5, "once");
    assert_eq!(net.anvil.transactions_of(Who::Owner).await, first + 1);
    let sealed = net.anvil.ask("eth_getTransactionByHash", json!([mined.tx])).await;
    assert_eq!(sealed["nonce"], json!(format!("{first:#x}")));
}

#[tokio::test]
async fn what_an_earlier_process_left_in_the_pool_for_too_little_is_no_obstacle() {
    let Some(net) = Net::new(Depth::Blocks(1), &[]).await else { return };
    let before = net.evm(Who::Owner, patient()).await;
    let first = net.anvil.transactions_of(Who::Owner).await;
    let left = net.sending(&before, net.mint(5));
    net.is_pending().await;
    left.abort();
    drop(before);
    // No block takes it, nor what comes behind it; what takes its place has to pay more.
    let after = net.evm(Who::Owner, impatient()).await;
    let sending = net.sending(&after, net.mint(7));
    let replaced = async || {
        let pool = net.anvil.ask("txpool_content", json!([])).await.to_string();
        pool.contains("\"input\":\"0x\"")
    };
    eventually("an empty transaction takes its place", replaced).await;
    assert!(matches!(net.anvil.while_sealing(sending).await.unwrap(), Sent::Done(_)));
    assert_eq!(net.stranger(&after).await, 7, "what was left behind is not carried out");
    assert_eq!(net.anvil.transactions_of(Who::Owner).await, first + 2);
}

#[tokio::test]
async fn after_a_restart_the_pending_nonce_is_taken_up() {
    let Some(net) = Net::new(Depth::Blocks(1), &[]).await else { return };
    let before = net.evm(Who::Owner, patient()).await;
    let first = net.anvil.transactions_of(Who::Owner).await;
    let left = net.sending(&before, net.mint(5));
    net.is_pending().await;
    left.abort();
    drop(before);
    let after = net.evm(Who::Owner, patient()).await;
    let sending = net.sending(&after, net.mint(7));
    eventually("both are pending", async || net.anvil.pending().await == 2).await;
    net.anvil.seal(2).await;
    assert!(matches!(sending.await.unwrap(), Sent::Done(_)));
    assert_eq!(net.stranger(&after).await, 12, "each once");
    assert_eq!(net.anvil.transactions_of(Who::Owner).await, first + 2);
}

#[tokio::test]
async fn a_deal_that_somebody_else_opened_or_settled_first_is_open_or_settled() {
    let Some(net) = Net::new(Depth::Blocks(1), &[]).await else { return };
    let [one, other] = [Who::Stranger, Who::Renter];
    let (one, other) = (net.evm(one, impatient()).await, net.evm(other, impatient()).await);
    let (terms, deal, open) = net.deal(&one, 1).await;
    // Both are sent before either is sealed; the later one reverts in its block.
    let both = [net.sending(&one, open.clone()), net.sending(&other, open.clone())];
    eventually("both are pending", async || net.anvil.pending().await == 2).await;
    net.anvil.seal(2).await;
    let mut done = 0;
    for sending in both {
        match sending.await.unwrap() {
            Sent::Done(_) => done += 1,
            Sent::Refused(refusal) => assert!(refusal.is_wrong_state(), "{refusal}"),
        }
    }
    assert_eq!(done, 1);
    assert!(one.opening(deal).await.unwrap().is_some());
    assert!(other.opening(deal).await.unwrap().is_some());

    let proof = net.place(&one).completed(&terms, 1);
    let settle = Call::Settle { terms, proof };
    assert!(net.done(&one, settle.clone()).await);
    let Sent::Refused(refusal) = other.send(settle).await.unwrap() else { panic!("settled twice") };
    assert!(refusal.is_wrong_state(), "{refusal}");
    assert!(other.closing(deal).await.unwrap().is_some());
}

#[tokio::test]
async fn an_account_without_coin_is_told_so_by_name() {
    let Some(net) = Net::new(Depth::Blocks(0), &[]).await else { return };
    net.anvil.ask("anvil_setBalance", json!([Who::Owner.address(), "0x0"])).await;
    let evm = net.evm(Who::Owner, impatient()).await;
    let error = evm.send(net.mint(5)).await.unwrap_err();
    let Error::Fees { account, .. } = &error else { panic!("{error}") };
    assert_eq!(*account, Who::Owner.address());
    assert!(!error.is_retryable() && error.to_string().contains("native coin"), "{error}");

    let coins = U256::from(10).pow(U256::from(21));
    net.anvil.ask("anvil_setBalance", json!([Who::Owner.address(), coins])).await;
    assert!(net.done(&evm, net.mint(5)).await, "and may try again when it has some");
}

#[tokio::test]
async fn accounts_are_given_the_coin_they_lack_and_no_more() {
    let Some(anvil) = Anvil::start(&[]) else { return };
    // The first account that anvil makes rich.
    let rich = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    let rich = Key::from_bytes(rich.parse::<B256>().unwrap().0).unwrap();
    let coin = async |who: Who| {
        let wei = anvil.ask("eth_getBalance", json!([who.address(), "latest"])).await;
        serde_json::from_value::<U256>(wei).unwrap()
    };
    let wanted = [(Who::Owner.address(), 1_000_000), (Who::Renter.address(), 2_000_000)];
    anvil.while_sealing(endow(anvil.http.clone(), &rich, &wanted)).await.unwrap();
    let (owner, renter) = (coin(Who::Owner).await, coin(Who::Renter).await);
    assert_eq!(renter, owner * U256::from(2));
    assert!(owner > U256::ZERO);

    let nonce =
        async || anvil.number("eth_getTransactionCount", json!([rich.address(), "latest"])).await;
    assert_eq!(nonce().await, 2);
    let fewer = [(Who::Owner.address(), 1), (Who::Renter.address(), 1)];
    endow(anvil.http.clone(), &rich, &fewer).await.unwrap();
    assert_eq!(nonce().await, 2, "whoever has enough gets nothing");

    let poor = Who::Stranger.key();
    let error = endow(anvil.http.clone(), &poor, &[(Who::Provider.address(), 1_000_000)]).await;
    assert!(matches!(error, Err(Error::Fees { account, .. }) if account == poor.address()));
}

#[tokio::test]
async fn a_refusal_says_why_in_the_contracts_words_there_too() {
    let Some(net) = Net::new(Depth::Blocks(0), &[]).await else { return };
    let evm = net.evm(Who::Stranger, impatient()).await;
    let Sent::Refused(refusal) = evm.send(net.mint(1)).await.unwrap() else {
        panic!("it is not the owner")
    };
    assert!(refusal.error.starts_with("OwnableUnauthorizedAccount"), "{refusal}");
    assert_eq!(net.anvil.pending().await, 0, "nothing left");
}
