//! What every store of documents promises.

use std::sync::Arc;

use primitives::UnixSeconds;
use store::{Document, Documents, Durability, Position, SqliteDocuments, Stored};

const NOW: UnixSeconds = UnixSeconds(1_000);

fn ids(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| document.id.as_str()).collect()
}

async fn the_last_document_of_an_id_is_kept(documents: Arc<dyn Documents>) {
    let first = documents.put("offer", "a", b"1", None).await.unwrap();
    let second = documents.put("offer", "a", b"2", None).await.unwrap();
    assert!(second > first);
    let kept = documents.get("offer", "a", NOW).await.unwrap().unwrap();
    assert_eq!((&kept.json[..], kept.position), (&b"2"[..], second));
    assert_eq!(documents.get("offer", "b", NOW).await.unwrap(), None);
    assert_eq!(documents.get("answer", "a", NOW).await.unwrap(), None);
}

async fn a_feed_sees_each_change_in_order(documents: Arc<dyn Documents>) {
    for id in ["a", "b", "c"] {
        documents.put("offer", id, b"1", None).await.unwrap();
    }
    documents.put("answer", "x", b"1", None).await.unwrap();
    let seen = documents.list("offer", Position(0), 2, NOW).await.unwrap();
    assert_eq!(ids(&seen), ["a", "b"]);
    let rest = documents.list("offer", seen[1].position, 9, NOW).await.unwrap();
    assert_eq!(ids(&rest), ["c"]);
    documents.put("offer", "a", b"2", None).await.unwrap();
    let changed = documents.list("offer", rest[0].position, 9, NOW).await.unwrap();
    assert_eq!(ids(&changed), ["a"]);
    assert_eq!(ids(&documents.list("offer", Position(0), 9, NOW).await.unwrap()), ["b", "c", "a"]);
}

async fn of_many_first_answers_one_is_kept(documents: Arc<dyn Documents>) {
    let writers: Vec<_> = (0..20)
        .map(|writer| {
            let documents = documents.clone();
            tokio::spawn(async move {
                let json = writer.to_string();
                documents.put_new("answer", "key", json.as_bytes(), None, NOW).await.unwrap()
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for writer in writers {
        outcomes.push(writer.await.unwrap());
    }
    let kept = documents.get("answer", "key", NOW).await.unwrap().unwrap();
    let new = outcomes.iter().filter(|outcome| matches!(outcome, Stored::New(_))).count();
    assert_eq!(new, 1);
    let same = |outcome: &Stored| match outcome {
        Stored::New(position) => *position == kept.position,
        Stored::Before(before) => *before == kept,
    };
    assert!(outcomes.iter().all(same));
}

async fn an_expired_document_is_not_there(documents: Arc<dyn Documents>) {
    let until = |moment| Some(UnixSeconds(moment));
    documents.put("answer", "old", b"1", until(1_000)).await.unwrap();
    documents.put("answer", "new", b"1", until(1_001)).await.unwrap();
    documents.put("answer", "always", b"1", None).await.unwrap();
    assert_eq!(documents.get("answer", "old", NOW).await.unwrap(), None);
    let there = documents.list("answer", Position(0), 9, NOW).await.unwrap();
    assert_eq!(ids(&there), ["new", "always"]);
    let again = documents.put_new("answer", "old", b"2", until(2_000), NOW).await.unwrap();
    assert!(matches!(again, Stored::New(_)), "an expired one makes room");
    assert_eq!(documents.expire(UnixSeconds(1_500)).await.unwrap(), 1);
    assert_eq!(documents.expire(UnixSeconds(1_500)).await.unwrap(), 0);
    assert_eq!(documents.expire(UnixSeconds(u64::MAX)).await.unwrap(), 1);
    assert_eq!(ids(&documents.list("answer", Position(0), 9, NOW).await.unwrap()), ["always"]);
}

async fn a_removed_document_is_gone(documents: Arc<dyn Documents>) {
    documents.put("offer", "a", b"1", None).await.unwrap();
    assert!(documents.remove("offer", "a").await.unwrap());
    assert!(!documents.remove("offer", "a").await.unwrap());
    assert_eq!(documents.get("offer", "a", NOW).await.unwrap(), None);
}

async fn a_hostile_id_is_only_an_id(documents: Arc<dyn Documents>) {
    let id = "'; DROP TABLE documents; --";
    documents.put("offer", id, b"1", None).await.unwrap();
    assert_eq!(ids(&documents.list("offer", Position(0), 9, NOW).await.unwrap()), [id]);
}

macro_rules! over_both {
    ($($behaviour:ident,)*) => {
        mod over_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("tables.db");
                let documents = store::SqliteDocuments::open(&path, store::Durability::Full);
                super::$behaviour(std::sync::Arc::new(documents.await.unwrap())).await;
            })*
        }

        mod over_memory {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(std::sync::Arc::new(store::MemoryDocuments::new())).await;
            })*
        }
    };
}

over_both! {
    the_last_document_of_an_id_is_kept,
    a_feed_sees_each_change_in_order,
    of_many_first_answers_one_is_kept,
    an_expired_document_is_not_there,
    a_removed_document_is_gone,
    a_hostile_id_is_only_an_id,
}

#[tokio::test]
async fn documents_are_there_after_a_restart_and_positions_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tables.db");
    for durability in [Durability::Full, Durability::Rebuilt] {
        let documents = SqliteDocuments::open(&path, durability).await.unwrap();
        documents.put("offer", "a", b"1", None).await.unwrap();
        let last = documents.put("offer", "b", b"1", None).await.unwrap();
        assert!(documents.remove("offer", "b").await.unwrap());
        documents.close().await;
        let documents = SqliteDocuments::open(&path, durability).await.unwrap();
        assert!(documents.get("offer", "a", NOW).await.unwrap().is_some());
        let next = documents.put("offer", "c", b"1", None).await.unwrap();
        assert!(next > last, "a position is never given twice");
        documents.close().await;
    }
}
