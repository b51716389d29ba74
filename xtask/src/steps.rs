//! The steps of continuous integration, each with its time, and the tests among them.

use std::{path::Path, time::Instant};

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    contracts,
    shell::{run, run_with, works},
    tidy,
    tree::Tree,
};

/// One step; without a choice all run, in this order, the quick ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// The sources are formatted.
    Fmt,
    /// The house is in order.
    Tidy,
    /// The lints are silent.
    Clippy,
    /// The documentation builds without warnings.
    Doc,
    /// All tests pass.
    Test,
    /// Licences, versions and origins of dependencies are allowed (needs cargo-deny).
    Deny,
}

/// Run `chosen` steps, or all; the first that fails ends it. Says what was passed over and why.
pub(crate) fn ci(root: &Path, chosen: &[Step]) -> Result<()> {
    let mut passed_over = Vec::new();
    let mut times = Vec::new();
    for step in Step::value_variants() {
        if !chosen.is_empty() && !chosen.contains(step) {
            continue;
        }
        let name = format!("{step:?}").to_lowercase();
        println!("\n== {name}");
        let start = Instant::now();
        passed_over.extend(step.run(root)?);
        let seconds = start.elapsed().as_secs();
        times.push(format!("{name} {seconds} s"));
        println!("== {name}: {seconds} s");
    }
    println!("\nAll in order: {}.", times.join(", "));
    for it in passed_over {
        println!("Passed over: {it}");
    }
    Ok(())
}

/// Run every test there is on this machine; says what was passed over and why.
pub(crate) fn test(root: &Path) -> Result<()> {
    let passed_over = Step::Test.run(root)?;
    println!("\nAll tests passed.");
    for it in passed_over {
        println!("Passed over: {it}");
    }
    Ok(())
}

/// Check the rules of the house; every breach is printed.
pub(crate) fn tidy(root: &Path) -> Result<()> {
    let complaints = tidy::check(&Tree::read(root)?);
    for it in &complaints {
        println!("{it}");
    }
    anyhow::ensure!(complaints.is_empty(), "tidy found {} things out of order", complaints.len());
    println!("The house is in order.");
    Ok(())
}

impl Step {
    /// Run it; the answer lists what was passed over, each with its reason.
    fn run(self, root: &Path) -> Result<Vec<String>> {
        match self {
            Self::Fmt => run(root, "cargo fmt --all --check")?,
            Self::Tidy => tidy(root)?,
            Self::Clippy => {
                run(root, "cargo clippy --workspace --all-targets --locked -- -D warnings")?;
            }
            Self::Doc => {
                let strict = [("RUSTDOCFLAGS", "-D warnings")];
                run_with(root, "cargo doc --workspace --no-deps --locked", &strict)?;
            }
            Self::Test => return all_tests(root),
            Self::Deny => return deny(root),
        }
        Ok(Vec::new())
    }
}

fn all_tests(root: &Path) -> Result<Vec<String>> {
    // The tests that need a foreign chain find it there.
    let anvil = contracts::anvil(root)?;
    let named: Vec<_> = anvil.iter().map(|path| (contracts::ANVIL, path.as_str())).collect();
    if works("cargo nextest --version") {
        run_with(root, "cargo nextest run --workspace --no-fail-fast", &named)?;
        run_with(root, "cargo test --workspace --doc", &named)?;
    } else {
        run_with(root, "cargo test --workspace", &named)?;
    }
    let mut passed_over = Vec::new();
    if anvil.is_none() {
        passed_over.push("what needs a foreign chain: there is no anvil here".to_owned());
    }
    let contracts = contracts::test(root)?;
    passed_over.extend(contracts.map(|why| format!("the contracts' tests: {why}")));
    let examples = contracts::examples(root)?;
    passed_over.extend(examples.map(|why| format!("the examples' tests: {why}")));
    Ok(passed_over)
}

fn deny(root: &Path) -> Result<Vec<String>> {
    if !works("cargo deny --version") {
        return Ok(vec!["licences and origins: cargo-deny is not installed".to_owned()]);
    }
    run(root, "cargo deny --locked check --hide-inclusion-graph bans licenses sources")?;
    // The list of known flaws lives on a server of its own, which may be out of reach.
    if works("cargo deny --locked fetch db") {
        run(root, "cargo deny --locked check --disable-fetch advisories")?;
        Ok(Vec::new())
    } else {
        Ok(vec!["known flaws of dependencies: the advisory list is out of reach".to_owned()])
    }
}
