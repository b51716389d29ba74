//! A data folder with whatever runs in it, ended when the test ends.

use std::{
    ffi::OsStr,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::anvil::{Anvil, RICH};

/// How long any one command of a test may take, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(20);

/// A price that makes every second cost something: one hundred dollars an hour for the whole.
const POLICY: &str = "[price]\nmachine = \"100\"\n";

pub(crate) struct House {
    folder: tempfile::TempDir,
    anvil: Option<Anvil>,
}

/// The chain that a test's network is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    /// The network's own, in its process.
    Own,
    /// Somebody else's: anvil, which seals every second and asks for fees.
    Anvil,
}

/// One and the same test on each chain.
macro_rules! on_every_chain {
    ($($test:ident),+ $(,)?) => {
        mod own_chain {
            $( #[test] fn $test() { super::$test(crate::house::Chain::Own) } )+
        }
        mod anvil {
            $( #[test] fn $test() { super::$test(crate::house::Chain::Anvil) } )+
        }
    };
}
pub(crate) use on_every_chain;

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Came {
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// The last line of standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code(), 0, "{self:?}");
        self
    }
}

impl House {
    /// An empty data folder; `None`, with the reason printed, where work cannot be shut in.
    #[expect(clippy::print_stdout, reason = "a test that passes over says why")]
    pub(crate) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder for scratch");
        let house = Self { folder, anvil: None };
        let report = house.plaza(["--json", "doctor"]).json();
        let checks = report["checks"].as_array().expect("a list of checks");
        let sandbox = checks.iter().find(|check| check["what"] == "sandbox").expect("a check");
        if sandbox["state"] == "fail" {
            println!("passed over: {}", sandbox["found"]);
            return None;
        }
        Some(house)
    }

    /// The same, with a network that runs and charges enough to be seen.
    pub(crate) fn up() -> Option<Self> {
        Self::up_on(Chain::Own)
    }

    /// The same on a chain; `None`, with the reason printed, where that is not installed.
    pub(crate) fn up_on(chain: Chain) -> Option<Self> {
        let house = Self::on(chain)?;
        let policy = house.file("policy.toml", POLICY);
        house.first_up(&["--policy", text(&policy)]);
        Some(house)
    }

    /// An empty data folder, beside a chain that runs where it is not the network's own.
    pub(crate) fn on(chain: Chain) -> Option<Self> {
        let mut house = Self::new()?;
        if chain == Chain::Anvil {
            house.anvil = Some(Anvil::start()?);
        }
        Some(house)
    }

    /// Make the network.
    pub(crate) fn first_up(&self, flags: &[&str]) {
        let mut words = vec!["up"];
        words.extend(flags);
        let elsewhere = self.elsewhere();
        words.extend(elsewhere.iter().map(String::as_str));
        self.plaza(words).succeeded();
    }

    /// The flags that make a network on the chain beside it.
    fn elsewhere(&self) -> Vec<String> {
        let Some(anvil) = &self.anvil else { return Vec::new() };
        let preset =
            fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../profiles/evm.toml"));
        let quick = preset.expect("the preset").replace("{ blocks = 3 }", "{ blocks = 1 }");
        let profile = self.file("elsewhere.toml", &quick);
        let mut flags = vec!["--rpc".to_owned(), anvil.url().to_owned()];
        flags.extend(["--profile".to_owned(), text(&profile).to_owned()]);
        flags.extend(self.fees());
        flags
    }

    /// The flags by which a process gets coin for the chain's fees.
    pub(crate) fn fees(&self) -> Vec<String> {
        if self.anvil.is_none() {
            return Vec::new();
        }
        let coins = self.file("coins.key", RICH);
        vec!["--fees-from".to_owned(), text(&coins).to_owned()]
    }

    /// The flags by which a provider asks a node itself, and not through the gateway.
    pub(crate) fn own_node(&self) -> Vec<String> {
        let url = self.anvil.iter().map(|anvil| anvil.direct().to_owned());
        url.flat_map(|url| ["--rpc".to_owned(), url]).collect()
    }

    /// The chain beside it.
    pub(crate) fn anvil(&self) -> &Anvil {
        self.anvil.as_ref().expect("the test asked for one")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A path of the test's own beside the data folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file can be written");
        path
    }

    pub(crate) fn plaza<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Came {
        finished(self.start(words))
    }

    /// Start a command and let it run.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Child {
        self.start_in(&self.data(), words)
    }

    /// The same, over another data folder.
    pub(crate) fn start_in<S: AsRef<OsStr>>(
        &self,
        data: &Path,
        words: impl IntoIterator<Item = S>,
    ) -> Child {
        Command::new(env!("CARGO_BIN_EXE_plaza"))
            .arg("--data")
            .arg(data)
            .args(words)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts")
    }

    /// `plaza run --json`, and the object on its last line.
    pub(crate) fn run(&self, flags: &[&str], command: &[&str]) -> (Came, Value) {
        let words = ["run", "--json"].iter().chain(flags).chain(&["--"]).chain(command);
        let came = self.plaza(words);
        let json = came.json();
        (came, json)
    }

    /// A job of this network as the API tells it.
    pub(crate) fn job(&self, id: &str) -> Value {
        self.plaza(["--json", "job", "view", id]).succeeded().json()
    }

    /// Wait until `holds` of a job.
    pub(crate) fn wait_for_job(&self, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
        poll(&format!("job {id}"), || Some(self.job(id)).filter(&holds))
    }

    /// Who serves the network, by its record.
    pub(crate) fn pid(&self) -> i32 {
        let pid = running(&self.data().join("gateway"))["pid"].as_i64().expect("a number");
        i32::try_from(pid).expect("a process id")
    }

    /// Where the API is.
    pub(crate) fn url(&self) -> String {
        running(&self.data().join("gateway"))["url"].as_str().expect("a URL").to_owned()
    }

    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.data().join("token")).expect("a token").trim().to_owned()
    }

    /// Ask the chain.
    pub(crate) fn rpc(&self, method: &str, params: Value) -> Value {
        ask(&format!("{}/rpc", self.url()), method, params)
    }

    /// Kill the network's process as a power cut would.
    pub(crate) fn kill(&self) {
        let pid = self.pid();
        kill(pid, Signal::KILL);
        poll("the end of the killed process", || {
            // Gone, or a zombie whose new parent has not looked yet.
            let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = status.rsplit_once(") ").map(|(_, rest)| rest.starts_with('Z'));
            state.unwrap_or(true).then_some(())
        });
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // No run of this test may outlive it: what is unfinished is ended by its own network.
        let running = self.plaza(["--json", "job", "list"]);
        let jobs: Value = serde_json::from_str(&running.stdout).unwrap_or_default();
        for job in jobs["jobs"].as_array().into_iter().flatten() {
            if job["state"] != "done" {
                self.plaza(["job", "cancel", job["id"].as_str().unwrap_or_default()]);
            }
        }
        self.plaza(["down"]);
    }
}

