//! Read the configuration, assemble the rooms, run the chosen role; the command line.
//!
//! In: what was typed, the environment, the data folder. Out: one role: a command that talks to a
//! gateway's API, a network or a provider that serves, or the shim of one run.
//!
//! Not here: any rule of the market, any protocol; those are the rooms' below.

mod job;
mod network;
mod offer;
mod owner;
mod run;
mod submit;
mod wallet;

mod doctor;

mod gateway;
mod seller;

mod away;
mod coin;
mod journal;
mod onchain;
mod rpc;

mod daemon;
mod outputs;

mod client;
mod purse;
mod session;

mod config;

mod command;

mod clock;
mod ending;
mod folder;
mod random;
mod seat;

mod failure;
mod voice;

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};

use crate::{
    command::{Command, JobCommand, Typed},
    config::Config,
    failure::{Doing as _, FAILED, OURS, Result},
    voice::Voice,
};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    // Before any thread exists: a shim has one thread from its first instruction to its last.
    if let [_, word, folder] = words.as_slice()
        && word == seller::SHIM
    {
        return sandbox::shim::main(Path::new(folder));
    }
    let typed = match Typed::try_parse_from(&words) {
        Ok(typed) => typed,
        Err(wrong) => return misunderstood(&wrong, &words),
    };
    match start(&typed) {
        Ok(status) => status,
        Err(failure) => {
            Voice { json: typed.json }.failure(&failure);
            let ours =
                matches!(typed.command, Command::Run(_) | Command::Job(JobCommand::Submit(_)));
            ExitCode::from(if ours { OURS } else { FAILED })
        }
    }
}

fn start(typed: &Typed) -> Result<ExitCode> {
    if let Command::Completion { shell } = typed.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Typed::command(), "plaza", &mut script);
        Voice { json: false }.pass(&script);
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::read(typed)?;
    // Fails where it is done already, which is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().doing(|| "starting".to_owned())?;
    let status = runtime.block_on(role(&config, &typed.command));
    // Whatever still waits, such as a read of standard input, shall not hold us up.
    runtime.shutdown_background();
    status
}

async fn role(config: &Config, command: &Command) -> Result<ExitCode> {
    match command {
        Command::Run(flags) => return Ok(run::run(config, flags).await),
        Command::Job(JobCommand::Submit(flags)) => return Ok(submit::submit(config, flags).await),
        Command::Job(command) => job::job(config, command).await,
        Command::Offer(command) => offer::offer(config, command).await,
        Command::Wallet(command) => wallet::wallet(config, command).await,
        Command::Provider(flags) => owner::provider(config, flags).await,
        Command::Network(command) => network::network(config, command).await,
        Command::Up(flags) => network::up(config, flags).await,
        Command::Down => network::down(config).await,
        Command::Doctor => doctor::doctor(config).await,
        // Done before a data folder is looked for.
        Command::Completion { .. } => Ok(()),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Wrong usage: 2 by custom, but 125 for `run`, whose other statuses belong to the job.
fn misunderstood(wrong: &clap::Error, words: &[OsString]) -> ExitCode {
    // Nothing is left to be told when even that cannot be written.
    let _ = wrong.print();
    let asked = matches!(wrong.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let run = words
        .iter()
        .skip(1)
        .find(|word| *word == "run" || *word == "--")
        .is_some_and(|word| word == "run");
    match (asked, run) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::from(OURS),
        (false, false) => ExitCode::from(2),
    }
}
