//! What every store of outputs promises.

use std::{os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use primitives::Bytes;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, proptest};
use store::{DiskOutputs, MemoryOutputs, OutputName, Outputs, Written};

const LIMIT: Bytes = Bytes(1 << 20);

fn name(text: &str) -> OutputName {
    text.parse().unwrap()
}

async fn what_is_written_can_be_read_from_any_offset(outputs: Arc<dyn Outputs>) {
    let out = name("job/0/1/stdout");
    assert_eq!(outputs.write(&out, 0, b"hello ", LIMIT).await.unwrap(), Written::Until(6));
    assert_eq!(outputs.write(&out, 6, b"world", LIMIT).await.unwrap(), Written::Until(11));
    assert_eq!(outputs.read(&out, 0, 100).await.unwrap(), b"hello world");
    assert_eq!(outputs.read(&out, 4, 3).await.unwrap(), b"o w");
    assert!(outputs.read(&out, 11, 100).await.unwrap().is_empty());
    assert!(outputs.read(&out, 99, 100).await.unwrap().is_empty());
    assert!(outputs.read(&name("another"), 0, 100).await.unwrap().is_empty());
    outputs.sync(&out).await.unwrap();
}

async fn a_repeated_chunk_is_absorbed(outputs: Arc<dyn Outputs>) {
    let out = name("out");
    assert_eq!(outputs.write(&out, 0, b"abcdef", LIMIT).await.unwrap(), Written::Until(6));
    assert_eq!(outputs.write(&out, 0, b"abcdef", LIMIT).await.unwrap(), Written::Until(6));
    assert_eq!(outputs.write(&out, 2, b"cd", LIMIT).await.unwrap(), Written::Until(6));
    assert_eq!(outputs.write(&out, 4, b"efgh", LIMIT).await.unwrap(), Written::Until(8));
    assert_eq!(outputs.read(&out, 0, 100).await.unwrap(), b"abcdefgh");
}

async fn a_gap_is_refused_and_names_the_end(outputs: Arc<dyn Outputs>) {
    let out = name("out");
    assert_eq!(outputs.write(&out, 3, b"def", LIMIT).await.unwrap(), Written::Gap(0));
    assert_eq!(outputs.write(&out, 0, b"ab", LIMIT).await.unwrap(), Written::Until(2));
    assert_eq!(outputs.write(&out, 3, b"def", LIMIT).await.unwrap(), Written::Gap(2));
    assert_eq!(outputs.read(&out, 0, 100).await.unwrap(), b"ab");
}

async fn an_output_stops_at_its_limit(outputs: Arc<dyn Outputs>) {
    let out = name("out");
    let limit = Bytes(5);
    assert_eq!(outputs.write(&out, 0, b"abc", limit).await.unwrap(), Written::Until(3));
    assert_eq!(outputs.write(&out, 3, b"defg", limit).await.unwrap(), Written::Full(5));
    assert_eq!(outputs.write(&out, 5, b"h", limit).await.unwrap(), Written::Full(5));
    assert_eq!(outputs.write(&out, 0, b"abcde", limit).await.unwrap(), Written::Until(5));
    assert_eq!(outputs.read(&out, 0, 100).await.unwrap(), b"abcde");
}

