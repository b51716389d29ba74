//! Each rule fails on a tree that breaks it and is silent on one that does not.

use crate::{
    tidy::check,
    tree::{Dependency, Package, Tree},
};

const PAGE: &str = "\
| floor | room | what it does | may import | its tests also |
| --- | --- | --- | --- | --- |
| 3 | `chain` | Run a chain. | walls | - |
| 2 | `settlement` | Speak to contracts. | walls | chain |
| 2 | `store` | Keep things well. | walls | - |
| 0 | `walls` | Stand very still. | - | - |
";

/// A small house in perfect order.
fn house() -> Tree {
    let mut tree = Tree {
        packages: vec![
            package("chain", &["walls", "tokio"], &[]),
            package("settlement", &["walls"], &["chain"]),
            package("store", &["walls", "sqlx"], &[]),
            package("walls", &["serde"], &[]),
        ],
        ..Tree::default()
    };
    write(&mut tree, "ARCHITECTURE.md", PAGE);
    for (room, opening) in [
        ("chain", "//! Run a chain.\n"),
        ("settlement", "//! Speak to contracts.\n"),
        ("store", "//! Keep things well.\n"),
        ("walls", "//! Stand very still.\n"),
    ] {
        write(&mut tree, &format!("crates/{room}/src/lib.rs"), opening);
        write(
            &mut tree,
            &format!("crates/{room}/Cargo.toml"),
            "[dependencies]\nserde.workspace = true\n",
        );
    }
    tree
}

fn package(name: &str, product: &[&str], tests: &[&str]) -> Package {
    let wanted = |names: &[&str], only_tests| -> Vec<Dependency> {
        names.iter().map(|it| Dependency { name: (*it).to_owned(), only_tests }).collect()
    };
    Package {
        name: name.to_owned(),
        folder: format!("crates/{name}"),
        dependencies: wanted(product, false).into_iter().chain(wanted(tests, true)).collect(),
        roots: vec![format!("crates/{name}/src/lib.rs")],
    }
}

fn write(tree: &mut Tree, path: &str, text: &str) {
    tree.files.insert(path.to_owned(), text.to_owned());
    tree.paths.push(path.to_owned());
}

fn depend(tree: &mut Tree, room: &str, on: &str, only_tests: bool) {
    let package = tree.packages.iter_mut().find(|it| it.name == room).unwrap();
    package.dependencies.push(Dependency { name: on.to_owned(), only_tests });
}

/// Exactly one complaint, and it says all of `words`.
#[track_caller]
fn refused(tree: &Tree, words: &[&str]) {
    let complaints: Vec<String> = check(tree).iter().map(ToString::to_string).collect();
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    for word in words {
        assert!(complaints[0].contains(word), "{complaints:#?} does not say {word:?}");
    }
}

#[track_caller]
fn accepted(tree: &Tree) {
    assert_eq!(check(tree), []);
}

#[test]
fn a_house_in_order_is_left_alone() {
    accepted(&house());
}

#[test]
fn an_arrow_that_the_plan_does_not_allow_is_forbidden() {
    let mut tree = house();
    depend(&mut tree, "store", "settlement", false);
    refused(&tree, &["crates/store/Cargo.toml", "forbidden arrow store -> settlement", "(arrows)"]);
}

#[test]
fn an_arrow_of_tests_needs_the_column_of_tests() {
    let mut tree = house();
    depend(&mut tree, "walls", "store", true);
    refused(&tree, &["forbidden arrow walls -> store of tests"]);
}

#[test]
fn the_column_of_tests_does_not_open_the_door_to_the_product() {
    let mut tree = house();
    write(
        &mut tree,
        "ARCHITECTURE.md",
        &PAGE.replace("Keep things well. | walls | -", "Keep things well. | walls | settlement"),
    );
    depend(&mut tree, "store", "settlement", true);
    accepted(&tree);
    depend(&mut tree, "store", "settlement", false);
    refused(&tree, &["store -> settlement", "to tests alone"]);
}

#[test]
fn a_room_without_a_row_is_unknown() {
    let mut tree = house();
    tree.packages.push(package("attic", &[], &[]));
    write(&mut tree, "crates/attic/src/lib.rs", "//! Hold old things.\n");
    refused(&tree, &["the room attic has no row"]);
}

#[test]
fn a_row_without_a_room_is_unknown() {
    let mut tree = house();
    write(&mut tree, "ARCHITECTURE.md", &format!("{PAGE}| 1 | `attic` | Hold. | - | - |\n"));
    refused(&tree, &["the table has a room attic"]);
}

