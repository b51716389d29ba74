//! Run other programs: say what runs, wait for it, fail when it fails.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// The root of the working tree.
pub(crate) fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Path::to_path_buf).context("finding the folder above xtask")
}

/// Run `line` (words separated by spaces) in `folder`; fails when it cannot start or ends badly.
pub(crate) fn run(folder: &Path, line: &str) -> Result<()> {
    run_with(folder, line, &[])
}

/// As [`run`], with environment variables set.
pub(crate) fn run_with(folder: &Path, line: &str, variables: &[(&str, &str)]) -> Result<()> {
    println!("$ {line}");
    let mut words = line.split(' ');
    let status = Command::new(words.next().unwrap_or_default())
        .args(words)
        .current_dir(folder)
        .envs(variables.iter().copied())
        .status()
        .with_context(|| format!("starting `{line}`"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Whether `line` can be started and ends well; its words are swallowed.
pub(crate) fn works(line: &str) -> bool {
    let mut words = line.split(' ');
    Command::new(words.next().unwrap_or_default())
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
