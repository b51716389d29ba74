//! The chain as its users meet it: deploy, call, send, read back, estimate, restart.

use std::{collections::BTreeSet, time::Duration};

use alloy_consensus::{TxEip1559, TxEip2930, TxEip7702};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, address, b256, keccak256};
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use serde_json::{Value, json};

use super::Chain;
use crate::{
    block::BaseFee,
    error::Error,
    genesis::Config,
    seal::Sealing,
    store::Place,
    testing::{
        CHAIN_ID, COUNTER, Hand, REVERTER, SETTER, ask, config, deploy, draft, key, legacy, person,
        raw, transfer, words,
    },
};

fn open(people: u8) -> Chain {
    Chain::open(config(people, Hand::at(1_000))).unwrap()
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

async fn refused(chain: &Chain, raw: &[u8]) -> (i64, String) {
    let error = chain.send(raw).await.unwrap_err();
    (error.code, error.message)
}

#[tokio::test]
async fn a_contract_is_deployed_called_and_heard_without_any_coin() {
    let chain = open(0);
    let counter = deploy(&chain, 0, 0, COUNTER).await;
    assert_eq!(counter, person(0).create(0));

    for count in 1..=3u64 {
        let hash =
            chain.send(&raw(0, draft(count, TxKind::Call(counter), Bytes::new()))).await.unwrap();
        let receipt = ask(&chain, "eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!(receipt["status"], "0x1");
        assert_eq!(receipt["effectiveGasPrice"], "0x0");
        assert_eq!(number(&receipt["blockNumber"]), count + 1);
        assert_eq!(receipt["logs"][0]["data"], json!(B256::from(U256::from(count))));
    }
    let call = json!([{ "to": counter }, "latest"]);
    assert_eq!(ask(&chain, "eth_call", call).await, json!(B256::from(U256::from(4))));
    // The call changed nothing.
    let slot = ask(&chain, "eth_getStorageAt", json!([counter, "0x0", "latest"])).await;
    assert_eq!(slot, json!(B256::from(U256::from(3))));
    let past = json!([{ "to": counter }, "0x2"]);
    assert_eq!(ask(&chain, "eth_call", past).await, json!(B256::from(U256::from(2))));
}

#[tokio::test]
async fn logs_are_found_by_range_address_topic_and_block() {
    let chain = open(0);
    let one = deploy(&chain, 0, 0, COUNTER).await;
    let two = deploy(&chain, 0, 1, COUNTER).await;
    for (nonce, to) in [(2, one), (3, two), (4, one)] {
        chain.send(&raw(0, draft(nonce, TxKind::Call(to), Bytes::new()))).await.unwrap();
    }
    let count = async |filter: Value| {
        ask(&chain, "eth_getLogs", json!([filter])).await.as_array().unwrap().len()
    };
    let topic = B256::from(U256::from(42));
    assert_eq!(count(json!({ "fromBlock": "earliest" })).await, 3);
    assert_eq!(count(json!({ "fromBlock": "0x0", "address": one })).await, 2);
    assert_eq!(count(json!({ "fromBlock": "0x0", "address": [one, two] })).await, 3);
    assert_eq!(count(json!({ "fromBlock": "0x0", "toBlock": "0x3", "address": one })).await, 1);
    assert_eq!(count(json!({ "fromBlock": "0x0", "topics": [topic] })).await, 3);
    assert_eq!(count(json!({ "fromBlock": "0x0", "topics": [[topic, B256::ZERO]] })).await, 3);
    assert_eq!(count(json!({ "fromBlock": "0x0", "topics": [B256::ZERO] })).await, 0);
    assert_eq!(count(json!({ "fromBlock": "0x0", "address": person(0) })).await, 0);
    assert_eq!(count(json!({})).await, 1, "the newest block only");

    let block = ask(&chain, "eth_getBlockByNumber", json!(["0x4", false])).await;
    let logs = ask(&chain, "eth_getLogs", json!([{ "blockHash": block["hash"] }])).await;
    assert_eq!(logs[0]["address"], json!(two));
    assert_eq!(logs[0]["transactionHash"], block["transactions"][0]);
    assert_eq!(logs[0]["logIndex"], "0x0");
    let backwards = json!([{ "fromBlock": "0x4", "toBlock": "0x1" }]);
    assert_eq!(chain.request("eth_getLogs", backwards).await.unwrap_err().code, -32602);
}

#[tokio::test]
async fn a_filter_tells_each_thing_once() {
    let clock = Hand::at(1_000);
    let chain = Chain::open(config(0, clock.clone())).unwrap();
    let counter = deploy(&chain, 0, 0, COUNTER).await;
    let logs = ask(&chain, "eth_newFilter", json!([{ "address": counter }])).await;
    let blocks = ask(&chain, "eth_newBlockFilter", json!([])).await;
    chain.send(&raw(0, draft(1, TxKind::Call(counter), Bytes::new()))).await.unwrap();
    let changes = async |filter: &Value| {
        let told = ask(&chain, "eth_getFilterChanges", json!([filter])).await;
        told.as_array().unwrap().len()
    };
    assert_eq!((changes(&logs).await, changes(&blocks).await), (1, 1));
    assert_eq!((changes(&logs).await, changes(&blocks).await), (0, 0));
    chain.send(&raw(0, draft(2, TxKind::Call(counter), Bytes::new()))).await.unwrap();
    assert_eq!((changes(&logs).await, changes(&blocks).await), (1, 1));

    assert_eq!(ask(&chain, "eth_uninstallFilter", json!([blocks])).await, true);
    assert_eq!(ask(&chain, "eth_uninstallFilter", json!([blocks])).await, false);
    clock.set(1_301);
    let gone = chain.request("eth_getFilterChanges", json!([logs])).await.unwrap_err();
    assert_eq!(gone.message, "filter not found", "after five minutes of silence");
}

#[tokio::test]
async fn an_estimate_is_enough_and_not_much_more() {
    let chain = open(1);
    let transfer = json!([{ "from": person(0), "to": person(1), "value": "0x1" }]);
    assert_eq!(ask(&chain, "eth_estimateGas", transfer).await, "0x5208");

    let counter = deploy(&chain, 0, 0, COUNTER).await;
    let call = json!([{ "from": person(0), "to": counter }, "latest"]);
    let estimate = number(&ask(&chain, "eth_estimateGas", call).await);
    let sent = TxEip1559 { gas_limit: estimate, ..draft(1, TxKind::Call(counter), Bytes::new()) };
    let hash = chain.send(&raw(0, sent)).await.unwrap();
    let receipt = ask(&chain, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x1");
    let used = number(&receipt["gasUsed"]);
    assert!(estimate <= used + used / 20, "{estimate} for {used}");

    let creation = json!([{ "from": person(0), "data": COUNTER }]);
    let estimate = number(&ask(&chain, "eth_estimateGas", creation).await);
    let sent = TxEip1559 { gas_limit: estimate, ..draft(2, TxKind::Create, COUNTER) };
    let hash = chain.send(&raw(0, sent)).await.unwrap();
    let receipt = ask(&chain, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x1");
}

#[tokio::test]
async fn a_revert_is_told_with_its_data_and_code_three() {
    let chain = open(0);
    let reverter = deploy(&chain, 0, 0, REVERTER).await;
    for method in ["eth_call", "eth_estimateGas"] {
        let error = chain.request(method, json!([{ "to": reverter }])).await.unwrap_err();
        assert_eq!((error.code, error.data), (3, Some(json!("0x"))), "{method}");
        assert_eq!(error.message, "execution reverted");
    }
    let poor = json!([{ "from": person(8), "to": reverter, "gasPrice": "0x1" }]);
    let error = chain.request("eth_estimateGas", poor).await.unwrap_err();
    assert_eq!(error.message, "gas required exceeds allowance (0)");
    // Sent all the same it is included, and failed.
    let hash = chain.send(&raw(0, draft(1, TxKind::Call(reverter), Bytes::new()))).await.unwrap();
    let receipt = ask(&chain, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x0");
}

#[tokio::test]
async fn a_call_may_pretend_other_accounts_and_another_block() {
    let chain = open(0);
    let setter = deploy(&chain, 0, 0, SETTER).await;
    let nobody = Address::repeat_byte(7);
    // Returns slot 3; then the time.
    let code = "0x60035460005260206000f3";
    let overrides = json!({ nobody.to_string(): {
        "code": code,
        "stateDiff": { B256::from(U256::from(3)).to_string(): B256::from(U256::from(99)) },
    }});
    let call = json!([{ "to": nobody }, "latest", overrides]);
    assert_eq!(ask(&chain, "eth_call", call).await, json!(B256::from(U256::from(99))));
    let overrides = json!({ nobody.to_string(): { "code": "0x4260005260206000f3" } });
    let call = json!([{ "to": nobody }, "latest", overrides, { "time": "0x1234" }]);
    assert_eq!(ask(&chain, "eth_call", call).await, json!(B256::from(U256::from(0x1234))));
    let rich = json!({ nobody.to_string(): { "balance": "0x10" } });
    let pay = json!([{ "from": nobody, "to": setter, "value": "0x10" }, "latest", rich]);
    assert_eq!(ask(&chain, "eth_call", pay).await, "0x");
    let pay = json!([{ "from": nobody, "to": setter, "value": "0x10" }, "latest"]);
    let error = chain.request("eth_call", pay).await.unwrap_err();
    assert!(error.message.starts_with("insufficient funds"), "{error}");
}

#[tokio::test]
async fn an_access_list_names_what_is_touched_and_makes_it_no_dearer() {
    let chain = open(0);
    let setter = deploy(&chain, 0, 0, SETTER).await;
    let call = json!([{ "from": person(0), "to": setter, "data": Bytes::from(words(5, 6)) }]);
    let answer = ask(&chain, "eth_createAccessList", call).await;
    let list = json!([{ "address": setter, "storageKeys": [B256::from(U256::from(5))] }]);
    assert_eq!(answer["accessList"], list);
    assert!(number(&answer["gasUsed"]) > 21_000);
}

#[tokio::test]
async fn every_kind_of_transaction_is_accepted_but_blobs() {
    let chain = open(1);
    let to = Address::repeat_byte(9);
    let access = TxEip2930 {
        chain_id: CHAIN_ID,
        nonce: 2,
        gas_limit: 50_000,
        to: to.into(),
        ..TxEip2930::default()
    };
    // Person 1 lets the code at `counter` act in its place.
    let counter = deploy(&chain, 0, 0, COUNTER).await;
    let permission = Authorization { chain_id: U256::from(CHAIN_ID), address: counter, nonce: 0 };
    let signature = key(1).sign(permission.signature_hash());
    let permission = permission.into_signed(Signature::from_raw(&signature.0).unwrap());
    let delegate = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: 3,
        gas_limit: 200_000,
        to: person(1),
        authorization_list: vec![permission],
        ..TxEip7702::default()
    };
    let kinds =
        [raw(0, legacy(1, to, 0)), raw(0, access), raw(0, delegate), raw(0, transfer(4, to, 1))];
    for (kind, raw) in ["0x0", "0x1", "0x4", "0x2"].iter().zip(kinds) {
        let hash = chain.send(&raw).await.unwrap();
        assert_eq!(hash, keccak256(&raw));
        let receipt = ask(&chain, "eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!((&receipt["type"], &receipt["status"]), (&json!(kind), &json!("0x1")));
        let found = ask(&chain, "eth_getTransactionByHash", json!([hash])).await;
        assert_eq!(found["type"], json!(kind));
    }
    let code = ask(&chain, "eth_getCode", json!([person(1), "latest"])).await;
    assert_eq!(code, format!("0xef0100{}", hex(counter.as_slice())));
    assert_eq!(ask(&chain, "eth_getTransactionCount", json!([person(1), "latest"])).await, "0x1");
    let slot = ask(&chain, "eth_getStorageAt", json!([person(1), "0x0", "latest"])).await;
    assert_eq!(slot, json!(B256::from(U256::from(1))), "counted in its own storage");

    let (code, message) = refused(&chain, &[3, 0xc0]).await;
    assert_eq!(code, -32003);
    assert!(message.contains("no blobs"), "{message}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_refusal_says_why_in_the_words_that_wallets_look_for() {
    let chain = open(1);
    let to = Address::repeat_byte(9);
    chain.send(&raw(0, transfer(0, to, 1))).await.unwrap();

    let cases = [
        (raw(0, transfer(0, to, 2)), "nonce too low: next nonce 1, tx nonce 0"),
        (raw(0, transfer(0, to, 1)), "already known"),
        (raw(5, transfer(0, to, 1)), "insufficient funds for gas * price + value"),
        (raw(5, legacy(0, to, 1)), "insufficient funds for gas * price + value"),
        (
            raw(0, TxEip1559 { gas_limit: 20_999, ..transfer(1, to, 1) }),
            "intrinsic gas too low: gas 20999, minimum needed 21000",
        ),
        (
            raw(0, TxEip1559 { gas_limit: 300_000_000, ..transfer(1, to, 1) }),
            "exceeds block gas limit of 200000000",
        ),
        (
            raw(0, TxEip1559 { chain_id: 1, ..transfer(1, to, 1) }),
            "invalid chain id: this chain is 31415",
        ),
        (
            raw(0, TxEip1559 { max_priority_fee_per_gas: 1, ..transfer(1, to, 1) }),
            "max priority fee per gas higher than max fee per gas",
        ),
    ];
    for (raw, wanted) in cases {
        let (code, message) = refused(&chain, &raw).await;
        assert_eq!(code, -32003, "{message}");
        assert!(message.starts_with(wanted), "{message}, wanted {wanted}");
    }
    for garbage in [&[][..], &[0x02], &[0xff; 40], &[0x7f, 1, 2]] {
        assert_eq!(refused(&chain, garbage).await.0, -32602);
    }
    let mut trailing = raw(0, transfer(1, to, 1));
    trailing.push(0);
    assert_eq!(refused(&chain, &trailing).await.0, -32602);
    assert_eq!(ask(&chain, "eth_blockNumber", json!([])).await, "0x1", "none made a block");
}

#[tokio::test]
async fn a_contract_cannot_spend_what_an_earlier_transaction_spent() {
    let mut config = config(1, Hand::at(1_000));
    config.sealing = Sealing::Manual;
    let chain = Chain::open(config).unwrap();
    let all = U256::from(1_000) * U256::from(10).pow(U256::from(18));
    let all = |nonce| TxEip1559 { value: all, ..transfer(nonce, Address::repeat_byte(9), 0) };
    chain.send(&raw(0, all(0))).await.unwrap();
    chain.send(&raw(0, all(1))).await.unwrap();
    let block = chain.seal().await.unwrap();
    assert_eq!(block.transactions.len(), 1);
    let status = ask(&chain, "txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x0" }), "the second one left");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ready_transaction_is_stranded_whatever_the_order_of_arrival() {
    let chain = open(6);
    let to = Address::repeat_byte(9);
    let mut sending = Vec::new();
    for step in 0..30u64 {
        for who in 0..6u8 {
            // A different scattered order for each sender.
            let nonce = (step * 7 + u64::from(who) * 11) % 30;
            let chain = chain.clone();
            let raw = raw(who, transfer(nonce, to, 1));
            sending.push(tokio::spawn(async move { chain.send(&raw).await.unwrap() }));
        }
    }
    let mut hashes = BTreeSet::new();
    for sent in sending {
        hashes.insert(sent.await.unwrap());
    }
    assert_eq!(hashes.len(), 180);
    let balance = ask(&chain, "eth_getBalance", json!([to, "latest"])).await;
    assert_eq!(number(&balance), 180);
    let status = ask(&chain, "txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x0" }));
    for hash in hashes {
        let receipt = ask(&chain, "eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!(receipt["status"], "0x1");
    }
}

#[tokio::test]
async fn more_than_a_block_holds_is_sealed_in_several() {
    let mut config = config(1, Hand::at(1_000));
    config.genesis.gas_limit = 50_000;
    let chain = Chain::open(config).unwrap();
    let to = Address::repeat_byte(9);
    for nonce in (1..6).rev() {
        chain.send(&raw(0, transfer(nonce, to, 1))).await.unwrap();
    }
    assert_eq!(ask(&chain, "eth_blockNumber", json!([])).await, "0x0");
    chain.send(&raw(0, transfer(0, to, 1))).await.unwrap();
    assert_eq!(ask(&chain, "eth_blockNumber", json!([])).await, "0x3", "two transfers a block");
}

#[tokio::test]
async fn block_time_is_the_later_of_parent_and_now() {
    let clock = Hand::at(1_000);
    let chain = Chain::open(config(1, clock.clone())).unwrap();
    let mut times = Vec::new();
    for (nonce, now) in (0u64..).zip([1_000, 1_000, 4_600, 900, 4_601]) {
        clock.set(now);
        chain.send(&raw(0, transfer(nonce, Address::repeat_byte(9), 1))).await.unwrap();
        let block = ask(&chain, "eth_getBlockByNumber", json!(["latest", false])).await;
        times.push(number(&block["timestamp"]));
    }
    assert_eq!(times, [1_000, 1_000, 4_600, 4_600, 4_601]);
    // What is still to come sees the time that it will come at.
    clock.set(9_000);
    let code = json!({ person(3).to_string(): { "code": "0x4260005260206000f3" } });
    let time = async |block: &str| {
        let call = json!([{ "to": person(3) }, block, code]);
        number(&ask(&chain, "eth_call", call).await)
    };
    assert_eq!((time("latest").await, time("pending").await), (4_601, 9_000));
}

#[tokio::test]
async fn tags_hashes_and_eip_1898_name_the_same_blocks() {
    let chain = open(1);
    chain.send(&raw(0, transfer(0, Address::repeat_byte(9), 7))).await.unwrap();
    let genesis = chain.genesis_hash().unwrap();
    let latest = ask(&chain, "eth_getBlockByNumber", json!(["latest", true])).await;
    let balance = async |id: Value| {
        number(&ask(&chain, "eth_getBalance", json!([Address::repeat_byte(9), id])).await)
    };
    for newest in ["latest", "safe", "finalized", "pending", "0x1"] {
        assert_eq!(balance(json!(newest)).await, 7, "{newest}");
    }
    for oldest in [
        json!("earliest"),
        json!("0x0"),
        json!({ "blockHash": genesis }),
        json!({ "blockNumber": "0x0" }),
        json!({ "blockHash": genesis, "requireCanonical": true }),
    ] {
        assert_eq!(balance(oldest).await, 0);
    }
    assert_eq!(balance(json!({ "blockHash": latest["hash"] })).await, 7);
    let future = json!([Address::ZERO, "0x9"]);
    assert_eq!(chain.request("eth_getBalance", future).await.unwrap_err().code, -32001);
    let unknown = ask(&chain, "eth_getBlockByHash", json!([B256::ZERO, false])).await;
    assert_eq!(unknown, Value::Null);
    assert_eq!(latest["parentHash"], json!(genesis));
    let pending = ask(&chain, "eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!((&pending["number"], &pending["parentHash"]), (&json!("0x2"), &latest["hash"]));
}

#[tokio::test]
async fn fees_are_consistently_nothing_whatever_others_tip() {
    let chain = open(1);
    for nonce in 0..3 {
        let generous = TxEip1559 {
            max_fee_per_gas: 1_000,
            max_priority_fee_per_gas: 1_000,
            ..transfer(nonce, Address::repeat_byte(9), 1)
        };
        chain.send(&raw(0, generous)).await.unwrap();
    }
    for method in ["eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_baseFee"] {
        assert_eq!(ask(&chain, method, json!([])).await, "0x0", "{method}");
    }
    assert_eq!(ask(&chain, "eth_blobBaseFee", json!([])).await, "0x1");
    let history = ask(&chain, "eth_feeHistory", json!(["0x2", "latest", [20.0, 50.5]])).await;
    assert_eq!(history["oldestBlock"], "0x2");
    assert_eq!(history["baseFeePerGas"], json!(["0x0", "0x0", "0x0"]));
    assert_eq!(history["reward"], json!([["0x3e8", "0x3e8"], ["0x3e8", "0x3e8"]]));
    for wrong in [json!([50, 20]), json!([101]), json!([-1])] {
        let params = json!(["0x2", "latest", wrong]);
        let error = chain.request("eth_feeHistory", params).await.unwrap_err();
        assert_eq!(error.code, -32602);
        assert!(error.message.contains("rewardPercentiles"), "{error}");
    }
}

#[tokio::test]
async fn a_base_fee_by_load_rises_falls_and_is_charged() {
    let mut config = config(2, Hand::at(1_000));
    config.base_fee = BaseFee::ByLoad(1_000_000_000);
    config.genesis.gas_limit = 42_000;
    let chain = Chain::open(config).unwrap();
    let base_fee = async || number(&ask(&chain, "eth_baseFee", json!([])).await);
    let block = async || number(&ask(&chain, "eth_blockNumber", json!([])).await);
    // The fee of the block to come: the genesis block was empty.
    assert_eq!(base_fee().await, 875_000_000);

    // One whole block: the fee rises by an eighth. Half a block leaves it, an empty one lowers it.
    let gwei = 1_000_000_000;
    chain.send(&raw(0, legacy(1, person(9), 2 * gwei))).await.unwrap();
    chain.send(&raw(0, legacy(0, person(9), 2 * gwei))).await.unwrap();
    assert_eq!((block().await, base_fee().await), (1, 984_375_000));
    chain.send(&raw(1, legacy(0, person(9), 2 * gwei))).await.unwrap();
    assert_eq!((block().await, base_fee().await), (2, 984_375_000));

    // What pays too little is accepted and waits for better times.
    chain.send(&raw(1, legacy(1, person(9), gwei * 9 / 10))).await.unwrap();
    assert_eq!(block().await, 2);
    chain.seal().await.unwrap();
    assert_eq!((block().await, base_fee().await), (3, 861_328_125));
    chain.send(&raw(0, legacy(2, person(9), 2 * gwei))).await.unwrap();
    let count = ask(&chain, "eth_getTransactionCount", json!([person(1), "latest"])).await;
    assert_eq!(count, "0x2");

    let spent = U256::from(1_000) * U256::from(10).pow(U256::from(18))
        - serde_json::from_value::<U256>(ask(&chain, "eth_getBalance", json!([person(1)])).await)
            .unwrap();
    assert_eq!(spent, U256::from(21_000u64 * 2_900_000_000));
}

#[tokio::test]
async fn proofs_hold_against_the_state_root() {
    let chain = open(1);
    let setter = deploy(&chain, 0, 0, SETTER).await;
    for (nonce, slot) in (1u64..).zip(0..20) {
        let set = draft(nonce, TxKind::Call(setter), words(slot, slot + 1));
        chain.send(&raw(0, set)).await.unwrap();
    }
    let head = ask(&chain, "eth_getBlockByNumber", json!(["latest", false])).await;
    let root: B256 = serde_json::from_value(head["stateRoot"].clone()).unwrap();
    let nodes = |proof: &Value| serde_json::from_value::<Vec<Bytes>>(proof.clone()).unwrap();
    for address in [setter, person(0), Address::repeat_byte(0x77)] {
        let answer = ask(&chain, "eth_getProof", json!([address, ["0x5", "0x99"], "latest"])).await;
        let account = TrieAccount {
            nonce: number(&answer["nonce"]),
            balance: serde_json::from_value(answer["balance"].clone()).unwrap(),
            storage_root: serde_json::from_value(answer["storageHash"].clone()).unwrap(),
            code_hash: serde_json::from_value(answer["codeHash"].clone()).unwrap(),
        };
        let exists = address != Address::repeat_byte(0x77);
        let value = exists.then(|| alloy_rlp::encode(account));
        let key = Nibbles::unpack(keccak256(address));
        verify_proof(root, key, value, &nodes(&answer["accountProof"])).unwrap();
        for (slot, entry) in [5u64, 0x99].iter().zip(answer["storageProof"].as_array().unwrap()) {
            let value: U256 = serde_json::from_value(entry["value"].clone()).unwrap();
            let expected = if address == setter && *slot == 5 { 6 } else { 0 };
            assert_eq!(value, U256::from(expected));
            let rlp = (!value.is_zero()).then(|| alloy_rlp::encode(value));
            let key = Nibbles::unpack(keccak256(B256::from(U256::from(*slot))));
            verify_proof(account.storage_root, key, rlp, &nodes(&entry["proof"])).unwrap();
        }
    }
    let old = chain.request("eth_getProof", json!([setter, [], "0x1"])).await.unwrap_err();
    assert!(old.message.contains("newest block only"), "{old}");
}

#[tokio::test]
async fn envelopes_batches_and_mistakes_are_answered_as_json_rpc_says() {
    let chain = open(0);
    let handle = async |request: &str| {
        let answer = chain.handle(request.as_bytes()).await;
        serde_json::from_slice::<Value>(&answer).unwrap_or(Value::Null)
    };
    let one = handle(r#"{"jsonrpc":"2.0","id":"a","method":"eth_chainId"}"#).await;
    assert_eq!(one, json!({ "jsonrpc": "2.0", "id": "a", "result": "0x7ab7" }));
    let batch = handle(
        r#"[{"jsonrpc":"2.0","id":1,"method":"net_version","params":[]},
            {"jsonrpc":"2.0","method":"eth_chainId"},
            {"jsonrpc":"2.0","id":3,"method":"no_such"}, 7]"#,
    )
    .await;
    assert_eq!(batch.as_array().unwrap().len(), 3, "a notification is not answered");
    assert_eq!(batch[0]["result"], "31415");
    assert_eq!(batch[1]["error"]["code"], -32601);
    assert_eq!(batch[2]["error"]["code"], -32600);
    assert_eq!(handle("{").await["error"]["code"], -32700);
    assert_eq!(handle("[]").await["error"]["code"], -32600);
    assert!(chain.handle(br#"{"jsonrpc":"2.0","method":"eth_chainId"}"#).await.is_empty());
    let named = handle(r#"{"id":1,"method":"eth_getBalance","params":["0x12"]}"#).await;
    assert_eq!(named["error"]["code"], -32602);
    assert!(named["error"]["message"].as_str().unwrap().contains("address"), "{named}");
    let missing = handle(r#"{"id":1,"method":"eth_getCode","params":[]}"#).await;
    assert!(missing["error"]["message"].as_str().unwrap().contains("address"), "{missing}");
    let object = handle(r#"{"id":1,"method":"eth_getCode","params":{"address":1}}"#).await;
    assert_eq!(object["error"]["code"], -32602);
}

#[tokio::test]
async fn a_batch_of_transactions_is_sent_in_any_order() {
    let chain = open(1);
    let raws = [2u64, 0, 1].map(|nonce| raw(0, transfer(nonce, Address::repeat_byte(9), 1)));
    let batch: Vec<_> = (0..)
        .zip(raws)
        .map(|(id, raw): (u64, _)| {
            let params = json!([Bytes::from(raw)]);
            json!({ "jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": params })
        })
        .collect();
    let answers = chain.handle(json!(batch).to_string().as_bytes()).await;
    let answers: Vec<Value> = serde_json::from_slice(&answers).unwrap();
    assert!(answers.iter().all(|answer| answer["result"].is_string()), "{answers:?}");
    let count = ask(&chain, "eth_getTransactionCount", json!([person(0), "latest"])).await;
    assert_eq!(count, "0x3");
}

#[tokio::test]
async fn the_pending_nonce_counts_what_waits() {
    let mut config = config(1, Hand::at(1_000));
    config.sealing = Sealing::Manual;
    let chain = Chain::open(config).unwrap();
    for nonce in [0, 1, 3] {
        chain.send(&raw(0, transfer(nonce, Address::repeat_byte(9), 1))).await.unwrap();
    }
    let count = async |tag: &str| {
        number(&ask(&chain, "eth_getTransactionCount", json!([person(0), tag])).await)
    };
    assert_eq!((count("latest").await, count("pending").await), (0, 2));
    let status = ask(&chain, "txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x2", "queued": "0x1" }));
    let content = ask(&chain, "txpool_contentFrom", json!([person(0)])).await;
    assert_eq!(content["queued"]["3"]["nonce"], "0x3");
    assert_eq!(content["pending"]["1"]["blockHash"], Value::Null);
    chain.seal().await.unwrap();
    assert_eq!((count("latest").await, count("pending").await), (2, 2));
    let empty = chain.seal().await.unwrap();
    assert_eq!((empty.header.number, empty.transactions.len()), (2, 0));
}

#[tokio::test]
async fn an_interval_seals_by_itself() {
    let mut config = config(1, Hand::at(1_000));
    config.sealing = Sealing::Interval(Duration::from_millis(5));
    let chain = Chain::open(config).unwrap();
    let mut blocks = chain.subscribe();
    chain.send(&raw(0, transfer(0, Address::repeat_byte(9), 1))).await.unwrap();
    let block = tokio::time::timeout(Duration::from_secs(30), blocks.recv()).await;
    assert_eq!(block.unwrap().unwrap().transactions.len(), 1);
}

#[tokio::test]
async fn listeners_hear_of_each_block_with_its_logs() {
    let chain = open(0);
    let mut blocks = chain.subscribe();
    let counter = deploy(&chain, 0, 0, COUNTER).await;
    chain.send(&raw(0, draft(1, TxKind::Call(counter), Bytes::new()))).await.unwrap();
    assert_eq!(blocks.recv().await.unwrap().header.number, 1);
    let second = blocks.recv().await.unwrap();
    assert_eq!(second.header.number, 2);
    assert_eq!(second.receipts[0].logs()[0].address, counter);
}

fn in_file(folder: &tempfile::TempDir) -> Config {
    let place = Place::File(folder.path().join("chain.redb"));
    Config { place, ..config(2, Hand::at(1_000)) }
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let chain = Chain::open(in_file(&folder)).unwrap();
    let counter = deploy(&chain, 0, 0, COUNTER).await;
    for nonce in 1..20 {
        chain.send(&raw(0, draft(nonce, TxKind::Call(counter), Bytes::new()))).await.unwrap();
    }
    let questions = [
        ("eth_getBlockByNumber", json!(["latest", true])),
        ("eth_getBlockByNumber", json!(["0x3", true])),
        ("eth_getBlockReceipts", json!(["0x5"])),
        ("eth_getLogs", json!([{ "fromBlock": "0x0", "address": counter }])),
        ("eth_getCode", json!([counter, "latest"])),
        ("eth_getStorageAt", json!([counter, "0x0", "0x7"])),
        ("eth_getProof", json!([counter, ["0x0"], "latest"])),
        ("eth_getTransactionCount", json!([person(0), "pending"])),
    ];
    let ask_all = async |chain: &Chain| {
        let mut answers = Vec::new();
        for (method, params) in &questions {
            answers.push(ask(chain, method, params.clone()).await);
        }
        answers
    };
    let before = ask_all(&chain).await;
    let second = Chain::open(in_file(&folder));
    assert!(matches!(second, Err(Error::Store { .. })), "the file is locked while it is in use");
    drop(chain);

    let chain = Chain::open(in_file(&folder)).unwrap();
    assert_eq!(ask_all(&chain).await, before);
    chain.send(&raw(0, draft(20, TxKind::Call(counter), Bytes::new()))).await.unwrap();
    let call = json!([{ "to": counter }, "latest"]);
    assert_eq!(ask(&chain, "eth_call", call).await, json!(B256::from(U256::from(21))));
}

#[tokio::test]
async fn what_waits_is_kept_too_and_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let to = Address::repeat_byte(9);
    let chain = Chain::open(in_file(&folder)).unwrap();
    for nonce in [1, 2, 4] {
        chain.send(&raw(0, transfer(nonce, to, 1))).await.unwrap();
    }
    drop(chain);
    let chain = Chain::open(in_file(&folder)).unwrap();
    let status = ask(&chain, "txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x3" }));
    chain.send(&raw(0, transfer(0, to, 1))).await.unwrap();
    assert_eq!(ask(&chain, "eth_getTransactionCount", json!([person(0)])).await, "0x3");
    drop(chain);
    let chain = Chain::open(in_file(&folder)).unwrap();
    let status = ask(&chain, "txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x1" }), "each is kept once");
}

#[tokio::test]
async fn what_was_left_ready_is_sealed_when_the_chain_opens() {
    let folder = tempfile::tempdir().unwrap();
    let manual = Config { sealing: Sealing::Manual, ..in_file(&folder) };
    let chain = Chain::open(manual).unwrap();
    chain.send(&raw(0, transfer(0, Address::repeat_byte(9), 1))).await.unwrap();
    assert_eq!(chain.head().unwrap().number, 0);
    drop(chain);
    let chain = Chain::open(in_file(&folder)).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while chain.head().unwrap().number < 1 {
        assert!(tokio::time::Instant::now() < deadline, "nothing was sealed");
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_file_of_another_chain_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Chain::open(in_file(&folder)).unwrap());
    let mut other = in_file(&folder);
    other.genesis.gas_limit += 1;
    assert!(matches!(Chain::open(other), Err(Error::OtherChain { .. })));
    std::fs::write(folder.path().join("chain.redb"), b"no database").unwrap();
    assert!(Chain::open(in_file(&folder)).is_err());
}

#[tokio::test]
async fn the_system_contracts_know_past_blocks() {
    let chain = open(1);
    for nonce in 0..3 {
        chain.send(&raw(0, transfer(nonce, Address::repeat_byte(9), 1))).await.unwrap();
    }
    let second = ask(&chain, "eth_getBlockByNumber", json!(["0x2", false])).await;
    let history = address!("0000F90827F1C53a10cb7A02335B175320002935");
    let call = json!([{ "to": history, "data": B256::from(U256::from(2)) }, "latest"]);
    assert_eq!(ask(&chain, "eth_call", call).await, second["hash"]);
}

#[tokio::test]
async fn all_precompiles_of_prague_are_there() {
    let chain = open(0);
    let precompile = |index: u8| Address::with_last_byte(index);
    let call = async |index: u8, input: Vec<u8>| {
        let message = json!({ "to": precompile(index), "data": Bytes::from(input) });
        chain.request("eth_call", json!([message, "latest"])).await
    };
    let sha256_of_nothing =
        b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(call(2, vec![]).await.unwrap(), json!(sha256_of_nothing));
    // The sum of two points at infinity is the point at infinity (EIP-2537).
    assert_eq!(call(0x0b, vec![0; 256]).await.unwrap(), json!(Bytes::from(vec![0; 128])));
    // A KZG opening of the zero polynomial: commitment and proof at infinity (EIP-4844).
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    let mut versioned = sha256(&infinity);
    versioned[0] = 1;
    let input = [&versioned[..], &[0; 64], &infinity, &infinity].concat();
    let output = call(0x0a, input).await.unwrap();
    // 4096 field elements a blob, and the order of the field.
    assert!(
        output
            .as_str()
            .unwrap()
            .ends_with("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001")
    );

    fn sha256(bytes: &[u8]) -> [u8; 32] {
        revm::precompile::hash::sha256_run(bytes, 1_000).unwrap().bytes.as_ref().try_into().unwrap()
    }
}

#[tokio::test]
async fn an_answer_survives_the_loss_of_whoever_asked() {
    let chain = open(1);
    let raw = raw(0, transfer(0, Address::repeat_byte(9), 1));
    let impatient = chain.clone();
    let sending = tokio::spawn(async move { impatient.send(&raw).await });
    tokio::task::yield_now().await;
    sending.abort();
    // Either it was never taken in, or it is sealed; it never waits for ever.
    let _ = sending.await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let status = ask(&chain, "txpool_status", json!([])).await;
        if status["pending"] == "0x0" {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{status}");
        tokio::task::yield_now().await;
    }
}
