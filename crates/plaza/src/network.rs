//! `plaza network`, `plaza up`, `plaza down`: the network itself.

use serde_json::json;

use crate::{
    command::{NetworkCommand, UpFlags},
    config::Config,
    daemon::{self, Reached},
    failure::Result,
    gateway,
};

pub(crate) async fn network(config: &Config, command: &NetworkCommand) -> Result<()> {
    let NetworkCommand::View { descriptor } = command;
    let reached = daemon::expect(config).await?;
    if *descriptor {
        let signed = &reached.network.descriptor;
        config.voice.answer(signed, || {
            serde_json::to_string_pretty(signed).expect("answers are plain data with string keys")
        });
    } else {
        view(config, &reached);
    }
    Ok(())
}

/// Start the network of this data folder, or be it.
pub(crate) async fn up(config: &Config, flags: &UpFlags) -> Result<()> {
    if flags.foreground || flags.detached {
        return gateway::serve(config, flags).await;
    }
    let reached = match daemon::find(config).await? {
        Some(reached) => reached,
        None => daemon::start(config, flags).await?,
    };
    if !reached.fresh {
        config.voice.remark("the network runs already");
    }
    view(config, &reached);
    Ok(())
}

/// End the network of this data folder.
pub(crate) async fn down(config: &Config) -> Result<()> {
    let running = match daemon::find(config).await? {
        Some(reached) => unfinished(&reached).await,
        None => 0,
    };
    let ended = daemon::end(config).await?;
    let answer = json!({ "ended": ended.as_ref().map(|it| it.pid), "unfinished_jobs": running });
    config.voice.answer(&answer, || match (&ended, running) {
        (None, _) => "no network runs here".to_owned(),
        (Some(_), 0) => "the network has ended; its data stays".to_owned(),
        (Some(_), count) => format!(
            "the network has ended; unfinished jobs: {count}; what runs goes on within its grace, \
             and is taken up again by the next 'plaza up'"
        ),
    });
    Ok(())
}

async fn unfinished(reached: &Reached) -> usize {
    let jobs = reached.client.jobs().await.unwrap_or_default();
    jobs.iter().filter(|job| job.conclusion.is_none()).count()
}

fn view(config: &Config, reached: &Reached) {
    let network = &reached.network;
    let descriptor = &network.descriptor;
    let answer = json!({
        "api": reached.client.url(),
        "rpc_url": reached.client.rpc_url(),
        "chain_id": descriptor.chain_id,
        "local": network.local,
        "block": network.block,
        "profile": descriptor.profile.name,
        "contracts": descriptor.contracts,
        "gateway": network.account,
        "genesis": descriptor.genesis,
        "descriptor": config.folder.descriptor(),
    });
    config.voice.answer(&answer, || {
        let contracts = &descriptor.contracts;
        [
            ("network", format!("{} (chain {})", descriptor.profile.name, descriptor.chain_id)),
            ("api", reached.client.url().to_owned()),
            ("chain rpc", reached.client.rpc_url()),
            ("block", network.block.to_string()),
            ("root", contracts.plaza.to_string()),
            ("escrow", contracts.escrow.to_string()),
            ("providers", contracts.providers.to_string()),
            ("dollar", contracts.token.to_string()),
            ("descriptor", config.folder.descriptor().display().to_string()),
        ]
        .map(|(name, value)| format!("{name:<11} {value}"))
        .join("\n")
    });
}
