//! The network of this machine in the background: find it, start it, end it.
//!
//! Upon `reach`: whoever finds no network that answers waits for the start lock and looks again;
//! the first one starts a network and holds the lock until it answers, so two at once share one.
//! Upon `end`: the process that holds the seat is told to end, and waited for.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use api::Network;
use profile::Descriptor;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    client::Client,
    command::{ChainFlags, RPC, UpFlags},
    config::Config,
    failure::{Doing as _, Failure, Result},
    seat::{self, Occupant},
};

/// A network that answers.
pub(crate) struct Reached {
    /// Its API.
    pub(crate) client: Client,
    /// What it says of itself.
    pub(crate) network: Network,
    /// Whether it was started just now.
    pub(crate) fresh: bool,
}

impl Reached {
    /// The decimals of the network's stablecoin.
    pub(crate) fn decimals(&self) -> u8 {
        self.network.descriptor.contracts.token_decimals
    }
}

/// How long a network may take to answer after its start, on a slow and busy machine.
const START: Duration = Duration::from_secs(60);
/// How long where a chain of somebody else's has to call its contracts final first.
const START_ELSEWHERE: Duration = Duration::from_secs(3_600);
/// How long it may take to end.
const END: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(15);

/// The network of this data folder, started in the background if none answers.
pub(crate) async fn reach(config: &Config) -> Result<Reached> {
    if let Some(reached) = find(config).await? {
        return Ok(reached);
    }
    start(config, &UpFlags::plain()).await
}

/// The network of this data folder, if it answers.
pub(crate) async fn find(config: &Config) -> Result<Option<Reached>> {
    let Some(client) = recorded(config)? else { return Ok(None) };
    let Ok(network) = client.network().await else { return Ok(None) };
    // Another network may have taken the port since.
    let ours = std::fs::read_to_string(config.folder.descriptor()).ok();
    let ours = ours.and_then(|text| Descriptor::parse(&text).ok());
    let same = ours.is_some_and(|ours| ours.genesis == network.descriptor.genesis);
    Ok(same.then_some(Reached { client, network, fresh: false }))
}

/// The API of this data folder's network as it was last recorded; nothing is asked.
fn recorded(config: &Config) -> Result<Option<Client>> {
    let occupant = seat::recorded(&config.folder.gateway());
    occupant.map(|occupant| Client::new(&occupant.url, &config.folder.token()?)).transpose()
}

/// The API where it is now: after a restart it may be at another port than `former`.
pub(crate) fn present(config: &Config, former: &Client) -> Result<Client> {
    Ok(recorded(config)?.unwrap_or_else(|| former.clone()))
}

/// As [`find`], with a failure that says how to get one.
pub(crate) async fn expect(config: &Config) -> Result<Reached> {
    find(config).await?.ok_or_else(|| {
        Failure::new(format!("no network answers in data folder {}", config.folder.shown()))
            .advise("start one: plaza up")
    })
}

/// Start a network in the background and wait until it answers.
pub(crate) async fn start(config: &Config, flags: &UpFlags) -> Result<Reached> {
    let path = config.folder.path().join("start.lock");
    let queued = tokio::task::spawn_blocking(move || seat::queue(&path)).await;
    let _turn = queued.doing(|| "waiting for our turn to start a network".to_owned())??;
    let elsewhere = flags.chain.rpc.is_some() || config.folder.chain_url()?.is_some();
    let patience = if elsewhere { START_ELSEWHERE } else { START };
    let until = Instant::now() + patience;
    if let Some(reached) = find(config).await? {
        return Ok(reached);
    }
    let mut child = if seat::is_free(&config.folder.gateway())? {
        config.voice.remark(&format!(
            "no network answers here: starting one in the background, in {} ('plaza down' ends it)",
            config.folder.shown()
        ));
        if elsewhere {
            config
                .voice
                .remark("its contracts count once their chain calls them final: wait a while");
        }
        Some(spawn(config, flags)?)
    } else {
        // Somebody starts one in the foreground just now.
        None
    };
    while Instant::now() < until {
        if let Some(reached) = find(config).await? {
            return Ok(Reached { fresh: true, ..reached });
        }
        if let Some(child) = &mut child
            && let Some(status) = child.try_wait().doing(|| "waiting for the network".to_owned())?
        {
            return Err(dead(config, &format!("it ended with {status}")));
        }
        tokio::time::sleep(AGAIN).await;
    }
    Err(dead(config, &format!("it does not answer after {} s", patience.as_secs())))
}

