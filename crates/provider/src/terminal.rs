//! The terminal receipt: what a run came to, as it is signed once and for all.
//!
//! In: how it ended, how long it ran, what it left. Out: the one fact `Ended`.
//!
//! Invariant: what never started costs nothing; a fault of ours within the first minutes is free
//! (ESC-4).

use market::{
    LeaseFact, Meter, Outcome, Receipt, Rules, Signed, Terms,
    document::{Act, Command},
    fact::{Agreement, Delivery},
    task::{Ending, TaskResult, result_root},
};
use primitives::{Amount, B256, Digest, Epoch, Seconds, TaskIndex};

use crate::world::Workshop;

/// The exit code of what was stopped before it began: as a shell shows a program that signal TERM
/// ended.
const STOPPED: i32 = 143;
/// The exit code of what failed on our side.
const OURS: i32 = 125;

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) exit_code: i32,
    pub(crate) ending: Ending,
    /// Whether the program ever started.
    pub(crate) started: bool,
    /// Running time, rounded up.
    pub(crate) seconds: Seconds,
    /// The tree it left; zero for none.
    pub(crate) output: Digest,
    /// Over all its samples.
    pub(crate) meter: Meter,
    /// The meter's root; that of the last receipt where the samples are lost.
    pub(crate) root: B256,
}

impl End {
    /// It never started, for this reason.
    pub(crate) fn unstarted(outcome: Outcome, exit_code: i32, ending: Ending) -> Self {
        Self {
            outcome,
            exit_code,
            ending,
            started: false,
            seconds: Seconds(1),
            output: Digest::default(),
            meter: Meter::default(),
            root: B256::ZERO,
        }
    }

    /// It was stopped before it started.
    pub(crate) fn stopped_before() -> Self {
        let ending = words("stopped", "it was stopped before it started", "");
        Self::unstarted(Outcome::Stopped, STOPPED, ending)
    }

    /// We could not start it.
    pub(crate) fn our_fault(code: &str, cause: String, action: &str) -> Self {
        Self::unstarted(Outcome::ProviderFault, OURS, words(code, &cause, action))
    }
}

/// An ending in words.
pub(crate) fn words(code: &str, cause: &str, action: &str) -> Ending {
    Ending { code: code.into(), cause: cause.into(), action: action.into() }
}

/// The sandbox's words as the receipt's.
pub(crate) fn told(ending: &sandbox::Ending) -> Ending {
    words(ending.outcome.code(), &ending.cause, &ending.next)
}

/// What is due at the end: cumulative, within what is locked, nothing for what is free.
pub(crate) fn due(end: &End, terms: &Terms, rules: &Rules) -> Amount {
    let free = end.outcome == Outcome::ProviderFault && end.seconds < rules.free_failure;
    if !end.started || free {
        return Amount::ZERO;
    }
    terms.rate.charge_down(end.seconds).min(terms.cap)
}

/// What a lease carries out before it was told: the first task, before its first attempt.
pub(crate) const NOTHING: (TaskIndex, Epoch) = (TaskIndex(0), Epoch(0));

/// Sign the terminal receipt. The fact must be durable before it leaves.
pub(crate) fn sign(
    shop: &Workshop,
    agreement: &Agreement,
    (task, epoch): (TaskIndex, Epoch),
    end: End,
) -> LeaseFact {
    let terms = &agreement.terms.document;
    let result = TaskResult {
        task,
        epoch,
        exit_code: end.exit_code,
        output: end.output,
        seconds: end.seconds,
        salt: (shop.world.salts)(),
    };
    let results = vec![result];
    let receipt = Receipt {
        deal: agreement.deal,
        amount: due(&end, terms, &shop.config.rules),
        seconds: end.seconds,
        outcome: end.outcome,
        result: result_root(&results),
        meter: end.root,
    };
    let delivery = Delivery {
        receipt: signed(shop, receipt),
        results,
        ending: Some(end.ending),
        meter: end.meter,
    };
    LeaseFact::Ended(Box::new(delivery))
}

/// Which task, in which attempt, a lease carries out.
pub(crate) fn task_of(command: &Command) -> (TaskIndex, Epoch) {
    match command.act {
        Act::Assign { task, epoch, .. } => (task, epoch),
        Act::Stop => NOTHING,
    }
}

/// A receipt with the provider key's signature.
pub(crate) fn signed(shop: &Workshop, receipt: Receipt) -> Signed<Receipt> {
    let digest = receipt.digest(&shop.world.settlement.escrow());
    Signed { signature: shop.config.key.sign(digest), document: receipt }
}