#[test]
fn a_row_cannot_name_a_room_that_is_not_there() {
    let mut tree = house();
    write(
        &mut tree,
        "ARCHITECTURE.md",
        &PAGE.replace("Keep things well. | walls", "Keep things well. | walls cellar"),
    );
    refused(&tree, &["store -> cellar", "there is no room cellar"]);
}

#[test]
fn a_row_cannot_point_up() {
    let mut tree = house();
    write(&mut tree, "ARCHITECTURE.md", &PAGE.replace("still. | -", "still. | store"));
    refused(&tree, &["walls -> store", "goes up to floor 2"]);
}

#[test]
fn nobody_imports_what_stands_beside_the_house() {
    let mut tree = house();
    write(
        &mut tree,
        "ARCHITECTURE.md",
        &PAGE
            .replace("| 2 | `store`", "| beside | `store`")
            .replace("chain. | walls", "chain. | walls store"),
    );
    refused(&tree, &["chain -> store", "beside the house"]);
}

#[test]
fn the_row_and_the_room_say_the_same_sentence() {
    let mut tree = house();
    write(&mut tree, "crates/store/src/lib.rs", "//! Lose things well.\n");
    refused(&tree, &["crates/store/src/lib.rs", "Lose things well.", "Keep things well."]);
}

#[test]
fn a_path_named_on_the_page_must_exist() {
    let mut tree = house();
    write(
        &mut tree,
        "ARCHITECTURE.md",
        &format!("{PAGE}\nSee `store/src/gone.rs` and `store/src/lib.rs`.\n"),
    );
    refused(&tree, &["ARCHITECTURE.md:8", "store/src/gone.rs"]);
}

#[test]
fn the_page_stays_short() {
    let mut tree = house();
    write(&mut tree, "ARCHITECTURE.md", &format!("{PAGE}{}", "More.\n".repeat(250)));
    refused(&tree, &["256 lines"]);
}

#[test]
fn two_modules_that_import_each_other_are_a_circle() {
    let mut tree = house();
    write(
        &mut tree,
        "crates/store/src/lib.rs",
        "//! Keep things well.\nmod log;\nmod blob;\npub use blob::Blob;\n",
    );
    write(
        &mut tree,
        "crates/store/src/log.rs",
        "//! The log of facts.\n\nuse crate::Blob;\npub struct Log;\n",
    );
    write(
        &mut tree,
        "crates/store/src/blob.rs",
        "//! Bytes by their digest.\npub struct Blob(crate::log::Log);\n",
    );
    let chain = "crate::log -(crates/store/src/log.rs:3)-> crate::blob -(crates/store/src/blob.rs:2)-> crate::log";
    refused(&tree, &["in a circle", chain, "(cycles)"]);
}

#[test]
fn modules_that_import_one_way_are_no_circle() {
    let mut tree = house();
    write(
        &mut tree,
        "crates/store/src/lib.rs",
        "//! Keep things well.\nmod log;\nmod blob;\npub use blob::Blob;\n",
    );
    write(&mut tree, "crates/store/src/log.rs", "//! The log of facts.\nuse crate::Blob;\n");
    write(
        &mut tree,
        "crates/store/src/blob.rs",
        "//! Bytes by their digest.\npub struct Blob;\n#[cfg(test)]\nmod tests;\n",
    );
    write(
        &mut tree,
        "crates/store/src/blob/tests.rs",
        "//! Tests may look anywhere.\nuse crate::log::Log;\n",
    );
    accepted(&tree);
}

#[test]
fn a_circle_of_three_is_told_as_a_chain() {
    let mut tree = house();
    write(&mut tree, "crates/store/src/lib.rs", "//! Keep things well.\nmod a;\nmod b;\nmod c;\n");
    write(&mut tree, "crates/store/src/a.rs", "//! First of three.\nuse super::b;\n");
    write(
        &mut tree,
        "crates/store/src/b.rs",
        "//! Second of three.\nfn f() { assert!(crate::c::g()); }\n",
    );
    write(&mut tree, "crates/store/src/c.rs", "//! Third of three.\nfn f(x: crate::a::X) {}\n");
    refused(&tree, &["a.rs:2)-> crate::b", "b.rs:2)-> crate::c", "c.rs:2)-> crate::a"]);
}

