//! One network for all who use a data folder.

use std::fs;

use serde_json::json;

use crate::house::{Chain, House, finished, on_every_chain, running};

on_every_chain! {
    a_network_stays_until_it_is_ended_and_keeps_everything,
    two_runs_at_once_are_two_jobs_of_one_network,
}

#[test]
fn two_runs_at_once_on_an_empty_folder_share_one_network() {
    let Some(house) = House::new() else { return };
    let both = ["one", "two"].map(|word| house.start(["run", "--", "echo", word]));
    let [one, two] = both.map(|child| finished(child).succeeded());
    assert_eq!((one.stdout.as_str(), two.stdout.as_str()), ("one\n", "two\n"));
    let said = [&one, &two].map(|came| came.stderr.contains("starting one in the background"));
    assert_eq!(said.iter().filter(|said| **said).count(), 1, "one of them starts it: {said:?}");
    let jobs = house.plaza(["--json", "job", "list"]).succeeded().json();
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(2), "{jobs}");
}

fn a_network_stays_until_it_is_ended_and_keeps_everything(chain: Chain) {
    let Some(house) = House::up_on(chain) else { return };
    let (_, bill) = house.run(&[], &["echo", "kept"]);
    let before = house.plaza(["--json", "network", "view"]).succeeded().json();
    let balance = house.plaza(["--json", "wallet", "balance"]).succeeded().json();

    house.plaza(["down"]).succeeded();
    let none = house.plaza(["job", "list"]);
    assert_eq!(none.code(), 1, "{none:?}");
    assert!(none.stderr.contains("plaza up"), "{none:?}");
    house.plaza(["up"]).succeeded();

    let after = house.plaza(["--json", "network", "view"]).succeeded().json();
    for name in ["chain_id", "contracts", "genesis", "gateway", "api"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert!(after["block"].as_u64() >= before["block"].as_u64(), "{before} {after}");
    assert_eq!(house.plaza(["--json", "wallet", "balance"]).succeeded().json(), balance);
    let job = house.job(bill["job"].as_str().expect("an id"));
    assert_eq!(job["state"], "done");
    let receipt = house.rpc("eth_getTransactionReceipt", json!([bill["settlement_tx"]]));
    assert_eq!(receipt["status"], "0x1");
}

fn two_runs_at_once_are_two_jobs_of_one_network(chain: Chain) {
    let Some(house) = House::up_on(chain) else { return };
    let both = ["one", "two"].map(|word| house.start(["run", "--", "echo", word]));
    let [one, two] = both.map(|child| finished(child).succeeded());
    assert_eq!((one.stdout.as_str(), two.stdout.as_str()), ("one\n", "two\n"));
    let jobs = house.plaza(["--json", "job", "list"]).succeeded().json();
    let jobs = jobs["jobs"].as_array().expect("a list");
    let txs: std::collections::BTreeSet<_> = jobs
        .iter()
        .map(|job| job["deals"][0]["closing"]["tx"].as_str().expect("settled"))
        .collect();
    assert_eq!((jobs.len(), txs.len()), (2, 2), "{jobs:?}");
}

#[test]
fn a_record_left_by_a_dead_process_is_no_obstacle() {
    let Some(house) = House::up() else { return };
    let record = house.data().join("gateway/running.json");
    let stale = fs::read_to_string(&record).expect("a record");
    house.plaza(["down"]).succeeded();
    assert!(!record.exists());
    fs::write(&record, stale).expect("it can be written");
    let down = house.plaza(["down"]).succeeded();
    assert!(down.stdout.contains("no network runs here"), "{down:?}");
    house.plaza(["run", "--", "true"]).succeeded();
}

#[test]
fn up_says_what_runs_already() {
    let Some(house) = House::up() else { return };
    let pid = house.pid();
    let again = house.plaza(["up"]).succeeded();
    assert!(again.stderr.contains("runs already"), "{again:?}");
    assert_eq!(house.pid(), pid);
    let foreground = house.plaza(["up", "--foreground"]);
    assert_eq!(foreground.code(), 1, "{foreground:?}");
    assert!(foreground.stderr.contains("already"), "{foreground:?}");
    assert_eq!(running(&house.data().join("provider"))["pid"], pid);
}

#[test]
fn a_network_keeps_the_constitution_it_was_made_with() {
    let Some(house) = House::new() else { return };
    let local =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles/local.toml"));
    let cheap = local.expect("the preset").replace("fee = 300 ", "fee = 100 ");
    let cheap = house.file("cheap.toml", &cheap);
    let profile = ["up", "--profile", cheap.to_str().expect("a path in UTF-8")];
    house.plaza(profile).succeeded();
    house.plaza(["down"]).succeeded();
    house.plaza(["up"]).succeeded();
    let network = house.plaza(["--json", "network", "view", "--descriptor"]).succeeded().json();
    assert_eq!(network["profile"]["fee"], 100, "{network}");
    house.plaza(["down"]).succeeded();
    house.plaza(profile).succeeded();
    house.plaza(["down"]).succeeded();
    let other = house.plaza(["up", "--profile", "local"]);
    assert_eq!(other.code(), 1, "{other:?}");
    assert!(other.stderr.contains("constitution"), "{other:?}");
}
