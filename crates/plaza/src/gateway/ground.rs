//! What a network of this machine stands on: its keys, its chain, its contracts.
//!
//! Upon opening: what is there is found as it was; what is missing is made. The constitution is
//! chosen once, when the network is made, and so is whose chain it is on: its own, or one that is
//! reached at a URL. That URL may change, the chain behind it may not.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::U256;
use chain::{Chain, GenesisAccount, Place};
use net::TransportKey;
use primitives::{Address, Amount, BasisPoints, Key};
use profile::{Descriptor, LOCAL_CHAIN_IDS, Profile};
use settlement::{Deployment, Http, Plan, Rpc, deploy, genesis, newest_block};

use crate::{
    away::awaited,
    clock::SystemClock,
    coin::{self, give_coin},
    command::UpFlags,
    failure::{Doing as _, Failure, Result},
    folder::{self, Folder},
    random,
    rpc::{Inside, Outside},
};

/// What the demo wallet of a new local network has: 10,000 test dollars, which have six decimals.
const DEMO_DOLLARS: u128 = 10_000 * 1_000_000;
/// Native coin of the accounts that send transactions, so that every Ethereum tool is content.
const COIN: u128 = 1_000_000_000_000_000_000_000;
/// Gas for which a gateway on a chain of somebody else's is given coin: some five hundred deals.
const GATEWAY_GAS: u64 = 150_000_000;
/// Gas for its demo wallet, which sends deposits and withdrawals itself.
const DEMO_GAS: u64 = 3_000_000;
/// The highest fee a network can ever ask.
const HIGHEST_FEE: BasisPoints = BasisPoints(1_000);

/// Keys, chain and contracts, opened.
pub(crate) struct Ground {
    /// Who this network is.
    pub(crate) keys: Keys,
    /// Its chain.
    pub(crate) rpc: Arc<dyn Rpc>,
    /// The same for whoever asks in JSON.
    pub(crate) tunnel: Arc<dyn broker::Tunnel>,
    /// Its contracts.
    pub(crate) deployment: Deployment,
    /// Its constitution.
    pub(crate) profile: Profile,
}

/// The keys of a network of this machine.
pub(crate) struct Keys {
    /// Deploys and owns the contracts, and does nothing else.
    pub(crate) owner: Key,
    /// The gateway's account: sends transactions, signs the descriptor.
    pub(crate) account: Key,
    /// Co-signs receipts for renters.
    pub(crate) signer: Key,
    /// The play-money renter.
    pub(crate) demo: Key,
    /// The gateway towards peers.
    pub(crate) peer: TransportKey,
}

impl Ground {
    /// Open the network in `folder`, or make it as asked.
    pub(crate) async fn open(
        folder: &Folder,
        flags: &UpFlags,
        clock: Arc<SystemClock>,
    ) -> Result<Self> {
        let place = folder.gateway();
        let keys = Keys::open(folder, &place)?;
        let elsewhere = elsewhere(folder, flags.chain.rpc.as_deref()).await?;
        let usual = if elsewhere.is_some() { "evm" } else { "local" };
        let profile = constitution(&place.join("profile.json"), flags.profile.as_deref(), usual)?;
        let mut plan = plan(&keys, &profile);
        let (rpc, tunnel): (Arc<dyn Rpc>, Arc<dyn broker::Tunnel>) = match elsewhere {
            None => {
                let inside = open_chain(&place, &keys, clock)?;
                (Arc::new(inside.clone()), Arc::new(inside))
            }
            Some(rpc) => {
                plan.first_block = first_block(&place, &rpc).await?;
                let wanted = [
                    (keys.owner.address(), plan.gas()),
                    (keys.account.address(), GATEWAY_GAS),
                    (keys.demo.address(), DEMO_GAS),
                ];
                give_coin(&rpc, flags.chain.fees_from.as_deref(), &wanted).await?;
                (rpc.clone(), Arc::new(Outside::new(rpc)))
            }
        };
        let deployment = deploy(rpc.clone(), &keys.owner, &plan).await.map_err(|error| {
            coin::advise(Failure::new("setting up the contracts").because(&error), &error)
        })?;
        Ok(Self { keys, rpc, tunnel, deployment, profile })
    }
}

/// The way to a chain of somebody else's, if the network is on one: as asked, else as kept. A
/// network that was made is on that chain for ever, and waits for it.
async fn elsewhere(folder: &Folder, asked: Option<&str>) -> Result<Option<Arc<dyn Rpc>>> {
    let kept = folder.chain_url()?;
    let Some(url) = asked.or(kept.as_deref()) else { return Ok(None) };
    let place = folder.gateway();
    if place.join("chain.redb").exists() {
        return Err(Failure::new("the network here is on a chain of its own, which never changes")
            .advise("make a new network in another folder: --data DIR"));
    }
    let http = Http::new(url).doing(|| "reading the chain's URL".to_owned())?;
    let rpc: Arc<dyn Rpc> = Arc::new(http);
    if let Some(text) = folder::line(&folder.descriptor())? {
        let made = Descriptor::parse(&text).doing(|| "reading the descriptor".to_owned())?;
        let found = awaited("asking the chain", async || genesis(rpc.clone()).await).await?;
        if found != made.genesis {
            return Err(Failure::new(format!(
                "the chain is another one: it begins with {found}, the network's with {}",
                made.genesis
            ))
            .advise("name an endpoint of the network's chain: --rpc URL; or another --data DIR"));
        }
    }
    folder::write(&place.join("chain.url"), url)?;
    Ok(Some(rpc))
}

/// The block that was the newest before the network was first set up.
async fn first_block(place: &Path, rpc: &Arc<dyn Rpc>) -> Result<u64> {
    let path = place.join("chain.first");
    let newest = match folder::line(&path)? {
        Some(_) => 0,
        None => newest_block(rpc.clone()).await.doing(|| "asking the chain".to_owned())?,
    };
    let kept = folder::secret(&path, || newest.to_string())?;
    kept.parse().doing(|| format!("reading {}", path.display()))
}

impl Keys {
    fn open(folder: &Folder, place: &Path) -> Result<Self> {
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

fn plan(keys: &Keys, profile: &Profile) -> Plan {
    let demo = Amount::new(DEMO_DOLLARS).unwrap_or(Amount::MAX);
    Plan {
        profile: profile.clone(),
        highest_fee: HIGHEST_FEE,
        fee_receiver: keys.account.address(),
        first_block: 0,
        grants: vec![(keys.demo.address(), demo)],
    }
}

/// The profile kept at `path`, or the one asked for where a network is made, or the usual one.
fn constitution(path: &Path, asked: Option<&str>, usual: &str) -> Result<Profile> {
    let Some(text) = folder::line(path)? else {
        let profile = chosen(asked.unwrap_or(usual))?;
        let text = serde_json::to_string(&profile).expect("plain data with string keys");
        folder::write(path, &text)?;
        return Ok(profile);
    };
    let kept: Profile =
        serde_json::from_str(&text).doing(|| format!("reading {}", path.display()))?;
    match asked.map(chosen).transpose()? {
        Some(other) if other != kept => {
            Err(Failure::new("the network here has another constitution, which never changes")
                .advise("make a new network in another folder: --data DIR"))
        }
        _ => Ok(kept),
    }
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
