//! `plaza provider status|earnings|withdraw|drain`: the owner's hand on a provider that runs.

use api::{Withdrawal, Withdrawn};
use profile::Descriptor;
use provider::{Earnings, Status};
use serde_json::{Value, json};

use crate::{
    client::Client,
    command::{ProviderCommand, ProviderFlags},
    config::Config,
    failure::{Doing as _, Failure, Result},
    onchain::parse_amount,
    run::{dollars, hourly},
    seat, seller,
    voice::table,
    wallet::parse_account,
};

pub(crate) async fn provider(config: &Config, flags: &ProviderFlags) -> Result<()> {
    match (&flags.command, &flags.join) {
        (Some(command), _) => ask(config, command).await,
        (None, Some(join)) => seller::serve(config, join, flags).await,
        (None, None) => {
            Err(Failure::new("no network is named").advise("name one: --join DESCRIPTOR"))
        }
    }
}

async fn ask(config: &Config, command: &ProviderCommand) -> Result<()> {
    let client = client(config)?;
    let decimals = decimals(config)?;
    match command {
        ProviderCommand::Status => {
            let status: Status = client.get("v1/provider").await?;
            config.voice.answer(&status, || shown(&status, decimals));
        }
        ProviderCommand::Earnings => {
            let earnings: Earnings = client.get("v1/provider/earnings").await?;
            config.voice.answer(&earnings, || earned(&earnings, decimals));
        }
        ProviderCommand::Withdraw { amount, to } => {
            let amount = amount.as_deref().map(|text| parse_amount(text, decimals)).transpose()?;
            let to = to.as_deref().map(parse_account).transpose()?;
            let withdrawn: Withdrawn =
                client.post("v1/provider/withdraw", &Withdrawal { amount, to }).await?;
            config.voice.answer(&withdrawn, || {
                let amount = dollars(withdrawn.amount, decimals);
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

/// The decimals of the token on the network that was joined.
fn decimals(config: &Config) -> Result<u8> {
    let path = config.folder.provider().join("network.json");
    let what = || format!("reading {}", path.display());
    let text = std::fs::read_to_string(&path).doing(what)?;
    Ok(Descriptor::parse(&text).doing(what)?.contracts.token_decimals)
}

fn shown(status: &Status, decimals: u8) -> String {
    let listed = match (status.listed, status.draining) {
        (_, true) => "takes no more work",
        (true, false) => "its offer is in the book",
        (false, false) => "its offer is not in the book",
    };
    let price = status.offer.as_ref().map(|offer| hourly(offer.rate, decimals));
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
                    hourly(lease.rate, decimals),
                    dollars(lease.amount, decimals),
                ]
            })
            .collect();
        lines.push(table(&["DEAL", "STAGE", "RUN", "PRICE", "SIGNED FOR"], &rows));
    }
    lines.join("\n")
}

fn earned(earnings: &Earnings, decimals: u8) -> String {
    let rows: Vec<_> = earnings
        .deals
        .iter()
        .map(|deal| vec![deal.deal.short(), deal.job.short(), dollars(deal.paid, decimals)])
        .collect();
    format!(
        "{}\nearned    {}\nescrow    {}\nwallet    {}",
        table(&["DEAL", "JOB", "PAID"], &rows),
        dollars(earnings.total, decimals),
        dollars(earnings.balance, decimals),
        dollars(earnings.wallet, decimals)
    )
}
