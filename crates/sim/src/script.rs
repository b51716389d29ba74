//! The programs that simulated machines run.

use std::{collections::BTreeMap, time::Duration};

use sandbox::{Outcome, Script, Spec, Spoken, Stream};
use serde::{Deserialize, Serialize};

/// A program whose own command line says what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Running time until it ends by itself, in seconds.
    pub seconds: u64,
    /// From start to readiness, in seconds.
    pub ready_after: u64,
    /// Whether it ends well.
    pub succeeds: bool,
    /// Whether it leaves a file.
    pub leaves: bool,
}

impl Program {
    /// The command line that says all this.
    pub fn command(&self) -> Vec<String> {
        vec!["program".to_owned(), serde_json::to_string(self).expect("plain data serialises")]
    }

    /// The program of a command line, if it is one.
    pub fn read(arguments: &[String]) -> Option<Self> {
        serde_json::from_str(arguments.last()?).ok()
    }

    /// What a machine plays for a spec: its program, or a dozen seconds of anything.
    pub fn play(spec: &Spec) -> Script {
        Self::read(&spec.arguments).map_or_else(|| lasting(12), |program| program.script())
    }

    fn script(&self) -> Script {
        let files = self.leaves.then(|| ("answer".to_owned(), b"42".to_vec()));
        Script {
            ready_after: Duration::from_secs(self.ready_after),
            ends_after: Some(Duration::from_secs(self.seconds)),
            outcome: if self.succeeds { Outcome::Completed } else { Outcome::NonZeroExit },
            exit_code: Some(if self.succeeds { 0 } else { 1 }),
            outputs: files.into_iter().collect(),
            ..Script::default()
        }
    }
}

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
