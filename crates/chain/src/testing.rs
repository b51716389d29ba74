//! What the tests of this room share: people with keys, signed transactions, a clock to step, small
//! contracts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, bytes};
use primitives::{Clock, Key, UnixSeconds};
use serde_json::{Value, json};

use crate::{block::Transaction, chain::Chain, genesis::Config};

/// Chain id of the tests.
pub(crate) const CHAIN_ID: u64 = 31_415;

/// Deploys a contract that counts its calls in slot 0, logs the count under topic 42, returns it.
pub(crate) const COUNTER: Bytes =
    bytes!("6019600c60003960196000f360005460010180600055600052602a60206000a160206000f3");

/// Deploys a contract that sets the slot in the first word of the input to the second word.
pub(crate) const SETTER: Bytes = bytes!("6008600c60003960086000f36020356000355500");

/// Deploys a contract that reverts with no reason.
pub(crate) const REVERTER: Bytes = bytes!("6003600c60003960036000f35f5ffd");

/// A clock that stands until it is set.
#[derive(Default)]
pub(crate) struct Hand(AtomicU64);

impl Hand {
    pub(crate) fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds)))
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.now().0)
    }
}

/// The `index`th person.
pub(crate) fn key(index: u8) -> Key {
    Key::from_bytes([index + 1; 32]).unwrap()
}

/// The address of the `index`th person.
pub(crate) fn person(index: u8) -> Address {
    key(index).address()
}

/// A local chain on which the first `people` have 1,000 coins each.
pub(crate) fn config(people: u8, clock: Arc<Hand>) -> Config {
    let coins = U256::from(1_000) * U256::from(10).pow(U256::from(18));
    let accounts = (0..people).map(|i| (person(i), GenesisAccount::default().with_balance(coins)));
    Config::local(CHAIN_ID, accounts, clock)
}

/// The usual transaction of a test: 100,000 gas at no price.
pub(crate) fn draft(nonce: u64, to: TxKind, input: impl Into<Bytes>) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 0,
        max_priority_fee_per_gas: 0,
        to,
        value: U256::ZERO,
        access_list: Default::default(),
        input: input.into(),
    }
}

/// A transfer of `value` wei.
pub(crate) fn transfer(nonce: u64, to: Address, value: u64) -> TxEip1559 {
    let value = U256::from(value);
    TxEip1559 { gas_limit: 21_000, value, ..draft(nonce, TxKind::Call(to), Bytes::new()) }
}

/// A transfer without a fee market, without a chain id, of 0 wei at `gas_price` wei per gas.
pub(crate) fn legacy(nonce: u64, to: Address, gas_price: u128) -> TxLegacy {
    TxLegacy {
        chain_id: None,
        nonce,
        gas_price,
        gas_limit: 21_000,
        to: to.into(),
        ..TxLegacy::default()
    }
}

/// Signs a transaction as the `index`th person.
pub(crate) fn signed<T>(index: u8, draft: T) -> Transaction
where
    T: SignableTransaction<Signature>,
    Transaction: From<alloy_consensus::Signed<T>>,
{
    let signature = key(index).sign(draft.signature_hash());
    draft.into_signed(Signature::from_raw(&signature.0).unwrap()).into()
}

/// Signs a transaction as the `index`th person, as it is sent.
pub(crate) fn raw<T>(index: u8, draft: T) -> Vec<u8>
where
    T: SignableTransaction<Signature>,
    Transaction: From<alloy_consensus::Signed<T>>,
{
    signed(index, draft).encoded_2718()
}

/// Asks, and expects an answer.
pub(crate) async fn ask(chain: &Chain, method: &str, params: Value) -> Value {
    chain.request(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
}

/// Deploys code as the `index`th person and returns where it is.
pub(crate) async fn deploy(chain: &Chain, index: u8, nonce: u64, code: Bytes) -> Address {
    let hash = chain.send(&raw(index, draft(nonce, TxKind::Create, code))).await.unwrap();
    let receipt = ask(chain, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
}

/// Two words of input.
pub(crate) fn words(first: u64, second: u64) -> Vec<u8> {
    [B256::from(U256::from(first)), B256::from(U256::from(second))].concat()
}
