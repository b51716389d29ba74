//! The network killed in the middle of a run.

use crate::house::{Chain, House, finished, on_every_chain, units};

on_every_chain! {
    a_killed_network_takes_up_its_runs_and_settles_them,
    a_run_that_is_watched_goes_on_being_watched_after_the_network_was_killed,
    what_was_settled_before_the_network_was_killed_stays_settled,
}

fn a_killed_network_takes_up_its_runs_and_settles_them(chain: Chain) {
    let Some(house) = House::up_on(chain) else { return };
    let script = "for i in 1 2 3 4 5 6; do echo $i; sleep 1; done; echo whole > out/result";
    let detached = house.plaza(["run", "--detach", "--", "sh", "-c", script]).succeeded();
    let job = detached.stdout.trim();
    house.wait_for_job(job, |job| job["deals"][0]["state"] == "running");
    house.kill();
    house.plaza(["up"]).succeeded();

    let done = house.wait_for_job(job, |job| job["state"] == "done");
    assert_eq!(
        done["deals"][0]["delivery"]["receipt"]["document"]["outcome"], "completed",
        "{done}"
    );
    let logs = house.plaza(["job", "logs", job]).succeeded();
    assert_eq!(logs.stdout, "1\n2\n3\n4\n5\n6\n");
    let split = &done["deals"][0]["closing"]["split"];
    let terms = &done["deals"][0]["agreement"]["terms"]["document"];
    let shares = ["paid", "fee", "refund"].map(|name| units(&split[name]));
    assert_eq!(shares.iter().sum::<u128>(), units(&terms["cap"]), "{split}");
    let seconds = done["deals"][0]["delivery"]["receipt"]["document"]["seconds"].as_u64();
    assert!(seconds.is_some_and(|seconds| (6..=10).contains(&seconds)), "{done}");
}

fn a_run_that_is_watched_goes_on_being_watched_after_the_network_was_killed(chain: Chain) {
    let Some(house) = House::up_on(chain) else { return };
    let script = "for i in 1 2 3 4 5; do echo $i; sleep 1; done";
    let run = house.start(["run", "--json", "--", "sh", "-c", script]);
    let jobs = || house.plaza(["--json", "job", "list"]).succeeded().json()["jobs"][0].clone();
    crate::house::poll("the run", || {
        Some(jobs()).filter(|job| job["deals"][0]["state"] == "running")
    });
    house.kill();
    house.plaza(["up"]).succeeded();
    let came = finished(run).succeeded();
    assert!(came.stdout.starts_with("1\n2\n3\n4\n5\n"), "nothing is lost or doubled: {came:?}");
    assert_eq!(came.json()["outcome"], "completed", "{came:?}");
}

fn what_was_settled_before_the_network_was_killed_stays_settled(chain: Chain) {
    let Some(house) = House::up_on(chain) else { return };
    let (_, bill) = house.run(&[], &["true"]);
    house.kill();
    house.plaza(["up"]).succeeded();
    let has = house.plaza(["--json", "wallet", "balance"]).succeeded().json();
    let left = units(&has["wallet"]) + units(&has["escrow"]);
    assert_eq!(left, 10_000_000_000 - units(&bill["charge"]), "{has}");
}

#[test]
fn a_network_killed_at_any_moment_loses_no_unit_and_no_job() {
    let Some(house) = House::up() else { return };
    for wait in [0, 15, 30, 45, 60, 80, 100, 130, 160, 200] {
        let run = house.start(["run", "--json", "--", "sh", "-c", "echo printed; sleep 0.1"]);
        std::thread::sleep(std::time::Duration::from_millis(wait));
        house.kill();
        house.plaza(["up"]).succeeded();
        let came = finished(run);
        // Before the order was written down nothing happened; afterwards all of it does.
        match came.code() {
            0 => assert!(came.stdout.starts_with("printed\n"), "after {wait} ms: {came:?}"),
            125 => assert!(came.json()["settlement_tx"].is_null(), "after {wait} ms: {came:?}"),
            _ => panic!("after {wait} ms: {came:?}"),
        }
    }
    let jobs = house.plaza(["--json", "job", "list"]).succeeded().json();
    let mut charged = 0;
    for job in jobs["jobs"].as_array().expect("a list") {
        let id = job["id"].as_str().expect("an id");
        let done = house.wait_for_job(id, |job| job["state"] == "done");
        let split = &done["deals"][0]["closing"]["split"];
        if split.is_object() {
            charged += units(&split["paid"]) + units(&split["fee"]);
        }
    }
    let has = house.plaza(["--json", "wallet", "balance"]).succeeded().json();
    let left = units(&has["wallet"]) + units(&has["escrow"]);
    assert_eq!(left, 10_000_000_000 - charged, "{has}");
}
