//! What only a chain of somebody else's can do to a network: vanish, go back on its blocks, be
//! another one.

use serde_json::{Value, json};

use crate::{
    anvil::{Anvil, RICH_ACCOUNT},
    house::{Chain, House, finished, poll, units},
};

/// Every unit of a job's deal is with somebody.
fn accounted_for(done: &Value) {
    let split = &done["deals"][0]["closing"]["split"];
    let shares = ["paid", "fee", "refund"].map(|name| units(&split[name]));
    let cap = units(&done["deals"][0]["agreement"]["terms"]["document"]["cap"]);
    assert_eq!(shares.iter().sum::<u128>(), cap, "{done}");
    assert!(shares[0] > 0, "{done}");
}

#[test]
fn while_the_chain_is_away_work_goes_on_and_it_is_settled_when_it_is_back() {
    let Some(house) = House::up_on(Chain::Anvil) else { return };
    let script = "for i in 1 2 3; do echo $i; sleep 1; done; echo whole > out/result";
    let detached = house.plaza(["run", "--detach", "--", "sh", "-c", script]).succeeded();
    let job = detached.stdout.trim();
    house.wait_for_job(job, |job| job["deals"][0]["state"] == "running");
    house.anvil().pull(true);
    poll("what it prints", || {
        let logs = house.plaza(["job", "logs", job]).succeeded();
        (logs.stdout == "1\n2\n3\n").then_some(())
    });
    assert_ne!(house.job(job)["state"], "done");
    house.anvil().pull(false);
    let done = house.wait_for_job(job, |job| job["state"] == "done");
    assert_eq!(
        done["deals"][0]["delivery"]["receipt"]["document"]["outcome"], "completed",
        "{done}"
    );
    accounted_for(&done);
}

#[test]
fn a_chain_that_goes_back_on_its_newest_block_again_and_again_settles_once() {
    let Some(house) = House::up_on(Chain::Anvil) else { return };
    let mut run = Some(house.start(["run", "--json", "--", "sh", "-c", "sleep 2; echo done"]));
    let height = || {
        let number = house.anvil().ask("eth_blockNumber", json!([]));
        let digits = number.as_str().and_then(|number| number.strip_prefix("0x"));
        u64::from_str_radix(digits.expect("a number"), 16).expect("a number")
    };
    let mut last = height();
    let came = poll("the run", || {
        // Every third block is taken back, once it is there: no more than the network expects.
        if height() >= last + 3 {
            last = height();
            house.anvil().ask("anvil_reorg", json!([1, []]));
        }
        let child = run.as_mut()?;
        child.try_wait().expect("it can be waited for")?;
        run.take().map(finished)
    })
    .succeeded();
    assert!(came.stdout.starts_with("done\n"), "{came:?}");
    let done = house.job(came.json()["job"].as_str().expect("an id"));
    accounted_for(&done);
    let has = house.plaza(["--json", "wallet", "balance"]).succeeded().json();
    let left = units(&has["wallet"]) + units(&has["escrow"]);
    assert_eq!(left, 10_000_000_000 - units(&came.json()["charge"]), "{has}");
}

#[test]
fn another_chain_is_not_taken_for_the_network_s_own() {
    let Some(house) = House::up_on(Chain::Anvil) else { return };
    let Some(other) = Anvil::start() else { return };
    house.plaza(["down"]).succeeded();
    let fees = house.fees();
    let fees = fees.iter().map(String::as_str);
    let up = house.plaza(["up", "--rpc", other.url()].into_iter().chain(fees));
    assert_eq!(up.code(), 1, "{up:?}");
    assert!(up.stderr.contains("another one"), "{up:?}");
    assert_eq!(other.ask("eth_getTransactionCount", json!([RICH_ACCOUNT, "latest"])), "0x0");
    // Nothing was sent there, and the way to the right one is kept.
    house.plaza(["up"]).succeeded();
}

#[test]
fn a_network_that_is_started_while_its_chain_is_away_takes_up_its_work_when_it_is_back() {
    let Some(house) = House::up_on(Chain::Anvil) else { return };
    let detached = house.plaza(["run", "--detach", "--", "sh", "-c", "sleep 3; echo whole"]);
    let detached = detached.succeeded();
    let job = detached.stdout.trim();
    house.wait_for_job(job, |job| job["deals"][0]["state"] == "running");
    house.anvil().pull(true);
    house.kill();
    let up = house.start(["up"]);
    let log = house.data().join("gateway/plaza.log");
    poll("the wait for the chain", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains("waiting for the chain").then_some(())
    });
    house.anvil().pull(false);
    finished(up).succeeded();
    let done = house.wait_for_job(job, |job| job["state"] == "done");
    assert_eq!(house.plaza(["job", "logs", job]).succeeded().stdout, "whole\n");
    accounted_for(&done);
}

#[test]
fn a_network_that_has_a_chain_of_its_own_does_not_move() {
    let Some(house) = House::up() else { return };
    house.plaza(["down"]).succeeded();
    let up = house.plaza(["up", "--rpc", "http://127.0.0.1:1"]);
    assert_eq!(up.code(), 1, "{up:?}");
    assert!(up.stderr.contains("chain of its own"), "{up:?}");
}

#[test]
fn without_coin_for_the_chain_s_fees_a_network_says_which_account_lacks_it() {
    let Some(house) = House::on(Chain::Anvil) else { return };
    let up = house.plaza(["up", "--rpc", house.anvil().url()]);
    assert_eq!(up.code(), 1, "{up:?}");
    assert!(up.stderr.contains("native coin") && up.stderr.contains("--fees-from"), "{up:?}");
}
