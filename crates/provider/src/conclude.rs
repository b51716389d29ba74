//! How the end of a lease becomes its terminal receipt.
//!
//! Upon the last of its tasks: the results say how it ended. Upon an end that we made: whose wish
//! that was, and what of the tasks counts: work that was killed on our account is left to others,
//! but a lone task brings what it has. Upon nobody signing: the renter is given up instead. Upon
//! a fault of our machine: our own fault, over the last reading that was written down.

use std::time::Duration;

use market::{
    LeaseFact, Meter, Outcome,
    fact::Reading,
    stage::Leased,
    task::{Ending, Reported, TaskResult},
};
use primitives::{Seconds, TaskIndex};

use crate::{
    fate::{Doing, Fate, outcome_of, words},
    pace::{Limit, Why, seconds},
    task::Signal,
    terminal::{self, End},
    world::Workshop,
};

/// How long asked-to-stop work may take before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Why a lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Everything is done, or nobody says what else there is.
    Done,
    /// We end it.
    Ended(Why),
    /// Our machine failed.
    Fault(Ending),
}

/// What is known at the end of a lease beyond its facts.
pub(crate) struct Last<'a> {
    pub(crate) cause: Cause,
    /// What came of the tasks that are not finished.
    pub(crate) fates: Vec<(TaskIndex, &'a Fate)>,
    /// The last reading, with the meter over all samples up to it; `None` where no program ever
    /// started.
    pub(crate) reading: Option<(Reading, Meter)>,
    /// Whether the gateway said of a task that it counts.
    pub(crate) counts: &'a dyn Fn(TaskIndex) -> bool,
}

/// A fault among the fates, if there is one.
pub(crate) fn fault<'a>(mut fates: impl Iterator<Item = (TaskIndex, &'a Fate)>) -> Option<Cause> {
    let fault = fates.find(|(_, fate)| fate.doing == Doing::Fault)?;
    Some(Cause::Fault(fault.1.ending.clone()))
}

/// Results of these tasks, under fresh salts.
pub(crate) fn finished<'a>(
    shop: &Workshop,
    it: &Leased,
    fates: impl IntoIterator<Item = (TaskIndex, &'a Fate)>,
) -> Vec<Reported> {
    let reported = fates.into_iter().filter_map(|(task, fate)| {
        let epoch = it.load.epoch(task)?;
        Some(fate.reported(task, epoch, (shop.world.salts)()))
    });
    reported.collect()
}

/// The facts that end a lease: the last results, the last reading, and the terminal receipt or the
/// giving up.
pub(crate) fn conclude(shop: &Workshop, it: &Leased, last: Last<'_>) -> Vec<LeaseFact> {
    let Last { cause, fates, reading, counts } = last;
    let is_alone = it.assignment.work.array.is_none();
    let was_stopped = fates.iter().any(|(_, fate)| fate.doing == Doing::Stopped);
    let fates = fates.into_iter().filter(|(_, fate)| does_count(fate, &cause, is_alone));
    let results = finished(shop, it, fates);
    let mut load = it.load.clone();
    load.report(results.iter().cloned());
    let all = load.results();
    let seconds = billed(shop, it, reading.as_ref().map_or(&it.metered, |(reading, _)| reading));
    let Some(outcome) = outcome(&cause, load.is_done() && !was_stopped, &all) else {
        return vec![given_up(it, seconds)];
    };
    let ending = ending(it, &cause, outcome, &load.reported().collect::<Vec<_>>());
    let unreported = load.reported().filter(|it| !counts(it.result.task)).cloned().collect();
    let mut facts = Vec::new();
    if !results.is_empty() {
        facts.push(LeaseFact::Finished { results });
    }
    let end = match reading {
        None => End::unstarted(outcome, ending),
        Some((reading, meter)) => {
            facts.push(LeaseFact::Metered(Box::new(reading)));
            End { outcome, ending, started: true, seconds, meter }
        }
    };
    facts.push(terminal::sign(shop, &it.agreement, end, &all, unreported));
    facts
}

