//! A network in this process: chain, contracts, gateway, API, and one provider.
//!
//! Upon a start: take the seat; open the chain; set up what is missing of the contracts; listen for
//! providers; carry on the jobs in the journal; answer HTTP; only then say where. Starting again
//! on the same data finds everything as it was. Upon SIGTERM or SIGINT: stop answering, stop the
//! lines where they are, and go; the next start takes them up.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::U256;
use api::{Access, World};
use broker::Broker;
use chain::{Chain, GenesisAccount, Place};
use net::{Peers, TransportKey};
use primitives::{Address, Amount, BasisPoints, Bytes, Clock as _, Key};
use profile::{Descriptor, Gateway, LOCAL_CHAIN_IDS, Profile};
use settlement::{Deployment, Evm, Pace, Plan, deploy};
use store::{DiskBlobs, DiskOutputs, SqliteLog};
use tokio::net::TcpListener;

use crate::{
    clock::SystemClock,
    command::UpFlags,
    config::Config,
    ending::ending,
    failure::{Doing as _, Failure, Result},
    folder, journal, random,
    rpc::Inside,
    seat::{Occupant, Seat},
    seller,
};

/// What the demo wallet of a new local network has, in whole test dollars.
const DEMO_DOLLARS: u128 = 10_000;
/// Native coin of the accounts that send transactions, so that every Ethereum tool is content.
const COIN: u128 = 1_000_000_000_000_000_000_000;
/// The highest fee a local network can ever ask.
const HIGHEST_FEE: BasisPoints = BasisPoints(1_000);
/// The most bytes of blobs a local gateway keeps.
const BLOBS: Bytes = Bytes::gibi(256);
/// How long requests that were begun may go on after the end was asked for.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// The keys of a network of this machine.
struct Keys {
    /// Deploys and owns the contracts, and does nothing else.
    owner: Key,
    /// The gateway's account: sends transactions, signs the descriptor.
    account: Key,
    /// Co-signs receipts for renters.
    signer: Key,
    /// The play-money renter.
    demo: Key,
    /// The gateway towards peers.
    peer: TransportKey,
}

/// Be the network of this data folder until the process is asked to end.
pub(crate) async fn serve(config: &Config, flags: &UpFlags) -> Result<()> {
    let place = config.folder.gateway();
    let Some(seat) = Seat::take(&place)? else {
        return Err(Failure::new(format!("a network runs in {} already", config.folder.shown()))
            .advise("look at it: plaza network view; end it: plaza down"));
    };
    journal::begin(config, flags.detached)?;
    if flags.detached {
        // A daemon belongs to no terminal; it may be its own leader already.
        let _ = rustix::process::setsid();
    }
    let mut end = ending()?;
    let clock = Arc::new(SystemClock::new());
    let keys = Keys::open(&config.folder, &place)?;
    let inside = open_chain(&place, &keys, clock.clone())?;
    let deployed = set_up(&place, &keys, &flags.profile, &inside).await?;
    let peers = listen_to_peers(&place, flags.peers, &keys.peer).await?;
    let listener = listen(&place, flags.port).await?;
    let url =
        format!("http://{}", listener.local_addr().doing(|| "asking for our port".to_owned())?);
    let descriptor = describe(&deployed, &keys, &peers, &url);
    let world = assemble(&place, &keys, &descriptor, &inside, peers.clone(), clock.clone()).await?;
    let broker = world.broker.clone();
    let text = serde_json::to_string_pretty(&descriptor).expect("plain data with string keys");
    folder::write(&config.folder.descriptor(), &text)?;

    let provider = if flags.no_provider {
        None
    } else {
        let joining = seller::Joining {
            descriptor: &descriptor,
            policy: flags.policy.as_deref(),
            rpc: Some(Arc::new(inside.clone())),
        };
        Some(seller::open(config, joining).await?)
    };
    let mut resources = api::gateway(world);
    if let Some(provider) = &provider {
        resources = resources.merge(provider.resources());
        provider.publish(&url, clock.now())?;
        provider.listed(&mut end.clone()).await;
    }
    let access = Access { token: config.folder.token()? };
    let pid = std::process::id();
    seat.publish(&Occupant { pid, url: url.clone(), since: clock.now() })?;
    tracing::info!(%url, chain = descriptor.chain_id, "the network answers");
    if flags.foreground {
        config.voice.remark(&format!("the network answers at {url}; Ctrl-C ends it"));
    }

    let mut asked = end.clone();
    let stop = async move {
        // A sender that is gone means the end as well.
        let _ = asked.wait_for(|asked| *asked).await;
    };
    let serving = tokio::spawn(api::serve(listener, resources, access, stop));
    let _ = end.wait_for(|asked| *asked).await;
    tracing::info!("asked to end");
    // Feeds of jobs that go on would keep the server open for ever.
    let _ = tokio::time::timeout(LAST_REQUESTS, serving).await;
    broker.shutdown().await;
    if let Some(provider) = provider {
        provider.close().await;
    }
    peers.close().await;
    drop(seat);
    Ok(())
}

