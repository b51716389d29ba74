//! Power cuts: what was answered is there afterwards, and what is there fits together.

use std::{
    io,
    sync::{Arc, Mutex},
};

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, U256};
use proptest::prelude::*;
use redb::StorageBackend;
use serde_json::json;

use super::Store;
use crate::{
    chain::Chain,
    testing::{Hand, ask, config, person, raw, transfer},
};

/// A disk on which only what was synced is safe.
#[derive(Debug, Default)]
struct Disk {
    /// What a reader sees.
    seen: Vec<u8>,
    /// What is on the platter.
    safe: Vec<u8>,
    /// Writes since the last sync.
    unsafe_writes: Vec<(usize, Vec<u8>)>,
    /// Operations until the power goes; `None` is never.
    left: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct Power(Arc<Mutex<Disk>>);

impl Power {
    /// Runs one operation, unless the power is gone or goes now.
    fn operate<T>(&self, operation: impl FnOnce(&mut Disk) -> T) -> Result<T, io::Error> {
        let mut disk = self.0.lock().unwrap();
        match &mut disk.left {
            Some(0) => return Err(io::Error::other("power cut")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(operation(&mut disk))
    }

    /// The disk after the power came back: of the unsynced writes any subset may have reached it.
    fn restored(&self, survives: impl Fn(usize) -> bool) -> Self {
        let disk = self.0.lock().unwrap();
        let mut bytes = disk.safe.clone();
        bytes.resize(bytes.len().max(disk.seen.len()), 0);
        for (i, (offset, data)) in disk.unsafe_writes.iter().enumerate() {
            if survives(i) && offset + data.len() <= bytes.len() {
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }
        }
        let disk = Disk { seen: bytes.clone(), safe: bytes, ..Disk::default() };
        Self(Arc::new(Mutex::new(disk)))
    }

    fn cut_after(&self, operations: usize) {
        self.0.lock().unwrap().left = Some(operations);
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl StorageBackend for Power {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let disk = self.0.lock().unwrap();
        out.copy_from_slice(&disk.seen[place(offset)..place(offset) + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.operate(|disk| disk.seen.resize(place(len), 0))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.operate(|disk| {
            disk.safe = disk.seen.clone();
            disk.unsafe_writes.clear();
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.operate(|disk| {
            let start = place(offset);
            disk.seen[start..start + data.len()].copy_from_slice(data);
            disk.unsafe_writes.push((start, data.to_vec()));
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_power_cut_at_any_write_loses_nothing_that_was_answered(
        cut in 0usize..600,
        pattern in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let config = config(1, Hand::at(1_000));
            let power = Power::default();
            let chain = Chain::over(&config, Store::over(power.clone()).unwrap()).unwrap();
            power.cut_after(cut);
            let mut answered = Vec::new();
            for nonce in 0..40u64 {
                let raw = raw(0, transfer(nonce, Address::repeat_byte(9), 1));
                match chain.send(&raw).await {
                    Ok(hash) => answered.push(hash),
                    Err(_) => break,
                }
            }
            drop(chain);

            let restored = power.restored(|i| (pattern >> (i % 64)) & 1 == 1);
            let chain = Chain::over(&config, Store::over(restored).unwrap()).unwrap();
            for hash in &answered {
                let receipt = ask(&chain, "eth_getTransactionReceipt", json!([hash])).await;
                prop_assert_eq!(&receipt["status"], "0x1");
            }
            // At most the one that was under way is there besides, and all of it or nothing.
            let count = ask(&chain, "eth_getTransactionCount", json!([person(0)])).await;
            let count = serde_json::from_value::<U256>(count).unwrap().to::<usize>();
            prop_assert!((answered.len()..=answered.len() + 1).contains(&count));
            let balance = ask(&chain, "eth_getBalance", json!([Address::repeat_byte(9)])).await;
            prop_assert_eq!(balance, json!(U256::from(count)));
            let snapshot = chain.node().snapshot().unwrap();
            let head = snapshot.head().unwrap().unwrap();
            let accounts = snapshot.accounts().unwrap();
            let root: B256 = alloy_trie::root::state_root_unhashed(accounts);
            prop_assert_eq!(head.state_root, root);
            // And it goes on.
            let next = raw(0, transfer(count as u64, Address::repeat_byte(9), 1));
            chain.send(&next).await.unwrap();
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_the_chain_goes_on_when_there_is_room() {
    let config = config(1, Hand::at(1_000));
    let power = Power::default();
    let chain = Chain::over(&config, Store::over(power.clone()).unwrap()).unwrap();
    chain.send(&raw(0, transfer(0, Address::repeat_byte(9), 1))).await.unwrap();
    // Each attempt replaces the one before and comes a little further.
    for room in 0..12u8 {
        power.cut_after(room.into());
        let fee = u128::from(room);
        let second = TxEip1559 {
            max_fee_per_gas: fee,
            max_priority_fee_per_gas: fee,
            ..transfer(1, Address::repeat_byte(9), 1)
        };
        let error = chain.send(&raw(0, second)).await.unwrap_err();
        assert_eq!(error.code, -32603, "{error}");
    }
    // What could not be written still waits, and goes with the next one.
    power.0.lock().unwrap().left = None;
    chain.send(&raw(0, transfer(2, Address::repeat_byte(9), 1))).await.unwrap();
    assert_eq!(ask(&chain, "eth_getTransactionCount", json!([person(0)])).await, "0x3");
    let accounts = chain.node().snapshot().unwrap().accounts().unwrap();
    let root = alloy_trie::root::state_root_unhashed(accounts);
    assert_eq!(chain.head().unwrap().state_root, root);
}
