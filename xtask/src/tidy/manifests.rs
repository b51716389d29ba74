//! Every dependency comes from `[workspace.dependencies]`, so each has one version and one place.

use toml::{Table, Value};

use super::Complaint;
use crate::tree::Tree;

const RULE: &str = "manifests";

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    tree.packages
        .iter()
        .flat_map(|package| {
            let path = format!("{}/Cargo.toml", package.folder);
            let Some(text) = tree.files.get(&path) else { return Vec::new() };
            match text.parse::<Table>() {
                Ok(manifest) => own_versions(&manifest)
                    .into_iter()
                    .map(|name| {
                        let says = format!(
                            "{name} must be taken from the workspace: `{name}.workspace = true`"
                        );
                        Complaint::new(RULE, path.as_str(), says)
                    })
                    .collect(),
                Err(why) => {
                    vec![Complaint::new(RULE, path, format!("is not TOML: {}", why.message()))]
                }
            }
        })
        .collect()
}

/// Dependencies of this manifest, also those for one target, that are not inherited.
fn own_versions(manifest: &Table) -> Vec<String> {
    let for_targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(|targets| targets.values().filter_map(Value::as_table));
    std::iter::once(manifest)
        .chain(for_targets)
        .flat_map(|table| {
            ["dependencies", "dev-dependencies", "build-dependencies"]
                .into_iter()
                .filter_map(|kind| table.get(kind)?.as_table())
        })
        .flatten()
        .filter(|(_, wanted)| wanted.get("workspace").and_then(Value::as_bool) != Some(true))
        .map(|(name, _)| name.clone())
        .collect()
}
