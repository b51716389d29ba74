//! What came of one task: how it ended, whose doing that was, what it left.
//!
//! Not here: whether that counts (`conclude`).

use std::time::Duration;

use market::{
    Outcome,
    task::{Ending, Reported, TaskResult},
};
use primitives::{B256, Bytes, Digest, Epoch, Sample, TaskIndex};
use sandbox::ExitRecord;

use crate::{
    error::{Error, story},
    pace::seconds,
};

/// The exit code of what was stopped before it began: as a shell shows a program that signal TERM
/// ended.
const STOPPED: i32 = 143;
/// The exit code of what failed on our side, and of what is refused.
pub(crate) const OURS: i32 = 125;

/// Whose doing an end was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// The task's own, good or bad.
    Own,
    /// We ended it, for the renter's side or against it.
    Stopped,
    /// Our machine failed.
    Fault,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) doing: Doing,
    pub(crate) exit_code: i32,
    pub(crate) ending: Ending,
    /// The tree it left; zero for none.
    pub(crate) output: Digest,
    /// Its last sample, on its own clock; `None` when its program never started.
    pub(crate) ran: Option<Sample>,
}

impl Fate {
    /// Its run is over, as this record says. What it left is yet to be kept.
    pub(crate) fn of(record: &ExitRecord) -> Self {
        let doing = match record.ending.outcome {
            sandbox::Outcome::Stopped => Doing::Stopped,
            outcome if outcome.is_the_machines_fault() => Doing::Fault,
            _ => Doing::Own,
        };
        let exit_code = match (doing, record.started) {
            (Doing::Stopped, false) => STOPPED,
            _ => record.exit_status().into(),
        };
        let ending = told(&record.ending);
        Self { doing, exit_code, ending, output: Digest::default(), ran: last_sample(record) }
    }

    /// It can never start, and that is its own doing.
    pub(crate) fn refused(exit_code: i32, ending: Ending) -> Self {
        Self { doing: Doing::Own, exit_code, ending, output: Digest::default(), ran: None }
    }

    /// We could not carry it out.
    pub(crate) fn fault(code: &str, cause: &str) -> Self {
        let ending = words(code, cause, "order again; another provider may do better");
        Self { doing: Doing::Fault, ..Self::refused(OURS, ending) }
    }

    /// Our machine has lost its run.
    pub(crate) fn lost(why: &str) -> Self {
        Self::fault("lost", &format!("on the provider's machine {why}"))
    }

    /// What it left cannot be handed in; an error where that may yet change.
    pub(crate) fn unkept(self, error: Error) -> Result<Self, Error> {
        let said = story(&error);
        match error {
            Error::Store { source, .. } if is_full(&source) => {
                Ok(Self { ran: self.ran, ..Self::fault("disk-full", &said) })
            }
            Error::Store {
                source: store::Error::Entry { .. } | store::Error::Manifest { .. },
                ..
            } => {
                let action = "leave fewer and shallower files in out";
                let ending = words("outputs-refused", &said, action);
                Ok(Self { exit_code: self.exit_code.max(1), ending, ..self })
            }
            error => Err(error),
        }
    }

    /// As it is reported, under a fresh salt.
    pub(crate) fn reported(&self, task: TaskIndex, epoch: Epoch, salt: B256) -> Reported {
        let ran = self.ran.map_or(Duration::ZERO, |last| Duration::from_millis(last.at_ms));
        let (exit_code, output, seconds) = (self.exit_code, self.output, seconds(ran));
        let result = TaskResult { task, epoch, exit_code, output, seconds, salt };
        Reported { result, ending: self.ending.clone() }
    }
}

/// The last word on what a run used; `None` when its program never started.
pub(crate) fn last_sample(record: &ExitRecord) -> Option<Sample> {
    let &ExitRecord { elapsed_ms, cpu_ms, peak, fuel, started, .. } = record;
    started.then_some(Sample { at_ms: elapsed_ms, cpu_ms, memory: Bytes(0), peak, fuel })
}

/// An ending in words.
pub(crate) fn words(code: &str, cause: &str, action: &str) -> Ending {
    Ending { code: code.into(), cause: cause.into(), action: action.into() }
}

/// The sandbox's words as the receipt's.
pub(crate) fn told(ending: &sandbox::Ending) -> Ending {
    words(ending.outcome.code(), &ending.cause, &ending.next)
}

/// Whether a store has no room on our disk.
pub(crate) fn is_full(error: &store::Error) -> bool {
    matches!(error, store::Error::DiskFull { .. } | store::Error::LimitReached { .. })
}

/// Whether what the sandbox keeps of a run will never be readable again.
pub(crate) fn is_damage(error: &sandbox::Error) -> bool {
    matches!(error, sandbox::Error::Chain { .. } | sandbox::Error::Record { .. })
}

/// What results say of a lease that ended by itself; nothing was done where there is none.
pub(crate) fn outcome_of(results: &[TaskResult]) -> Outcome {
    match results {
        [] => Outcome::Stopped,
        _ if results.iter().all(|result| result.exit_code == 0) => Outcome::Completed,
        _ => Outcome::Failed,
    }
}
