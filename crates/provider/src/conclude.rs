//! How the end of a run becomes the terminal receipt.
//!
//! Upon a run that ended: what it left is kept, and the receipt says how it ended, whose fault that
//! was, and how long it ran. Upon one that we ended because nobody signs: the renter is given up
//! instead. Upon one that our machine has lost: our own fault, over what was signed before.

use market::{LeaseFact, Meter, Outcome, message::Phase, stage::Leased};
use primitives::{B256, Digest, Seconds};
use sandbox::{ExitRecord, Run};

use crate::{
    error::{Error, story},
    outputs,
    pace::{Why, why_stopped},
    terminal::{self, End, told, words},
    world::Workshop,
};

/// A run that is over.
pub(crate) struct Over<'a> {
    pub(crate) run: &'a dyn Run,
    pub(crate) record: &'a ExitRecord,
    /// Over all its samples.
    pub(crate) meter: Meter,
}

/// Keep what the run left and sign the terminal receipt, or give the renter up.
pub(crate) async fn run(
    shop: &Workshop,
    it: &Leased,
    over: Over<'_>,
    seconds: Seconds,
) -> Result<LeaseFact, Error> {
    let record = over.record;
    let Some(outcome) = outcome(it, record) else { return Ok(given_up(it, seconds)) };
    let keeping = outputs::keep(shop, over.run, it.assignment.work.output_limit);
    let (deal, every) = (it.agreement.deal, shop.sign_of_life());
    let kept = shop.gateway.while_saying(deal, Phase::Delivering, every, keeping).await;
    let mut end = End {
        outcome,
        exit_code: record.exit_status().into(),
        ending: told(&record.ending),
        started: record.started,
        seconds,
        output: Digest::default(),
        root: over.meter.root(),
        meter: over.meter,
    };
    match kept {
        Ok(output) => end.output = output,
        Err(error) => unkept(&mut end, error)?,
    }
    Ok(terminal::sign(shop, &it.agreement, terminal::task_of(&it.command.document), end))
}

/// What the receipt says of the end; `None` when the renter is given up.
fn outcome(it: &Leased, record: &ExitRecord) -> Option<Outcome> {
    let terms = &it.agreement.terms.document;
    let limit = it.assignment.work.time_limit;
    let elapsed = std::time::Duration::from_millis(record.elapsed_ms);
    match record.ending.outcome {
        sandbox::Outcome::Completed => Some(Outcome::Completed),
        sandbox::Outcome::Stopped => match why_stopped(it.stop, elapsed, terms, limit) {
            Why::Asked => Some(Outcome::Stopped),
            Why::OutOfFunds => Some(Outcome::OutOfFunds),
            Why::GaveUp => None,
        },
        outcome if outcome.is_the_machines_fault() => Some(Outcome::ProviderFault),
        _ => Some(Outcome::Failed),
    }
}

/// What a run left cannot be handed in: say so where that will not change.
fn unkept(end: &mut End, error: Error) -> Result<(), Error> {
    let said = story(&error);
    match error {
        Error::Store {
            source: store::Error::DiskFull { .. } | store::Error::LimitReached { .. },
            ..
        } => {
            end.outcome = Outcome::ProviderFault;
            end.ending = words("disk-full", &said, "order again; another provider may have room");
        }
        Error::Store {
            source: store::Error::Entry { .. } | store::Error::Manifest { .. }, ..
        } => {
            end.outcome = Outcome::Failed;
            end.exit_code = end.exit_code.max(1);
            end.ending = words("outputs-refused", &said, "leave fewer and shallower files in out");
        }
        error => return Err(error),
    }
    Ok(())
}

fn given_up(it: &Leased, seconds: Seconds) -> LeaseFact {
    let signed = it.last.as_ref().map_or(Seconds(0), |(receipt, _)| receipt.document.seconds);
    LeaseFact::Abandoned {
        why: "the renter's side signed no more, or too rarely for the time the deal has".into(),
        unsigned: Seconds(seconds.0.saturating_sub(signed.0)),
    }
}

/// Whether what the sandbox keeps of a run will never be readable again.
pub(crate) fn is_damage(error: &sandbox::Error) -> bool {
    matches!(error, sandbox::Error::Chain { .. } | sandbox::Error::Record { .. })
}

/// Our machine has lost the run. Free where it is early, else what was signed; wiping ends what may
/// still go.
pub(crate) fn lost(shop: &Workshop, it: &Leased, why: &str) -> LeaseFact {
    let cause = format!("on the provider's machine {why}");
    let (seconds, root) = match &it.last {
        Some((receipt, _)) => (receipt.document.seconds, receipt.document.meter),
        None => (Seconds(1), B256::ZERO),
    };
    let end = End::our_fault("lost", cause, "order again");
    let end = End { started: true, seconds, root, ..end };
    terminal::sign(shop, &it.agreement, terminal::task_of(&it.command.document), end)
}
