//! A provider as a process of its own.

use std::{path::PathBuf, process::Child};

use rustix::process::Signal;

use crate::house::{Came, House, finished, poll, signal, text, units};

/// A provider process over a data folder of its own, ended with the test.
struct Joined<'a> {
    house: &'a House,
    data: PathBuf,
    process: Option<Child>,
}

impl<'a> Joined<'a> {
    fn to(house: &'a House, policy: &str) -> Self {
        let policy = house.file("policy.toml", policy);
        let network = house.data().join("gateway/network.json");
        let data = house.path("provider");
        let words = ["provider", "--join", text(&network), "--policy", text(&policy)];
        let process = Some(house.start_in(&data, words));
        Self { house, data, process }
    }

    fn ask(&self, words: &[&str]) -> Came {
        finished(self.house.start_in(&self.data, ["--json", "provider"].iter().chain(words)))
    }

    fn wait_until_listed(&self) {
        poll("the provider's offer", || {
            let status = self.ask(&["status"]);
            (status.code() == 0 && status.json()["listed"] == true).then_some(())
        });
    }
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            signal(&process, Signal::TERM);
            drop(finished(process));
        }
    }
}

#[test]
fn a_provider_in_a_second_process_joins_runs_earns_withdraws_and_drains() {
    let Some(house) = House::new() else { return };
    house.plaza(["up", "--no-provider"]).succeeded();
    let (came, _) = house.run(&[], &["true"]);
    assert!(came.stderr.contains("nobody offers"), "{came:?}");

    let joined = Joined::to(&house, "[price]\nmachine = \"100\"\n");
    joined.wait_until_listed();
    let (came, bill) = house.run(&[], &["sh", "-c", "echo far; echo $$ > out/pid"]);
    assert_eq!(came.code(), 0, "{came:?}");
    assert!(came.stdout.starts_with("far\n"), "{came:?}");

    let earned = poll("the earnings", || {
        let earned = joined.ask(&["earnings"]).succeeded().json();
        (units(&earned["balance"]) > 0).then_some(earned)
    });
    assert_eq!(earned["balance"], bill["paid"], "{earned} {bill}");
    let withdrawn = joined.ask(&["withdraw"]).succeeded().json();
    assert_eq!(withdrawn["amount"], bill["paid"], "{withdrawn}");
    let after = joined.ask(&["earnings"]).succeeded().json();
    assert_eq!((&after["wallet"], units(&after["balance"])), (&bill["paid"], 0), "{after}");

    joined.ask(&["drain"]).succeeded();
    assert_eq!(joined.ask(&["status"]).succeeded().json()["draining"], true);
}

#[test]
fn a_policy_that_is_wrong_is_refused_with_line_and_field() {
    let Some(house) = House::new() else { return };
    let policy = house.file("wrong.toml", "[price]\nmachine = \"much\"\n");
    let came = house.plaza(["up", "--foreground", "--policy", text(&policy)]);
    assert_eq!(came.code(), 1, "{came:?}");
    assert!(came.stderr.contains("line 2") && came.stderr.contains("price.machine"), "{came:?}");
}

#[test]
fn a_descriptor_that_was_changed_is_refused() {
    let Some(house) = House::up() else { return };
    let network = house.data().join("gateway/network.json");
    let text_of = std::fs::read_to_string(network).expect("a descriptor");
    let forged = house.file("forged.json", &text_of.replace("\"fee\": 300", "\"fee\": 9000"));
    let came =
        finished(house.start_in(&house.path("other"), ["provider", "--join", text(&forged)]));
    assert_eq!(came.code(), 1, "{came:?}");
    assert!(came.stderr.contains("not signed"), "{came:?}");
}