#[test]
fn a_child_that_imports_from_its_parent_closes_a_circle() {
    let mut tree = house();
    write(&mut tree, "crates/store/src/lib.rs", "//! Keep things well.\nmod log;\n");
    write(
        &mut tree,
        "crates/store/src/log.rs",
        "//! The log of facts.\nmod page;\nstruct Log(page::Page);\n",
    );
    write(
        &mut tree,
        "crates/store/src/log/page.rs",
        "//! One page of it.\nuse super::Log;\nstruct Page;\n",
    );
    refused(&tree, &["crate::log -", "crate::log::page -"]);
}

#[test]
fn folders_that_know_each_other_through_different_files_are_a_circle() {
    let mut tree = house();
    write(
        &mut tree,
        "crates/store/src/lib.rs",
        "//! Keep things well.\nmod a { pub mod x { use crate::b::y; } pub mod z {} }\nmod b { pub mod y { use crate::a::z; } }\n",
    );
    refused(&tree, &["crate::a -", "crate::b -"]);
}

#[test]
fn a_module_without_its_file_is_named() {
    let mut tree = house();
    write(&mut tree, "crates/store/src/lib.rs", "//! Keep things well.\nmod gone;\n");
    refused(&tree, &["crates/store/src/gone.rs", "no such file"]);
}

#[test]
fn every_rust_file_opens_with_its_sentence() {
    let mut tree = house();
    write(&mut tree, "crates/store/tests/all.rs", "use store;\n");
    refused(&tree, &["crates/store/tests/all.rs:1", "`//!`"]);
    write(&mut tree, "crates/store/tests/all.rs", "//! Tests.\n");
    refused(&tree, &["crates/store/tests/all.rs:1"]);
    write(&mut tree, "crates/store/tests/all.rs", "//! Both stores keep what they promise.\n");
    accepted(&tree);
}

#[test]
fn solidity_opens_with_a_comment_after_licence_pragma_and_imports() {
    let mut tree = house();
    let path = "contracts/test/Escrow.t.sol";
    let before = "// SPDX-License-Identifier: MIT\npragma solidity 0.8.37;\n\nimport {\n    A\n} from \"./A.sol\";\n";
    write(&mut tree, path, &format!("{before}contract Escrow {{}}\n"));
    refused(&tree, &["contracts/test/Escrow.t.sol:1", "(openings)"]);
    write(&mut tree, path, &format!("{before}/// @title Escrow\ncontract Escrow {{}}\n"));
    refused(&tree, &["contracts/test/Escrow.t.sol:1", "(openings)"]);
    write(
        &mut tree,
        path,
        &format!("{before}/// @title Escrow\n/// @notice Locks money for deals.\n"),
    );
    accepted(&tree);
}

#[test]
fn scripts_open_with_a_comment() {
    let mut tree = house();
    write(&mut tree, "contracts/export.mjs", "#!/usr/bin/env node\nimport fs from 'fs';\n");
    refused(&tree, &["contracts/export.mjs:1"]);
    write(
        &mut tree,
        "contracts/export.mjs",
        "#!/usr/bin/env node\n/**\n * Write the compiled form.\n */\n",
    );
    accepted(&tree);
}

#[test]
fn globs_are_not_re_exported() {
    let mut tree = house();
    write(
        &mut tree,
        "crates/store/src/lib.rs",
        "//! Keep things well.\nuse std::io::*;\npub(crate) use serde::{de::*, ser};\n",
    );
    refused(&tree, &["crates/store/src/lib.rs:3", "re-exports everything"]);
}

#[test]
fn dependencies_come_from_the_workspace() {
    for table in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.build-dependencies"] {
        let mut tree = house();
        let manifest = format!("[{table}]\nserde.workspace = true\nhex = \"0.4\"\n");
        write(&mut tree, "crates/store/Cargo.toml", &manifest);
        refused(&tree, &["crates/store/Cargo.toml", "hex.workspace = true"]);
    }
}

#[test]
fn pure_rooms_depend_on_nothing_that_acts() {
    let mut tree = house();
    depend(&mut tree, "walls", "tokio", false);
    refused(&tree, &["walls depends on tokio", "floors 0 and 1"]);
}

#[test]
fn pure_rooms_read_no_clock_and_no_disk() {
    for body in [
        "use std::fs;",
        "use std::{time::Instant, fmt}; fn f() { let _ = Instant::now(); }",
        "fn f() { println!(\"{:?}\", std::time::SystemTime::now()); }",
        "fn f() -> Option<String> { std::env::var(\"X\").ok() }",
    ] {
        let mut tree = house();
        write(&mut tree, "crates/walls/src/lib.rs", &format!("//! Stand very still.\n{body}\n"));
        let complaints = check(&tree);
        assert!(!complaints.is_empty(), "{body}");
        assert!(complaints.iter().all(|it| it.rule == "absences"), "{complaints:?}");
    }
}

