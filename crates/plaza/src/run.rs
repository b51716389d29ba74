//! `plaza run`: one command, from the order to the bill.
//!
//! Upon the command: reach a network, open the purse, see what it will cost, send the inputs, sign
//! the order; upon a provider's bid: check its terms against the order and consent; then show what
//! the job prints until it is settled, bring back its outputs, and give the bill.
//!
//! Invariant: nothing the gateway says is taken on trust: the key signs only an order it wrote and
//! terms that satisfy it. Every way out says what happened to the money.

mod bill;
mod consent;
pub(crate) mod follow;
pub(crate) mod order;
pub(crate) mod progress;
mod story;
mod total;

use std::{
    path::{Component, PathBuf},
    process::ExitCode,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use api::Job;
use market::{Rules, Work, fact::Submission};
use primitives::JobId;

pub(crate) use bill::{Bill, dollars, hourly, told};
pub(crate) use total::Total;

use crate::{
    client::Client,
    command::RunFlags,
    config::Config,
    daemon::{self, Reached},
    failure::{OURS, Result},
    outputs, purse,
    run::{
        follow::End,
        order::{Names, Prepared, Wanted, max_rate},
        progress::Progress,
    },
    session,
};

/// Exit status of a job that was left running.
pub(crate) const LEFT: u8 = 130;

/// How long a gateway that went away is waited for with an order.
const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(200);

/// Do it all; the exit status is the job's own.
pub(crate) async fn run(config: &Config, flags: &RunFlags) -> ExitCode {
    let mut job = None;
    match attempt(config, flags, &mut job).await {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            config.voice.failure(&failure);
            if config.voice.json {
                config.voice.answer(&Bill::unknown(job), String::new);
            }
            ExitCode::from(OURS)
        }
    }
}

/// The whole way; `job` is set once there is one, so that a failure can name it.
async fn attempt(config: &Config, flags: &RunFlags, job: &mut Option<JobId>) -> Result<u8> {
    let reached = daemon::reach(config).await?;
    let progress = Progress::new(config.voice, flags.quiet);
    let key = purse::open(&config.folder, &flags.purse, reached.network.local)?;
    let named = |name: &String| session::named(&config.folder, &reached, &key, name);
    let session = flags.session.as_ref().map(named).transpose()?;
    let wanted = Wanted { session, ..wanted(&reached, flags)? };
    let Prepared { submission, id } = order::prepare(&reached, &key, wanted, &progress).await?;
    *job = Some(id);
    send(config, &reached.client, &submission, id).await?;
    progress.submitted(id);
    let following = follow::Following {
        client: reached.client.clone(),
        config,
        network: &reached.network,
        submission: &submission,
        key: &key,
        job: id,
        budget: None,
        prints: true,
        detach: flags.detach,
        open_line: AtomicBool::new(false),
    };
    let end = following.to_the_end(&progress).await;
    if config.voice.json {
        following.end_line();
    }
    match end? {
        End::Over(job) => conclude(config, &reached, flags, &job, &progress).await,
        End::Left => leave(config, &reached, id, flags.detach).await,
    }
}

/// Hand in the order. Whether a gateway that went away has heard it nobody knows, so it is sent
/// again, to wherever the gateway is by then: the same order is the same job.
pub(crate) async fn send(
    config: &Config,
    client: &Client,
    submission: &Submission,
    id: JobId,
) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut heard = client.submit(submission, id).await;
    while let Err(failure) = &heard
        && failure.is_away()
        && Instant::now() < until
    {
        tokio::time::sleep(AGAIN).await;
        heard = daemon::present(config, client)?.submit(submission, id).await;
    }
    heard.map(drop)
}

fn wanted(reached: &Reached, flags: &RunFlags) -> Result<Wanted> {
    let decimals = reached.network.descriptor.contracts.token_decimals;
    let names = Names::FLAGS;
    let price = flags.max_price.as_deref();
    let mut work = work(flags, &reached.network.descriptor.profile.market);
    let mut inputs = flags.input.clone();
    if let Some((name, module)) = module(flags) {
        work.command[0] = name;
        inputs.push(module);
    }
    Ok(Wanted {
        deal_time_limit: work.time_limit,
        work,
        inputs,
        session: None,
        max_rate: price.map(|typed| max_rate(typed, names.price, decimals)).transpose()?,
        names,
    })
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

fn work(flags: &RunFlags, rules: &Rules) -> Work {
    Work {
        command: flags.command.clone(),
        env: flags.env.iter().cloned().collect(),
        inputs: None,
        wish: flags.wish.wish(),
        time_limit: flags.timeout.unwrap_or(rules.time_limit),
        output_limit: flags.output_limit.unwrap_or(rules.output_limit),
        array: None,
    }
}

async fn conclude(
    config: &Config,
    reached: &Reached,
    flags: &RunFlags,
    job: &Job,
    progress: &Progress,
) -> Result<u8> {
    let target = target(flags.output.as_ref(), job.id);
    let client = daemon::present(config, &reached.client)?;
    let tasks = client.tasks(job.id).await?;
    let brought = outputs::bring(&client, job, &tasks, &target, flags.output.is_some()).await;
    let bill = Bill::of(job, &tasks, reached);
    progress.finished(job, &bill.lines(reached.decimals()));
    let status = match brought {
        Ok(Some(count)) => {
            progress.brought(&target, count);
            bill.status
        }
        Ok(None) => bill.status,
        Err(failure) => {
            config.voice.failure(&failure);
            OURS
        }
    };
    if config.voice.json {
        config.voice.answer(&bill, String::new);
    }
    Ok(status)
}

async fn leave(config: &Config, reached: &Reached, job: JobId, detached: bool) -> Result<u8> {
    let short = job.short();
    if config.voice.json {
        let job = reached.client.job(&job.to_string()).await?;
        let tasks = reached.client.tasks(job.id).await?;
        config.voice.answer(&Bill::of(&job, &tasks, reached), String::new);
    } else if detached {
        config.voice.answer(&(), || short.clone());
    }
    if detached {
        return Ok(0);
    }
    config.voice.remark(&format!(
        "job {short} is left running; return with: plaza job logs --follow {short}, \
         plaza job fetch {short}; end it with: plaza job cancel {short}"
    ));
    Ok(LEFT)
}

/// Where outputs go when nothing else is said.
pub(crate) fn target(chosen: Option<&PathBuf>, job: JobId) -> PathBuf {
    chosen.cloned().unwrap_or_else(|| PathBuf::from("plaza-out").join(job.short()))
}