impl Keys {
    fn open(folder: &folder::Folder, place: &Path) -> Result<Self> {
        folder::make(&folder.wallets())?;
        Ok(Self {
            owner: folder::key(&place.join("owner.key"))?,
            account: folder::key(&place.join("account.key"))?,
            signer: folder::key(&place.join("signer.key"))?,
            demo: folder::key(&folder.demo_key())?,
            peer: folder::transport_key(&place.join("peer.key"))?,
        })
    }
}

fn open_chain(place: &Path, keys: &Keys, clock: Arc<SystemClock>) -> Result<Inside> {
    let span = LOCAL_CHAIN_IDS.end - LOCAL_CHAIN_IDS.start;
    let path = place.join("chain.id");
    let id =
        folder::secret(&path, || (LOCAL_CHAIN_IDS.start + random::number() % span).to_string())?;
    let id = id.parse().doing(|| format!("reading {}", path.display()))?;
    let rich =
        |account: Address| (account, GenesisAccount::default().with_balance(U256::from(COIN)));
    let accounts = [&keys.owner, &keys.account, &keys.demo].map(|key| rich(key.address()));
    let file = place.join("chain.redb");
    let mut config = chain::Config::local(id, accounts, clock);
    config.place = Place::File(file.clone());
    let chain = Chain::open(config).doing(|| format!("opening the chain in {}", file.display()))?;
    folder::close(&file)?;
    Ok(Inside::new(chain))
}

/// Set up what is missing of the contracts; the constitution of a network never changes here.
async fn set_up(place: &Path, keys: &Keys, profile: &str, inside: &Inside) -> Result<Set> {
    let path = place.join("profile.json");
    let profile = match folder::line(&path)? {
        Some(text) => {
            serde_json::from_str(&text).doing(|| format!("reading {}", path.display()))?
        }
        None => {
            let profile = chosen(profile)?;
            let text = serde_json::to_string(&profile).expect("plain data with string keys");
            folder::write(&path, &text)?;
            profile
        }
    };
    let decimals = 10u128.pow(6);
    let demo = Amount::new(DEMO_DOLLARS * decimals).unwrap_or(Amount::MAX);
    let plan = Plan {
        profile: profile.clone(),
        highest_fee: HIGHEST_FEE,
        fee_receiver: keys.account.address(),
        grants: vec![(keys.demo.address(), demo)],
    };
    let rpc = Arc::new(inside.clone());
    let deployment =
        deploy(rpc, &keys.owner, &plan).await.doing(|| "setting up the contracts".to_owned())?;
    Ok(Set { deployment, profile })
}

struct Set {
    deployment: Deployment,
    profile: Profile,
}

/// The profile that a preset's name or a file's path names.
fn chosen(name: &str) -> Result<Profile> {
    let path = PathBuf::from(name);
    if path.components().count() == 1 && path.extension().is_none() {
        return Profile::preset(name).doing(|| "choosing a profile".to_owned());
    }
    let text = std::fs::read_to_string(&path).doing(|| format!("reading profile {name}"))?;
    Profile::parse(name, &text).doing(|| "choosing a profile".to_owned())
}