#[test]
fn pure_rooms_may_name_times_and_their_tests_may_act() {
    let mut tree = house();
    let text = "//! Stand very still.\nuse std::time::Duration;\n#[cfg(test)]\nmod tests { use std::fs; }\n";
    write(&mut tree, "crates/walls/src/lib.rs", text);
    depend(&mut tree, "walls", "tokio", true);
    accepted(&tree);
}

#[test]
fn only_the_store_speaks_sql() {
    let mut tree = house();
    depend(&mut tree, "settlement", "sqlx", false);
    refused(&tree, &["settlement depends on sqlx", "only store"]);
}

#[test]
fn only_the_settlement_and_the_documents_speak_solidity() {
    let mut tree = house();
    depend(&mut tree, "settlement", "alloy-sol-types", false);
    write(
        &mut tree,
        "crates/settlement/src/lib.rs",
        "//! Speak to contracts.\nuse alloy_sol_types::sol;\n",
    );
    accepted(&tree);
    depend(&mut tree, "store", "alloy-sol-types", false);
    refused(&tree, &["store depends on alloy-sol-types"]);
}

#[test]
fn only_sandbox_and_plaza_start_processes() {
    let mut tree = house();
    write(
        &mut tree,
        "crates/store/src/lib.rs",
        "//! Keep things well.\nuse std::process;\nfn f() { process::Command::new(\"ls\"); }\n",
    );
    refused(&tree, &["crates/store/src/lib.rs:3", "only sandbox and plaza start processes"]);
}

#[test]
fn only_plaza_reads_the_environment() {
    let mut tree = house();
    write(
        &mut tree,
        "crates/store/src/lib.rs",
        "//! Keep things well.\nuse std::env::var as ask;\n",
    );
    refused(&tree, &["crates/store/src/lib.rs:2", "only plaza reads the environment"]);
    write(
        &mut tree,
        "crates/store/src/lib.rs",
        "//! Keep things well.\nconst MACHINE: &str = std::env::consts::ARCH;\n",
    );
    accepted(&tree);
}

#[test]
fn the_chain_stays_exchangeable_even_where_the_table_would_allow_it() {
    let mut tree = house();
    write(
        &mut tree,
        "ARCHITECTURE.md",
        &PAGE.replace("Keep things well. | walls | -", "Keep things well. | walls | chain"),
    );
    depend(&mut tree, "store", "chain", true);
    refused(&tree, &["store depends on chain", "(absences)"]);
}

#[test]
fn names_that_say_nothing_are_refused_wherever_they_stand() {
    let text = "//! Keep things well.\n";
    for (path, text, name) in [
        ("crates/store/src/utils.rs", text.to_owned(), "utils.rs"),
        ("crates/store/src/common/x.rs", text.to_owned(), "common"),
        ("crates/store/src/x.rs", format!("{text}pub struct BlobManager;\n"), "BlobManager"),
        ("crates/store/src/x.rs", format!("{text}mod inner {{ enum JobInfo {{}} }}\n"), "JobInfo"),
        (
            "contracts/test/BaseEscrow.sol",
            format!("// What all escrows share.\n{text}"),
            "BaseEscrow",
        ),
    ] {
        let mut tree = house();
        write(&mut tree, path, &text);
        refused(&tree, &[path, name, "(names)"]);
    }
}

#[test]
fn terms_of_the_field_keep_their_names() {
    let mut tree = house();
    write(
        &mut tree,
        "crates/store/src/base_fee.rs",
        "//! The fee of a block.\nstruct BaseFee;\nstruct Basis;\nstruct Database;\n",
    );
    accepted(&tree);
}

#[test]
fn nothing_is_put_off() {
    for line in
        [concat!("// TO", "DO: later"), concat!("fn f() { to", "do!() }"), concat!("// FIX", "ME")]
    {
        let mut tree = house();
        write(&mut tree, "crates/store/src/lib.rs", &format!("//! Keep things well.\n{line}\n"));
        refused(&tree, &["crates/store/src/lib.rs:2", "(unfinished)"]);
    }
}

