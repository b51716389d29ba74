//! Many tasks, several deals, several providers.

use std::{collections::BTreeSet, fs};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    house::{House, finished, poll, signal, text, units},
    provider::Joined,
};

/// What each provider of these tests charges an hour for its whole machine, in dollars.
const POLICY: &str = "[price]\nmachine = \"100\"\n";

/// A part of the machine that leaves room for others.
const SMALL: &str = "resources: {cpus: 0.1, memory: 32M, disk: 32M}\n";

/// The providers of tasks that have their result.
fn providers(tasks: &Value) -> BTreeSet<String> {
    let tasks = tasks["tasks"].as_array().expect("a list of tasks");
    let done = tasks.iter().filter(|task| task["state"] == "done");
    done.filter_map(|task| task["provider"].as_str().map(str::to_owned)).collect()
}

fn tasks(house: &House, job: &str) -> Value {
    house.plaza(["--json", "job", "tasks", job]).succeeded().json()
}

/// The one job of a house, once there is one.
fn the_job(house: &House) -> Option<Value> {
    let jobs = house.plaza(["--json", "job", "list"]).succeeded().json();
    jobs["jobs"].get(0).cloned()
}

/// What a job's bill must be, to the unit: each deal by itself, and all together.
fn every_unit_is_accounted_for(house: &House, total: &Value) {
    let deals = total["deals"].as_array().expect("a list of deals");
    for deal in deals {
        let seconds = u128::from(deal["seconds"].as_u64().expect("a number"));
        let [rate, charge, fee, paid, refund, escrow] =
            ["rate_per_hour", "charge", "fee", "paid", "refund", "escrow"]
                .map(|name| units(&deal[name]));
        assert!(charge <= rate * seconds / 3_600, "{deal}");
        assert_eq!((charge, escrow), (fee + paid, charge + refund), "{deal}");
    }
    for name in ["charge", "fee", "paid", "refund", "escrow"] {
        let sum: u128 = deals.iter().map(|deal| units(&deal[name])).sum();
        assert_eq!(units(&total[name]), sum, "{name}: {total}");
    }
    let has = house.plaza(["--json", "wallet", "balance"]).succeeded().json();
    let left = units(&has["wallet"]) + units(&has["escrow"]);
    assert_eq!(left, 10_000_000_000 - units(&total["charge"]), "{has} {total}");
}

#[test]
fn twelve_tasks_on_two_providers_come_back_by_index_and_add_up() {
    let Some(house) = House::up() else { return };
    let second = Joined::named("second", &house, POLICY);
    second.wait_until_listed();
    let script = "cat words; echo {n} to $PLAZA_TASK; echo $n > out/n; sleep 1; test {n} != 17";
    house.file("words", "here\n");
    let sheet = format!(
        "command: [sh, -c, '{script}']\ninputs: [words]\n{SMALL}time_limit: 1m\narray:\n  \
         sweep:\n    n: {{from: 10, to: 21, step: 1}}\n  deals: 2\n"
    );
    let sheet = house.file("sheet.yaml", &sheet);
    let results = house.path("results");
    let words = ["--json", "job", "submit", text(&sheet), "--output", text(&results)];
    let came = house.plaza(words);

    assert_eq!(came.code(), 1, "one task failed: {came:?}");
    let total = came.json();
    let counts = ["tasks", "done", "failed"].map(|name| total[name].as_u64().unwrap_or_default());
    assert_eq!(counts, [12, 12, 1], "{total}");
    assert!(came.stderr.contains("task 7 failed with exit code 1"), "{came:?}");
    let job = total["job"].as_str().expect("an id");
    let tasks = tasks(&house, job);
    assert_eq!(providers(&tasks).len(), 2, "both providers had work: {tasks}");
    for (index, task) in tasks["tasks"].as_array().expect("a list").iter().enumerate() {
        assert_eq!(task["task"].as_u64(), u64::try_from(index).ok(), "{task}");
        assert_eq!(task["exit_code"], if index == 7 { 1 } else { 0 }, "{task}");
        let left = fs::read_to_string(results.join(format!("{index}/n"))).expect("its output");
        assert_eq!(left, format!("{}\n", index + 10));
    }
    let logs = house.plaza(["job", "logs", job, "--task", "7"]).succeeded();
    assert_eq!(logs.stdout, "here\n17 to 7\n");
    let beyond = house.plaza(["job", "logs", job, "--task", "12"]);
    assert!(beyond.stderr.contains("its tasks are 0 to 11"), "{beyond:?}");
    every_unit_is_accounted_for(&house, &total);

    let again = house.path("again");
    house.plaza(["job", "fetch", job, "--output", text(&again)]).succeeded();
    assert_eq!(fs::read_to_string(again.join("11/n")).expect("its output"), "21\n");
    let papers = house.plaza(["--json", "job", "receipt", job]).succeeded().json();
    assert_eq!(papers["bill"]["charge"], total["charge"], "{papers}");
    let signed = papers["papers"].as_array().expect("a list");
    assert_eq!(signed.len(), total["deals"].as_array().expect("a list").len(), "{papers}");
    let bill = house.plaza(["job", "receipt", job]).succeeded();
    assert!(bill.stdout.contains("charge = floor(rate x seconds / 3600)"), "{bill:?}");
    let view = house.plaza(["job", "view", job]).succeeded();
    assert!(view.stdout.contains("12 of 12 tasks done, 1 failed"), "{view:?}");
    assert!(view.stdout.contains("task 7 failed"), "{view:?}");
}

