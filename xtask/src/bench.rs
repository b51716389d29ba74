//! Run what wants speed, built for delivery: the room `sim` itself, or one of its examples, which are
//! the benchmarks, by name.

use std::{fs, path::Path};

use anyhow::{Result, bail};

use crate::shell::run;

const EXAMPLES: &str = "crates/sim/examples";

/// Run the benchmark `name`; the error for an unknown one names those that exist.
pub(crate) fn bench(root: &Path, name: &str) -> Result<()> {
    let known = known(&root.join(EXAMPLES));
    if !known.iter().any(|it| it == name) {
        let known = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
        bail!("there is no benchmark {name} in {EXAMPLES}; there is: {known}");
    }
    run(root, "cargo build --release --locked --package plaza")?;
    run(root, &format!("cargo run --release --locked --package sim --example {name}"))
}

/// Live worlds as the `words` say.
pub(crate) fn sim(root: &Path, words: &[String]) -> Result<()> {
    let line = "cargo run --release --locked --quiet --package sim --".split(' ');
    let line: Vec<&str> = line.chain(words.iter().map(String::as_str)).collect();
    run(root, &line.join(" "))
}

fn known(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    names
}