async fn a_reader_follows_as_it_grows(outputs: Arc<dyn Outputs>) {
    let out = name("out");
    let mut length = outputs.watch(&out).await.unwrap();
    let (writing, to) = (outputs.clone(), out.clone());
    let writer = tokio::spawn(async move {
        for round in 0..100u64 {
            let chunk = [u8::try_from(round).unwrap(); 10];
            let written = writing.write(&to, round * 10, &chunk, LIMIT).await.unwrap();
            assert_eq!(written, Written::Until(round * 10 + 10));
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 1_000 {
        let more = length.wait_for(|length| *length > seen.len() as u64);
        drop(tokio::time::timeout(Duration::from_secs(20), more).await.expect("in time").unwrap());
        seen.extend(outputs.read(&out, seen.len() as u64, 64).await.unwrap());
    }
    writer.await.unwrap();
    let expected: Vec<u8> = (0..100).flat_map(|round| [round; 10]).collect();
    assert_eq!(seen, expected);
}

async fn a_removed_output_begins_anew(outputs: Arc<dyn Outputs>) {
    let out = name("out");
    assert!(!outputs.remove(&out).await.unwrap());
    assert_eq!(outputs.write(&out, 0, b"abc", LIMIT).await.unwrap(), Written::Until(3));
    assert!(outputs.remove(&out).await.unwrap());
    assert!(outputs.read(&out, 0, 10).await.unwrap().is_empty());
    assert_eq!(outputs.write(&out, 0, b"x", LIMIT).await.unwrap(), Written::Until(1));
}

async fn a_name_and_one_below_it_are_two_outputs(outputs: Arc<dyn Outputs>) {
    for (text, content) in [("a", "1"), ("a/b", "2"), ("a/b/c", "3"), ("a.d", "4"), ("a.d/b", "5")]
    {
        let written = outputs.write(&name(text), 0, content.as_bytes(), LIMIT).await.unwrap();
        assert_eq!(written, Written::Until(1));
    }
    for (text, content) in [("a", "1"), ("a/b", "2"), ("a/b/c", "3"), ("a.d", "4"), ("a.d/b", "5")]
    {
        assert_eq!(outputs.read(&name(text), 0, 9).await.unwrap(), content.as_bytes(), "{text}");
    }
}

async fn many_outputs_are_open_at_once(outputs: Arc<dyn Outputs>) {
    for round in 0..2 {
        for number in 0..600 {
            let out = name(&format!("job/{number}"));
            let written = outputs.write(&out, round * 2, b"ab", LIMIT).await.unwrap();
            assert_eq!(written, Written::Until(round * 2 + 2));
        }
    }
    for number in 0..600 {
        assert_eq!(outputs.read(&name(&format!("job/{number}")), 0, 9).await.unwrap(), b"abab");
    }
}

macro_rules! over_both {
    ($($behaviour:ident,)*) => {
        mod on_disk {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let folder = tempfile::tempdir().unwrap();
                let outputs = store::DiskOutputs::open(folder.path()).await.unwrap();
                super::$behaviour(std::sync::Arc::new(outputs)).await;
            })*
        }

        mod in_memory {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(std::sync::Arc::new(store::MemoryOutputs::new())).await;
            })*
        }
    };
}

over_both! {
    what_is_written_can_be_read_from_any_offset,
    a_repeated_chunk_is_absorbed,
    a_gap_is_refused_and_names_the_end,
    an_output_stops_at_its_limit,
    a_reader_follows_as_it_grows,
    a_removed_output_begins_anew,
    a_name_and_one_below_it_are_two_outputs,
    many_outputs_are_open_at_once,
}

#[test]
fn a_name_leads_nowhere_else() {
    let long = "x".repeat(201);
    for wrong in ["", "/a", "a/", "a//b", "..", "a/../b", ".hidden", "a b", "a\0", "ä", &long] {
        assert!(OutputName::new(wrong).is_err(), "{wrong:?} must be refused");
    }
    assert!(OutputName::new("a/b/c/d/e/f/g/h/i").is_err(), "too many parts");
    assert!(OutputName::new("0x12ab/0/1/stdout.log").is_ok());
}

#[tokio::test]
async fn outputs_are_there_after_a_restart_and_only_for_their_owner() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = DiskOutputs::open(folder.path()).await.unwrap();
    let out = name("job/stdout");
    assert_eq!(outputs.write(&out, 0, b"abc", LIMIT).await.unwrap(), Written::Until(3));
    drop(outputs);
    let outputs = DiskOutputs::open(folder.path()).await.unwrap();
    assert_eq!(*outputs.watch(&out).await.unwrap().borrow(), 3);
    assert_eq!(outputs.write(&out, 2, b"cd", LIMIT).await.unwrap(), Written::Until(4));
    assert_eq!(outputs.read(&out, 0, 9).await.unwrap(), b"abcd");
    let mode =
        |path: &str| folder.path().join(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".job"), mode(".job/stdout")), (0o700, 0o600));
}

/// Chunks of one text, sent in any order, cut and repeated in any way.
fn sendings() -> impl Strategy<Value = (Vec<u8>, Vec<(usize, usize)>)> {
    proptest::collection::vec(any::<u8>(), 1..200).prop_flat_map(|text| {
        let length = text.len();
        let chunk = (0..length, 1..=length);
        (Just(text), proptest::collection::vec(chunk, 0..60))
    })
}

proptest! {
    #[test]
    fn whatever_is_sent_what_is_kept_is_a_beginning_of_the_text((text, chunks) in sendings()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (outputs, out) = (MemoryOutputs::new(), name("out"));
            let mut end = 0;
            for (from, size) in chunks {
                let to = (from + size).min(text.len());
                let written = outputs.write(&out, from as u64, &text[from..to], LIMIT).await.unwrap();
                let expected = if from > end {
                    Written::Gap(end as u64)
                } else {
                    end = end.max(to);
                    Written::Until(end as u64)
                };
                prop_assert_eq!(written, expected);
                prop_assert_eq!(&outputs.read(&out, 0, 1_000).await.unwrap()[..], &text[..end]);
            }
            Ok(())
        })?;
    }
}
