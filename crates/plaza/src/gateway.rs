//! A network in this process: chain, contracts, gateway, API, and one provider.
//!
//! Upon a start: take the seat; open the chain; set up what is missing of the contracts; listen for
//! providers; carry on the jobs in the journal; answer HTTP; only then say where. Starting again
//! on the same data finds everything as it was. Upon SIGTERM or SIGINT: stop answering, stop the
//! lines where they are, and go; the next start takes them up.

mod doors;
mod ground;

use std::{path::Path, sync::Arc, time::Duration};

use api::{Access, World};
use axum::Router;
use broker::Broker;
use net::Peers;
use primitives::{Bytes, Clock as _};
use profile::{Descriptor, Gateway};
use settlement::{Evm, Pace};
use store::{DiskBlobs, DiskOutputs, SqliteLog};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    away::awaited,
    clock::SystemClock,
    command::UpFlags,
    config::Config,
    ending::ending,
    failure::{Doing as _, Failure, Result},
    folder,
    gateway::ground::Ground,
    journal, random,
    seat::{Occupant, Seat},
    seller::{self, Joining, Shop},
};

/// The most bytes of blobs a local gateway keeps.
const BLOBS: Bytes = Bytes::gibi(256);
/// How long requests that were begun may go on after the end was asked for.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// Everything of a network that runs in this process.
struct House {
    resources: Router,
    listener: TcpListener,
    url: String,
    broker: Broker,
    provider: Option<Shop>,
    peers: Arc<Peers>,
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
    let mut asked = end.clone();
    let house = tokio::select! {
        house = open(config, flags, &place) => house?,
        _ = asked.wait_for(|asked| *asked) => return Ok(()),
    };
    if let Some(provider) = &house.provider {
        provider.publish(&house.url, SystemClock::new().now())?;
        provider.listed(&mut end).await;
    }
    let (pid, url) = (std::process::id(), house.url.clone());
    seat.publish(&Occupant { pid, url, since: SystemClock::new().now() })?;
    tracing::info!(url = house.url, "the network answers");
    if flags.foreground {
        config.voice.remark(&format!("the network answers at {}; Ctrl-C ends it", house.url));
    }
    house.answer(Access { token: config.folder.token()? }, end).await;
    drop(seat);
    Ok(())
}

/// Open everything, from the chain upwards, as it was left.
async fn open(config: &Config, flags: &UpFlags, place: &Path) -> Result<House> {
    let clock = Arc::new(SystemClock::new());
    let ground = Ground::open(&config.folder, flags, clock.clone()).await?;
    let peers = doors::for_providers(place, flags.peers, &ground.keys.peer).await?;
    let listener = doors::for_clients(place, flags.port).await?;
    let address = listener.local_addr().doing(|| "asking for our port".to_owned())?;
    let url = format!("http://{address}");
    let descriptor = describe(&ground, &peers, &url);
    let world = assemble(place, &ground, &descriptor, peers.clone(), clock).await?;
    let broker = world.broker.clone();
    let text = serde_json::to_string_pretty(&descriptor).expect("plain data with string keys");
    folder::write(&config.folder.descriptor(), &text)?;
    let mut resources = api::gateway(world);
    let mut provider = None;
    if !flags.no_provider {
        let joining = Joining {
            descriptor: &descriptor,
            policy: flags.policy.as_deref(),
            rpc: Some(ground.rpc),
            fees_from: flags.chain.fees_from.as_deref(),
        };
        let shop = seller::open(config, joining).await?;
        resources = resources.merge(shop.resources());
        provider = Some(shop);
    }
    Ok(House { resources, listener, url, broker, provider, peers })
}

impl House {
    /// Answer until the end is asked for, then stop everything where it is.
    async fn answer(self, access: Access, mut end: watch::Receiver<bool>) {
        let mut asked = end.clone();
        let stop = async move {
            // A sender that is gone means the end as well.
            let _ = asked.wait_for(|asked| *asked).await;
        };
        let serving = tokio::spawn(api::serve(self.listener, self.resources, access, stop));
        let _ = end.wait_for(|asked| *asked).await;
        tracing::info!("asked to end");
        // Feeds of jobs that go on would keep the server open for ever.
        let _ = tokio::time::timeout(LAST_REQUESTS, serving).await;
        self.broker.shutdown().await;
        if let Some(provider) = self.provider {
            provider.close().await;
        }
        self.peers.close().await;
    }
}

fn describe(ground: &Ground, peers: &Peers, url: &str) -> Descriptor {
    let gateway = Gateway {
        account: ground.keys.account.address(),
        peer: ground.keys.peer.peer_id(),
        addresses: peers.addresses().iter().map(ToString::to_string).collect(),
        url: url.to_owned(),
    };
    let network = &ground.deployment.network;
    Descriptor {
        profile: ground.profile.clone(),
        chain_id: network.chain_id,
        genesis: ground.deployment.genesis,
        first_block: network.first_block,
        contracts: network.contracts.clone(),
        gateways: vec![gateway],
        rpc_urls: Vec::new(),
        signature: None,
    }
    .signed(&ground.keys.account)
}

async fn assemble(
    place: &Path,
    ground: &Ground,
    descriptor: &Descriptor,
    peers: Arc<Peers>,
    clock: Arc<SystemClock>,
) -> Result<World> {
    let keys = &ground.keys;
    let opening = || "opening the gateway's stores".to_owned();
    let network = settlement::Network::of(descriptor);
    let pace = Pace::of(descriptor.profile.depth);
    let settlement = awaited("opening the contracts", async || {
        Evm::open(ground.rpc.clone(), network.clone(), keys.account.clone(), pace).await
    });
    let settlement = Arc::new(settlement.await?);
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
    let tunnel = ground.tunnel.clone();
    let broker = Broker::start(world, Some(tunnel.clone())).await;
    let broker = broker.doing(|| "reading the journal".to_owned())?;
    let rpc: api::Rpc = Arc::new(move |request| {
        let tunnel = tunnel.clone();
        Box::pin(async move { tunnel.answer(request).await })
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
