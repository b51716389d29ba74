//! The tasks of a deal: which were handed to it, what came of them, and the root under which
//! receipts carry that.

use std::collections::BTreeMap;

use primitives::{B256, Digest, Epoch, Root, Seconds, TaskIndex, merkle_leaf, merkle_root};
use serde::{Deserialize, Serialize};

use crate::document::{Act, Command, Signed};

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

/// A task's result with what people want to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The result, a leaf of the terminal receipt.
    pub result: TaskResult,
    /// Why it ended.
    pub ending: Ending,
}

/// The tasks that one deal carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    assigned: BTreeMap<TaskIndex, Epoch>,
    reported: BTreeMap<TaskIndex, Reported>,
    /// Whether no more tasks will come: the deal ends with the last of these.
    pub released: bool,
}

impl Load {
    /// Hand these over. A task that was handed over before keeps its first epoch.
    pub fn assign(&mut self, tasks: impl IntoIterator<Item = (TaskIndex, Epoch)>) {
        for (task, epoch) in tasks {
            self.assigned.entry(task).or_insert(epoch);
        }
    }

    /// Hand over what these commands assign, and release what they release.
    pub fn take(&mut self, commands: &[Signed<Command>]) {
        for command in commands {
            match command.document.act {
                Act::Assign { task, epoch, .. } => self.assign([(task, epoch)]),
                Act::Release => self.released = true,
                Act::Stop => {}
            }
        }
    }

    /// Note results. Only tasks that were handed over count, in the epoch in which they were; the
    /// first result of a task stands.
    pub fn report(&mut self, results: impl IntoIterator<Item = Reported>) {
        for reported in results {
            let result = reported.result;
            if self.assigned.get(&result.task) == Some(&result.epoch) {
                self.reported.entry(result.task).or_insert(reported);
            }
        }
    }

    /// Every task that was handed over, by index, with its epoch.
    pub fn assigned(&self) -> impl Iterator<Item = (TaskIndex, Epoch)> {
        self.assigned.iter().map(|(task, epoch)| (*task, *epoch))
    }

    /// The epoch in which a task was handed over.
    pub fn epoch(&self, task: TaskIndex) -> Option<Epoch> {
        self.assigned.get(&task).copied()
    }

    /// What came of tasks so far, by index.
    pub fn reported(&self) -> impl Iterator<Item = &Reported> {
        self.reported.values()
    }

    /// What came of one task.
    pub fn outcome(&self, task: TaskIndex) -> Option<&Reported> {
        self.reported.get(&task)
    }

    /// The results so far, by index.
    pub fn results(&self) -> Vec<TaskResult> {
        self.reported.values().map(|reported| reported.result).collect()
    }

    /// Tasks that were handed over and have no result yet.
    pub fn outstanding(&self) -> impl Iterator<Item = (TaskIndex, Epoch)> {
        self.assigned().filter(|(task, _)| !self.reported.contains_key(task))
    }

    /// Whether every task that will ever be handed over has its result.
    pub fn is_done(&self) -> bool {
        self.released && self.outstanding().next().is_none()
    }
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

    fn reported(task: u32, epoch: u32, exit_code: i32) -> Reported {
        let result = TaskResult { epoch: Epoch(epoch), exit_code, ..result(task) };
        let ending = Ending { code: "exit".into(), cause: String::new(), action: String::new() };
        Reported { result, ending }
    }

    #[test]
    fn a_result_counts_once_and_only_in_the_epoch_in_which_its_task_was_handed_over() {
        let mut load = Load::default();
        load.assign([(TaskIndex(3), Epoch(2)), (TaskIndex(5), Epoch(1))]);
        load.report([reported(3, 1, 9), reported(4, 1, 9)]);
        assert_eq!(load.results(), []);
        load.report([reported(3, 2, 0), reported(3, 2, 9)]);
        assert_eq!(load.outcome(TaskIndex(3)).map(|it| it.result.exit_code), Some(0));
        assert_eq!(load.outstanding().collect::<Vec<_>>(), [(TaskIndex(5), Epoch(1))]);
    }

    #[test]
    fn a_load_is_done_when_it_is_released_and_everything_has_its_result() {
        let mut load = Load::default();
        assert!(!load.is_done());
        load.assign([(TaskIndex(0), Epoch(1))]);
        load.released = true;
        assert!(!load.is_done());
        load.report([reported(0, 1, 0)]);
        assert!(load.is_done());
    }

    #[test]
    fn no_results_have_the_zero_root() {
        assert_eq!(result_root(&[]), B256::ZERO);
    }
}
