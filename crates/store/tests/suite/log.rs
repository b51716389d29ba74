//! What every log promises, and how the one in memory crashes.

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use primitives::B256;
use store::{Appended, Batch, Crash, Cursor, Entry, Error, Log, MemoryLog, Position, SqliteLog};
use tempfile::TempDir;
use tokio::time::timeout;

fn fact(text: &str) -> Vec<u8> {
    format!("{{\"fact\":\"{text}\"}}").into_bytes()
}

fn facts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| fact(text)).collect()
}

fn stored(last: u64) -> Appended {
    Appended::Stored { last: Position(last) }
}

fn conflict(stream: &str, next: u64) -> Appended {
    Appended::Conflict { stream: stream.to_owned(), next }
}

fn cursor(number: u64) -> Cursor {
    Cursor { number, hash: B256::repeat_byte(7) }
}

fn kept(entries: &[Entry]) -> Vec<(u64, &str, u64, Vec<u8>)> {
    entries
        .iter()
        .map(|one| (one.position.0, one.stream.as_str(), one.number, one.fact.clone()))
        .collect()
}

async fn facts_come_back_in_order(log: Arc<dyn Log>) {
    assert_eq!(log.append(Batch::to("deal/1", 0, facts(&["a", "b"]))).await.unwrap(), stored(2));
    assert_eq!(log.append(Batch::to("deal/2", 0, facts(&["c"]))).await.unwrap(), stored(3));
    assert_eq!(log.append(Batch::to("deal/1", 2, facts(&["d"]))).await.unwrap(), stored(4));
    let replayed = log.replay("deal/1", 0).await.unwrap();
    assert_eq!(
        kept(&replayed),
        [(1, "deal/1", 0, fact("a")), (2, "deal/1", 1, fact("b")), (4, "deal/1", 2, fact("d"))]
    );
    assert_eq!(kept(&log.replay("deal/1", 2).await.unwrap()), [(4, "deal/1", 2, fact("d"))]);
    assert!(log.replay("deal/1", 3).await.unwrap().is_empty());
    assert!(log.replay("deal", 0).await.unwrap().is_empty());
}

async fn a_writer_that_is_behind_learns_what_comes_next_and_writes_nothing(log: Arc<dyn Log>) {
    assert_eq!(log.append(Batch::to("s", 0, facts(&["a", "b"]))).await.unwrap(), stored(2));
    for wrong in [0, 1, 3] {
        let batch = Batch::to("s", wrong, facts(&["x"])).with_cursor("chain", cursor(9));
        assert_eq!(log.append(batch).await.unwrap(), conflict("s", 2));
    }
    assert_eq!(log.append(Batch::to("t", 1, facts(&["x"]))).await.unwrap(), conflict("t", 0));
    assert_eq!(log.replay("s", 0).await.unwrap().len(), 2);
    assert_eq!(log.cursor("chain").await.unwrap(), None);
    assert_eq!(*log.watch().borrow(), Position(2));
}

async fn a_batch_is_written_whole_or_not_at_all(log: Arc<dyn Log>) {
    let both = Batch::to("job", 0, facts(&["a"])).and("deal", 0, facts(&["b"]));
    assert_eq!(log.append(both.clone().with_cursor("chain", cursor(5))).await.unwrap(), stored(2));
    assert_eq!(log.cursor("chain").await.unwrap(), Some(cursor(5)));
    let half = Batch::to("job", 1, facts(&["c"])).and("deal", 0, facts(&["d"]));
    let half = half.with_cursor("chain", cursor(6));
    assert_eq!(log.append(half).await.unwrap(), conflict("deal", 1));
    assert_eq!(log.replay("job", 0).await.unwrap().len(), 1);
    assert_eq!(log.cursor("chain").await.unwrap(), Some(cursor(5)));
    let twice = Batch::to("job", 1, facts(&["c"])).and("job", 2, facts(&["d"]));
    assert_eq!(log.append(twice).await.unwrap(), stored(4));
    let twice_wrong = Batch::to("job", 3, facts(&["e"])).and("job", 3, facts(&["f"]));
    assert_eq!(log.append(twice_wrong).await.unwrap(), conflict("job", 4));
    assert_eq!(log.replay("job", 0).await.unwrap().len(), 3);
}

async fn a_cursor_moves_without_facts_too(log: Arc<dyn Log>) {
    let only = |number| Batch::default().with_cursor("chain", cursor(number));
    assert_eq!(log.append(only(1)).await.unwrap(), stored(0));
    assert_eq!(log.append(only(2)).await.unwrap(), stored(0));
    assert_eq!(log.cursor("chain").await.unwrap(), Some(cursor(2)));
    assert_eq!(log.cursor("another").await.unwrap(), None);
}

