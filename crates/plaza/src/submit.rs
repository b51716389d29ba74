//! `plaza job submit`: a job sheet, from the order to the bill.
//!
//! Upon the command: read the sheet, see what its deals would cost, send the inputs, sign the order;
//! upon each provider's bid: check its terms against the order, and consent while the budget allows;
//! then show how the tasks go until all deals are settled, and give the bill.
//!
//! Invariant: as for `plaza run`; and all deals together never put aside more than the budget.

mod decimal;
mod sheet;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::AtomicBool,
};

use api::Job;
use market::{quote::Quote, work::Array};
use primitives::{Amount, JobId, TaskIndex};
use serde_json::{Value, json};

use crate::{
    command::SubmitFlags,
    config::Config,
    daemon::{self, Reached},
    failure::{Doing as _, Failure, OURS, Result},
    offer::ranked,
    outputs, purse,
    run::{
        LEFT, Total, dollars,
        follow::{End, Following},
        order::{self, Names, Prepared, Wanted, unserved},
        progress::Progress,
        send,
    },
    session,
    submit::sheet::Sheet,
    voice::table,
};

/// What a sheet calls the limits of its order.
const NAMES: Names = Names { price: "max_price", time: "time_limit or array.deal_time_limit" };

/// Do it all; the exit status tells how the tasks ended.
pub(crate) async fn submit(config: &Config, flags: &SubmitFlags) -> ExitCode {
    let mut job = None;
    match attempt(config, flags, &mut job).await {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            config.voice.failure(&failure);
            if config.voice.json && !flags.dry_run {
                config.voice.answer(&Total::unknown(job), String::new);
            }
            ExitCode::from(OURS)
        }
    }
}

/// The whole way; `job` is set once there is one, so that a failure can name it.
async fn attempt(config: &Config, flags: &SubmitFlags, job: &mut Option<JobId>) -> Result<u8> {
    let (text, folder) = written(&flags.file)?;
    let reached = daemon::reach(config).await?;
    let rules = &reached.network.descriptor.profile.market;
    let understood = sheet::read(&text, &folder, rules, reached.decimals());
    let Sheet { work, inputs, deal_time_limit, max_rate, budget } =
        understood.doing(|| format!("in {}", flags.file.display()))?;
    let mut wanted =
        Wanted { work, inputs, session: None, deal_time_limit, max_rate, names: NAMES };
    let quote = order::quote(&reached, &wanted).await?;
    if flags.dry_run {
        return rehearse(config, &reached, &wanted, &quote);
    }
    within(&mut wanted, budget, &quote, reached.decimals())?;
    let progress = Progress::of_many(config.voice, flags.quiet, wanted.work.tasks());
    let key = purse::open(&config.folder, &flags.purse, reached.network.local)?;
    let named = |name: &String| session::named(&config.folder, &reached, &key, name);
    wanted.session = flags.session.as_ref().map(named).transpose()?;
    let Prepared { submission, id } = order::prepare(&reached, &key, wanted, &progress).await?;
    *job = Some(id);
    send(config, &reached.client, &submission, id).await?;
    progress.submitted(id);
    let following = Following {
        client: reached.client.clone(),
        config,
        network: &reached.network,
        submission: &submission,
        key: &key,
        job: id,
        budget,
        prints: false,
        detach: flags.detach,
        open_line: AtomicBool::new(false),
    };
    match following.to_the_end(&progress).await? {
        End::Over(job) => conclude(config, &reached, flags, &job, &progress).await,
        End::Left => leave(config, &reached, id, flags.detach).await,
    }
}

/// The sheet's text, and the folder that its paths begin in.
fn written(file: &Path) -> Result<(String, PathBuf)> {
    let text = std::fs::read_to_string(file).doing(|| format!("reading {}", file.display()))?;
    Ok((text, file.parent().unwrap_or(Path::new("")).to_owned()))
}

