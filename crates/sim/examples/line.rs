//! How fast the straight line is: the real binary on this machine, beside a bare process.
//!
//! What is measured, each over the whole of `plaza run` as a person sees it (from starting the
//! command to its first byte of output; the order, two signatures, the escrow on the chain and the
//! sandbox lie in between):
//! warm runs; the first run on an empty data folder; the daemon's memory and processor time at rest
//! and while it meters a job; and, in this process, a quote over ten thousand offers.
//!
//! Figures are medians of one run on one machine: the load is printed with them, and the ratio to a
//! bare `sh -c` tells the machine's own speed apart from ours.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use market::{
    Machine, Offer, Rules, Wish,
    quote::{Inquiry, quote},
};
use primitives::{
    Address, B256, Bytes, Digest, Millicores, PeerId, Rate, Resources, Seconds, UnixSeconds,
};

const WARM_RUNS: usize = 40;
const COLD_RUNS: usize = 5;
const QUOTES: usize = 200;
const OFFERS: u64 = 10_000;
const WATCHED: Duration = Duration::from_secs(15);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let plaza = binary()?;
    println!("machine: {} cores, load {}", cores(), load()?);
    quotes();

    let folder = tempfile::tempdir()?;
    let mut first = Vec::new();
    for number in 0..COLD_RUNS {
        let fresh = folder.path().join(format!("first-{number}"));
        let took = first_byte(Command::new(&plaza).arg("--data").arg(&fresh).args(ECHO))?;
        down(&plaza, &fresh)?;
        first.push(took);
    }
    row("first run, empty data folder -> first output byte", &mut first, "<= 3 s");

    let home = folder.path().join("warm");
    first_byte(Command::new(&plaza).arg("--data").arg(&home).args(ECHO))?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..WARM_RUNS {
        ours.push(first_byte(Command::new(&plaza).arg("--data").arg(&home).args(ECHO))?);
        bare.push(first_byte(Command::new("sh").args(["-c", "echo hello"]))?);
    }
    let ratio = median(&mut ours.clone()).as_secs_f64() / median(&mut bare.clone()).as_secs_f64();
    row("warm run -> first output byte", &mut ours, "p50 <= 150 ms, p95 <= 300 ms");
    row("bare `sh -c` -> first output byte", &mut bare, "the peer");
    println!("  ratio of the medians: {ratio:.0}");

    let daemon = daemon(&home)?;
    let share = share_of_cpu(daemon, WATCHED)?;
    println!(
        "network at rest: {} of memory, {share:.2} % of one core over {WATCHED:?}",
        memory(daemon)?
    );
    let mut working = Command::new(&plaza)
        .arg("--data")
        .arg(&home)
        .args(["run", "--quiet", "--", "sleep", "60"])
        .stdout(Stdio::null())
        .spawn()?;
    std::thread::sleep(Duration::from_secs(2));
    let share = share_of_cpu(daemon, WATCHED)?;
    println!("metering one job: {share:.2} % of one core over {WATCHED:?} (aim: < 1 %)");
    working.kill()?;
    working.wait()?;
    down(&plaza, &home)?;
    println!("machine: load {}", load()?);
    Ok(())
}

const ECHO: [&str; 5] = ["run", "--quiet", "--", "echo", "hello"];

/// The binary beside this example.
fn binary() -> Outcome<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().and_then(Path::parent).ok_or("this example has no folder")?;
    let plaza = folder.join("plaza");
    if plaza.exists() { Ok(plaza) } else { Err(format!("{} is not built", plaza.display()).into()) }
}

/// How long a command takes to say its first byte; it is then left to end.
fn first_byte(command: &mut Command) -> Outcome<Duration> {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut out = child.stdout.take().ok_or("the command has no output")?;
    let mut byte = [0; 1];
    out.read_exact(&mut byte)?;
    let took = begun.elapsed();
    out.read_to_end(&mut Vec::new())?;
    child.wait()?;
    Ok(took)
}

fn down(plaza: &Path, folder: &Path) -> Outcome<()> {
    Command::new(plaza).arg("--data").arg(folder).arg("down").output()?;
    Ok(())
}

/// The daemon of a data folder: the process whose arguments name it.
fn daemon(folder: &Path) -> Outcome<u32> {
    let name = folder.display().to_string();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let said = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        if said.contains(&name) && said.split('\0').any(|word| word == "up") {
            return Ok(pid);
        }
    }
    Err("the network's process is not to be found".into())
}

/// Processor time of a process over a while, in percent of one core.
fn share_of_cpu(pid: u32, over: Duration) -> Outcome<f64> {
    let before = ticks(pid)?;
    std::thread::sleep(over);
    let used = Duration::from_millis(10 * (ticks(pid)? - before));
    Ok(100.0 * used.as_secs_f64() / over.as_secs_f64())
}

/// Hundredths of a second of processor time, user and system.
fn ticks(pid: u32) -> Outcome<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit(')').next().ok_or("the kernel's line has no name")?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

fn memory(pid: u32) -> Outcome<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.unwrap_or("unknown").trim().to_owned())
}

fn quotes() {
    let book: Vec<(Digest, Offer)> =
        (0..OFFERS).map(|number| (Digest::of(&number.to_be_bytes()), offer(number))).collect();
    let inquiry = Inquiry {
        wish: Wish {
            os: Some("linux".to_owned()),
            ..Wish::of(Resources {
                cpu: Millicores::cores(4),
                memory: Bytes::gibi(8),
                disk: Bytes::gibi(10),
                gpus: 0,
            })
        },
        time_limit: Seconds(3_600),
        max_rate: Rate::per_hour(900_000),
        token: Address::repeat_byte(1),
    };
    let mut took = Vec::new();
    let mut serving = 0;
    for _ in 0..QUOTES {
        let begun = Instant::now();
        let answer = quote(
            book.iter().map(|(digest, offer)| (*digest, offer)),
            &inquiry,
            &Rules::default(),
            UnixSeconds(0),
        );
        took.push(begun.elapsed());
        serving = answer.ranked.len();
    }
    row(&format!("quote over {OFFERS} offers, {serving} serve"), &mut took, "p99 <= 20 ms");
}

fn offer(number: u64) -> Offer {
    Offer {
        provider: Address::repeat_byte(2),
        provider_key: Address::repeat_byte(3),
        peer: PeerId(String::new()),
        machine: Machine {
            resources: Resources {
                cpu: Millicores::cores(1 + number % 64),
                memory: Bytes::gibi(1 + number % 128),
                disk: Bytes::gibi(100),
                gpus: 0,
            },
            divisible: true,
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            cpu_model: None,
            gpu_models: None,
            host_root: true,
            wasm: true,
            isolation: BTreeSet::new(),
        },
        rate: Rate::per_hour(u128::from(100_000 + number * 7_919 % 5_000_000)).unwrap_or_default(),
        token: Address::repeat_byte(1),
        sla: B256::ZERO,
        region: String::new(),
        sequence: 1,
        valid_until: UnixSeconds(u64::MAX),
    }
}

fn median(took: &mut [Duration]) -> Duration {
    percentile(took, 50)
}

fn percentile(took: &mut [Duration], percent: usize) -> Duration {
    took.sort();
    took[(took.len() * percent / 100).min(took.len() - 1)]
}

fn row(what: &str, took: &mut [Duration], aim: &str) {
    let [p50, p95, p99] = [50, 95, 99].map(|percent| percentile(took, percent));
    println!("{what}: p50 {p50:.1?}, p95 {p95:.1?}, p99 {p99:.1?} of {} ({aim})", took.len());
}

fn load() -> Outcome<String> {
    Ok(fs::read_to_string("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