/// End the network of this data folder; `None` when none runs.
pub(crate) async fn end(config: &Config) -> Result<Option<Occupant>> {
    let place = config.folder.gateway();
    let Some(occupant) = seat::occupant(&place)? else { return Ok(None) };
    terminate(&occupant)?;
    let until = Instant::now() + END;
    while !seat::is_free(&place)? {
        if Instant::now() > until {
            return Err(Failure::new(format!("process {} does not end", occupant.pid)).advise(
                format!("see {}; kill it: kill -9 {}", config.folder.log().display(), occupant.pid),
            ));
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(Some(occupant))
}

fn terminate(occupant: &Occupant) -> Result<()> {
    let what = || format!("ending process {}", occupant.pid);
    let pid = i32::try_from(occupant.pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Failure::new(what()))?;
    match kill_process(pid, Signal::TERM) {
        // It ended by itself just now.
        Err(rustix::io::Errno::SRCH) => Ok(()),
        answer => answer.doing(what),
    }
}

fn spawn(config: &Config, flags: &UpFlags) -> Result<Child> {
    let log = log(&config.folder.log())?;
    let again = log.try_clone().doing(|| "opening the log".to_owned())?;
    let mut command = Command::new(&config.program);
    command.arg("--data").arg(config.folder.path()).args(["up", "--detached"]);
    if let Some(profile) = &flags.profile {
        command.args(["--profile", profile]);
    }
    if let Some(rpc) = &flags.chain.rpc {
        // Not among the arguments, which others on this machine can read: it may hold a key.
        command.env(RPC, rpc);
    }
    if let Some(file) = &flags.chain.fees_from {
        let file = std::path::absolute(file).doing(|| format!("naming {}", file.display()))?;
        command.arg("--fees-from").arg(file);
    }
    if let Some(port) = flags.port {
        command.args(["--port", &port.to_string()]);
    }
    if let Some(peers) = flags.peers {
        command.args(["--peers", &peers.to_string()]);
    }
    if flags.no_provider {
        command.arg("--no-provider");
    }
    if let Some(policy) = &flags.policy {
        let policy =
            std::path::absolute(policy).doing(|| format!("naming {}", policy.display()))?;
        command.arg("--policy").arg(policy);
    }
    command.stdin(Stdio::null()).stdout(log).stderr(again);
    command.spawn().doing(|| format!("starting {}", config.program.display()))
}

fn log(path: &Path) -> Result<File> {
    crate::folder::make(path.parent().unwrap_or(path))?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .doing(|| format!("opening the log {}", path.display()))
}

/// Why a network that was started in the background did not come up, in its own last words.
fn dead(config: &Config, why: &str) -> Failure {
    let path = config.folder.log();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let complaint = text.rsplit_once("plaza: ").map_or("", |(_, last)| last.trim_end());
    let mut lines = complaint.lines();
    let cause = lines.next().unwrap_or(why);
    let look = format!("see {}, or look at it directly: plaza up --foreground", path.display());
    Failure::new(format!("the network does not start: {cause}"))
        .advise(lines.next().map_or(look, |advice| advice.trim().to_owned()))
}

impl UpFlags {
    /// As if `plaza up` had been typed.
    fn plain() -> Self {
        Self {
            foreground: false,
            port: None,
            peers: None,
            no_provider: false,
            policy: None,
            profile: None,
            chain: ChainFlags::default(),
            detached: false,
        }
    }
}
