//! `plaza job`: look at jobs, end them, fetch what they left.

use std::time::Duration;

use api::{Deal, Job, Task, TaskState};
use market::{message::Output, work::Array};
use primitives::TaskIndex;
use serde_json::json;

use crate::{
    client::Client,
    command::JobCommand,
    config::Config,
    daemon::{self, Reached},
    failure::{Doing as _, Failure, Result},
    outputs,
    run::{Bill, Total, dollars, target, told},
    voice::table,
};

/// How many failed tasks `view` tells one by one.
const TOLD: usize = 5;

/// How long `cancel` waits for the settlement.
const SETTLEMENT: Duration = Duration::from_secs(120);

pub(crate) async fn job(config: &Config, command: &JobCommand) -> Result<()> {
    let reached = daemon::expect(config).await?;
    let client = &reached.client;
    match command {
        JobCommand::List => list(config, &reached).await,
        JobCommand::View { job } => view(config, &reached, &client.job(job).await?).await,
        JobCommand::Tasks { job } => tasks(config, client, &client.job(job).await?).await,
        JobCommand::Logs { job, task, stderr, follow } => {
            let output = if *stderr { Output::Stderr } else { Output::Stdout };
            let job = client.job(job).await?;
            logs(config, client, &job, TaskIndex(*task), output, *follow).await
        }
        JobCommand::Cancel { job } => cancel(config, &reached, client.job(job).await?).await,
        JobCommand::Fetch { job, output } => {
            fetch(config, client, &client.job(job).await?, output.as_ref()).await
        }
        JobCommand::Receipt { job } => receipt(config, &reached, &client.job(job).await?).await,
        // A role of its own, with an exit status of its own.
        JobCommand::Submit(_) => Ok(()),
    }
}

async fn list(config: &Config, reached: &Reached) -> Result<()> {
    let jobs = reached.client.jobs().await?;
    let decimals = reached.decimals();
    config.voice.answer(&json!({ "jobs": jobs }), || {
        let rows: Vec<_> = jobs.iter().map(|job| row(job, decimals)).collect();
        table(&["JOB", "STATE", "OUTCOME", "TASKS", "SECONDS", "COST", "COMMAND"], &rows)
    });
    Ok(())
}

fn row(job: &Job, decimals: u8) -> Vec<String> {
    let outcome = job.deal().and_then(|deal| deal.outcome());
    let seconds = job.deals.iter().filter_map(|deal| deal.newest_receipt());
    let seconds = seconds.map(|receipt| receipt.seconds.0).reduce(u64::saturating_add);
    let cost = (!job.deals.is_empty()).then(|| dollars(job.cost(), decimals));
    vec![
        job.id.short(),
        job.state.clone(),
        outcome.map_or("-", |outcome| outcome.word()).to_owned(),
        format!("{}/{}", job.tasks.done, job.tasks.all),
        seconds.map_or_else(|| "-".to_owned(), |seconds| seconds.to_string()),
        cost.unwrap_or_else(|| "-".to_owned()),
        shown_command(&job.submission.work.command),
    ]
}

async fn view(config: &Config, reached: &Reached, job: &Job) -> Result<()> {
    let tasks = reached.client.tasks(job.id).await?;
    let decimals = reached.decimals();
    config.voice.answer(job, || {
        let rows = match job.submission.work.array {
            None => view_of_one(job, &tasks, reached),
            Some(_) => view_of_many(job, &tasks, reached),
        };
        let rows = rows.iter().map(|(name, value)| format!("{name:<12} {value}"));
        let mut lines: Vec<String> = rows.collect();
        if job.submission.work.array.is_some() && !job.deals.is_empty() {
            lines.push(String::new());
            lines.push(deals(job, decimals));
        }
        lines.join("\n")
    });
    Ok(())
}

/// What a view tells of any job.
fn heading(job: &Job) -> Vec<(&'static str, String)> {
    vec![
        ("job", job.id.to_string()),
        ("state", job.state.clone()),
        ("command", shown_command(&job.submission.work.command)),
    ]
}