/// Say what would be ordered, and what it would cost.
fn rehearse(config: &Config, reached: &Reached, wanted: &Wanted, quote: &Quote) -> Result<u8> {
    let (work, decimals) = (&wanted.work, reached.decimals());
    let pieces = (0..work.tasks()).filter_map(|task| Some((task, work.piece(TaskIndex(task))?)));
    let tasks: Vec<Value> = pieces
        .clone()
        .map(|(task, piece)| json!({ "task": task, "command": piece.command, "env": piece.env }))
        .collect();
    let answer = json!({
        "tasks": tasks,
        "deals": work.deals(),
        "at_once": work.at_once(),
        "time_limit": work.time_limit,
        "deal_time_limit": wanted.deal_time_limit,
        "quote": quote,
    });
    config.voice.answer(&answer, || {
        let rows: Vec<_> =
            pieces.map(|(task, piece)| vec![task.to_string(), piece.command.join(" ")]).collect();
        let many = format!(
            "{} tasks in at most {} deals, {} at once in each; a deal may run {}",
            work.tasks(),
            work.deals(),
            work.at_once(),
            wanted.deal_time_limit
        );
        let prices = if quote.ranked.is_empty() { String::new() } else { ranked(quote, decimals) };
        format!("{}\n\n{many}\n{prices}", table(&["TASK", "COMMAND"], &rows))
    });
    if quote.ranked.is_empty() { Err(unserved(quote, wanted.names)) } else { Ok(0) }
}

/// Ask for no more deals than the budget covers at the cheapest price.
fn within(wanted: &mut Wanted, budget: Option<Amount>, quote: &Quote, decimals: u8) -> Result<()> {
    let (Some(budget), Some(best)) = (budget, quote.ranked.first()) else { return Ok(()) };
    let covered = budget.units().checked_div(best.hold.units()).unwrap_or(u128::MAX);
    if covered == 0 {
        return Err(Failure::new(format!(
            "one deal puts aside {}, and the budget is {}",
            dollars(best.hold, decimals),
            dollars(budget, decimals)
        ))
        .advise(format!("raise budget, or ask for less time with {}", NAMES.time)));
    }
    if let Some(Array { deals, .. }) = &mut wanted.work.array {
        *deals = (*deals).min(u16::try_from(covered).unwrap_or(u16::MAX));
    }
    Ok(())
}

async fn conclude(
    config: &Config,
    reached: &Reached,
    flags: &SubmitFlags,
    job: &Job,
    progress: &Progress,
) -> Result<u8> {
    let client = daemon::present(config, &reached.client)?;
    let tasks = client.tasks(job.id).await?;
    let total = Total::of(job, &tasks, reached);
    let brought = match &flags.output {
        Some(target) => Some(outputs::bring_all(&client, job, &tasks, target).await),
        None => None,
    };
    progress.finished(job, &total.lines(reached.decimals()));
    let status = match (brought, &flags.output) {
        (Some(Ok(count)), Some(target)) => {
            progress.brought_of(target, count);
            total.status
        }
        (Some(Err(failure)), _) => {
            config.voice.failure(&failure);
            OURS
        }
        (Some(Ok(_)) | None, _) => {
            let short = job.id.short();
            progress.say(&format!(
                "its outputs: plaza job fetch {short}; its bill: plaza job receipt {short}"
            ));
            total.status
        }
    };
    if config.voice.json {
        config.voice.answer(&total, String::new);
    }
    Ok(status)
}

async fn leave(config: &Config, reached: &Reached, job: JobId, detached: bool) -> Result<u8> {
    let short = job.short();
    if config.voice.json {
        let job = reached.client.job(&job.to_string()).await?;
        let tasks = reached.client.tasks(job.id).await?;
        config.voice.answer(&Total::of(&job, &tasks, reached), String::new);
    } else if detached {
        config.voice.answer(&(), || short.clone());
    }
    if detached {
        return Ok(0);
    }
    config.voice.remark(&format!(
        "job {short} is left running with the deals it has; look at it: plaza job view {short}; \
         its results: plaza job fetch {short}; end it: plaza job cancel {short}"
    ));
    Ok(LEFT)
}
