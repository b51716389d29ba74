//! All automation of the project, in Rust.
//!
//! In: `cargo xtask tidy | map | test | ci | abi | bench | sim`. Out: what each prints, and an exit status.
//! Modules import one way: each may use those below it in this list.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the command line speaks on both"
)]

mod steps;

mod bench;
mod contracts;
mod map;
mod tidy;

mod modules;
mod plan;
mod shell;
mod tree;

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser;

use crate::{steps::Step, tree::Tree};

/// Automation of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Check arrows, circles, names and the other rules of ARCHITECTURE.md.
    Tidy,
    /// Print rooms, sizes, arrows and the longest files and functions.
    Map,
    /// Run all tests, the contracts' too where Node is installed.
    Test,
    /// Run what must pass before a change is taken: all steps, or those named.
    Ci { steps: Vec<Step> },
    /// Compile the contracts and write contracts/abi.
    Abi,
    /// Run one benchmark, built for delivery.
    Bench { name: String },
    /// Live simulated worlds and check the promises of the protocol in each (`--seeds 1000`,
    /// `--from 0`, or `--seed 7` to be told everything that happens).
    #[command(disable_help_flag = true)]
    Sim {
        /// What the simulation is told.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let root = shell::root()?;
    match command {
        Command::Tidy => steps::tidy(&root),
        Command::Map => {
            let map = map::draw(&Tree::read(&root)?);
            print!("{}", map.map_err(|why| anyhow!("{} {why}", plan::PAGE))?);
            Ok(())
        }
        Command::Test => steps::test(&root),
        Command::Ci { steps } => steps::ci(&root, &steps),
        Command::Abi => contracts::export(&root),
        Command::Bench { name } => bench::bench(&root, &name),
        Command::Sim { words } => bench::sim(&root, &words),
    }
}
