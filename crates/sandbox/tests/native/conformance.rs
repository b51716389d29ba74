//! One suite over the real runtime and the scripted one: what a provider may rely on.

use std::{path::Path, time::Duration};

use primitives::Seconds;
use sandbox::{
    Chain, Error, Outcome, Phase, Preparation, Progress, Run, Runtime, Script, Scripted, Spec,
    Spoken, Stream,
};

use crate::{
    bench::{Bench, PATIENCE, shell, text, until},
    modules,
};

/// The two pieces of work that the suite runs: both say `on`; the short one leaves `42` in
/// `out/answer` and exits with 3, the long one stays until it is stopped. Called before each
/// preparation, to place what they need.
type Work<'a> = &'a dyn Fn() -> Spec;

const LONG: &str = "echo on; sleep 98767";
const SHORT: &str = "echo on; echo 42 >out/answer; exit 3";

#[tokio::test]
async fn native_processes_conform() {
    let bench = Bench::new();
    conforms(&bench.runtime, &bench.folder(), &|| shell(SHORT), &|| shell(LONG)).await;
}

#[tokio::test]
async fn modules_conform() {
    let bench = Bench::new();
    let short = || modules::module(&bench, modules::SHORT, &[]);
    let long = || modules::module(&bench, modules::LONG, &[]);
    conforms(&bench.runtime, &bench.folder(), &short, &long).await;
}

#[tokio::test]
async fn scripts_conform() {
    let runtime = Scripted::new(script);
    let folder = Path::new("/nowhere/run");
    conforms(&runtime, folder, &|| shell(SHORT), &|| shell(LONG)).await;
}

/// What the shell would do.
fn script(spec: &Spec) -> Script {
    let words = |at| Spoken { at, stream: Stream::Stdout, words: b"on\n".to_vec() };
    let command = spec.arguments.get(1).map(String::as_str);
    Script {
        ready_after: Duration::from_millis(5),
        ends_after: (command == Some(SHORT)).then_some(Duration::from_millis(20)),
        outcome: Outcome::NonZeroExit,
        exit_code: Some(3),
        speech: vec![words(Duration::from_millis(1))],
        outputs: [("answer".to_owned(), b"42\n".to_vec())].into(),
        ..Default::default()
    }
}

async fn conforms(runtime: &dyn Runtime, folder: &Path, short: Work<'_>, long: Work<'_>) {
    let prepare = async |spec: &Spec| match runtime.prepare(spec, folder).await {
        Ok(Preparation::Ready(prepared)) => prepared,
        other => panic!("{other:?}"),
    };
    assert!(runtime.adopt(folder).await.expect("looked").is_none());
    let mut zero = short();
    zero.limits.time = Seconds(0);
    assert!(matches!(
        runtime.prepare(&zero, folder).await,
        Ok(Preparation::Refused(ending)) if ending.outcome == Outcome::Refused
    ));

    // To its own end.
    prepare(&short()).await;
    let prepared = prepare(&short()).await;
    assert!(runtime.adopt(folder).await.expect("looked").is_none());
    let run = runtime.start(prepared.clone()).await.expect("started");
    assert!(matches!(runtime.start(prepared).await, Err(Error::Shim { .. })));
    let progress = until(&*run, |progress| progress.exit().is_some()).await;
    let exit = progress.exit().expect("ended").clone();
    assert_eq!((exit.ending.outcome, exit.exit_code), (Outcome::NonZeroExit, Some(3)));
    assert!(exit.started);
    assert_eq!(text(&*run, Stream::Stdout).await, "on\n");
    assert_eq!(run.log(Stream::Stdout, 1, 1).await.expect("a piece"), b"n");
    assert_eq!(run.log(Stream::Stdout, 99, 1).await.expect("nothing"), b"");
    let beats = run.samples(0).await.expect("unbroken");
    let chain = Chain::default().follow(&beats).expect("unbroken");
    assert_eq!((chain.length, chain.head), (exit.samples, exit.chain));
    assert!(beats.len() >= 2);
    let outputs = run.outputs().await.expect("listed");
    assert_eq!(outputs.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["answer"]);
    assert_eq!(run.read_output("answer", 0, 9).await.expect("read"), b"42\n");
    assert!(matches!(run.read_output("other", 0, 9).await, Err(Error::NoOutput { .. })));
    assert!(matches!(run.pause().await, Err(Error::NotRunning { .. })));
    let again = runtime.adopt(folder).await.expect("looked").expect("found");
    assert_eq!(again.progress().await.expect("progress").exit(), Some(&exit));
    assert!(runtime.wipe(folder).await.expect("wiped").files >= 1);
    assert!(runtime.adopt(folder).await.expect("looked").is_none());

    // Held, let go, and stopped.
    let prepared = prepare(&long()).await;
    let run = runtime.start(prepared).await.expect("started");
    until(&*run, |progress| progress.stdout == 3).await;
    assert!(matches!(runtime.wipe(folder).await, Err(Error::StillRunning { .. })));
    run.pause().await.expect("told");
    let held = until(&*run, |progress| progress.phase == Phase::Paused).await;
    run.pause().await.expect("twice changes nothing");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let still = run.progress().await.expect("progress");
    assert_eq!(still.elapsed, held.elapsed);
    assert!(still.paused >= Duration::from_millis(40), "{still:?}");
    let other = runtime.adopt(folder).await.expect("looked").expect("found");
    other.resume().await.expect("told");
    until(&*run, |progress| progress.phase == Phase::Running).await;
    run.stop(Duration::ZERO).await.expect("told");
    let progress = until(&*run, |progress| progress.exit().is_some()).await;
    let exit = progress.exit().expect("ended");
    assert_eq!(exit.ending.outcome, Outcome::Stopped);
    assert!(exit.paused_ms >= 40, "{exit:?}");
    runtime.wipe(folder).await.expect("wiped");

    // Left alone it holds itself, whether it was told to or not, and goes on when told.
    let alone = Seconds(1);
    let mut spec = long();
    spec.limits.unattended = Some(alone);
    let prepared = prepare(&spec).await;
    let run = runtime.start(prepared).await.expect("started");
    let held = until(&*run, |progress| progress.phase == Phase::Paused).await;
    assert!(held.elapsed >= alone.duration(), "{held:?}");
    run.pause().await.expect("told");
    let still = passes(&*run, |progress| progress.paused > alone.duration() * 2).await;
    assert_eq!((still.phase, still.elapsed), (Phase::Paused, held.elapsed));
    run.resume().await.expect("told");
    until(&*run, |progress| progress.phase == Phase::Running).await;
    let again = until(&*run, |progress| progress.phase == Phase::Paused).await;
    assert!(again.elapsed >= held.elapsed + alone.duration(), "{again:?}");
    run.stop(Duration::ZERO).await.expect("told");
    let progress = until(&*run, |progress| progress.exit().is_some()).await;
    assert_eq!(progress.exit().map(|exit| exit.ending.outcome), Some(Outcome::Stopped));
    runtime.wipe(folder).await.expect("wiped");
}

/// Look until time has passed that no change tells of.
async fn passes(run: &dyn Run, reached: impl Fn(&Progress) -> bool) -> Progress {
    let looking = async {
        loop {
            let progress = run.progress().await.expect("progress");
            if reached(&progress) {
                return progress;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("time passes")
}
