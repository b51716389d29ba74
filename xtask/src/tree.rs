//! What the working tree holds: its text files, and its packages as cargo sees them.
//!
//! In: the root folder. Out: plain values. This is the one place where `tidy` and `map` touch the
//! disk or start cargo; every check after it is a pure function of a [`Tree`].

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, TargetKind};

/// Folders that hold what tools made or what others wrote.
const SKIPPED: [&str; 7] = [".git", "cache", "dist", "node_modules", "out", "plaza-out", "target"];

/// The extensions of the files that checks read.
const READ: [&str; 10] = ["css", "js", "json", "md", "mjs", "rs", "sol", "toml", "ts", "tsx"];

/// A snapshot of the working tree.
#[derive(Default)]
pub(crate) struct Tree {
    /// Text files by their path from the root, with `/` between the parts.
    pub(crate) files: BTreeMap<String, String>,
    /// Every path from the root, folders included, whatever it holds.
    pub(crate) paths: Vec<String>,
    /// The members of the workspace, sorted by name.
    pub(crate) packages: Vec<Package>,
}

/// One member of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, from the root: `crates/market`.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// The first file of each library or binary, from the root: `crates/market/src/lib.rs`.
    pub(crate) roots: Vec<String>,
}

/// One thing a package depends on, another member or a foreign crate.
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Wanted by tests, examples and benchmarks alone.
    pub(crate) only_tests: bool,
}

impl Package {
    /// The names this package depends on, for its product or for its tests.
    pub(crate) fn depends(&self, only_tests: bool) -> impl Iterator<Item = &str> {
        self.dependencies
            .iter()
            .filter(move |it| it.only_tests == only_tests)
            .map(|it| it.name.as_str())
    }
}

impl Tree {
    /// Read the tree under `root`; fails when a folder cannot be read or cargo refuses a manifest.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self { packages: packages(root)?, ..Self::default() };
        tree.walk(root, "")?;
        Ok(tree)
    }

    fn walk(&mut self, root: &Path, folder: &str) -> Result<()> {
        let here = root.join(folder);
        for entry in fs::read_dir(&here).with_context(|| format!("listing {}", here.display()))? {
            let entry = entry.with_context(|| format!("listing {}", here.display()))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type().with_context(|| format!("looking at {path}"))?;
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                self.paths.push(path.clone());
                self.walk(root, &path)?;
            } else if kind.is_file() {
                self.paths.push(path.clone());
                let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
                if READ.contains(&extension) {
                    let text = fs::read_to_string(entry.path())
                        .with_context(|| format!("reading {path}"))?;
                    self.files.insert(path, text);
                }
            }
        }
        Ok(())
    }
}

fn packages(root: &Path) -> Result<Vec<Package>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("asking cargo for the members of the workspace")?;
    let from_root = |path: &cargo_metadata::camino::Utf8Path| {
        path.strip_prefix(&metadata.workspace_root).unwrap_or(path).to_string()
    };
    let mut packages: Vec<Package> = metadata
        .packages
        .iter()
        .map(|package| Package {
            name: package.name.to_string(),
            folder: package.manifest_path.parent().map_or_else(String::new, &from_root),
            dependencies: package
                .dependencies
                .iter()
                .map(|it| Dependency {
                    name: it.name.clone(),
                    only_tests: it.kind == DependencyKind::Development,
                })
                .collect(),
            roots: package
                .targets
                .iter()
                .filter(|target| {
                    target.kind.iter().any(|it| matches!(it, TargetKind::Lib | TargetKind::Bin))
                })
                .map(|target| from_root(&target.src_path))
                .collect(),
        })
        .collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}
