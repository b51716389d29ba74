//! A run outlives its provider, is found again, and never outlives its shim.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use sandbox::{Chain, Error, Outcome, Phase, Runtime};

use crate::bench::{Bench, PATIENCE, kill_shims, mark, processes, shell, until, until_running};

/// Set for the copy of this program that plays a provider; its value is the run folder.
const PROVIDER: &str = "PLAZA_TEST_PROVIDER";

/// What its work sleeps.
const MARK: &str = "PLAZA_TEST_MARK";

/// A long run that says where it is.
fn script(mark: &str) -> String {
    format!("echo on; sleep {mark} & while [ ! -e out/end ]; do sleep 0.05; done; echo end")
}

/// Plays a provider that starts a run and is killed; outside that it does nothing.
#[tokio::test]
async fn a_provider() {
    let Some(folder) = std::env::var_os(PROVIDER) else { return };
    let bench = Bench::at(Path::new(&folder).parent().expect("a folder"));
    let mark = std::env::var(MARK).expect("a mark");
    let run = bench.start(&shell(&script(&mark))).await;
    until(&*run, |progress| progress.stdout > 0).await;
    println!("\nstarted");
    tokio::time::sleep(PATIENCE).await;
}

#[tokio::test]
async fn a_run_goes_on_when_its_provider_is_killed_and_the_next_one_finds_it() {
    let (bench, mark) = (Bench::new(), mark());
    let mut provider = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "adoption::a_provider", "--nocapture"])
        .env(PROVIDER, bench.folder())
        .env(MARK, &mark)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a provider");
    let words = BufReader::new(provider.stdout.take().expect("its words"));
    assert!(words.lines().map_while(Result::ok).any(|line| line == "started"));
    provider.kill().expect("killed");
    provider.wait().expect("dead");

    let run = bench.runtime.adopt(&bench.folder()).await.expect("found").expect("a run");
    let progress = run.progress().await.expect("progress");
    assert_eq!(progress.phase, Phase::Running);
    let before = run.samples(0).await.expect("unbroken");
    until(&*run, |progress| progress.elapsed > Duration::from_millis(1_200)).await;
    let chain = Chain::default().follow(&before).expect("unbroken");
    let since = run.samples(chain.length).await.expect("unbroken");
    assert!(!since.is_empty(), "it is sampled without a provider");
    chain.follow(&since).expect("what was before is unchanged");

    fs::write(bench.folder().join("work/out/end"), "").expect("written");
    let done = bench.finish(&*run).await;
    assert_eq!(done.exit.ending.outcome, Outcome::Completed);
    assert_eq!(done.stdout, "on\nend\n");
    assert_eq!(processes(&mark), [0; 0]);
}

#[tokio::test]
async fn a_run_that_ended_unwatched_is_found_with_its_record() {
    let bench = Bench::new();
    let run = bench.start(&shell("exit 7")).await;
    drop(run);
    let deadline = Instant::now() + PATIENCE;
    while !sandbox::Folder::new(bench.folder()).exit().exists() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let run = bench.runtime.adopt(&bench.folder()).await.expect("found").expect("a run");
    let done = bench.finish(&*run).await;
    assert_eq!(done.exit.exit_code, Some(7));
}

#[tokio::test]
async fn when_the_shim_dies_so_does_the_work_and_the_run_is_lost() {
    let (bench, mark) = (Bench::new(), mark());
    let run = bench.start(&shell(&script(&mark))).await;
    until(&*run, |progress| progress.stdout > 0).await;
    until(&*run, |progress| progress.elapsed > Duration::from_millis(1_100)).await;
    assert_eq!(processes(&mark).len(), 2, "the shell and its sleep");
    kill_shims(&bench.folder());
    let progress = until(&*run, |progress| progress.exit().is_some()).await;
    let exit = progress.exit().expect("ended").clone();
    assert_eq!(exit.ending.outcome, Outcome::Lost);
    assert!(exit.ending.outcome.is_the_machines_fault());
    let last = run.samples(0).await.expect("unbroken").last().expect("a sample").sample;
    assert_eq!(exit.elapsed_ms, last.at_ms, "nothing after the last sample counts");
    until_gone(&mark).await;
    let again = bench.runtime.adopt(&bench.folder()).await.expect("found").expect("a run");
    assert_eq!(again.progress().await.expect("progress").exit(), Some(&exit));
    let wiped = bench.runtime.wipe(&bench.folder()).await.expect("wiped");
    assert!(!bench.folder().exists());
    assert!(wiped.files > 3, "{wiped:?}");
}

