//! The main job, and every unit of its money.

use std::fs;

use serde_json::{Value, json};

use crate::house::{Chain, House, on_every_chain, text, units};

on_every_chain! {
    a_file_is_sorted_on_a_rented_machine_and_every_unit_is_accounted_for,
    money_in_the_escrow_pays_before_the_wallet_does,
    an_empty_wallet_is_told_what_it_lacks_before_anything_is_ordered,
}

/// The share of the local network, in basis points.
const FEE: u128 = 300;

fn a_file_is_sorted_on_a_rented_machine_and_every_unit_is_accounted_for(chain: Chain) {
    let Some(house) = House::up_on(chain) else { return };
    let input = house.file("words.txt", "pear\napple\nfig\n");
    let out = house.path("out");
    let script = "sort words.txt | tee out/sorted.txt; wc -l < words.txt >&2";
    let flags = ["--input", text(&input), "--output", text(&out), "--timeout", "10m"];
    let (came, bill) = house.run(&flags, &["sh", "-c", script]);

    assert_eq!(came.code(), 0, "{came:?}");
    assert!(came.stdout.starts_with("apple\nfig\npear\n"), "{came:?}");
    assert!(came.stderr.contains("3"), "{came:?}");
    let sorted = fs::read_to_string(out.join("sorted.txt")).expect("the output came back");
    assert_eq!(sorted, "apple\nfig\npear\n");

    let seconds = u128::from(bill["seconds"].as_u64().expect("a number"));
    let rate = units(&bill["rate_per_hour"]);
    let [charge, fee, paid, refund, escrow] =
        ["charge", "fee", "paid", "refund", "escrow"].map(|name| units(&bill[name]));
    assert!(seconds >= 1 && rate > 0, "{bill}");
    assert_eq!(charge, rate * seconds / 3_600, "charge = floor(rate x seconds / 3600): {bill}");
    assert_eq!(fee, charge * FEE / 10_000, "fee = floor(charge x 3 %): {bill}");
    assert_eq!(charge, fee + paid, "{bill}");
    assert_eq!(escrow, charge + refund, "{bill}");
    assert_eq!(escrow, (rate * 600 * 12).div_ceil(3_600 * 10), "1.2 x rate x limit, up: {bill}");
    assert!(fee > 0, "the price is high enough to see a fee: {bill}");
    assert_eq!(bill["deals"].as_array().map(Vec::len), Some(1), "{bill}");
    assert_eq!(bill["deals"][0]["deal"], bill["deal"], "{bill}");

    let receipt = house.rpc("eth_getTransactionReceipt", json!([bill["settlement_tx"]]));
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    let network = house.plaza(["--json", "network", "view"]).succeeded().json();
    assert_eq!(receipt["to"], lower(&network["contracts"]["escrow"]), "{receipt}");
    assert_eq!(network["chain_id"], bill["chain_id"]);
    assert_eq!(house.rpc("eth_chainId", json!([])), hex(&bill["chain_id"]));
    assert_eq!(bill["rpc_url"], format!("{}/rpc", house.url()));

    // What the renter spent and what lies with the parties is the same money.
    let has = house.plaza(["--json", "wallet", "balance"]).succeeded().json();
    let left = units(&has["wallet"]) + units(&has["escrow"]);
    assert_eq!(left, 10_000_000_000 - charge, "{has}");
    let earned = house.plaza(["--json", "provider", "earnings"]).succeeded().json();
    assert_eq!(units(&earned["total"]), paid, "{earned}");
}

fn money_in_the_escrow_pays_before_the_wallet_does(chain: Chain) {
    let Some(house) = House::up_on(chain) else { return };
    house.plaza(["wallet", "deposit", "500"]).succeeded();
    let (_, bill) = house.run(&[], &["true"]);
    let has = house.plaza(["--json", "wallet", "balance"]).succeeded().json();
    assert_eq!(units(&has["wallet"]), 9_500_000_000, "{has}");
    assert_eq!(units(&has["escrow"]), 500_000_000 - units(&bill["charge"]), "{has}");

    house.plaza(["wallet", "withdraw"]).succeeded();
    let has = house.plaza(["--json", "wallet", "balance"]).succeeded().json();
    assert_eq!(units(&has["escrow"]), 0, "{has}");
    assert_eq!(units(&has["wallet"]), 10_000_000_000 - units(&bill["charge"]), "{has}");
}

