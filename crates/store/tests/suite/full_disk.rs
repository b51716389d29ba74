//! A disk that is really full: every store says so, keeps what it had, and goes on when there is
//! room again.
//!
//! The test starts this test program again in a mount namespace of its own, on a file system of
//! two mebibytes in memory.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use primitives::{Bytes, UnixSeconds};
use store::{
    Appended, Batch, Blobs, DiskBlobs, DiskOutputs, Documents, Durability, Error, Log, Outputs,
    SqliteDocuments, SqliteLog, Stored, Written,
};

const FOLDER: &str = "PLAZA_TEST_FULL_DISK";
const LIMIT: Bytes = Bytes(1 << 30);

#[test]
fn a_full_disk_loses_nothing_and_room_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=2m tmpfs \"$0\" || exit 77; exec \"$1\" --exact \
                  full_disk::on_a_small_disk --nocapture";
    let outcome = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .output();
    match outcome {
        Ok(outcome) if outcome.status.success() => {
            let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
            assert!(said.contains("the small disk was tried"), "{said}");
        }
        Ok(outcome) if outcome.status.code() == Some(101) => {
            panic!("{}", String::from_utf8_lossy(&outcome.stderr))
        }
        other => println!("skipped: this machine lets us mount no file system: {other:?}"),
    }
}

/// Not a test but its body, when a small disk is named in its environment.
#[tokio::test]
async fn on_a_small_disk() {
    let Some(disk) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    facts(&disk).await;
    blobs(&disk).await;
    outputs(&disk).await;
    documents(&disk).await;
    println!("the small disk was tried");
}

async fn facts(disk: &Path) {
    let filler = disk.join("filler");
    std::fs::write(&filler, vec![1; 800_000]).unwrap();
    let log = SqliteLog::open(&disk.join("log/facts.db")).await.unwrap();
    let mut kept = 0;
    let error = loop {
        match log.append(Batch::to("s", kept, vec![vec![b' '; 100_000]])).await {
            Ok(outcome) => assert!(matches!(outcome, Appended::Stored { .. })),
            Err(error) => break error,
        }
        kept += 1;
    };
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert!(kept > 0);
    assert_eq!(log.replay("s", 0).await.unwrap().len() as u64, kept);
    std::fs::remove_file(&filler).unwrap();
    let again = log.append(Batch::to("s", kept, vec![vec![b' '; 100_000]])).await.unwrap();
    assert!(matches!(again, Appended::Stored { .. }));
    log.close().await;
    std::fs::remove_dir_all(disk.join("log")).unwrap();
}

async fn blobs(disk: &Path) {
    let root = disk.join("blobs");
    let blobs = DiskBlobs::open(&root, LIMIT).await.unwrap();
    let small = blobs.put_bytes(&[1; 100_000]).await.unwrap();
    let error = blobs.put_bytes(&[2; 4 << 20]).await.unwrap_err();
    assert!(matches!(&error, Error::DiskFull { path, .. } if *path == root), "{error:?}");
    assert_eq!(blobs.used(), small.size);
    blobs.put_bytes(&[3; 1 << 20]).await.expect("what was half-written has made room");
    assert_eq!(blobs.get_bytes(&small.digest, LIMIT).await.unwrap(), [1; 100_000]);
    std::fs::remove_dir_all(root).unwrap();
}

async fn outputs(disk: &Path) {
    let outputs = DiskOutputs::open(&disk.join("outputs")).await.unwrap();
    let out = "job/stdout".parse().unwrap();
    assert_eq!(outputs.write(&out, 0, b"abc", LIMIT).await.unwrap(), Written::Until(3));
    let error = outputs.write(&out, 3, &[7; 4 << 20], LIMIT).await.unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert_eq!(outputs.read(&out, 0, 100).await.unwrap(), b"abc");
    assert!(outputs.remove(&out).await.unwrap());
    assert_eq!(outputs.write(&out, 0, b"abcd", LIMIT).await.unwrap(), Written::Until(4));
}

async fn documents(disk: &Path) {
    let filler = disk.join("filler");
    std::fs::write(&filler, vec![1; 800_000]).unwrap();
    let path = disk.join("tables/tables.db");
    let documents = SqliteDocuments::open(&path, Durability::Full).await.unwrap();
    let (json, now) = ([b' '; 100_000], UnixSeconds(0));
    let mut kept = 0;
    let error = loop {
        match documents.put_new("answer", &kept.to_string(), &json, None, now).await {
            Ok(outcome) => assert!(matches!(outcome, Stored::New(_))),
            Err(error) => break error,
        }
        kept += 1;
    };
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert!(kept > 0);
    std::fs::remove_file(&filler).unwrap();
    for number in kept..kept + 3 {
        let again = documents.put_new("answer", &number.to_string(), &json, None, now).await;
        assert!(matches!(again.unwrap(), Stored::New(_)));
    }
}
