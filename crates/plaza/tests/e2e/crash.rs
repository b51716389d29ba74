//! The network killed in the middle of a run.

use crate::house::{House, finished, units};

#[test]
fn a_killed_network_takes_up_its_runs_and_settles_them() {
    let Some(house) = House::up() else { return };
    let script = "for i in 1 2 3 4 5 6; do echo $i; sleep 1; done; echo whole > out/result";
    let detached = house.plaza(["run", "--detach", "--", "sh", "-c", script]).succeeded();
    let job = detached.stdout.trim();
    house.wait_for_job(job, |job| job["deal"]["state"] == "running");
    house.kill();
    house.plaza(["up"]).succeeded();

    let done = house.wait_for_job(job, |job| job["state"] == "done");
    assert_eq!(done["deal"]["delivery"]["receipt"]["document"]["outcome"], "completed", "{done}");
    let logs = house.plaza(["job", "logs", job]).succeeded();
    assert_eq!(logs.stdout, "1\n2\n3\n4\n5\n6\n");
    let split = &done["deal"]["closing"]["split"];
    let terms = &done["deal"]["agreement"]["terms"]["document"];
    let shares = ["paid", "fee", "refund"].map(|name| units(&split[name]));
    assert_eq!(shares.iter().sum::<u128>(), units(&terms["cap"]), "{split}");
    let seconds = done["deal"]["delivery"]["receipt"]["document"]["seconds"].as_u64();
    assert!(seconds.is_some_and(|seconds| (6..=10).contains(&seconds)), "{done}");
}

#[test]
fn a_run_that_is_watched_goes_on_being_watched_after_the_network_was_killed() {
    let Some(house) = House::up() else { return };
    let script = "for i in 1 2 3 4 5; do echo $i; sleep 1; done";
    let run = house.start(["run", "--json", "--", "sh", "-c", script]);
    let jobs = || house.plaza(["--json", "job", "list"]).succeeded().json()["jobs"][0].clone();
    crate::house::poll("the run", || Some(jobs()).filter(|job| job["deal"]["state"] == "running"));
    house.kill();
    house.plaza(["up"]).succeeded();
    let came = finished(run).succeeded();
    assert!(came.stdout.starts_with("1\n2\n3\n4\n5\n"), "nothing is lost or doubled: {came:?}");
    assert_eq!(came.json()["outcome"], "completed", "{came:?}");
}

#[test]
fn what_was_settled_before_the_network_was_killed_stays_settled() {
    let Some(house) = House::up() else { return };
    let (_, bill) = house.run(&[], &["true"]);
    house.kill();
    house.plaza(["up"]).succeeded();
    let has = house.plaza(["--json", "wallet", "balance"]).succeeded().json();
    let left = units(&has["wallet"]) + units(&has["escrow"]);
    assert_eq!(left, 10_000_000_000 - units(&bill["charge"]), "{has}");
}