/// Listen for providers: at the address asked for, else at the former one, else at loopback. A port
/// that is taken by now gives way to any.
async fn listen_to_peers(
    place: &Path,
    asked: Option<SocketAddr>,
    key: &TransportKey,
) -> Result<Arc<Peers>> {
    let path = place.join("peer.address");
    let former = folder::line(&path)?.and_then(|address| address.parse().ok());
    let wanted = asked.or(former).unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listen = async |at: SocketAddr| Peers::listen(key, &[net::Address::tcp(at)]).await;
    let peers = match listen(wanted).await {
        Err(_) if asked.is_none() => listen(SocketAddr::new(wanted.ip(), 0)).await,
        listening => listening,
    };
    let peers = peers.doing(|| "listening for providers".to_owned())?;
    if let Some(socket) = peers.addresses().first().and_then(net::Address::socket) {
        folder::write(&path, &socket.to_string())?;
    }
    Ok(Arc::new(peers))
}

/// Listen for HTTP on loopback: at the port asked for, else at the former one, else at any.
async fn listen(place: &Path, asked: Option<u16>) -> Result<TcpListener> {
    let path = place.join("api.port");
    let former = folder::line(&path)?.and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = match asked {
        Some(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await,
        None => match TcpListener::bind((Ipv4Addr::LOCALHOST, former)).await {
            Err(_) if former != 0 => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
            listening => listening,
        },
    };
    let what = || format!("listening on port {}", asked.unwrap_or(former));
    let listener = listener.doing(what)?;
    let port = listener.local_addr().doing(what)?.port();
    folder::write(&path, &port.to_string())?;
    Ok(listener)
}

fn describe(set: &Set, keys: &Keys, peers: &Peers, url: &str) -> Descriptor {
    let gateway = Gateway {
        account: keys.account.address(),
        peer: keys.peer.peer_id(),
        addresses: peers.addresses().iter().map(ToString::to_string).collect(),
        url: url.to_owned(),
    };
    let network = &set.deployment.network;
    Descriptor {
        profile: set.profile.clone(),
        chain_id: network.chain_id,
        genesis: set.deployment.genesis,
        contracts: network.contracts.clone(),
        gateways: vec![gateway],
        rpc_urls: Vec::new(),
        signature: None,
    }
    .signed(&keys.account)
}

async fn assemble(
    place: &Path,
    keys: &Keys,
    descriptor: &Descriptor,
    inside: &Inside,
    peers: Arc<Peers>,
    clock: Arc<SystemClock>,
) -> Result<World> {
    let opening = || "opening the gateway's stores".to_owned();
    let network = settlement::Network::of(descriptor);
    let pace = Pace::of(descriptor.profile.blocks_until_final);
    let rpc = Arc::new(inside.clone());
    let settlement = Evm::open(rpc, network, keys.account.clone(), pace)
        .await
        .doing(|| "opening the contracts".to_owned())?;
    let settlement = Arc::new(settlement);
    let blobs = Arc::new(DiskBlobs::open(&place.join("blobs"), BLOBS).await.doing(opening)?);
    let outputs = Arc::new(DiskOutputs::open(&place.join("outputs")).await.doing(opening)?);
    let log = Arc::new(SqliteLog::open(&place.join("facts.db")).await.doing(opening)?);
    let profile = &descriptor.profile;
    let fence = broker::next_fence(log.as_ref()).await.doing(opening)?;
    let world = broker::World {
        settlement: settlement.clone(),
        transport: peers,
        blobs: blobs.clone(),
        log,
        outputs: outputs.clone(),
        clock,
        salts: Arc::new(random::word),
        signer: keys.signer.clone(),
        fence,
        account: keys.account.address(),
        token: descriptor.contracts.token,
        token_domain: descriptor.contracts.token_domain.clone(),
        open_fee: profile.open_fee,
        close_fee: profile.close_fee,
        rules: profile.market.clone(),
        ready: Arc::default(),
    };
    let tunnel = Arc::new(inside.clone());
    let broker =
        Broker::start(world, Some(tunnel)).await.doing(|| "reading the journal".to_owned())?;
    let chain = inside.chain().clone();
    let rpc: api::Rpc = Arc::new(move |request| {
        let chain = chain.clone();
        Box::pin(async move { chain.handle(&request).await })
    });
    Ok(World {
        broker,
        settlement,
        blobs,
        outputs,
        descriptor: Arc::new(descriptor.clone()),
        account: keys.account.address(),
        rpc,
    })
}
