//! The contracts' own tools: npm packages as the lock file says, their tests, their compiled form.
//!
//! Only these need Node. The compiled form is committed, so nothing else does.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::shell::{run, works};

/// Kept among the installed packages: the digest of the lock file they were installed from.
const STAMP: &str = "node_modules/.installed-from";

/// Check that the committed bytecode is what the compiler gives, and run the contracts' tests;
/// `Ok(Some(why))` when they were passed over.
pub(crate) fn test(root: &Path) -> Result<Option<String>> {
    let folder = root.join("contracts");
    if !folder.join("package.json").exists() {
        return Ok(Some("there is no contracts/package.json".to_owned()));
    }
    if let Some(missing) = missing() {
        return Ok(Some(format!("{missing} is not installed (Node 20 or later brings it)")));
    }
    install(&folder)?;
    run(&folder, "npm run abi -- --check")?;
    run(&folder, "npm test")?;
    Ok(None)
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