/// Wait for a command to end, and kill it when it takes too long.
pub(crate) fn finished(mut child: Child) -> Came {
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut stderr = child.stderr.take().expect("it is piped");
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let read_errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let until = Instant::now() + PATIENCE;
    let mut late = false;
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        if Instant::now() > until {
            late = true;
            child.kill().expect("it can be killed");
        }
        std::thread::sleep(AGAIN);
    };
    let text = |reader: std::thread::JoinHandle<std::io::Result<String>>| {
        reader.join().expect("no reader panics").expect("it prints UTF-8")
    };
    let came = Came { status, stdout: text(read), stderr: text(read_errors) };
    assert!(!late, "it takes longer than {PATIENCE:?}: {came:?}");
    came
}

/// Look again and again until there is something, but not for ever.
pub(crate) fn poll<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(AGAIN);
    }
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("it can be signalled");
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill(i32::try_from(child.id()).expect("a process id"), signal);
}

pub(crate) fn running(place: &Path) -> Value {
    let text = fs::read_to_string(place.join("running.json")).expect("a process runs");
    serde_json::from_str(&text).expect("a record")
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(work)
}

/// Ask a node.
pub(crate) fn ask(url: &str, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let request = http().post(url).json(&body);
    let answer: Value = wait(async { request.send().await?.json().await }).expect("an answer");
    answer["result"].clone()
}

/// A client for what this machine serves in the clear.
pub(crate) fn http() -> reqwest::Client {
    // Another test of this process may have done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_certs_only([]).build().expect("a client")
}

/// An amount as the bill writes it.
pub(crate) fn units(value: &Value) -> u128 {
    value.as_str().expect("a decimal string").parse().expect("a number")
}
