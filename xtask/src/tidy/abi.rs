//! The committed compiled contracts come from the committed sources.
//!
//! `contracts/export.mjs` writes into each `contracts/abi/NAME.json` a `sourceHash` over everything
//! that bytecode depends on. Here it is computed again without any Solidity tool; a file that holds
//! another one is stale. (That the bytecode itself is what the compiler gives is a test of the
//! contracts, which needs Node.)

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::Complaint;
use crate::tree::Tree;

const RULE: &str = "abi";
const FOLDER: &str = "contracts/";

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let wanted = source_hash(tree);
    let compiled: Vec<_> = tree
        .files
        .iter()
        .filter(|(path, _)| path.starts_with("contracts/abi/") && path.ends_with(".json"))
        .collect();
    if compiled.is_empty() && tree.files.keys().any(|path| is_source(path)) {
        let says = "holds no compiled contracts: run `cargo xtask abi`".to_owned();
        return vec![Complaint::new(RULE, "contracts/abi", says)];
    }
    compiled
        .into_iter()
        .filter(|(_, text)| stated_hash(text).as_deref() != Some(wanted.as_str()))
        .map(|(path, _)| {
            let says = "is stale, its sources have changed: run `cargo xtask abi`".to_owned();
            Complaint::new(RULE, path.as_str(), says)
        })
        .collect()
}

/// SHA-256 over the lines "HASH  PATH" of all sources, sorted by path, as `sha256sum` writes them.
pub(super) fn source_hash(tree: &Tree) -> String {
    let settings = ["contracts/foundry.toml", "contracts/package-lock.json"];
    let mut lines = String::new();
    for (path, text) in &tree.files {
        if is_source(path) || settings.contains(&path.as_str()) {
            let path = path.strip_prefix(FOLDER).unwrap_or(path);
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{}  {path}", hex::encode(Sha256::digest(text)));
        }
    }
    format!("0x{}", hex::encode(Sha256::digest(lines)))
}

fn is_source(path: &str) -> bool {
    path.starts_with("contracts/src/") && path.ends_with(".sol")
}

fn stated_hash(text: &str) -> Option<String> {
    let file: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(file.get("sourceHash")?.as_str()?.to_owned())
}
