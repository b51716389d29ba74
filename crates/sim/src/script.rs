//! The programs that simulated machines run.

use std::{collections::BTreeMap, time::Duration};

use sandbox::{Script, Spoken, Stream};

/// A program that says something, leaves a file, and ends after so many seconds.
pub fn lasting(seconds: u64) -> Script {
    Script {
        ends_after: Some(Duration::from_secs(seconds)),
        speech: vec![Spoken {
            at: Duration::ZERO,
            stream: Stream::Stdout,
            words: b"begun\n".to_vec(),
        }],
        outputs: BTreeMap::from([("answer".to_owned(), b"42".to_vec())]),
        ..Script::default()
    }
}