fn view_of_one(job: &Job, tasks: &[Task], reached: &Reached) -> Vec<(&'static str, String)> {
    let decimals = reached.decimals();
    let mut rows = heading(job);
    if let Some(deal) = job.deal() {
        rows.push(("deal", deal.agreement.deal.to_string()));
        rows.push(("deal state", deal.state.clone()));
        rows.push(("provider", deal.agreement.terms.document.provider.to_string()));
        rows.push(("cost so far", dollars(job.cost(), decimals)));
    }
    if job.conclusion.is_some() {
        let lines = Bill::of(job, tasks, reached).lines(decimals);
        rows.extend(lines.into_iter().map(|line| ("end", line)));
    }
    rows
}

fn view_of_many(job: &Job, tasks: &[Task], reached: &Reached) -> Vec<(&'static str, String)> {
    let decimals = reached.decimals();
    let mut rows = heading(job);
    if job.conclusion.is_some() {
        let lines = Total::of(job, tasks, reached).lines(decimals);
        rows.extend(lines.into_iter().map(|line| ("end", line)));
        return rows;
    }
    let count = |state| tasks.iter().filter(|task| task.state == state).count();
    let tally = format!(
        "{} in all: {} waiting, {} handed out, {} done, {} failed",
        job.tasks.all,
        count(TaskState::Waiting),
        count(TaskState::Handed),
        job.tasks.done,
        job.tasks.failed
    );
    rows.push(("tasks", tally));
    let failed = tasks.iter().filter(|task| task.exit_code.is_some_and(|code| code != 0));
    rows.extend(
        failed.take(TOLD).map(|task| ("failed", format!("task {}: {}", task.task.0, end(task)))),
    );
    rows.push(("cost so far", dollars(job.cost(), decimals)));
    rows
}