#[tokio::test]
async fn work_that_is_held_dies_with_its_shim_too() {
    let (bench, mark) = (Bench::new(), mark());
    let run = bench.start(&shell(&format!("echo on; sleep {mark}"))).await;
    until(&*run, |progress| progress.stdout > 0).await;
    run.pause().await.expect("told");
    until(&*run, |progress| progress.phase == Phase::Paused).await;
    kill_shims(&bench.folder());
    let progress = until(&*run, |progress| progress.exit().is_some()).await;
    assert_eq!(progress.exit().map(|exit| exit.ending.outcome), Some(Outcome::Lost));
    until_gone(&mark).await;
    bench.runtime.wipe(&bench.folder()).await.expect("wiped");
}

#[tokio::test]
async fn work_that_held_itself_may_still_say_its_last_words() {
    let bench = Bench::new();
    let farewell = "trap 'sleep 1.5; echo bye; exit 0' TERM; echo on";
    let mut spec = shell(&format!("{farewell}; while :; do sleep 0.05; done"));
    spec.limits.unattended = Some(primitives::Seconds(1));
    let run = bench.start(&spec).await;
    until(&*run, |progress| progress.phase == Phase::Paused).await;
    run.stop(PATIENCE).await.expect("told");
    let done = bench.finish(&*run).await;
    assert_eq!(done.exit.ending.outcome, Outcome::Stopped);
    assert_eq!(done.stdout, "on\nbye\n");
}

#[tokio::test]
async fn a_run_is_started_once() {
    let bench = Bench::new();
    let run = bench.start(&shell("sleep 98764")).await;
    until_running(&*run).await;
    let prepared = match bench.runtime.prepare(&shell("true"), &bench.folder()).await {
        Ok(sandbox::Preparation::Ready(prepared)) => prepared,
        other => panic!("{other:?}"),
    };
    assert!(matches!(bench.runtime.start(prepared.clone()).await, Err(Error::Shim { .. })));
    assert!(matches!(bench.runtime.wipe(&bench.folder()).await, Err(Error::StillRunning { .. })));
    run.stop(Duration::ZERO).await.expect("told");
    until(&*run, |progress| progress.exit().is_some()).await;
    assert!(matches!(bench.runtime.start(prepared).await, Err(Error::Shim { .. })));
    assert!(matches!(run.stop(Duration::ZERO).await, Err(Error::NotRunning { .. })));
}

#[tokio::test]
async fn what_was_never_started_is_not_found() {
    let bench = Bench::new();
    assert!(bench.runtime.adopt(&bench.folder()).await.expect("looked").is_none());
    bench.runtime.prepare(&shell("true"), &bench.folder()).await.expect("prepared");
    assert!(bench.runtime.adopt(&bench.folder()).await.expect("looked").is_none());
}

/// Time is never read from a clock that can be set: no source file of ours names one, but the one
/// that tells modules the time.
#[test]
fn no_wall_clock_is_read() {
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("sources").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            if entry.path().ends_with("wasm/wasi/clock.rs") {
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            for clock in ["SystemTime", "Realtime", "CLOCK_REALTIME", "gettimeofday()"] {
                assert!(!text.contains(clock), "{} names {clock}", entry.path().display());
            }
        }
    }
}

async fn until_gone(mark: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !processes(mark).is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(processes(mark), [0; 0]);
}
