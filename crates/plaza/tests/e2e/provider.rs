//! A provider as a process of its own.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rustix::process::Signal;

use crate::house::{Came, Chain, House, finished, on_every_chain, poll, signal, text, units};

on_every_chain! {
    a_provider_in_a_second_process_joins_runs_earns_withdraws_and_drains,
    a_killed_provider_adopts_its_run_and_is_paid_to_the_end,
}

/// A provider process over a data folder of its own, ended with the test.
pub(crate) struct Joined<'a> {
    house: &'a House,
    data: PathBuf,
    process: Option<Child>,
}

impl<'a> Joined<'a> {
    fn to(house: &'a House, policy: &str) -> Self {
        Self::named("provider", house, policy)
    }

    /// One of several.
    pub(crate) fn named(name: &str, house: &'a House, policy: &str) -> Self {
        let policy = house.file(&format!("{name}.toml"), policy);
        let network = house.data().join("gateway/network.json");
        let data = house.path(name);
        let words = ["provider", "--join", text(&network), "--policy", text(&policy)];
        let words = words.map(str::to_owned).into_iter().chain(house.fees());
        let process = Some(house.start_in(&data, words));
        Self { house, data, process }
    }

    fn ask(&self, words: &[&str]) -> Came {
        finished(self.house.start_in(&self.data, ["--json", "provider"].iter().chain(words)))
    }

    /// Kill it as a power cut would; what it runs goes on by itself.
    pub(crate) fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            signal(&process, Signal::KILL);
            drop(finished(process));
        }
    }

    pub(crate) fn wait_until_listed(&self) {
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

fn a_provider_in_a_second_process_joins_runs_earns_withdraws_and_drains(chain: Chain) {
    let Some(house) = House::on(chain) else { return };
    house.first_up(&["--no-provider"]);
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

/// A network namespace that is joined to this one by a cable, gone with the test.
struct Namespace {
    name: String,
    here: String,
    there: String,
}

impl Namespace {
    /// `None`, with the reason printed, where there are no rights or tools to make one.
    #[expect(clippy::print_stdout, reason = "a test that passes over says why")]
    fn new() -> Option<Self> {
        let id = std::process::id();
        let subnet = format!("198.18.{}", id % 250);
        let space = Self {
            name: format!("plaza-{id}"),
            here: format!("{subnet}.1"),
            there: format!("{subnet}.2"),
        };
        let cable = format!("plaza{id}");
        let steps = [
            format!("netns add {}", space.name),
            format!("link add {cable} type veth peer name cable netns {}", space.name),
            format!("addr add {}/30 dev {cable}", space.here),
            format!("link set {cable} up"),
            format!("-n {} addr add {}/30 dev cable", space.name, space.there),
            format!("-n {} link set cable up", space.name),
            format!("-n {} link set lo up", space.name),
        ];
        for step in steps {
            let done = Command::new("ip").args(step.split(' ')).output();
            match done {
                Ok(done) if done.status.success() => {}
                Ok(done) => {
                    println!("passed over: ip {step}: {}", String::from_utf8_lossy(&done.stderr));
                    return None;
                }
                Err(error) => {
                    println!("passed over: there is no ip command: {error}");
                    return None;
                }
            }
        }
        Some(space)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cable goes with the namespace; a test that passed over may have made neither.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

#[test]
fn a_provider_in_another_network_namespace_needs_nothing_but_its_connection() {
    let Some(house) = House::new() else { return };
    let Some(space) = Namespace::new() else { return };
    house.plaza(["up", "--no-provider", "--peers", &space.here]).succeeded();
    let network = house.data().join("gateway/network.json");
    let policy = house.file("policy.toml", "[price]\nmachine = \"100\"\n");
    let data = house.path("provider");
    let inside = ["netns", "exec", &space.name, env!("CARGO_BIN_EXE_plaza"), "--data", text(&data)];
    let ip = |words: &[&str]| {
        Command::new("ip")
            .args(inside)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ip starts")
    };
    let words = ["provider", "--join", text(&network), "--policy", text(&policy)];
    let joined = Joined { house: &house, data: data.clone(), process: Some(ip(&words)) };
    poll("the provider's offer", || {
        let offers = house.plaza(["--json", "offer", "list"]).succeeded().json();
        (offers["offers"].as_array().map(Vec::len) == Some(1)).then_some(())
    });
    let input = house.file("words.txt", "b\na\n");
    let (came, bill) =
        house.run(&["--input", text(&input)], &["sh", "-c", "sort words.txt | tee out/sorted"]);
    assert_eq!(came.code(), 0, "{came:?}");
    assert!(came.stdout.starts_with("a\nb\n"), "{came:?}");
    assert!(bill["settlement_tx"].is_string(), "{bill}");
    let earned = poll("the earnings", || {
        let earned = finished(ip(&["--json", "provider", "earnings"])).succeeded().json();
        (units(&earned["balance"]) > 0).then_some(earned)
    });
    assert_eq!(earned["balance"], bill["paid"], "{earned} {bill}");
    drop(joined);
}

fn a_killed_provider_adopts_its_run_and_is_paid_to_the_end(chain: Chain) {
    let Some(house) = House::on(chain) else { return };
    house.first_up(&["--no-provider"]);
    let mut joined = Joined::to(&house, "[price]\nmachine = \"100\"\n");
    joined.wait_until_listed();
    let script = "for i in 1 2 3 4 5 6; do echo $i; sleep 1; done; echo whole > out/result";
    let detached = house.plaza(["run", "--detach", "--", "sh", "-c", script]).succeeded();
    let job = detached.stdout.trim();
    house.wait_for_job(job, |job| job["deals"][0]["state"] == "running");
    joined.kill();
    let network = house.data().join("gateway/network.json");
    // It may as well come back by another way to the chain.
    let words = ["provider", "--join", text(&network)].map(str::to_owned);
    let words = words.into_iter().chain(house.own_node());
    joined.process = Some(house.start_in(&joined.data, words));

    let done = house.wait_for_job(job, |job| job["state"] == "done");
    assert_eq!(
        done["deals"][0]["delivery"]["receipt"]["document"]["outcome"], "completed",
        "{done}"
    );
    let logs = house.plaza(["job", "logs", job]).succeeded();
    assert_eq!(logs.stdout, "1\n2\n3\n4\n5\n6\n");
    assert!(units(&done["deals"][0]["closing"]["split"]["paid"]) > 0, "{done}");
}