async fn streams_are_listed_by_prefix(log: Arc<dyn Log>) {
    for (stream, count) in [("deal/b", 1), ("deal/a", 2), ("job/a", 1), ("deal%", 1), ("Deal/c", 1)]
    {
        let batch = Batch::to(stream, 0, vec![fact("x"); count]);
        assert!(matches!(log.append(batch).await.unwrap(), Appended::Stored { .. }));
    }
    let names = |prefix: &'static str| {
        let log = log.clone();
        async move {
            let heads = log.streams(prefix).await.unwrap();
            heads.into_iter().map(|head| (head.stream, head.next)).collect::<Vec<_>>()
        }
    };
    let own = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
        list.iter().map(|(stream, next)| ((*stream).to_owned(), *next)).collect()
    };
    assert_eq!(names("deal/").await, own(&[("deal/a", 2), ("deal/b", 1)]));
    assert_eq!(names("deal%").await, own(&[("deal%", 1)]));
    assert_eq!(names("").await.len(), 5);
    assert!(names("nothing").await.is_empty());
}

async fn a_feed_reads_on_from_where_it_was(log: Arc<dyn Log>) {
    let writing = log.clone();
    let writer = tokio::spawn(async move {
        for number in 0..50 {
            let batch = Batch::to("s", number, vec![fact(&number.to_string())]);
            assert!(matches!(writing.append(batch).await.unwrap(), Appended::Stored { .. }));
        }
    });
    let (mut seen, mut after, mut watch) = (Vec::new(), Position(0), log.watch());
    while seen.len() < 50 {
        let entries = log.read_all(after, 7).await.unwrap();
        assert!(entries.len() <= 7);
        if entries.is_empty() {
            let more = watch.wait_for(|last| *last > after);
            timeout(Duration::from_secs(20), more).await.expect("in time").unwrap();
        }
        after = entries.last().map_or(after, |entry| entry.position);
        seen.extend(entries);
    }
    writer.await.unwrap();
    let numbers: Vec<_> = seen.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
}

async fn of_many_writers_of_one_number_exactly_one_succeeds(log: Arc<dyn Log>) {
    for number in 0..5 {
        let writers: Vec<_> = (0..20)
            .map(|writer| {
                let log = log.clone();
                let batch = Batch::to("s", number, vec![fact(&writer.to_string())]);
                tokio::spawn(async move { log.append(batch).await.unwrap() })
            })
            .collect();
        let mut successes = 0;
        for writer in writers {
            match writer.await.unwrap() {
                Appended::Stored { .. } => successes += 1,
                Appended::Conflict { next, .. } => assert_eq!(next, number + 1),
            }
        }
        assert_eq!(successes, 1);
    }
    assert_eq!(log.replay("s", 0).await.unwrap().len(), 5);
}

