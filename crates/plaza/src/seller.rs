//! A provider in this process: the machine, its walls, its keys, its connection to a gateway.
//!
//! Upon a start: take the provider's seat; find out what the machine is and which walls really
//! stand; connect; open the contracts; go on where the journal ends. The work itself runs in shims
//! that outlive this process.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::{Access, Seller};
use axum::Router;
use market::Machine;
use net::{Peers, Transport as _};
use primitives::{Bytes, Clock as _, UnixSeconds};
use profile::{Depth, Descriptor, Gateway};
use provider::{Policy, Provider, for_sale, graphics_for_sale};
use sandbox::{Graphics, Native, Runtime, Shim};
use settlement::{Evm, Http, Pace, Rpc};
use store::{DiskBlobs, SqliteLog};
use tokio::net::TcpListener;

use crate::{
    away::awaited,
    clock::SystemClock,
    coin::give_coin,
    command::ProviderFlags,
    config::Config,
    ending::ending,
    failure::{Doing as _, Failure, Result},
    folder, journal, random,
    rpc::Tunnelled,
    seat::{Occupant, Seat},
};

/// The word that makes our own program a shim.
pub(crate) const SHIM: &str = "shim";

/// The most bytes of blobs a provider keeps at once.
const BLOBS: Bytes = Bytes::gibi(256);
/// How long a provider may take to have its offer in the book before it is left to try on its own.
const LISTED: Duration = Duration::from_secs(10);
/// How long where its registration has to lie deep on a chain of somebody else's first.
const LISTED_ELSEWHERE: Duration = Duration::from_secs(120);
/// Gas for which a provider is given coin: it joins, withdraws, and now and then takes an exit.
const FEES: u64 = 20_000_000;
/// How often a network's own chain behind a tunnel is looked at.
const POLL: Duration = Duration::from_millis(100);
const AGAIN: Duration = Duration::from_millis(10);
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// What a provider joins, and how.
pub(crate) struct Joining<'a> {
    /// The network.
    pub(crate) descriptor: &'a Descriptor,
    /// A price policy that replaces the one kept.
    pub(crate) policy: Option<&'a Path>,
    /// A way to the chain of our own; else it is reached through the gateway.
    pub(crate) rpc: Option<Arc<dyn Rpc>>,
    /// Whose account gives ours the coin for the chain's own fees.
    pub(crate) fees_from: Option<&'a Path>,
}

/// A provider at work in this process.
pub(crate) struct Shop {
    provider: Arc<Provider>,
    settlement: Arc<Evm>,
    peers: Arc<Peers>,
    token: primitives::Address,
    seat: Seat,
    patience: Duration,
}

