//! A real process killed while it seals: everything it acknowledged is in the file.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use alloy_consensus::{SignableTransaction, Signed, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Signature};
use chain::{Chain, Config, Place};
use primitives::{Clock, Key, UnixSeconds};
use serde_json::json;

const FILE: &str = "PLAZA_TEST_CHAIN_FILE";

struct Still;

impl Clock for Still {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(1_000)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

fn open(file: &Path) -> Chain {
    let local = Config::local(77, [], Arc::new(Still));
    Chain::open(Config { place: Place::File(file.to_owned()), ..local }).unwrap()
}

fn key() -> Key {
    Key::from_bytes([7; 32]).unwrap()
}

fn raw(nonce: u64) -> Vec<u8> {
    let to = Address::repeat_byte(9).into();
    let draft =
        TxLegacy { chain_id: Some(77), nonce, gas_limit: 21_000, to, ..TxLegacy::default() };
    let signature = Signature::from_raw(&key().sign(draft.signature_hash()).0).unwrap();
    let signed: Signed<TxLegacy> = draft.into_signed(signature);
    chain::Transaction::from(signed).encoded_2718()
}

/// Not a test of its own: what the other test runs as a process and kills.
#[tokio::test]
async fn child_that_sends_until_it_is_killed() {
    let Some(file) = std::env::var_os(FILE).map(PathBuf::from) else { return };
    let chain = open(&file);
    for nonce in 0.. {
        chain.send(&raw(nonce)).await.unwrap();
        println!("acknowledged {nonce}");
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    for acknowledged in [0u64, 1, 17] {
        let file = folder.path().join(format!("{acknowledged}.redb"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_sends_until_it_is_killed", "--nocapture"])
            .env(FILE, &file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = None;
        for line in lines {
            // The name of the test may stand before the first one, on the same line.
            let line = line.unwrap();
            let Some((_, nonce)) = line.split_once("acknowledged ") else { continue };
            last = nonce.parse::<u64>().ok();
            if last == Some(acknowledged) {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(last, Some(acknowledged));

        let chain = open(&file);
        let count = chain
            .request("eth_getTransactionCount", json!([key().address(), "latest"]))
            .await
            .unwrap();
        let count = u64::from_str_radix(count.as_str().unwrap().trim_start_matches("0x"), 16);
        let count = count.unwrap();
        assert!(count > acknowledged, "{count} of more than {acknowledged}");
        let receipts = chain.request("eth_getBlockReceipts", json!(["latest"])).await.unwrap();
        assert_eq!(receipts[0]["status"], "0x1");
        chain.send(&raw(count)).await.unwrap();
    }
}
