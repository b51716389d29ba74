//! Scripts are played to the letter, on a clock that the test holds.

use super::*;

const FOLDER: &str = "/runs/1";

async fn begin(script: Script) -> (Scripted, Box<dyn Run>) {
    let runtime = Scripted::new(move |_| script.clone());
    let spec = Spec::host("anything", [""; 0]);
    let run = match runtime.prepare(&spec, Path::new(FOLDER)).await {
        Ok(Preparation::Ready(prepared)) => runtime.start(prepared).await.expect("started"),
        other => panic!("{other:?}"),
    };
    (runtime, run)
}

/// The story of a run as a watcher sees it.
async fn story(run: &dyn Run) -> Vec<(u64, u64, usize)> {
    let mut seen = Vec::new();
    loop {
        let progress = run.progress().await.expect("progress");
        let samples = run.samples(0).await.expect("samples").len();
        seen.push((milliseconds(progress.elapsed), progress.stdout, samples));
        if progress.exit().is_some() {
            return seen;
        }
        run.changed().await.expect("watched");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_wakes_for_every_word_and_every_second() {
    let script = Script {
        ready_after: Duration::from_millis(300),
        ends_after: Some(Duration::from_millis(2_500)),
        speech: vec![Spoken {
            at: Duration::from_millis(1_400),
            stream: Stream::Stdout,
            words: b"hello".to_vec(),
        }],
        ..Default::default()
    };
    let (_, run) = begin(script.clone()).await;
    let told = story(&*run).await;
    let expected =
        [(0, 0, 0), (0, 0, 1), (1_000, 0, 2), (1_400, 5, 2), (2_000, 5, 3), (2_500, 5, 4)];
    assert_eq!(told, expected);
    let (_, run) = begin(script).await;
    assert_eq!(story(&*run).await, expected, "the same story every time");
}

#[tokio::test(start_paused = true)]
async fn held_time_is_not_counted_and_does_not_end_a_run() {
    let (_, run) = begin(Script::default()).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    run.pause().await.expect("told");
    tokio::time::sleep(Duration::from_secs(100)).await;
    let progress = run.progress().await.expect("progress");
    assert_eq!((progress.phase, progress.elapsed.as_millis()), (Phase::Paused, 400));
    run.resume().await.expect("told");
    let (_, told) = (run.changed().await, story(&*run).await);
    assert_eq!(told.last().map(|it| it.0), Some(1_000));
    let progress = run.progress().await.expect("progress");
    assert_eq!(progress.exit().map(|exit| exit.paused_ms), Some(100_000));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_time_ends_what_does_not_end_itself() {
    let (_, run) = begin(Script { ends_after: None, ..Default::default() }).await;
    story(&*run).await;
    let progress = run.progress().await.expect("progress");
    let exit = progress.exit().expect("ended");
    assert_eq!((exit.ending.outcome, exit.elapsed_ms), (Outcome::TimedOut, 3_600_000));
}

#[tokio::test(start_paused = true)]
async fn a_lost_run_counts_to_its_last_sample_and_is_found_by_the_next_provider() {
    let (runtime, run) = begin(Script { ends_after: None, ..Default::default() }).await;
    drop(run);
    tokio::time::sleep(Duration::from_millis(2_700)).await;
    assert!(runtime.lose(Path::new(FOLDER)));
    assert!(!runtime.lose(Path::new(FOLDER)));
    let found = runtime.clone().adopt(Path::new(FOLDER)).await.expect("looked").expect("found");
    let progress = found.progress().await.expect("progress");
    let exit = progress.exit().expect("ended");
    assert_eq!((exit.ending.outcome, exit.elapsed_ms, exit.samples), (Outcome::Lost, 2_000, 3));
}