#[test]
fn a_provider_that_dies_in_the_middle_costs_an_epoch_and_no_result() {
    let Some(house) = House::new() else { return };
    let local =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles/local.toml"));
    let hasty = local
        .expect("the preset")
        .replace("grace = 60", "grace = 4")
        .replace("receipt_interval = 5", "receipt_interval = 1")
        .replace("dispute = 600", "dispute = 5");
    let hasty = house.file("hasty.toml", &hasty);
    house.plaza(["up", "--no-provider", "--profile", text(&hasty)]).succeeded();
    let one = Joined::named("one", &house, POLICY);
    let mut other = Joined::named("other", &house, POLICY);
    one.wait_until_listed();
    other.wait_until_listed();
    let sheet = format!(
        "command: [sh, -c, 'sleep 1; echo $PLAZA_TASK > out/index']\n{SMALL}time_limit: 1m\n\
         array: {{count: 24, deals: 2}}\n"
    );
    let sheet = house.file("sheet.yaml", &sheet);
    let results = house.path("results");
    let words = ["--json", "job", "submit", text(&sheet), "--output", text(&results)];
    let following = house.start(words);
    // A provider that is not ready yet is waited for as long as preparing may take.
    poll("results of both providers", || {
        let job = the_job(&house)?;
        let running = job["deals"].as_array()?.iter().all(|deal| deal["state"] == "running");
        let tasks = tasks(&house, job["id"].as_str()?);
        (running && providers(&tasks).len() == 2).then_some(())
    });
    other.kill();
    let came = finished(following);
    assert_eq!(came.code(), 0, "{came:?}");
    let total = came.json();
    assert_eq!((&total["done"], &total["failed"]), (&24.into(), &0.into()), "{total}");
    for index in 0..24 {
        let left = fs::read_to_string(results.join(format!("{index}/index"))).expect("its output");
        assert_eq!(left, format!("{index}\n"));
    }
    let tasks = tasks(&house, total["job"].as_str().expect("an id"));
    let epochs = tasks["tasks"].as_array().expect("a list").iter().map(|task| &task["epoch"]);
    assert!(epochs.clone().any(|epoch| *epoch == 2), "a task was handed out again: {tasks}");
    every_unit_is_accounted_for(&house, &total);
}

#[test]
fn an_array_that_is_stopped_settles_what_it_used() {
    let Some(house) = House::up() else { return };
    let sheet = format!(
        "command: [sh, -c, 'test {{n}} = 0 || exec sleep 600']\n{SMALL}time_limit: 20m\n\
         array: {{sweep: {{n: [0, 1, 2, 3, 4, 5]}}, at_once: 2}}\n"
    );
    let sheet = house.file("sheet.yaml", &sheet);
    let following = house.start(["--json", "job", "submit", text(&sheet)]);
    poll("the first result", || {
        let job = the_job(&house)?;
        (job["tasks"]["done"] == 1).then_some(())
    });
    signal(&following, Signal::INT);
    let came = finished(following);
    assert_eq!(came.code(), 143, "{came:?}");
    let total = came.json();
    assert!(total["done"].as_u64() < total["tasks"].as_u64(), "{total}");
    assert!(units(&total["charge"]) > 0, "{total}");
    every_unit_is_accounted_for(&house, &total);
    let tasks = tasks(&house, total["job"].as_str().expect("an id"));
    assert_eq!(tasks["tasks"][0]["exit_code"], 0, "{tasks}");
    assert_eq!(tasks["tasks"][5]["state"], "waiting", "{tasks}");
}

