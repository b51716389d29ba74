//! The programs in `examples`, which know nothing of ours but the papers and the chain.
//!
//! Where Node or their packages are not installed the test says so and passes over: `npm ci` in
//! `examples` brings them.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    anvil::RICH,
    house::{Chain, House, finished, poll, text, units},
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

/// What `node PROGRAM VERB PAPERS URL` prints.
fn node(program: &str, verb: &str, papers: &Path, url: &str) -> Value {
    let child = Command::new("node")
        .args([program, verb, text(papers), url])
        .env("KEY", RICH)
        .current_dir(EXAMPLES)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    finished(child.expect("node starts")).succeeded().json()
}

#[expect(clippy::print_stdout, reason = "a test that passes over says why")]
fn are_installed() -> bool {
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).status();
    let installed = node.is_ok_and(|status| status.success())
        && Path::new(EXAMPLES).join("node_modules/viem").exists();
    if !installed {
        println!("passed over: Node or its packages are missing; npm ci in examples brings them");
    }
    installed
}

#[test]
fn viem_and_ethers_read_deals_and_settle_them_from_outside_when_nobody_else_does() {
    if !are_installed() {
        return;
    }
    let Some(house) = House::up_on(Chain::Anvil) else { return };
    let programs = ["viem.mjs", "ethers.mjs"];
    let run = ["run", "--detach", "--cpus", "0.5", "--", "sh", "-c", "sleep 2"];
    let jobs = programs.map(|_| house.plaza(run).succeeded().stdout.trim().to_owned());
    for job in &jobs {
        house.wait_for_job(job, |job| job["deals"][0]["opening"].is_object());
    }
    // No block takes what gateway and provider send any more, and then they are gone.
    let chain = house.anvil();
    chain.ask("evm_setIntervalMining", json!([0]));
    let papers = jobs.clone().map(|job| {
        let whole = poll("both signatures", || {
            let papers = house.plaza(["--json", "job", "receipt", &job]).succeeded();
            papers.json()["papers"][0]["terminal"]["renter"].is_string().then_some(papers.stdout)
        });
        house.file(&format!("{job}.json"), &whole)
    });
    house.kill();
    chain.ask("anvil_dropAllTransactions", json!([]));
    chain.ask("evm_setIntervalMining", json!([1]));

    let settled = [0, 1].map(|which| {
        let (program, papers) = (programs[which], &papers[which]);
        let before = node(program, "read", papers, chain.url());
        assert_eq!((&before["state"], before["opened_tx"].is_string()), (&json!("open"), true));
        let after = node(program, "settle", papers, chain.url());
        assert_eq!(after["state"], "settled", "{program}: {after}");
        let shares = ["paid", "fee", "refund"].map(|name| units(&after[name]));
        assert_eq!(shares.iter().sum::<u128>(), units(&before["locked"]), "{program}: {after}");
        after
    });
    // What one settled the other reads the same.
    assert_eq!(node(programs[1], "read", &papers[0], chain.url()), settled[0]);

    house.plaza(["up"]).succeeded();
    for (job, settled) in jobs.iter().zip(&settled) {
        let done = house.wait_for_job(job, |job| job["state"] == "done");
        assert_eq!(done["deals"][0]["closing"]["tx"], settled["settled_tx"], "{done}");
    }
}
