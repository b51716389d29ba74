//! Tests of how the tasks of a job are handed out.

use market::task::{Ending, Reported, TaskResult};
use primitives::{B256, Digest, Seconds};

use super::*;

/// A deal as the tests see it: what it was handed, what came of it, whether it goes on.
struct Deal {
    id: DealId,
    load: Load,
    carries: bool,
}

fn deal(number: u8) -> Deal {
    Deal { id: DealId(B256::repeat_byte(number)), load: Load::default(), carries: true }
}

impl Deal {
    fn show(&self, tasks: &mut Inner) {
        let done = self.load.reported().map(|reported| reported.result.task).collect();
        let (id, carries, load) = (self.id, self.carries, Some(&self.load));
        tasks.see(&Seen { id, carries, load, done });
    }

    /// Take the next share and write it down.
    fn take(&mut self, tasks: &mut Inner) -> Vec<(u32, u32)> {
        let Some(share) = tasks.next_share(self.id, &self.load) else { return Vec::new() };
        self.load.assign(share.tasks.iter().copied());
        self.load.released = share.last;
        self.show(tasks);
        share.tasks.iter().map(|(task, epoch)| (task.0, epoch.0)).collect()
    }

    fn finish(&mut self, tasks: &mut Inner, which: &[u32]) {
        let results = which.iter().map(|task| {
            let (task, epoch) = (TaskIndex(*task), self.load.epoch(TaskIndex(*task)));
            let (output, salt) = (Digest::default(), B256::ZERO);
            let epoch = epoch.expect("handed over");
            let result =
                TaskResult { task, epoch, exit_code: 0, output, seconds: Seconds(1), salt };
            let ending =
                Ending { code: "exit".into(), cause: String::new(), action: String::new() };
            Reported { result, ending }
        });
        let results: Vec<Reported> = results.collect();
        self.load.report(results);
        self.show(tasks);
    }
}

#[test]
fn a_lone_task_is_handed_over_with_the_word_that_no_more_will_come() {
    let (mut tasks, mut one) = (Inner::of(1, 1, 1), deal(1));
    assert_eq!(one.take(&mut tasks), [(0, 1)]);
    assert!(one.load.released);
    one.finish(&mut tasks, &[0]);
    assert_eq!(tasks.standing().left, 0);
}

#[test]
fn shares_shrink_as_the_tasks_run_out() {
    let (mut tasks, mut one) = (Inner::of(1_000, 2, 2), deal(1));
    let first = one.take(&mut tasks).len();
    assert_eq!((first, one.take(&mut tasks).len()), (250, 0), "it is busy");
    one.finish(&mut tasks, &(0..247).collect::<Vec<_>>());
    assert_eq!(one.take(&mut tasks).len(), 188);
    assert!(!one.load.released);
}

#[test]
fn tasks_of_a_dead_deal_go_to_the_next_one_in_a_higher_epoch() {
    let (mut tasks, mut dying, mut next) = (Inner::of(4, 4, 1), deal(1), deal(2));
    assert_eq!(dying.take(&mut tasks).len(), 4);
    dying.finish(&mut tasks, &[1]);
    dying.carries = false;
    dying.show(&mut tasks);
    assert_eq!((tasks.standing().waiting, tasks.standing().carrying), (3, 0));
    assert_eq!(next.take(&mut tasks), [(0, 2), (2, 2), (3, 2)]);
    dying.show(&mut tasks);
    assert_eq!(tasks.standing().waiting, 0, "the dead deal takes nothing back");
}

#[test]
fn what_was_handed_over_but_never_written_down_waits_again() {
    let (mut tasks, one) = (Inner::of(3, 1, 1), deal(1));
    assert!(tasks.next_share(one.id, &one.load).is_some());
    assert_eq!(tasks.standing().waiting, 1);
    one.show(&mut tasks);
    assert_eq!(tasks.standing().waiting, 3);
}

#[test]
fn a_task_that_ends_every_provider_is_not_tried_for_ever() {
    let mut tasks = Inner::of(1, 1, 1);
    for number in 1..=3 {
        let mut one = deal(number);
        assert_eq!(one.take(&mut tasks), [(0, number.into())]);
        one.carries = false;
        one.show(&mut tasks);
    }
    assert_eq!((tasks.standing().waiting, tasks.standing().left), (0, 1));
}

#[test]
fn a_replayed_job_knows_the_same_as_before_the_crash() {
    let (mut before, mut one, mut other) = (Inner::of(9, 1, 2), deal(1), deal(2));
    one.take(&mut before);
    other.take(&mut before);
    one.finish(&mut before, &[0]);
    let mut after = Inner::of(9, 1, 2);
    other.show(&mut after);
    one.show(&mut after);
    assert_eq!(after.standing(), Standing { opened: Some(other.id), ..before.standing() });
    let mut third = deal(3);
    let share = before.next_share(third.id, &third.load);
    assert_eq!(after.next_share(third.id, &Load::default()), share);
    third.carries = false;
}

#[test]
fn a_deal_that_comes_when_nothing_waits_is_released_without_work() {
    let (mut tasks, mut one, mut late) = (Inner::of(1, 1, 2), deal(1), deal(2));
    one.take(&mut tasks);
    assert_eq!(late.take(&mut tasks), []);
    assert!(late.load.released && late.load.is_done());
}
