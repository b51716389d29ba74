//! Live many worlds, on all cores, and say which broke a promise.

#![expect(
    clippy::print_stdout,
    reason = "a program for the command line speaks on its standard output"
)]

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Instant,
};

use clap::Parser;
use sim::{Life, Plan, live};

/// Live simulated worlds and check the promises of the protocol in each.
#[derive(Parser)]
#[command(name = "cargo xtask sim", bin_name = "cargo xtask sim")]
struct Arguments {
    /// How many seeds, one world each.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Live this one alone and tell everything that happens.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print the plan of that one as it is kept for a case, and do not live it.
    #[arg(long, requires = "seed")]
    plan: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) if arguments.plan => {
            let plan = serde_json::to_string_pretty(&Plan::of(seed));
            println!("{}", plan.expect("plain data serialises"));
            ExitCode::SUCCESS
        }
        Some(seed) => one(seed),
        None => many(arguments.from, arguments.seeds),
    }
}

fn one(seed: u64) -> ExitCode {
    let plan = Plan::of(seed);
    println!("{plan:#?}");
    let life = live(&plan, true);
    for line in &life.story {
        println!("{line}");
    }
    println!("{} deals in {:?}, digest {}", life.deals, life.span, life.digest);
    verdict(seed, &life)
}

fn verdict(seed: u64, life: &Life) -> ExitCode {
    for broken in &life.broken {
        println!("seed {seed}: {broken}");
    }
    if life.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(from: u64, seeds: u64) -> ExitCode {
    let (next, deals, failed) = (AtomicU64::new(from), AtomicUsize::new(0), AtomicU64::new(0));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let life = live(&Plan::of(seed), false);
                    deals.fetch_add(life.deals, Ordering::Relaxed);
                    if verdict(seed, &life) == ExitCode::FAILURE {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (span, deals, failed) = (begun.elapsed(), deals.into_inner(), failed.into_inner());
    let rate = deals as f64 / span.as_secs_f64();
    println!(
        "{seeds} seeds, {deals} deal-lives in {:.1} s on {cores} cores: {rate:.0} a second; {failed} \
         seeds broke a promise",
        span.as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
