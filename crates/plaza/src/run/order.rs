//! The order: what is wanted, its limits, its price, signed by the renter.
//!
//! Upon preparing: ask for a quote first, so that a purse that is empty, a budget that is too small
//! and a machine that nobody offers are told before anything is sent.

use std::path::{Component, PathBuf};

use market::{
    Order, Rules, Session, Signed, Work,
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
    command::RunFlags,
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

/// A signed order and the job it makes.
pub(crate) struct Prepared {
    pub(crate) submission: Submission,
    pub(crate) id: JobId,
}

/// Write and sign the order, once it is known that it can be served and paid.
pub(crate) async fn prepare(
    reached: &Reached,
    key: &Key,
    flags: &RunFlags,
    session: Option<Signed<Session>>,
    progress: &Progress,
) -> Result<Prepared> {
    let rules = &reached.network.descriptor.profile.market;
    let mut work = work(flags, rules);
    if let Some(flaw) = work.flaw(rules.longest_deal) {
        return Err(Failure::new("this cannot be ordered").because(&flaw));
    }
    let budget = budget(flags.max_price.as_deref(), reached)?;
    let best = affordable(reached, &work, budget, key, session.as_ref()).await?;
    let mut paths = flags.input.clone();
    if let Some((name, module)) = module(flags) {
        work.command[0] = name;
        paths.push(module);
    }
    work.inputs = inputs(reached, &paths, progress).await?;
    let limit = budget.unwrap_or_else(|| twice(best.rate));
    Ok(sign(reached, key, work, limit, session))
}

/// The most to pay, as typed.
pub(crate) fn budget(typed: Option<&str>, reached: &Reached) -> Result<Option<Rate>> {
    let decimals = reached.network.descriptor.contracts.token_decimals;
    let read = |text: &str| {
        let amount =
            Amount::from_coins(text, decimals).doing(|| "reading --max-price".to_owned())?;
        Ok(Rate::per_hour(amount.units()).unwrap_or(Rate::MAX))
    };
    typed.map(read).transpose()
}

/// Why no offer serves, in words.
pub(crate) fn unserved(quote: &Quote) -> Failure {
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
            "raise --max-price; what is for rent: plaza offer list"
        }
        _ => "ask for less; what is for rent: plaza offer list",
    };
    failure.advise(advice)
}

fn dimension_word(dimension: Dimension) -> String {
    let word = serde_json::to_value(dimension).ok();
    word.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn work(flags: &RunFlags, rules: &Rules) -> Work {
    Work {
        command: flags.command.clone(),
        env: flags.env.iter().cloned().collect(),
        inputs: None,
        wish: flags.wish.wish(),
        time_limit: flags.timeout.unwrap_or(rules.time_limit),
        output_limit: flags.output_limit.unwrap_or(rules.output_limit),
    }
}

/// The cheapest offer that serves, if the purse can pay its hold.
async fn affordable(
    reached: &Reached,
    work: &Work,
    budget: Option<Rate>,
    key: &Key,
    session: Option<&Signed<Session>>,
) -> Result<Quoted> {
    let token = reached.network.descriptor.contracts.token;
    let inquiry =
        Inquiry { wish: work.wish.clone(), time_limit: work.time_limit, max_rate: budget, token };
    let quote = reached.client.quote(&inquiry).await?;
    let Some(best) = quote.ranked.first() else { return Err(unserved(&quote)) };
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
            work.time_limit,
            dollars(has.wallet, decimals),
            dollars(has.escrow, decimals),
        ))
        .advise("fund the account, choose another with --wallet NAME, or ask for less time with --timeout"));
    }
    Ok(best.clone())
}

/// A module that is named by its place on this machine: its name among the inputs, and the file. None
/// where an input brings what the command names.
fn module(flags: &RunFlags) -> Option<(String, PathBuf)> {
    let path = PathBuf::from(flags.command.first().filter(|_| flags.wish.wasm)?);
    let first = path.components().find(|it| matches!(it, Component::Normal(_)))?;
    let is_brought = path.is_relative()
        && flags.input.iter().any(|it| it.file_name() == Some(first.as_os_str()));
    let name = path.file_name()?.to_str()?.to_owned();
    (!is_brought && path.is_file()).then_some((name, path))
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
    let named = |path: &std::path::PathBuf| {
        let what = || format!("reading input {}", path.display());
        // A link is followed here and never later, and keeps its own name; what `..` or `.` names has
        // the name of the folder behind it.
        let real = std::fs::canonicalize(path).doing(what)?;
        let given = path.file_name().map_or(real.as_path(), |_| path.as_path());
        Source::named(given).doing(what).map(|source| source.read_at(&real))
    };
    let sources = paths.iter().map(named).collect::<Result<Vec<_>>>()?;
    progress.sending(paths);
    let blobs = RemoteBlobs(reached.client.clone());
    let what = || "sending the inputs".to_owned();
    let tree = pack(&sources, &blobs, &INPUTS).await.doing(what)?;
    store_tree(&tree, &blobs).await.doing(what).map(Some)
}

fn sign(
    reached: &Reached,
    key: &Key,
    work: Work,
    max_rate: Rate,
    session: Option<Signed<Session>>,
) -> Prepared {
    let escrow = reached.network.descriptor.escrow_domain();
    // Nothing dearer opens in the session, whatever the order allows.
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
        resources: salted(salt, &work.wish),
        max_rate,
        time_limit: work.time_limit,
        output_limit: work.output_limit.0,
        spec: work.digest(salt),
        gateway: network.account,
        nonce: random::number(),
        expiry: now.plus(PLACEMENT),
    };
    let id = order.id(&network.descriptor.plaza_domain());
    let order = Signed { signature: key.sign(id.0), document: order };
    Prepared { submission: Submission { order, work, salt, session }, id }
}

fn twice(rate: Rate) -> Rate {
    rate.plus(rate).unwrap_or(Rate::MAX)
}
