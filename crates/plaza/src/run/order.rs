//! The order: what is wanted, its limits, its price, signed by the renter.
//!
//! Upon preparing: ask for a quote first, so that a purse that is empty, a budget that is too small
//! and a machine that nobody offers are told before anything is sent.

use std::path::{Path, PathBuf};

use market::{
    Order, Session, Signed, Work,
    document::Kind,
    fact::Submission,
    machine::Dimension,
    quote::{Inquiry, Quote, Quoted},
    work::salted,
};
use primitives::{Amount, B256, Bytes, Digest, JobId, Key, Rate, Seconds, UnixSeconds};
use store::{Source, TreeLimits, pack, store_tree};

use crate::{
    client::blobs::RemoteBlobs,
    clock::SystemClock,
    daemon::Reached,
    failure::{Doing as _, Failure, Result},
    random,
    run::{
        bill::{dollars, hourly},
        progress::Progress,
    },
};

/// How long the gateway may look for a provider.
const PLACEMENT: Seconds = Seconds(600);
/// The largest inputs that are packed.
const INPUTS: TreeLimits = TreeLimits { entries: 1_000_000, size: Bytes::gibi(1_024) };

/// What is to be ordered.
pub(crate) struct Wanted {
    /// The work; its inputs are yet to be sent.
    pub(crate) work: Work,
    /// The files and folders it needs.
    pub(crate) inputs: Vec<PathBuf>,
    /// The session that its deals are opened in, if they are not each consented to.
    pub(crate) session: Option<Signed<Session>>,
    /// Running time after which a deal is ended.
    pub(crate) deal_time_limit: Seconds,
    /// The most to pay per hour, if limited.
    pub(crate) max_rate: Option<Rate>,
    /// What the renter calls its limits.
    pub(crate) names: Names,
}

/// What the renter calls the limits of an order, where it wrote them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    /// The most to pay per hour.
    pub(crate) price: &'static str,
    /// The running time of a deal.
    pub(crate) time: &'static str,
}

impl Names {
    /// On the command line.
    pub(crate) const FLAGS: Self = Self { price: "--max-price", time: "--timeout" };
}

/// A signed order and the job it makes.
pub(crate) struct Prepared {
    pub(crate) submission: Submission,
    pub(crate) id: JobId,
}

/// Write and sign the order, once it is known that it can be served and paid.
pub(crate) async fn prepare(
    reached: &Reached,
    key: &Key,
    mut wanted: Wanted,
    progress: &Progress,
) -> Result<Prepared> {
    let rules = &reached.network.descriptor.profile.market;
    if let Some(flaw) = wanted.work.flaw(rules.longest_deal) {
        return Err(Failure::new("this cannot be ordered").because(&flaw));
    }
    let best = affordable(reached, &wanted, key).await?;
    wanted.work.inputs = inputs(reached, &wanted.inputs, progress).await?;
    Ok(sign(reached, key, wanted, twice(best.rate)))
}

/// A limit on the price as typed, in dollars per hour.
pub(crate) fn max_rate(typed: &str, name: &str, decimals: u8) -> Result<Rate> {
    let amount = Amount::from_coins(typed, decimals).doing(|| format!("reading {name}"))?;
    Ok(Rate::per_hour(amount.units()).unwrap_or(Rate::MAX))
}

/// Why no offer serves, in words.
pub(crate) fn unserved(quote: &Quote, names: Names) -> Failure {
    if quote.considered == 0 {
        return Failure::new("nobody offers a machine at this gateway now")
            .advise("wait for a provider, or offer this one: plaza up (without --no-provider)");
    }
    let reasons = quote
        .rejected
        .iter()
        .map(|(dimension, count)| format!("{count} fail in {}", dimension_word(*dimension)));
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    let failure = Failure::new(format!("none of {} offers serves: {reasons}", quote.considered));
    let advice = match quote.rejected.keys().next_back() {
        Some(Dimension::Price) if quote.rejected.len() == 1 => {
            format!("raise {}; what is for rent: plaza offer list", names.price)
        }
        _ => "ask for less; what is for rent: plaza offer list".to_owned(),
    };
    failure.advise(advice)
}

