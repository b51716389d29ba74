//! The same without any right on the machine: fewer walls, honestly told, and the work still shut in.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::Command,
    time::Duration,
};

use primitives::Bytes;
use sandbox::{Error, Outcome, Phase, Runtime, Wall};

use crate::{
    bench::{Bench, mark, processes, shell, until},
    modules,
};

/// Set for the copy of this program that runs as nobody; its value is a folder of its own.
const NOBODY: &str = "PLAZA_TEST_NOBODY";

/// The number of a user that owns nothing.
const NUMBER: u32 = 65_534;

#[test]
fn everything_works_as_nobody() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("passed over: only root can become nobody; the other tests ran without rights");
        return;
    }
    let scratch = tempfile::tempdir().expect("a folder");
    chown(scratch.path(), Some(NUMBER), Some(NUMBER)).expect("given");
    let me = std::env::current_exe().expect("this program");
    let probe = Command::new(&me).arg("--list").uid(NUMBER).gid(NUMBER).output();
    if !probe.is_ok_and(|it| it.status.success()) {
        eprintln!("passed over: nobody may not run {}", me.display());
        return;
    }
    let done = Command::new(me)
        .args(["--exact", "unprivileged::as_nobody", "--nocapture"])
        .env(NOBODY, scratch.path())
        .uid(NUMBER)
        .gid(NUMBER)
        .output()
        .expect("run");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{stdout}\n{stderr}");
    eprintln!("{stderr}");
    assert_eq!(fs::read_dir(scratch.path()).expect("a folder").count(), 0);
}

/// Runs as nobody; outside that it does nothing.
#[tokio::test]
async fn as_nobody() {
    let Some(folder) = std::env::var_os(NOBODY) else { return };
    let bench = Bench::at(Path::new(&folder));
    let walls = match bench.runtime.probe(bench.scratch.path()).await {
        Ok(walls) => walls,
        Err(Error::Unfit { words }) => {
            eprintln!("passed over: this kernel gives name spaces to root alone ({words})");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert!(walls.namespaces && walls.seccomp && walls.wasm && !walls.own_user);
    assert_eq!(walls.is_shareable(), walls.memory == Wall::Kernel);

    bench.place("name", "world");
    let done = bench.run(&shell("cat name; id -u; echo x >out/x; cat /etc/shadow /root/x")).await;
    assert_eq!(done.stdout, "world1000\n", "{done:?}");
    assert_eq!(done.exit.ending.outcome, Outcome::NonZeroExit);
    assert!(done.exit.peak > Bytes(0));

    let done = bench.run(&shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done")).await;
    assert!(done.exit.cpu_ms > 10, "{done:?}");

    if walls.memory == Wall::PerProcess {
        let mut spec = shell("head -c 300M /dev/zero | tail -c 300M >out/x");
        spec.limits.resources.memory = Bytes::mebi(64);
        let done = bench.run(&spec).await;
        assert_ne!(done.exit.ending.outcome, Outcome::OutOfMemory, "no kernel evidence: {done:?}");
        assert_ne!(done.exit.ending.outcome, Outcome::Completed, "{done:?}");
        let forty = "(head -c 40M /dev/zero; sleep 60) | tail -c 40M >/dev/null";
        spec.arguments[1] = format!("{forty} & {forty} & wait");
        let done = bench.run(&spec).await;
        assert_eq!(done.exit.ending.outcome, Outcome::Killed, "{done:?}");
        assert!(done.exit.ending.cause.contains("64 MiB are agreed"), "{done:?}");
    }

    let mark = mark();
    let many = format!("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep {mark} & done; sleep {mark}");
    let mut spec = shell(&many);
    spec.limits.processes = 6;
    let run = bench.start(&spec).await;
    until(&*run, |progress| progress.stderr > 0 || progress.exit().is_some()).await;
    assert!(processes(&mark).len() <= 7, "bounded");
    // A shell that finds no room for another process may end at any moment.
    let told = run.stop(Duration::ZERO).await;
    assert!(matches!(told, Ok(()) | Err(Error::NotRunning { .. })), "{told:?}");
    bench.finish(&*run).await;

    modules::work(&bench).await;

    let run = bench.start(&shell("while :; do echo x; sleep 0.02; done")).await;
    until(&*run, |progress| progress.stdout > 4).await;
    run.pause().await.expect("told");
    let held = until(&*run, |progress| progress.phase == Phase::Paused).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let still = run.progress().await.expect("progress");
    assert!(still.stdout <= held.stdout + 4, "held work says nothing: {held:?} {still:?}");
    run.resume().await.expect("told");
    until(&*run, |progress| progress.stdout > still.stdout + 2).await;
    run.stop(Duration::ZERO).await.expect("told");
    let done = bench.finish(&*run).await;
    assert_eq!(done.exit.ending.outcome, Outcome::Stopped);
    assert_eq!(processes(&bench.folder().display().to_string()), [0; 0]);
    fs::remove_dir_all(bench.modules()).expect("removed");
}