#[test]
fn money_is_counted_without_floating_point() {
    for body in [
        "fn f(price: f64) {}",
        "fn f() -> u64 { (2_u64 as f32) as u64 }",
        "const X: () = { 0.5; };",
    ] {
        let mut tree = house();
        write(
            &mut tree,
            "crates/settlement/src/lib.rs",
            &format!(
                "//! Speak to contracts.\n{body}\n#[cfg(test)]\nmod tests {{ const Y: f64 = 0.5; }}\n"
            ),
        );
        refused(&tree, &["crates/settlement/src/lib.rs:2", "floating point"]);
    }
}

#[test]
fn only_sandbox_and_hardware_know_which_system_they_run_on() {
    let mut tree = house();
    write(
        &mut tree,
        "crates/store/src/lib.rs",
        "//! Keep things well.\nuse std::os::linux::fs::MetadataExt;\n",
    );
    refused(&tree, &["crates/store/src/lib.rs:2", "only sandbox and hardware"]);
}

/// What `sha256sum` and `sort` give for the files of [`vault`], as `contracts/export.mjs` describes.
const VAULT: &str = "0xe193496e6b171db3fd63b6500184643e9d845786273e0b4e689a8e925a2e37a2";

fn vault(source_hash: &str) -> Tree {
    let mut tree = house();
    let escrow = "// A vault for the money of deals.\ncontract Escrow {}\n";
    write(&mut tree, "contracts/src/Escrow.sol", escrow);
    write(&mut tree, "contracts/src/interfaces/IEscrow.sol", "// What a vault answers to.\n");
    write(&mut tree, "contracts/foundry.toml", "[profile.default]\n");
    write(&mut tree, "contracts/package-lock.json", "{}\n");
    let compiled = format!("{{ \"abi\": [], \"sourceHash\": \"{source_hash}\" }}");
    write(&mut tree, "contracts/abi/Escrow.json", &compiled);
    tree
}

#[test]
fn compiled_contracts_from_these_sources_are_fresh() {
    accepted(&vault(VAULT));
}

#[test]
fn a_stale_abi_is_refused_whatever_changed() {
    for (path, text) in [
        ("contracts/src/Escrow.sol", "// A vault for the money of deals.\n"),
        ("contracts/src/New.sol", "// Another contract in the vault.\n"),
        ("contracts/foundry.toml", "[profile.default]\nvia_ir = true\n"),
        ("contracts/package-lock.json", "{ \"solc\": 1 }\n"),
    ] {
        let mut tree = vault(VAULT);
        write(&mut tree, path, text);
        refused(&tree, &["contracts/abi/Escrow.json", "stale", "cargo xtask abi"]);
    }
    let mut tree = vault(VAULT);
    write(&mut tree, "contracts/test/Escrow.t.sol", "// Tests compile into nothing here.\n");
    accepted(&tree);
}

#[test]
fn an_abi_without_its_hash_and_sources_without_abi_are_refused() {
    refused(&vault(""), &["contracts/abi/Escrow.json", "stale"]);
    let mut tree = vault(VAULT);
    write(&mut tree, "contracts/abi/Escrow.json", "not json");
    refused(&tree, &["contracts/abi/Escrow.json", "stale"]);
    tree.files.remove("contracts/abi/Escrow.json");
    refused(&tree, &["contracts/abi", "no compiled contracts"]);
}

#[test]
fn a_real_folder_is_read_as_cargo_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n[workspace.dependencies]\nwalls = { path = \"crates/walls\" }\n",
    );
    write(
        "crates/walls/Cargo.toml",
        "[package]\nname = \"walls\"\nedition = \"2024\"\n[dev-dependencies]\nroof.path = \"../roof\"\n",
    );
    write("crates/walls/src/lib.rs", "//! Stand very still.\n");
    write(
        "crates/roof/Cargo.toml",
        "[package]\nname = \"roof\"\nedition = \"2024\"\n[dependencies]\nwalls.workspace = true\n",
    );
    write("crates/roof/src/lib.rs", "//! Keep the rain out.\n");
    write("target/debug/build.rs", "made by a tool");
    write(
        "ARCHITECTURE.md",
        "| floor | room | what it does | may import | its tests also |\n| --- | --- | --- | --- | --- |\n\
         | 1 | `roof` | Keep the rain out. | - | - |\n| 0 | `walls` | Stand very still. | - | - |\n",
    );
    let complaints: Vec<String> =
        check(&Tree::read(folder.path()).unwrap()).iter().map(ToString::to_string).collect();
    assert_eq!(complaints.len(), 3, "{complaints:#?}");
    assert!(complaints[0].contains("forbidden arrow roof -> walls:"));
    assert!(complaints[1].contains("forbidden arrow walls -> roof of tests"));
    assert!(complaints[2].contains("roof.workspace = true"));
}