fn deals(job: &Job, decimals: u8) -> String {
    let row = |deal: &Deal| {
        vec![
            deal.agreement.deal.short(),
            deal.state.clone(),
            deal.agreement.terms.document.provider.to_string(),
            deal.assigned.to_string(),
            deal.newest_receipt().map_or(0, |receipt| receipt.seconds.0).to_string(),
            dollars(deal.cost(), decimals),
            deal.problem.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = job.deals.iter().map(row).collect();
    table(&["DEAL", "STATE", "PROVIDER", "TASKS", "SECONDS", "COST", "TROUBLE"], &rows)
}

async fn tasks(config: &Config, client: &Client, job: &Job) -> Result<()> {
    let tasks = client.tasks(job.id).await?;
    let array = job.submission.work.array.as_ref();
    config.voice.answer(&json!({ "job": job.id, "tasks": tasks }), || {
        let rows: Vec<_> = tasks.iter().map(|task| task_row(task, array)).collect();
        table(&["TASK", "STATE", "EPOCH", "PROVIDER", "EXIT", "SECONDS", "POINT", "END"], &rows)
    });
    Ok(())
}

fn task_row(task: &Task, array: Option<&Array>) -> Vec<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let point = usize::try_from(task.task.0).ok().and_then(|at| array?.points.get(at));
    let point = point.into_iter().flatten().map(|(name, value)| format!("{name}={value}"));
    let state = match task.state {
        TaskState::Waiting => "waiting",
        TaskState::Handed => "handed",
        TaskState::Done => "done",
    };
    vec![
        task.task.0.to_string(),
        state.to_owned(),
        or_none(task.epoch.map(|epoch| epoch.0.to_string())),
        or_none(task.provider.map(|provider| provider.to_string().chars().take(10).collect())),
        or_none(task.exit_code.map(|code| code.to_string())),
        or_none(task.seconds.map(|seconds| seconds.0.to_string())),
        or_none(Some(point.collect::<Vec<_>>().join(" ")).filter(|point| !point.is_empty())),
        end(task),
    ]
}

/// How a task ended, in words.
fn end(task: &Task) -> String {
    let ending = task.ending.as_ref().filter(|ending| ending.code != "completed");
    ending.map(told).unwrap_or_default()
}

async fn logs(
    config: &Config,
    client: &Client,
    job: &Job,
    task: TaskIndex,
    output: Output,
    follow: bool,
) -> Result<()> {
    let mut printed = client.output(job.id, task, output, 0, follow).await?;
    let what = || "reading what the job printed".to_owned();
    while let Some(piece) = printed.response.chunk().await.doing(what)? {
        config.voice.pass(&piece);
    }
    Ok(())
}

async fn cancel(config: &Config, reached: &Reached, job: Job) -> Result<()> {
    if job.conclusion.is_none() {
        reached.client.stop(job.id).await?;
        config.voice.remark("stopping the job and settling what it used");
    }
    let ended = tokio::time::timeout(SETTLEMENT, ended(&reached.client, &job)).await;
    let job = ended.map_err(|_| {
        Failure::new(format!(
            "the job is asked to end, but not settled after {} s",
            SETTLEMENT.as_secs()
        ))
        .advise(format!("look again later: plaza job view {}", job.id.short()))
    })??;
    let (tasks, decimals) = (reached.client.tasks(job.id).await?, reached.decimals());
    match job.submission.work.array {
        None => {
            let bill = Bill::of(&job, &tasks, reached);
            config.voice.answer(&bill, || bill.lines(decimals).join("\n"));
        }
        Some(_) => {
            let total = Total::of(&job, &tasks, reached);
            config.voice.answer(&total, || total.lines(decimals).join("\n"));
        }
    }
    Ok(())
}

/// Wait for the end of a job.
async fn ended(client: &Client, job: &Job) -> Result<Job> {
    let mut feed = client.facts(job.id, 0).await?;
    while feed.next().await?.is_some() {}
    client.job(&job.id.to_string()).await
}

async fn fetch(
    config: &Config,
    client: &Client,
    job: &Job,
    output: Option<&std::path::PathBuf>,
) -> Result<()> {
    let target = target(output, job.id);
    let tasks = client.tasks(job.id).await?;
    if job.submission.work.array.is_some() {
        let count = outputs::bring_all(client, job, &tasks, &target).await?;
        let answer = json!({ "job": job.id, "tasks": count, "output": target });
        config.voice.answer(&answer, || {
            format!("outputs of {count} of {} tasks are in {}", job.tasks.all, target.display())
        });
        return Ok(());
    }
    let brought = outputs::bring(client, job, &tasks, &target, output.is_some()).await?;
    let answer = json!({ "job": job.id, "entries": brought.unwrap_or(0), "output": target });
    let none = || {
        if job.conclusion.is_some() {
            "the job left nothing in ./out"
        } else {
            "the job is not over yet"
        }
    };
    config.voice.answer(&answer, || match brought {
        Some(count) => format!("{count} entries are in {}", target.display()),
        None => none().to_owned(),
    });
    Ok(())
}

async fn receipt(config: &Config, reached: &Reached, job: &Job) -> Result<()> {
    if job.deals.is_empty() {
        return Err(Failure::new(format!("job {} has no deal: {}", job.id.short(), job.state)));
    }
    let mut papers = Vec::new();
    for deal in &job.deals {
        papers.push(reached.client.receipt(deal.agreement.deal).await?);
    }
    let tasks = reached.client.tasks(job.id).await?;
    let total = Total::of(job, &tasks, reached);
    let answer = json!({ "bill": total, "papers": papers });
    config.voice.answer(&answer, || total.papers(reached.decimals()));
    Ok(())
}

fn shown_command(words: &[String]) -> String {
    let line = words.join(" ").replace(['\n', '\r', '\t'], " ");
    let cut: String = line.chars().take(60).collect();
    if cut.len() < line.len() { format!("{cut}...") } else { cut }
}