#[test]
fn an_array_whose_deals_nobody_can_hold_names_the_dimension() {
    let Some(house) = House::up() else { return };
    let sheet = house.file("sheet.yaml", "command: ['true']\narray: {count: 256, at_once: 256}\n");
    let came = house.plaza(["--json", "job", "submit", text(&sheet)]);
    assert_eq!(came.code(), 125, "{came:?}");
    assert!(came.stderr.contains("1 fail in cpu"), "{came:?}");
    assert!(came.json()["job"].is_null(), "{came:?}");
}

#[test]
fn a_sheet_that_is_wrong_is_told_with_its_file_and_place() {
    let Some(house) = House::up() else { return };
    let sheet = house.file("sheet.yaml", "command: [sim]\narray:\n  sweep:\n    r: many\n");
    let came = house.plaza(["job", "submit", text(&sheet)]);
    assert_eq!(came.code(), 125, "{came:?}");
    for words in ["sheet.yaml", "line 4, column 5", "array.sweep.r", "{from, to, steps}"] {
        assert!(came.stderr.contains(words), "{words}: {came:?}");
    }
    let missing = house.plaza(["job", "submit", "nowhere.yaml"]);
    assert!(missing.code() == 125 && missing.stderr.contains("nowhere.yaml"), "{missing:?}");
}

#[test]
fn a_rehearsal_tells_tasks_and_prices_and_orders_nothing() {
    let Some(house) = House::up() else { return };
    let sheet = "command: [echo, '{a}-{b}']\ntime_limit: 1m\n\
                 array: {sweep: {b: [x, y], a: {from: 0.5, to: 1, steps: 2}}, deals: 2}\n";
    let sheet = house.file("sheet.yaml", sheet);
    let told = house.plaza(["job", "submit", "--dry-run", text(&sheet)]).succeeded();
    let commands: Vec<&str> =
        told.stdout.lines().filter_map(|line| line.split_once("  echo ")).map(|it| it.1).collect();
    assert_eq!(commands, ["0.5-x", "1.0-x", "0.5-y", "1.0-y"], "{told:?}");
    let told = house.plaza(["--json", "job", "submit", "--dry-run", text(&sheet)]).succeeded();
    let told = told.json();
    assert_eq!(told["tasks"][3]["env"]["PLAZA_TASK"], "3", "{told}");
    assert_eq!(told["deal_time_limit"], 120, "{told}");
    assert!(units(&told["quote"]["ranked"][0]["hold"]) > 0, "{told}");
    assert!(the_job(&house).is_none(), "nothing is ordered");
}

#[test]
fn all_deals_together_never_put_aside_more_than_the_budget() {
    let Some(house) = House::up() else { return };
    let sheet = |budget: &str| {
        let array = "array: {count: 4, deals: 4}\n";
        let text = format!("command: ['true']\n{SMALL}time_limit: 1m\n{budget}{array}");
        house.file("sheet.yaml", &text)
    };
    let free = sheet("");
    let told = house.plaza(["--json", "job", "submit", "--dry-run", text(&free)]).succeeded();
    let hold = units(&told.json()["quote"]["ranked"][0]["hold"]);
    let dollars = |units: u128| format!("budget: {}.{:06}\n", units / 1_000_000, units % 1_000_000);

    let small = sheet(&dollars(hold - 1));
    let came = house.plaza(["job", "submit", text(&small)]);
    assert_eq!(came.code(), 125, "{came:?}");
    assert!(came.stderr.contains("one deal puts aside"), "{came:?}");
    let enough = sheet(&dollars(hold * 2 - 1));
    let came = house.plaza(["--json", "job", "submit", text(&enough)]).succeeded();
    assert!(units(&came.json()["escrow"]) < hold * 2, "{came:?}");
}
