//! The blockchain tests of Ethereum's execution specs: valid blocks come out as recorded, invalid
//! ones are refused. Where the archive (or `tar`) is absent the test says so and passes over.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics and prints")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::Decodable;
use chain::{BaseFee, Block, Chain, Config, Genesis, GenesisAccount, Place, Sealing};
use primitives::{Clock, UnixSeconds};
use serde_json::{Value, json};

struct Still;

impl Clock for Still {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Unpacks the archive into a folder that lives as long as the test.
fn unpacked() -> Option<tempfile::TempDir> {
    let root = std::env::var_os("PLAZA_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    let archive = root.join("evm-fixtures.tar.xz");
    if !archive.is_file() {
        println!("passed over: no archive {}", archive.display());
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let unpacking = Command::new("tar")
        .arg("xJf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .arg("./blockchain_tests")
        .status();
    if !unpacking.is_ok_and(|status| status.success()) {
        println!("passed over: tar cannot unpack {}", archive.display());
        return None;
    }
    Some(folder)
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

/// The schedule that a network's name stands for; `None` for one this chain does not know.
fn schedule(network: &str) -> Option<Value> {
    const NAMES: [&str; 13] = [
        "Homestead",
        "EIP150",
        "EIP158",
        "Byzantium",
        "ConstantinopleFix",
        "Istanbul",
        "Berlin",
        "London",
        "Paris",
        "Shanghai",
        "Cancun",
        "Prague",
        "Osaka",
    ];
    const KEYS: [&str; 13] = [
        "homesteadBlock",
        "eip150Block",
        "eip158Block",
        "byzantiumBlock",
        "petersburgBlock",
        "istanbulBlock",
        "berlinBlock",
        "londonBlock",
        "mergeNetsplitBlock",
        "shanghaiTime",
        "cancunTime",
        "pragueTime",
        "osakaTime",
    ];
    let (first, next) = match network.strip_suffix("AtTime15k") {
        Some(names) => names.split_once("To").map(|(first, next)| (first, Some(next)))?,
        None => (network, None),
    };
    let until = match first {
        "Frontier" => 0,
        name => NAMES.iter().position(|known| *known == name)? + 1,
    };
    let mut config = json!({ "chainId": 1 });
    for key in &KEYS[..until] {
        config[key] = json!(0);
    }
    if let Some(next) = next {
        config[KEYS[NAMES.iter().position(|known| *known == next)?]] = json!(15_000);
    }
    Some(config)
}

fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.trim_start_matches("0x"), 16).ok()
}

fn account(given: &Value) -> GenesisAccount {
    let storage: BTreeMap<U256, U256> = serde_json::from_value(given["storage"].clone()).unwrap();
    let storage = storage.into_iter().map(|(slot, value)| (B256::from(slot), B256::from(value)));
    GenesisAccount::default()
        .with_nonce(quantity(&given["nonce"]))
        .with_balance(serde_json::from_value(given["balance"].clone()).unwrap())
        .with_code(serde_json::from_value::<Option<Bytes>>(given["code"].clone()).unwrap())
        .with_storage(Some(storage.collect()))
}

/// The chain at the beginning of a case; `None` if its network is not known here.
fn open(case: &Value) -> Option<Chain> {
    let header = &case["genesisBlockHeader"];
    let mut config = schedule(case["network"].as_str()?)?;
    let mut blobs = BTreeMap::new();
    for (name, limits) in case["config"]["blobSchedule"].as_object().into_iter().flatten() {
        blobs.insert(
            name.to_lowercase(),
            BlobParams {
                target_blob_count: quantity(&limits["target"])?,
                max_blob_count: quantity(&limits["max"])?,
                update_fraction: quantity(&limits["baseFeeUpdateFraction"])?.into(),
                // Limits per transaction are no part of the schedule before Osaka.
                ..BlobParams::cancun().with_max_blobs_per_tx(quantity(&limits["max"])?)
            },
        );
    }
    config["depositContractAddress"] = json!("0x00000000219ab540356cbb839cbe05303d7705fa");
    let accounts: BTreeMap<Address, Value> = serde_json::from_value(case["pre"].clone()).unwrap();
    let mut genesis = Genesis {
        config: serde_json::from_value(config).unwrap(),
        nonce: quantity(&header["nonce"])?,
        timestamp: quantity(&header["timestamp"])?,
        extra_data: serde_json::from_value(header["extraData"].clone()).unwrap(),
        gas_limit: quantity(&header["gasLimit"])?,
        difficulty: serde_json::from_value(header["difficulty"].clone()).unwrap(),
        mix_hash: serde_json::from_value(header["mixHash"].clone()).unwrap(),
        coinbase: serde_json::from_value(header["coinbase"].clone()).unwrap(),
        alloc: accounts.iter().map(|(address, given)| (*address, account(given))).collect(),
        excess_blob_gas: quantity(&header["excessBlobGas"]),
        blob_gas_used: quantity(&header["blobGasUsed"]),
        ..Genesis::default()
    };
    genesis.config.blob_schedule = blobs;
    let chain = Chain::open(Config {
        genesis,
        place: Place::Memory,
        sealing: Sealing::Manual,
        base_fee: BaseFee::ByLoad(quantity(&header["baseFeePerGas"]).unwrap_or(0)),
        beneficiary: Address::ZERO,
        clock: Arc::new(Still),
    })
    .unwrap();
    Some(chain)
}

/// Runs one case; the error says where it went another way than recorded.
fn run(case: &Value) -> Result<bool, String> {
    let Some(chain) = open(case) else { return Ok(false) };
    let hash = |value: &Value| serde_json::from_value::<B256>(value.clone()).unwrap();
    if chain.genesis_hash().unwrap() != hash(&case["genesisBlockHeader"]["hash"]) {
        return Err("another genesis hash".into());
    }
    for (index, block) in case["blocks"].as_array().unwrap().iter().enumerate() {
        let rlp: Bytes = serde_json::from_value(block["rlp"].clone()).unwrap();
        let imported = Block::decode(&mut rlp.as_ref())
            .map_err(|error| error.to_string())
            .and_then(|block| chain.import(block).map_err(|error| error.to_string()));
        match (block.get("expectException"), imported) {
            (None, Err(error)) => return Err(format!("block {index} is refused: {error}")),
            (Some(wanted), Ok(_)) => return Err(format!("block {index} is taken, not {wanted}")),
            _ => {}
        }
    }
    if chain.head().unwrap().hash() != hash(&case["lastblockhash"]) {
        return Err("another last block".into());
    }
    Ok(true)
}

/// Six cases that burn 120 million gas each take longer than the other two thousand together.
const TOO_LONG: &str = "tx_gas_limit_0x07270e00";

/// How the cases of some files went.
#[derive(Default)]
struct Outcome {
    passed: usize,
    passed_over: usize,
    unknown: usize,
    failed: Vec<String>,
}

fn run_files(files: &[PathBuf]) -> Outcome {
    let mut outcome = Outcome::default();
    for file in files {
        let text = std::fs::read(file).unwrap();
        // Some large files of the archive are placeholders.
        let Ok(Value::Object(cases)) = serde_json::from_slice(&text) else { continue };
        for (name, case) in cases.iter().filter(|(_, case)| case.get("network").is_some()) {
            if name.contains(TOO_LONG) {
                outcome.passed_over += 1;
                continue;
            }
            match run(case) {
                Ok(true) => outcome.passed += 1,
                Ok(false) => outcome.unknown += 1,
                Err(error) => outcome.failed.push(format!("{name}: {error}")),
            }
        }
    }
    outcome
}

#[test]
fn the_execution_specs_agree() {
    let Some(folder) = unpacked() else { return };
    let mut files = Vec::new();
    files_below(folder.path(), &mut files);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = files.len().div_ceil(threads).max(1);
    // Neighbours are alike: sorted by size, every share gets some of each.
    files.sort_by_key(|file| file.metadata().map_or(0, |metadata| metadata.len()));
    let shares: Vec<Vec<PathBuf>> = (0..threads)
        .map(|first| files.iter().skip(first).step_by(threads).take(share).cloned().collect())
        .collect();
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let running: Vec<_> =
            shares.iter().map(|files| scope.spawn(move || run_files(files))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let passed: usize = outcomes.iter().map(|outcome| outcome.passed).sum();
    let passed_over: usize = outcomes.iter().map(|outcome| outcome.passed_over).sum();
    let unknown: usize = outcomes.iter().map(|outcome| outcome.unknown).sum();
    let failed: Vec<_> = outcomes.into_iter().flat_map(|outcome| outcome.failed).collect();
    println!("{passed} cases agree, {unknown} are of unknown networks, {passed_over} are too long");
    assert!(passed > 2_000, "{passed} cases");
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}
