//! `plaza job`: look at jobs, end them, fetch what they left.

use std::time::Duration;

use api::Job;
use market::message::Output;
use serde_json::json;

use crate::{
    client::Client,
    command::JobCommand,
    config::Config,
    daemon::{self, Reached},
    failure::{Doing as _, Failure, Result},
    outputs,
    run::{Bill, dollars, target},
    voice::table,
};

/// How long `cancel` waits for the settlement.
const SETTLEMENT: Duration = Duration::from_secs(120);

pub(crate) async fn job(config: &Config, command: &JobCommand) -> Result<()> {
    let reached = daemon::expect(config).await?;
    let client = &reached.client;
    match command {
        JobCommand::List => list(config, &reached).await,
        JobCommand::View { job } => {
            let job = client.job(job).await?;
            view(config, &reached, &job);
            Ok(())
        }
        JobCommand::Logs { job, stderr, follow } => {
            let output = if *stderr { Output::Stderr } else { Output::Stdout };
            logs(config, client, &client.job(job).await?, output, *follow).await
        }
        JobCommand::Cancel { job } => cancel(config, &reached, client.job(job).await?).await,
        JobCommand::Fetch { job, output } => {
            fetch(config, client, &client.job(job).await?, output.as_ref()).await
        }
        JobCommand::Receipt { job } => receipt(config, client, &client.job(job).await?).await,
    }
}

async fn list(config: &Config, reached: &Reached) -> Result<()> {
    let jobs = reached.client.jobs().await?;
    let decimals = reached.network.descriptor.contracts.token_decimals;
    config.voice.answer(&json!({ "jobs": jobs }), || {
        let rows: Vec<_> = jobs.iter().map(|job| row(job, decimals)).collect();
        table(&["JOB", "STATE", "OUTCOME", "SECONDS", "COST", "COMMAND"], &rows)
    });
    Ok(())
}

fn row(job: &Job, decimals: u8) -> Vec<String> {
    let deal = job.deal.as_ref();
    let receipt = deal.and_then(|deal| deal.newest_receipt());
    vec![
        job.id.short(),
        job.state.clone(),
        deal.and_then(|deal| deal.outcome()).map_or("-", |outcome| outcome.word()).to_owned(),
        receipt.map_or_else(|| "-".to_owned(), |receipt| receipt.seconds.0.to_string()),
        deal.map_or_else(|| "-".to_owned(), |deal| dollars(deal.cost(), decimals)),
        shown_command(&job.submission.work.command),
    ]
}

fn view(config: &Config, reached: &Reached, job: &Job) {
    let decimals = reached.network.descriptor.contracts.token_decimals;
    config.voice.answer(job, || {
        let mut rows = vec![
            vec!["job".to_owned(), job.id.to_string()],
            vec!["state".to_owned(), job.state.clone()],
            vec!["command".to_owned(), shown_command(&job.submission.work.command)],
        ];
        if let Some(deal) = &job.deal {
            rows.push(vec!["deal".to_owned(), deal.agreement.deal.to_string()]);
            rows.push(vec!["deal state".to_owned(), deal.state.clone()]);
            rows.push(vec![
                "provider".to_owned(),
                deal.agreement.terms.document.provider.to_string(),
            ]);
            rows.push(vec!["cost so far".to_owned(), dollars(deal.cost(), decimals)]);
        }
        if job.conclusion.is_some() {
            let lines = Bill::of(job, reached).lines(decimals);
            rows.extend(lines.into_iter().map(|line| vec!["end".to_owned(), line]));
        }
        let lines = rows.iter().map(|row| format!("{:<12} {}", row[0], row[1]));
        lines.collect::<Vec<_>>().join("\n")
    });
}

async fn logs(
    config: &Config,
    client: &Client,
    job: &Job,
    output: Output,
    follow: bool,
) -> Result<()> {
    let mut response = client.output(job.id, output, 0, follow).await?;
    let what = || "reading what the job printed".to_owned();
    while let Some(piece) = response.chunk().await.doing(what)? {
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
    let decimals = reached.network.descriptor.contracts.token_decimals;
    let bill = Bill::of(&job, reached);
    config.voice.answer(&bill, || bill.lines(decimals).join("\n"));
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
    let brought = outputs::bring(client, job, &target, output.is_some()).await?;
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

async fn receipt(config: &Config, client: &Client, job: &Job) -> Result<()> {
    let Some(deal) = &job.deal else {
        return Err(Failure::new(format!("job {} has no deal: {}", job.id.short(), job.state)));
    };
    let papers = client.receipt(deal.agreement.deal).await?;
    config.voice.answer(&papers, || {
        let text = serde_json::to_string_pretty(&papers);
        text.expect("answers are plain data with string keys")
    });
    Ok(())
}

fn shown_command(words: &[String]) -> String {
    let line = words.join(" ").replace(['\n', '\r', '\t'], " ");
    let cut: String = line.chars().take(60).collect();
    if cut.len() < line.len() { format!("{cut}...") } else { cut }
}
