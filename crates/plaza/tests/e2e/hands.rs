//! The renter's hand on a job that runs: stop, leave, come back.

use std::{
    fs,
    io::{BufRead as _, BufReader},
};

use rustix::process::Signal;

use crate::house::{Chain, House, finished, on_every_chain, poll, signal, text, units};

on_every_chain! {
    a_cancelled_job_settles_what_it_used,
    the_first_interrupt_stops_the_job_and_settles,
}

fn a_cancelled_job_settles_what_it_used(chain: Chain) {
    let Some(house) = House::up_on(chain) else { return };
    let detached = house.plaza(["run", "--detach", "--", "sleep", "600"]).succeeded();
    let job = detached.stdout.trim();
    house.wait_for_job(job, |job| job["deals"][0]["state"] == "running");
    let bill = house.plaza(["--json", "job", "cancel", job]).succeeded().json();
    assert_eq!(bill["outcome"], "stopped", "{bill}");
    assert!(units(&bill["charge"]) > 0, "{bill}");
    assert_eq!(units(&bill["escrow"]), units(&bill["charge"]) + units(&bill["refund"]), "{bill}");
    house.plaza(["job", "cancel", job]).succeeded();
}

#[test]
fn a_detached_job_in_json_has_the_same_fields_as_a_finished_one() {
    let Some(house) = House::up() else { return };
    let (came, left) = house.run(&["--detach"], &["sleep", "600"]);
    assert_eq!(came.code(), 0, "{came:?}");
    let job = left["job"].as_str().expect("an id");
    assert!(left["deal"].is_string() && left["settlement_tx"].is_null(), "{left}");
    let over = house.plaza(["--json", "job", "cancel", job]).succeeded().json();
    let names = |it: &serde_json::Value| {
        it.as_object().expect("an object").keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&left), names(&over));
    assert_eq!((&left["job"], &left["deal"]), (&over["job"], &over["deal"]));
}

#[test]
fn a_detached_job_is_found_again_with_its_logs_its_outputs_and_its_papers() {
    let Some(house) = House::up() else { return };
    let script = "echo one; sleep 2; echo two; echo three >&2; echo done > out/result";
    let detached = house.plaza(["run", "--detach", "--", "sh", "-c", script]).succeeded();
    let job = detached.stdout.trim();
    let logs = house.plaza(["job", "logs", "--follow", job]).succeeded();
    assert_eq!(logs.stdout, "one\ntwo\n");
    let logs = house.plaza(["job", "logs", "--stderr", job]).succeeded();
    assert_eq!(logs.stdout, "three\n");
    house.wait_for_job(job, |job| job["state"] == "done");

    let target = house.path("fetched");
    house.plaza(["job", "fetch", job, "--output", text(&target)]).succeeded();
    assert_eq!(fs::read_to_string(target.join("result")).expect("it is there"), "done\n");
    let papers = house.plaza(["--json", "job", "receipt", job]).succeeded().json();
    let papers = &papers["papers"][0];
    let terminal = &papers["terminal"];
    assert_eq!(terminal["receipt"]["outcome"], "completed", "{papers}");
    assert!(terminal["renter"].is_string() && terminal["provider"].is_string(), "{papers}");
    assert!(papers["terms"]["signature"].is_string(), "{papers}");
}

fn the_first_interrupt_stops_the_job_and_settles(chain: Chain) {
    let Some(house) = House::up_on(chain) else { return };
    let mut run = house.start(["run", "--json", "--", "sh", "-c", "echo ready; exec sleep 600"]);
    let mut stdout = BufReader::new(run.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it prints");
    assert_eq!(line, "ready\n");
    signal(&run, Signal::INT);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut rest).expect("it prints UTF-8");
    run.stdout = Some(nothing());
    let came = finished(run);
    let bill: serde_json::Value =
        serde_json::from_str(rest.lines().last().unwrap_or_default()).expect("a bill");
    assert_eq!(bill["outcome"], "stopped", "{bill} {came:?}");
    assert!(bill["settlement_tx"].is_string(), "{bill}");
    assert_ne!(came.code(), 0, "{came:?}");
}

#[test]
fn a_second_interrupt_leaves_the_job_and_says_how_to_return() {
    let Some(house) = House::up() else { return };
    // It outlives the polite end that the first interrupt asks for, so that the second finds it.
    let script = "trap '' TERM; echo ready; sleep 600 & wait; sleep 600";
    let mut run = house.start(["run", "--", "sh", "-c", script]);
    let mut stdout = BufReader::new(run.stdout.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it prints");
    signal(&run, Signal::INT);
    let jobs = || house.plaza(["--json", "job", "list"]).succeeded().json()["jobs"][0].clone();
    poll("the request to stop", || Some(jobs()).filter(|job| job["stopping"] == true));
    signal(&run, Signal::INT);
    run.stdout = Some(nothing());
    let came = finished(run);
    assert_eq!(came.code(), 130, "{came:?}");
    assert!(came.stderr.contains("plaza job logs --follow"), "{came:?}");
}

/// A pipe that is at its end, in place of one that the test has read itself.
fn nothing() -> std::process::ChildStdout {
    let mut child = std::process::Command::new("true")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("true starts");
    let stdout = child.stdout.take().expect("it is piped");
    child.wait().expect("it ends");
    stdout
}