async fn many_streams_are_written_at_once(log: Arc<dyn Log>) {
    let writers: Vec<_> = (0..40)
        .map(|stream| {
            let log = log.clone();
            tokio::spawn(async move {
                for number in 0..10 {
                    let batch = Batch::to(format!("s{stream:02}"), number, vec![fact("x")]);
                    assert!(matches!(log.append(batch).await.unwrap(), Appended::Stored { .. }));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let all = log.read_all(Position(0), 1_000).await.unwrap();
    let positions: BTreeSet<_> = all.iter().map(|entry| entry.position.0).collect();
    assert_eq!(positions, (1..=400).collect());
    assert!(log.streams("s").await.unwrap().iter().all(|head| head.next == 10));
}

macro_rules! over_both {
    ($($behaviour:ident,)*) => {
        mod over_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let folder = tempfile::tempdir().unwrap();
                let log = store::SqliteLog::open(&folder.path().join("facts.db")).await.unwrap();
                super::$behaviour(std::sync::Arc::new(log)).await;
            })*
        }

        mod over_memory {
            $(#[tokio::test(start_paused = true)]
            async fn $behaviour() {
                let latency = std::time::Duration::from_millis(1);
                super::$behaviour(std::sync::Arc::new(store::MemoryLog::with_latency(latency))).await;
            })*
        }
    };
}

over_both! {
    facts_come_back_in_order,
    a_writer_that_is_behind_learns_what_comes_next_and_writes_nothing,
    a_batch_is_written_whole_or_not_at_all,
    a_cursor_moves_without_facts_too,
    streams_are_listed_by_prefix,
    a_feed_reads_on_from_where_it_was,
    of_many_writers_of_one_number_exactly_one_succeeds,
    many_streams_are_written_at_once,
}

async fn sqlite() -> (TempDir, SqliteLog) {
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(&folder.path().join("data/facts.db")).await.unwrap();
    (folder, log)
}

#[tokio::test]
async fn a_log_on_disk_goes_on_where_it_was_closed() {
    let (folder, log) = sqlite().await;
    let batch = Batch::to("s", 0, facts(&["a", "b"])).with_cursor("chain", cursor(3));
    assert_eq!(log.append(batch).await.unwrap(), stored(2));
    log.close().await;
    let left = std::fs::read_dir(folder.path().join("data")).unwrap().count();
    assert_eq!(left, 1, "a closed log is one file");
    let log = SqliteLog::open(&folder.path().join("data/facts.db")).await.unwrap();
    assert_eq!(*log.watch().borrow(), Position(2));
    assert_eq!(log.cursor("chain").await.unwrap(), Some(cursor(3)));
    assert_eq!(log.append(Batch::to("s", 2, facts(&["c"]))).await.unwrap(), stored(3));
}

#[tokio::test]
async fn two_processes_on_one_file_are_fenced() {
    let (folder, one) = sqlite().await;
    let other = SqliteLog::open(&folder.path().join("data/facts.db")).await.unwrap();
    assert_eq!(one.append(Batch::to("s", 0, facts(&["a"]))).await.unwrap(), stored(1));
    assert_eq!(other.append(Batch::to("s", 0, facts(&["b"]))).await.unwrap(), conflict("s", 1));
    assert_eq!(other.append(Batch::to("s", 1, facts(&["b"]))).await.unwrap(), stored(2));
    assert_eq!(one.append(Batch::to("s", 1, facts(&["c"]))).await.unwrap(), conflict("s", 2));
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let (folder, log) = sqlite().await;
    assert_eq!(log.append(Batch::to("s", 0, facts(&["a"]))).await.unwrap(), stored(1));
    let data = folder.path().join("data");
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let mut seen = 0;
    for file in std::fs::read_dir(data).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
        seen += 1;
    }
    assert!(seen >= 2, "the database and its write-ahead log");
}

#[tokio::test]
async fn what_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts.db");
    std::fs::write(&path, vec![b'x'; 10_000]).unwrap();
    let error = SqliteLog::open(&path).await.unwrap_err();
    assert!(matches!(error, Error::Database { .. }));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_what_was_not_yet_durable_and_nothing_else() {
    let log = MemoryLog::with_latency(Duration::from_millis(5));
    assert_eq!(log.append(Batch::to("s", 0, facts(&["a"]))).await.unwrap(), stored(1));
    let writing = log.clone();
    let lost = tokio::spawn(async move { writing.append(Batch::to("s", 1, facts(&["b"]))).await });
    tokio::task::yield_now().await;
    log.crash();
    assert!(matches!(lost.await.unwrap(), Err(Error::Down { .. })));
    let next_life = log.reopen();
    assert!(log.is_down() && !next_life.is_down());
    assert_eq!(next_life.replay("s", 0).await.unwrap().len(), 1);
    assert!(log.replay("s", 0).await.is_err(), "the former life stays down");
}

#[tokio::test]
async fn a_planned_crash_happens_at_its_fact_before_or_after() {
    for (when, survives) in [(Crash::Before, 2), (Crash::After, 4)] {
        let log = MemoryLog::new();
        log.crash_at(Position(3), when);
        assert_eq!(log.append(Batch::to("s", 0, facts(&["1", "2"]))).await.unwrap(), stored(2));
        let crashed = log.append(Batch::to("s", 2, facts(&["3", "4"]))).await;
        assert!(matches!(crashed, Err(Error::Down { .. })));
        assert!(log.is_down());
        assert_eq!(log.reopen().replay("s", 0).await.unwrap().len(), survives, "{when:?}");
    }
}

#[tokio::test]
async fn who_watches_a_crashed_log_learns_that_it_is_gone() {
    let log = MemoryLog::new();
    let mut watch = log.watch();
    log.crash();
    assert!(watch.changed().await.is_err());
    let next_life = log.reopen();
    let mut watch = next_life.watch();
    assert_eq!(next_life.append(Batch::to("s", 0, facts(&["a"]))).await.unwrap(), stored(1));
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow(), Position(1));
}

#[tokio::test]
async fn a_full_disk_on_demand_loses_nothing() {
    let log = MemoryLog::new();
    log.fail_appends(1);
    let failed = log.append(Batch::to("s", 0, facts(&["a"]))).await;
    assert!(matches!(failed, Err(Error::DiskFull { .. })));
    assert_eq!(log.append(Batch::to("s", 0, facts(&["a"]))).await.unwrap(), stored(1));
}