/// Running time as it is billed at a reading: within the time of an array's deal, never less than
/// what was signed before.
pub(crate) fn billed(shop: &Workshop, it: &Leased, reading: &Reading) -> Seconds {
    let terms = &it.agreement.terms.document;
    let limit = Limit::of(&it.assignment.work, terms, &shop.config.rules);
    let ran = seconds(Duration::from_millis(reading.elapsed_ms));
    let ran = if limit.is_ours { ran.min(limit.time) } else { ran };
    let last = it.last.as_ref().map_or(Seconds(0), |(receipt, _)| receipt.document.seconds);
    ran.max(last)
}

/// The signal to the runs when the lease ends: at once where what they leave is nobody's.
pub(crate) fn last_signal(it: &Leased, cause: &Cause) -> Signal {
    let keeps = does_stopped_count(cause, it.assignment.work.array.is_none());
    Signal::End { grace: if keeps { STOP_GRACE } else { Duration::ZERO }, keeps }
}

/// Whether what came of a task is its result.
fn does_count(fate: &Fate, cause: &Cause, is_alone: bool) -> bool {
    match fate.doing {
        Doing::Own => true,
        Doing::Stopped => does_stopped_count(cause, is_alone),
        Doing::Fault => is_alone,
    }
}

/// Whether what we ended for this cause brings a result.
fn does_stopped_count(cause: &Cause, is_alone: bool) -> bool {
    match cause {
        Cause::Ended(Why::Asked) => true,
        Cause::Ended(Why::GaveUp) => false,
        Cause::Ended(Why::OutOfFunds) | Cause::Fault(_) | Cause::Done => is_alone,
    }
}

/// What the receipt says of the end; `None` when the renter is given up.
fn outcome(cause: &Cause, is_done: bool, results: &[TaskResult]) -> Option<Outcome> {
    match cause {
        Cause::Fault(_) => Some(Outcome::ProviderFault),
        Cause::Done => Some(outcome_of(results)),
        Cause::Ended(_) if is_done => Some(outcome_of(results)),
        Cause::Ended(Why::Asked) => Some(Outcome::Stopped),
        Cause::Ended(Why::OutOfFunds) => Some(Outcome::OutOfFunds),
        Cause::Ended(Why::GaveUp) => None,
    }
}

/// The end in words: a lone task's own; for an array, of all of them.
fn ending(it: &Leased, cause: &Cause, outcome: Outcome, reported: &[&Reported]) -> Ending {
    if let (None, [only]) = (&it.assignment.work.array, reported) {
        return only.ending.clone();
    }
    if let Cause::Fault(ending) = cause {
        return ending.clone();
    }
    let (done, handed_over) = (reported.len(), it.load.assigned().count());
    let so_far = format!("{done} of {handed_over} tasks have their result");
    let failed = || reported.iter().filter(|it| it.result.exit_code != 0);
    match (outcome, failed().next()) {
        (Outcome::Completed, _) => words("completed", &format!("all {done} tasks completed"), ""),
        (Outcome::Failed, Some(first)) => {
            let (count, index) = (failed().count(), first.result.task.0);
            let Ending { code, cause, action } = &first.ending;
            let cause =
                format!("{count} of {done} tasks failed, the first is task {index}: {cause}");
            words(code, &cause, action)
        }
        (Outcome::OutOfFunds, _) => {
            let cause = format!("what is locked, or the time of the deal, is used up; {so_far}");
            words("out-of-funds", &cause, "order the rest again with more time")
        }
        _ => words("stopped", &format!("it was stopped; {so_far}"), ""),
    }
}

fn given_up(it: &Leased, seconds: Seconds) -> LeaseFact {
    let signed = it.last.as_ref().map_or(Seconds(0), |(receipt, _)| receipt.document.seconds);
    LeaseFact::Abandoned {
        why: "the renter's side signed no more, or too rarely for the time the deal has".into(),
        unsigned: Seconds(seconds.0.saturating_sub(signed.0)),
    }
}
