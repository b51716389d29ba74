//! What a network of this machine stands on: its keys, its chain, its contracts.
//!
//! Upon opening: what is there is found as it was; what is missing is made. The constitution is
//! chosen once, when the network is made.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::U256;
use chain::{Chain, GenesisAccount, Place};
use net::TransportKey;
use primitives::{Address, Amount, BasisPoints, Key};
use profile::{LOCAL_CHAIN_IDS, Profile};
use settlement::{Deployment, Plan, deploy};

use crate::{
    clock::SystemClock,
    failure::{Doing as _, Failure, Result},
    folder::{self, Folder},
    random,
    rpc::Inside,
};

/// What the demo wallet of a new local network has: 10,000 test dollars, which have six decimals.
const DEMO_DOLLARS: u128 = 10_000 * 1_000_000;
/// Native coin of the accounts that send transactions, so that every Ethereum tool is content.
const COIN: u128 = 1_000_000_000_000_000_000_000;
/// The highest fee a local network can ever ask.
const HIGHEST_FEE: BasisPoints = BasisPoints(1_000);

/// Keys, chain and contracts, opened.
pub(crate) struct Ground {
    /// Who this network is.
    pub(crate) keys: Keys,
    /// Its chain.
    pub(crate) chain: Inside,
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
    /// Open the network in `folder`, or make it after the profile asked for.
    pub(crate) async fn open(
        folder: &Folder,
        profile: Option<&str>,
        clock: Arc<SystemClock>,
    ) -> Result<Self> {
        let place = folder.gateway();
        let keys = Keys::open(folder, &place)?;
        let chain = open_chain(&place, &keys, clock)?;
        let (deployment, profile) = set_up(&place, &keys, profile, &chain).await?;
        Ok(Self { keys, chain, deployment, profile })
    }
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

/// Set up what is missing of the contracts; the constitution of a network never changes here.
async fn set_up(
    place: &Path,
    keys: &Keys,
    asked: Option<&str>,
    inside: &Inside,
) -> Result<(Deployment, Profile)> {
    let profile = constitution(&place.join("profile.json"), asked)?;
    let demo = Amount::new(DEMO_DOLLARS).unwrap_or(Amount::MAX);
    let plan = Plan {
        profile: profile.clone(),
        highest_fee: HIGHEST_FEE,
        fee_receiver: keys.account.address(),
        first_block: 0,
        grants: vec![(keys.demo.address(), demo)],
    };
    let rpc = Arc::new(inside.clone());
    let deployment =
        deploy(rpc, &keys.owner, &plan).await.doing(|| "setting up the contracts".to_owned())?;
    Ok((deployment, profile))
}

/// The profile kept at `path`, or the one asked for where a network is made.
fn constitution(path: &Path, asked: Option<&str>) -> Result<Profile> {
    let Some(text) = folder::line(path)? else {
        let profile = chosen(asked.unwrap_or("local"))?;
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
