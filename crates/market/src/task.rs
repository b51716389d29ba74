//! What came of a task, and the root under which receipts carry it.

use primitives::{B256, Digest, Epoch, Root, Seconds, TaskIndex, merkle_leaf, merkle_root};
use serde::{Deserialize, Serialize};

/// The result of one task: a leaf of a receipt's `result` root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Which task of the job.
    pub task: TaskIndex,
    /// Which attempt at it.
    pub epoch: Epoch,
    /// As a shell would give it: 128 + signal when it was killed.
    pub exit_code: i32,
    /// The tree of what it left in `./out`.
    pub output: Digest,
    /// How long it ran.
    pub seconds: Seconds,
    /// Fresh per leaf, so that small results cannot be guessed from the root.
    pub salt: B256,
}

/// Why a task ended, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// A stable word, such as `out-of-memory`.
    pub code: String,
    /// What happened.
    pub cause: String,
    /// What to do about it; empty where nothing needs doing.
    pub action: String,
}

impl TaskResult {
    fn record(&self) -> [u8; 84] {
        let mut bytes = [0; 84];
        bytes[..4].copy_from_slice(&self.task.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.exit_code.to_be_bytes());
        bytes[12..44].copy_from_slice(&self.output.0);
        bytes[44..52].copy_from_slice(&self.seconds.0.to_be_bytes());
        bytes[52..84].copy_from_slice(self.salt.as_slice());
        bytes
    }
}

/// The root over the results of a deal's tasks, one per task, sorted by task; zero for none.
pub fn result_root(results: &[TaskResult]) -> B256 {
    let mut sorted: Vec<&TaskResult> = results.iter().collect();
    sorted.sort_by_key(|result| result.task);
    let Root(root) = merkle_root(sorted.into_iter().map(|result| merkle_leaf(&result.record())));
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(task: u32) -> TaskResult {
        TaskResult {
            task: TaskIndex(task),
            epoch: Epoch(1),
            exit_code: 0,
            output: Digest::of(b"out"),
            seconds: Seconds(3),
            salt: B256::repeat_byte(7),
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter_but_every_field_does() {
        let root = result_root(&[result(0), result(1), result(2)]);
        assert_eq!(result_root(&[result(2), result(0), result(1)]), root);
        let changed = TaskResult { exit_code: 1, ..result(1) };
        assert_ne!(result_root(&[result(0), changed, result(2)]), root);
    }

    #[test]
    fn no_results_have_the_zero_root() {
        assert_eq!(result_root(&[]), B256::ZERO);
    }
}