fn dimension_word(dimension: Dimension) -> String {
    let word = serde_json::to_value(dimension).ok();
    word.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Which offers serve one deal, and what it costs there.
pub(crate) async fn quote(reached: &Reached, wanted: &Wanted) -> Result<Quote> {
    let too_much = || Failure::new("one deal reserves more than can be counted");
    let inquiry = Inquiry {
        wish: wanted.work.bundle().ok_or_else(too_much)?,
        time_limit: wanted.deal_time_limit,
        max_rate: wanted.max_rate,
        token: reached.network.descriptor.contracts.token,
    };
    reached.client.quote(&inquiry).await
}

/// The cheapest offer that serves, if the purse can pay its hold.
async fn affordable(reached: &Reached, wanted: &Wanted, key: &Key) -> Result<Quoted> {
    let quote = quote(reached, wanted).await?;
    let Some(best) = quote.ranked.first() else { return Err(unserved(&quote, wanted.names)) };
    let session = wanted.session.as_ref();
    let has = reached.client.balance(key.address()).await?;
    if session.is_some() && has.escrow < best.hold {
        let decimals = reached.network.descriptor.contracts.token_decimals;
        return Err(Failure::new(format!(
            "a session pays from the escrow alone: {} is to be put aside, and {} is there",
            dollars(best.hold, decimals),
            dollars(has.escrow, decimals),
        ))
        .advise("move more there: plaza wallet deposit AMOUNT"));
    }
    if let Some(session) = session.filter(|session| session.document.cap < best.hold) {
        let decimals = reached.network.descriptor.contracts.token_decimals;
        return Err(Failure::new(format!(
            "{} is to be put aside, and the session's cap is {}",
            dollars(best.hold, decimals),
            dollars(session.document.cap, decimals),
        ))
        .advise("grant another with a higher --cap, or ask for less time with --timeout"));
    }
    if has.wallet < best.hold && has.escrow < best.hold {
        let decimals = reached.network.descriptor.contracts.token_decimals;
        return Err(Failure::new(format!(
            "the wallet {} cannot pay: {} is to be put aside ({} for at most {}, plus a buffer), it has {}, \
             and {} inside the escrow",
            key.address(),
            dollars(best.hold, decimals),
            hourly(best.rate, decimals),
            wanted.deal_time_limit,
            dollars(has.wallet, decimals),
            dollars(has.escrow, decimals),
        ))
        .advise(format!(
            "fund the account, choose another with --wallet NAME, or ask for less time with {}",
            wanted.names.time
        )));
    }
    Ok(best.clone())
}

/// Send the inputs and name them as one tree.
async fn inputs(
    reached: &Reached,
    paths: &[PathBuf],
    progress: &Progress,
) -> Result<Option<Digest>> {
    if paths.is_empty() {
        return Ok(None);
    }
    let sources = paths.iter().map(|path| source(path)).collect::<Result<Vec<_>>>()?;
    progress.sending(paths);
    let blobs = RemoteBlobs(reached.client.clone());
    let what = || "sending the inputs".to_owned();
    let tree = pack(&sources, &blobs, &INPUTS).await.doing(what)?;
    store_tree(&tree, &blobs).await.doing(what).map(Some)
}

/// An input under the name that it has in the working folder.
fn source(path: &Path) -> Result<Source> {
    let what = || format!("reading input {}", path.display());
    // A link is followed here and never later, and keeps its own name; what `..` or `.` names has
    // the name of the folder behind it.
    let real = std::fs::canonicalize(path).doing(what)?;
    let given = path.file_name().map_or(real.as_path(), |_| path);
    Source::named(given).doing(what).map(|source| source.read_at(&real))
}

fn sign(reached: &Reached, key: &Key, wanted: Wanted, usual_rate: Rate) -> Prepared {
    let Wanted { work, deal_time_limit, max_rate, session, .. } = wanted;
    let escrow = reached.network.descriptor.escrow_domain();
    // Nothing dearer opens in the session, whatever the order allows.
    let max_rate = max_rate.unwrap_or(usual_rate);
    // Tasks of an array are placed again when a provider dies, as long as the order holds.
    let placing = match work.array {
        None => PLACEMENT,
        Some(_) => PLACEMENT.plus(deal_time_limit),
    };
    let within = |most: &Signed<Session>| max_rate.min(most.document.max_rate);
    let max_rate = session.as_ref().map_or(max_rate, within);
    let network = &reached.network;
    let salt = random::word();
    let now: UnixSeconds = primitives::Clock::now(&SystemClock::new());
    let order = Order {
        renter: key.address(),
        renter_key: network.signer,
        session: session.as_ref().map_or(B256::ZERO, |it| it.document.id(&escrow).0),
        token: network.descriptor.contracts.token,
        kind: Kind::Lease,
        resources: salted(salt, &work.bundle()),
        max_rate,
        time_limit: deal_time_limit,
        output_limit: work.output_limit.0,
        spec: work.digest(salt),
        gateway: network.account,
        nonce: random::number(),
        expiry: session.as_ref().map_or(now.plus(placing), |it| it.document.expiry),
    };
    let id = order.id(&network.descriptor.plaza_domain());
    let order = Signed { signature: key.sign(id.0), document: order };
    Prepared { submission: Submission { order, work, salt, session }, id }
}

fn twice(rate: Rate) -> Rate {
    rate.plus(rate).unwrap_or(Rate::MAX)
}
