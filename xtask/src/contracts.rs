//! What comes from npm, as the lock files say: the contracts' tools, their tests, their compiled form;
//! the foreign chain that other tests run on; the programs in `examples`.
//!
//! Only these need Node. The compiled form is committed, so nothing else does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::shell::{run, works};

/// Kept among the installed packages: the digest of the lock file they were installed from.
const STAMP: &str = "node_modules/.installed-from";

/// The variable by which tests find anvil, and must find it.
pub(crate) const ANVIL: &str = "PLAZA_ANVIL";

/// Where npm puts it; it comes for this system alone.
const ANVIL_HERE: &str = "contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";

/// Install what the other tests find among npm packages, and name the foreign chain there, if it
/// runs on this machine.
pub(crate) fn anvil(root: &Path) -> Result<Option<String>> {
    for name in ["contracts", "examples"] {
        // Whoever needs what is missing says so.
        let _ = tools(root, name)?;
    }
    let path = root.join(ANVIL_HERE).display().to_string();
    Ok(works(&format!("{path} --version")).then_some(path))
}

/// Check that the committed bytecode is what the compiler gives, and run the contracts' tests;
/// `Ok(Some(why))` when they were passed over.
pub(crate) fn test(root: &Path) -> Result<Option<String>> {
    let folder = match tools(root, "contracts")? {
        Ok(folder) => folder,
        Err(why) => return Ok(Some(why)),
    };
    run(&folder, "npm run abi -- --check")?;
    run(&folder, "npm test")?;
    Ok(None)
}

/// Run the tests of the programs in `examples`; `Ok(Some(why))` when they were passed over.
pub(crate) fn examples(root: &Path) -> Result<Option<String>> {
    match tools(root, "examples")? {
        Ok(folder) => run(&folder, "npm test").map(|()| None),
        Err(why) => Ok(Some(why)),
    }
}

/// A folder of npm packages with what it needs installed; within, why that cannot be.
fn tools(root: &Path, name: &str) -> Result<Result<PathBuf, String>> {
    let folder = root.join(name);
    if !folder.join("package.json").exists() {
        return Ok(Err(format!("there is no {name}/package.json")));
    }
    if let Some(missing) = missing() {
        return Ok(Err(format!("{missing} is not installed (Node 20 or later brings it)")));
    }
    install(&folder)?;
    Ok(Ok(folder))
}

/// Compile the contracts anew and write `contracts/abi`.
pub(crate) fn export(root: &Path) -> Result<()> {
    if let Some(missing) = missing() {
        anyhow::bail!("{missing} is not installed; the contracts' tools need Node 20 or later");
    }
    let folder = root.join("contracts");
    ensure!(folder.join("package.json").exists(), "there is no contracts/package.json");
    install(&folder)?;
    run(&folder, "npm run abi")
}

fn missing() -> Option<&'static str> {
    ["node", "npm"].into_iter().find(|it| !works(&format!("{it} --version")))
}

/// `npm ci`, unless the packages there come from this very lock file.
fn install(folder: &Path) -> Result<()> {
    let lock = fs::read(folder.join("package-lock.json")).context("reading package-lock.json")?;
    let wanted = hex::encode(Sha256::digest(lock));
    let stamp = folder.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    run(folder, "npm ci --no-audit --no-fund")?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

#[cfg(test)]
mod tests;
