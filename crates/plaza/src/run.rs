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
mod follow;
mod order;
mod progress;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use api::Job;
use market::fact::Submission;
use primitives::JobId;

pub(crate) use bill::{Bill, dollars, hourly};
pub(crate) use order::{budget, unserved};

use crate::{
    client::Client,
    command::RunFlags,
    config::Config,
    daemon::{self, Reached},
    failure::{OURS, Result},
    outputs, purse,
    run::{follow::End, order::Prepared, progress::Progress},
    session,
};

/// Exit status of a run that was left running.
const LEFT: u8 = 130;

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
    let prepared = order::prepare(&reached, &key, flags, session, &progress).await?;
    let Prepared { submission, id } = prepared;
    *job = Some(id);
    submit(config, &reached.client, &submission, id).await?;
    progress.submitted(id);
    let following = follow::Following {
        client: reached.client.clone(),
        config,
        network: &reached.network,
        submission: &submission,
        key: &key,
        job: id,
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
async fn submit(
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

async fn conclude(
    config: &Config,
    reached: &Reached,
    flags: &RunFlags,
    job: &Job,
    progress: &Progress,
) -> Result<u8> {
    let target = target(flags.output.as_ref(), job.id);
    let client = daemon::present(config, &reached.client)?;
    let brought = outputs::bring(&client, job, &target, flags.output.is_some()).await;
    let bill = Bill::of(job, reached);
    progress.finished(job, &reached.network, &bill);
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
        config.voice.answer(&Bill::of(&job, reached), String::new);
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
