//! Packages are installed once for each lock file, and failing tests fail. Without Node on the
//! machine these tests see that it is named as the reason for passing over.

use std::{fs, path::Path};

use super::{STAMP, missing, test};

const LOCK: &str = r#"{ "name": "x", "lockfileVersion": 3, "packages": { "": { "name": "x" } } }"#;

/// A package without dependencies, whose scripts are `abi` and `test`.
fn package(root: &Path, abi: &str, test: &str) {
    let folder = root.join("contracts");
    fs::create_dir_all(folder.join("node_modules")).unwrap();
    let scripts = format!(
        r#"{{ "name": "x", "scripts": {{ "abi": "node {abi}.js", "test": "node {test}.js" }} }}"#
    );
    fs::write(folder.join("package.json"), scripts).unwrap();
    fs::write(folder.join("package-lock.json"), LOCK).unwrap();
    fs::write(folder.join("good.js"), "process.exit(0)").unwrap();
    fs::write(folder.join("bad.js"), "process.exit(1)").unwrap();
}

#[test]
fn a_tree_without_contracts_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    assert!(test(root.path()).unwrap().unwrap().contains("no contracts/package.json"));
}

#[test]
fn packages_are_installed_anew_when_the_lock_file_changed() {
    let root = tempfile::tempdir().unwrap();
    package(root.path(), "good", "good");
    if let Some(tool) = missing() {
        assert!(test(root.path()).unwrap().unwrap().contains(tool));
        return;
    }
    let folder = root.path().join("contracts");
    assert_eq!(test(root.path()).unwrap(), None);
    let first = fs::read_to_string(folder.join(STAMP)).unwrap();

    fs::write(folder.join("node_modules/kept"), "").unwrap();
    assert_eq!(test(root.path()).unwrap(), None);
    assert!(folder.join("node_modules/kept").exists(), "installed twice from one lock file");

    fs::write(folder.join("package-lock.json"), format!("{LOCK}\n")).unwrap();
    assert_eq!(test(root.path()).unwrap(), None);
    assert!(!folder.join("node_modules/kept").exists(), "kept packages of another lock file");
    assert_ne!(fs::read_to_string(folder.join(STAMP)).unwrap(), first);
}

#[test]
fn failing_tests_and_stale_bytecode_fail() {
    if missing().is_some() {
        return;
    }
    for (abi, run) in [("bad", "good"), ("good", "bad")] {
        let root = tempfile::tempdir().unwrap();
        package(root.path(), abi, run);
        assert!(test(root.path()).unwrap_err().to_string().contains("npm"));
    }
}
