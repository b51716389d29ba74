//! A process that is killed in the middle of writing loses nothing that it was told is durable.
//!
//! The test starts this test program again as the writer, reads what the writer says was
//! acknowledged, kills it, and opens the files.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use primitives::{B256, Bytes, Digest};
use store::{Appended, Batch, Blobs, Cursor, DiskBlobs, Expect, Log, SqliteLog};

const FOLDER: &str = "PLAZA_TEST_WRITER_FOLDER";
const ENOUGH: usize = 400;
const LIMIT: Bytes = Bytes(1 << 30);

/// Not a test but the writer, when a folder is named in its environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let log = Arc::new(SqliteLog::open(&folder.join("facts.db")).await.unwrap());
    let blobs = Arc::new(DiskBlobs::open(&folder.join("blobs"), LIMIT).await.unwrap());
    let mut writers = Vec::new();
    for stream in 0..6u64 {
        let log = log.clone();
        writers.push(tokio::spawn(async move {
            for number in 0.. {
                let fact = format!("{{\"number\":{number}}}").into_bytes();
                let cursor =
                    Cursor { number, hash: B256::left_padding_from(&number.to_be_bytes()) };
                let batch = Batch::to(format!("s{stream}"), number * 2, vec![fact.clone(), fact])
                    .with_cursor(format!("s{stream}"), cursor);
                assert!(matches!(log.append(batch).await.unwrap(), Appended::Stored { .. }));
                say(&format!("fact s{stream} {number}"));
            }
        }));
    }
    for writer in 0..2u8 {
        let blobs = blobs.clone();
        writers.push(tokio::spawn(async move {
            for number in 0u64.. {
                let mut content = vec![writer; 300_000];
                content[..8].copy_from_slice(&number.to_be_bytes());
                let blob = blobs.put_bytes(&content).await.unwrap();
                say(&format!("blob {}", blob.digest));
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nacknowledged {line}").unwrap();
    out.flush().unwrap();
}

/// Start a writer and kill it after some acknowledgements; what it said.
fn write_until_killed(folder: &Path, enough: usize) -> Vec<String> {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::writer", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while said.len() < enough {
        let line = lines.next().expect("the writer goes on until it is killed").unwrap();
        said.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    // What it said before it died counts as well; only its very last line may be cut.
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    let whole = rest.len().saturating_sub(1);
    said.extend(
        rest[..whole]
            .iter()
            .filter_map(|line| line.strip_prefix("acknowledged "))
            .map(str::to_owned),
    );
    said
}

#[tokio::test]
async fn everything_acknowledged_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    let said =
        tokio::task::spawn_blocking(move || write_until_killed(&path, ENOUGH)).await.unwrap();
    let log = SqliteLog::open(&folder.path().join("facts.db")).await.unwrap();
    let blobs = DiskBlobs::open(&folder.path().join("blobs"), LIMIT).await.unwrap();
    for line in &said {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["fact", stream, number] => {
                let number: u64 = number.parse().unwrap();
                let kept = log.replay(stream, number * 2).await.unwrap();
                assert!(kept.len() >= 2, "{line}");
            }
            ["blob", digest] => {
                let digest: Digest = digest.parse().unwrap();
                assert_eq!(blobs.get_bytes(&digest, LIMIT).await.unwrap().len(), 300_000, "{line}");
            }
            _ => panic!("the writer said {line:?}"),
        }
    }
    let streams = log.streams("s").await.unwrap();
    assert_eq!(streams.len(), 6);
    for head in streams {
        assert_eq!(head.next % 2, 0, "{} has half a batch", head.stream);
        let cursor = log.cursor(&head.stream).await.unwrap().unwrap();
        assert_eq!(cursor.number, head.next / 2 - 1, "the cursor came with its facts");
        let numbers: Vec<_> =
            log.replay(&head.stream, 0).await.unwrap().iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (0..head.next).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_was_half_written_is_gone_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    tokio::task::spawn_blocking(move || write_until_killed(&path, 50)).await.unwrap();
    let root = folder.path().join("blobs");
    let blobs = DiskBlobs::open(&root, LIMIT).await.unwrap();
    assert_eq!(std::fs::read_dir(root.join("incoming")).unwrap().count(), 0);
    let mut sizes = 0;
    for shard in std::fs::read_dir(&root).unwrap().map(Result::unwrap) {
        for blob in std::fs::read_dir(shard.path()).unwrap().map(Result::unwrap) {
            let name = format!(
                "{}{}",
                shard.file_name().to_str().unwrap(),
                blob.file_name().to_str().unwrap()
            );
            let bytes = std::fs::read(blob.path()).unwrap();
            assert_eq!(Digest::of(&bytes).to_string(), name, "whatever has a name is whole");
            sizes += bytes.len() as u64;
        }
    }
    assert_eq!(blobs.used(), Bytes(sizes));
    let mut content = &b"and it goes on"[..];
    blobs.put(&mut content, Expect::any(LIMIT)).await.unwrap();
}
