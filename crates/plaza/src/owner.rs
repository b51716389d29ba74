//! `plaza provider status|earnings|withdraw|drain`: the owner's hand on a provider that runs.

use api::{Withdrawal, Withdrawn};
use provider::{Earnings, Status};
use serde_json::{Value, json};

use crate::{
    client::Client,
    command::{ProviderCommand, ProviderFlags},
    config::Config,
    failure::{Failure, Result},
    run::{dollars, hourly},
    seat, seller,
    voice::table,
    wallet::{parse_account, parse_amount},
};

/// Test dollars and every stablecoin that networks list today have six.
const DECIMALS: u8 = 6;

pub(crate) async fn provider(config: &Config, flags: &ProviderFlags) -> Result<()> {
    match (&flags.command, &flags.join) {
        (Some(command), _) => ask(config, command).await,
        (None, Some(join)) => seller::serve(config, join, flags.policy.as_deref()).await,
        (None, None) => {
            Err(Failure::new("no network is named").advise("name one: --join DESCRIPTOR"))
        }
    }
}

async fn ask(config: &Config, command: &ProviderCommand) -> Result<()> {
    let client = client(config)?;
    match command {
        ProviderCommand::Status => {
            let status: Status = client.get("v1/provider").await?;
            config.voice.answer(&status, || shown(&status));
        }
        ProviderCommand::Earnings => {
            let earnings: Earnings = client.get("v1/provider/earnings").await?;
            config.voice.answer(&earnings, || earned(&earnings));
        }
        ProviderCommand::Withdraw { amount, to } => {
            let amount = amount.as_deref().map(|text| parse_amount(text, DECIMALS)).transpose()?;
            let to = to.as_deref().map(parse_account).transpose()?;
            let withdrawn: Withdrawn =
                client.post("v1/provider/withdraw", &Withdrawal { amount, to }).await?;
            config.voice.answer(&withdrawn, || {
                let amount = dollars(withdrawn.amount, DECIMALS);
                format!("{amount} sent to {} in transaction {}", withdrawn.to, withdrawn.tx)
            });
        }
        ProviderCommand::Drain => {
            let _: Value = client.post("v1/provider/drain", &json!({})).await?;
            config.voice.answer(&json!({ "draining": true }), || {
                "no more work is taken; what runs is finished".to_owned()
            });
        }
    }
    Ok(())
}

fn client(config: &Config) -> Result<Client> {
    let occupant = seat::occupant(&config.folder.provider())?.ok_or_else(|| {
        Failure::new(format!("no provider runs in data folder {}", config.folder.shown())).advise(
            "start one: plaza up, or plaza provider --join DESCRIPTOR; or name another --data DIR",
        )
    })?;
    Client::new(&occupant.url, &config.folder.token()?)
}

fn shown(status: &Status) -> String {
    let listed = match (status.listed, status.draining) {
        (_, true) => "takes no more work",
        (true, false) => "its offer is in the book",
        (false, false) => "its offer is not in the book",
    };
    let price = status.offer.as_ref().map(|offer| hourly(offer.rate, DECIMALS));
    let mut lines = vec![
        format!("offer     {} for {}", status.capacity, price.unwrap_or_else(|| "-".to_owned())),
        format!("state     {listed}"),
        format!("free      {}", status.free),
    ];
    lines.extend(status.problem.iter().map(|problem| format!("trouble   {problem}")));
    if !status.leases.is_empty() {
        let rows: Vec<_> = status
            .leases
            .iter()
            .map(|lease| {
                vec![
                    lease.deal.short(),
                    lease.stage.clone(),
                    lease.seconds.to_string(),
                    hourly(lease.rate, DECIMALS),
                    dollars(lease.amount, DECIMALS),
                ]
            })
            .collect();
        lines.push(table(&["DEAL", "STAGE", "RUN", "PRICE", "SIGNED FOR"], &rows));
    }
    lines.join("\n")
}

fn earned(earnings: &Earnings) -> String {
    let rows: Vec<_> = earnings
        .deals
        .iter()
        .map(|deal| vec![deal.deal.short(), deal.job.short(), dollars(deal.paid, DECIMALS)])
        .collect();
    format!(
        "{}\nearned    {}\nescrow    {}\nwallet    {}",
        table(&["DEAL", "JOB", "PAID"], &rows),
        dollars(earnings.total, DECIMALS),
        dollars(earnings.balance, DECIMALS),
        dollars(earnings.wallet, DECIMALS)
    )
}
