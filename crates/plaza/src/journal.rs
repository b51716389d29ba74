//! What a role of this process reports: events, to the log of the data folder or to the terminal.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::{config::Config, failure::Result};

/// Begin to report. Libraries speak up only when something is wrong.
pub(crate) fn begin(config: &Config, detached: bool) -> Result<()> {
    let filter = EnvFilter::builder()
        .parse(format!("warn,{}", ours(&config.log)))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = !detached && io::stderr().is_terminal();
    let begun = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(io::stderr)
        .try_init();
    // A second role in one process reports where the first does.
    drop(begun);
    Ok(())
}

/// A bare level is meant for our own rooms only.
fn ours(log: &str) -> String {
    const ROOMS: [&str; 10] = [
        "plaza",
        "api",
        "broker",
        "provider",
        "chain",
        "settlement",
        "net",
        "store",
        "sandbox",
        "hardware",
    ];
    match log {
        "trace" | "debug" | "info" | "warn" | "error" => {
            ROOMS.map(|room| format!("{room}={log}")).join(",")
        }
        other => other.to_owned(),
    }
}