fn an_empty_wallet_is_told_what_it_lacks_before_anything_is_ordered(chain: Chain) {
    let Some(house) = House::up_on(chain) else { return };
    let passphrase = house.file("passphrase", "open sesame\n");
    let create = ["wallet", "create", "empty", "--passphrase-file", text(&passphrase)];
    house.plaza(create).succeeded();
    let flags = ["--wallet", "empty", "--passphrase-file", text(&passphrase)];
    let (came, bill) = house.run(&flags, &["true"]);
    assert_eq!(came.code(), 125, "{came:?}");
    assert!(came.stderr.contains("cannot pay"), "{came:?}");
    assert_eq!(bill["job"], Value::Null, "{bill}");
    let jobs = house.plaza(["--json", "job", "list"]).succeeded().json();
    assert_eq!(jobs["jobs"], json!([]));
}

#[test]
fn a_budget_below_every_price_is_refused_with_the_reason() {
    let Some(house) = House::up() else { return };
    let (came, _) = house.run(&["--max-price", "0.01"], &["true"]);
    assert_eq!(came.code(), 125, "{came:?}");
    assert!(came.stderr.contains("price") && came.stderr.contains("--max-price"), "{came:?}");
    let (came, _) = house.run(&["--max-price", "cheap"], &["true"]);
    assert_eq!(came.code(), 125, "{came:?}");
    assert!(came.stderr.contains("--max-price"), "{came:?}");
}

#[test]
fn a_machine_nobody_has_is_refused_with_the_dimension() {
    let Some(house) = House::up() else { return };
    let (came, _) = house.run(&["--cpus", "100000"], &["true"]);
    assert_eq!(came.code(), 125, "{came:?}");
    assert!(came.stderr.contains("1 fail in cpu"), "{came:?}");
}

fn lower(value: &Value) -> String {
    value.as_str().expect("an account").to_lowercase()
}

fn hex(value: &Value) -> String {
    format!("{:#x}", value.as_u64().expect("a number"))
}

#[test]
fn an_imported_key_is_kept_encrypted_and_pays_once_it_has_money() {
    let Some(house) = House::up() else { return };
    let demo = fs::read_to_string(house.data().join("wallets/demo.key")).expect("a key");
    let key = house.file("key", &demo);
    let passphrase = house.file("passphrase", "open sesame\n");
    let import = ["wallet", "import", "--key-file", text(&key)];
    house.plaza(import.iter().chain(&["--passphrase-file", text(&passphrase)])).succeeded();

    let shown = house.plaza(["--json", "wallet", "show"]).succeeded().json();
    let wallets = shown["wallets"].as_array().expect("a list");
    let main = wallets.iter().find(|wallet| wallet["name"] == "main").expect("it is shown");
    let first = wallets.iter().find(|wallet| wallet["name"] == "demo").expect("it is shown");
    assert_eq!(main["account"], first["account"], "{shown}");
    assert_eq!(main["encrypted"], true, "{shown}");
    let kept = house.data().join("wallets/main.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(&kept).expect("it is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert!(!fs::read_to_string(&kept).expect("text").contains(demo.trim()), "it is encrypted");

    let (came, bill) = house.run(&["--passphrase-file", text(&passphrase)], &["true"]);
    assert_eq!(came.code(), 0, "{came:?}");
    assert!(units(&bill["charge"]) > 0, "{bill}");
    let wrong = house.file("wrong", "open\n");
    let (came, _) = house.run(&["--passphrase-file", text(&wrong)], &["true"]);
    assert_eq!(came.code(), 125, "{came:?}");
    assert!(came.stderr.contains("passphrase is wrong"), "{came:?}");
}