/// `plaza provider --join`: offer this machine until the process is asked to end.
pub(crate) async fn serve(config: &Config, join: &str, flags: &ProviderFlags) -> Result<()> {
    journal::begin(config, false)?;
    let mut end = ending()?;
    let descriptor = descriptor(join).await?;
    let rpc = flags.chain.rpc.as_deref().map(Http::new).transpose();
    let rpc = rpc.doing(|| "reading the chain's URL".to_owned())?;
    let joining = Joining {
        descriptor: &descriptor,
        policy: flags.policy.as_deref(),
        rpc: rpc.map(|http| Arc::new(http) as Arc<dyn Rpc>),
        fees_from: flags.chain.fees_from.as_deref(),
    };
    let mut asked = end.clone();
    let shop = tokio::select! {
        shop = open(config, joining) => shop?,
        _ = asked.wait_for(|asked| *asked) => return Ok(()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.doing(|| "listening for the owner's commands".to_owned())?;
    let address = listener.local_addr().doing(|| "asking for our port".to_owned())?;
    let access = Access { token: config.folder.token()? };
    let mut asked = end.clone();
    let stop = async move {
        let _ = asked.wait_for(|asked| *asked).await;
    };
    let serving = tokio::spawn(api::serve(listener, shop.resources(), access, stop));
    shop.publish(&format!("http://{address}"), SystemClock::new().now())?;
    shop.listed(&mut end.clone()).await;
    config.voice.remark(&format!(
        "this machine is for rent on network {} (chain {}); look at it: plaza provider status",
        descriptor.profile.name, descriptor.chain_id
    ));
    let _ = end.wait_for(|asked| *asked).await;
    let _ = tokio::time::timeout(LAST_REQUESTS, serving).await;
    shop.close().await;
    Ok(())
}

/// Start a provider over the data folder.
pub(crate) async fn open(config: &Config, joining: Joining<'_>) -> Result<Shop> {
    let place = config.folder.provider();
    let Some(seat) = Seat::take(&place)? else {
        return Err(Failure::new(format!("a provider runs in {} already", config.folder.shown()))
            .advise("look at it: plaza provider status; start another with another --data DIR"));
    };
    let Joining { descriptor, policy, rpc, fees_from } = joining;
    let text = serde_json::to_string_pretty(descriptor).expect("plain data with string keys");
    folder::write(&place.join("network.json"), &text)?;
    let policy = keep_policy(&place, policy, descriptor.contracts.token_decimals)?;
    let runs = place.join("runs");
    folder::make(&runs)?;
    let runtime = Native::new(Shim::this_binary([SHIM]), place.join("modules"));
    let (machine, graphics) = machine(&runtime, &place, &policy).await?;
    let runtime = runtime.with_graphics(graphics);

    let gateway = descriptor.gateways.first();
    let gateway =
        gateway.ok_or_else(|| Failure::new("the network's descriptor names no gateway"))?;
    let peers = connect(&place, gateway).await?;
    let rpc = match rpc {
        Some(rpc) => rpc,
        None => {
            connected(&peers, gateway).await?;
            Arc::new(Tunnelled::new(peers.clone(), gateway.peer.clone()))
        }
    };
    let account = folder::key(&place.join("account.key"))?;
    give_coin(&rpc, fees_from, &[(account.address(), FEES)]).await?;
    let network = settlement::Network::of(descriptor);
    let (pace, patience) = match descriptor.profile.depth {
        own @ Depth::Blocks(0) => (Pace { poll: POLL, ..Pace::of(own) }, LISTED),
        depth => (Pace::of(depth), LISTED_ELSEWHERE),
    };
    let chain = awaited("opening the contracts", async || {
        Evm::open(rpc.clone(), network.clone(), account.clone(), pace).await
    });
    let chain = Arc::new(chain.await?);

    let world = world(&place, runtime, &chain, &peers).await?;
    let config = provider::Config {
        key: folder::key(&place.join("provider.key"))?,
        account: account.address(),
        gateway: gateway.peer.clone(),
        gateway_account: gateway.account,
        token: descriptor.contracts.token,
        rules: descriptor.profile.market.clone(),
        policy,
        machine,
        region: String::new(),
        runs,
    };
    let provider = Provider::start(world, config).await;
    let provider = Arc::new(provider.doing(|| "reading the provider's journal".to_owned())?);
    let token = descriptor.contracts.token;
    Ok(Shop { provider, settlement: chain, peers, token, seat, patience })
}

/// What of this machine is for sale, as far as its walls really stand, and which of its graphics
/// processors.
async fn machine(runtime: &Native, place: &Path, policy: &Policy) -> Result<(Machine, Graphics)> {
    let probe = place.join("probe");
    let isolation = runtime.probe(&probe).await;
    // Empty by now; what is left of it is in nobody's way.
    let _ = std::fs::remove_dir(&probe);
    let isolation = isolation.map_err(|error| {
        Failure::new("this machine cannot shut work in").because(&error).advise(
            "see what is missing: plaza doctor; a network without a provider: plaza up --no-provider",
        )
    })?;
    let survey = hardware::survey(place);
    let machine = for_sale(&survey, &isolation, policy)
        .doing(|| "finding out what of this machine is for sale".to_owned())?;
    let graphics = Graphics::new(graphics_for_sale(&survey, &machine));
    Ok((machine, graphics))
}

/// Keep a connection to the gateway, whether it answers now or later.
async fn connect(place: &Path, gateway: &Gateway) -> Result<Arc<Peers>> {
    let key = folder::transport_key(&place.join("peer.key"))?;
    let addresses = gateway.addresses.iter().map(|address| address.parse::<net::Address>());
    let addresses = addresses.collect::<std::result::Result<Vec<_>, _>>();
    let addresses = addresses.doing(|| "reading the gateway's addresses".to_owned())?;
    let peers = Peers::start(&key, &[], &addresses).await;
    Ok(Arc::new(peers.doing(|| "connecting to the gateway".to_owned())?))
}

async fn world(
    place: &Path,
    runtime: Native,
    chain: &Arc<Evm>,
    peers: &Arc<Peers>,
) -> Result<provider::World> {
    let opening = || "opening the provider's stores".to_owned();
    Ok(provider::World {
        settlement: chain.clone(),
        transport: peers.clone(),
        runtime: Arc::new(runtime),
        blobs: Arc::new(DiskBlobs::open(&place.join("blobs"), BLOBS).await.doing(opening)?),
        log: Arc::new(SqliteLog::open(&place.join("facts.db")).await.doing(opening)?),
        clock: Arc::new(SystemClock::new()),
        salts: Arc::new(random::word),
    })
}

impl Shop {
    /// What its owner can ask over HTTP.
    pub(crate) fn resources(&self) -> Router {
        api::seller(Seller {
            provider: self.provider.clone(),
            settlement: self.settlement.clone(),
            token: self.token,
        })
    }

    /// Tell where its owner finds it.
    pub(crate) fn publish(&self, url: &str, now: UnixSeconds) -> Result<()> {
        let pid = std::process::id();
        self.seat.publish(&Occupant { pid, url: url.to_owned(), since: now })
    }

    /// Wait until its offer is in the book, or `end` is asked for, but not for ever.
    pub(crate) async fn listed(&self, end: &mut tokio::sync::watch::Receiver<bool>) {
        let listed = async {
            while !self.provider.status().listed && !*end.borrow_and_update() {
                tokio::time::sleep(AGAIN).await;
            }
        };
        if tokio::time::timeout(self.patience, listed).await.is_err() {
            let problem = self.provider.status().problem;
            tracing::warn!(?problem, "the offer is not in the book yet; trying on");
        }
    }

    /// Stop where it is; what runs goes on in its shims.
    pub(crate) async fn close(self) {
        if let Some(provider) = Arc::into_inner(self.provider) {
            provider.shutdown().await;
        }
        self.peers.close().await;
    }
}

/// The policy given now, which is kept from now on, else the one kept, else the example.
fn keep_policy(place: &Path, given: Option<&Path>, decimals: u8) -> Result<Policy> {
    let kept = place.join("policy.toml");
    let (path, text) = match given {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            (path.to_owned(), text.doing(|| format!("reading {}", path.display()))?)
        }
        None => {
            let text = std::fs::read_to_string(&kept);
            (kept.clone(), text.unwrap_or_else(|_| Policy::EXAMPLE.to_owned()))
        }
    };
    let policy = Policy::parse(&text, decimals).doing(|| format!("in {}", path.display()))?;
    folder::write(&kept, &text)?;
    Ok(policy)
}

/// Wait for the connection to the gateway, saying so when it takes long.
async fn connected(peers: &Peers, gateway: &Gateway) -> Result<()> {
    let mut present = peers.watch_peers();
    let connected = present.wait_for(|peers| peers.contains(&gateway.peer));
    match tokio::time::timeout(Duration::from_secs(30), connected).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Failure::new(format!(
            "gateway {} does not answer at {}",
            gateway.peer,
            gateway.addresses.join(", ")
        ))
        .advise("see that the network runs there (plaza network view), and that its descriptor is fresh")),
    }
}

/// The descriptor in a file, or at a gateway's URL.
async fn descriptor(join: &str) -> Result<Descriptor> {
    let what = || format!("reading the descriptor {join}");
    let text = if join.starts_with("http://") || join.starts_with("https://") {
        let url =
            format!("{}/v1/network", join.trim_end_matches("/v1/network").trim_end_matches('/'));
        let network: api::Network =
            reqwest::get(&url).await.doing(what)?.json().await.doing(what)?;
        serde_json::to_string(&network.descriptor).expect("plain data with string keys")
    } else if join.contains("://") {
        return Err(Failure::new(format!("{}: only http:// and https:// URLs are read", what()))
            .advise("fetch it yourself, and name the file"));
    } else {
        std::fs::read_to_string(PathBuf::from(join)).doing(what)?
    };
    Descriptor::parse(&text).doing(what)
}
