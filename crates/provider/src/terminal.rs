//! The terminal receipt: what a lease came to, as it is signed once and for all.
//!
//! In: how it ended, how long it ran, the results of its tasks. Out: the one fact `Ended`.
//!
//! Invariant: what never started costs nothing; a fault of ours within the first minutes is free
//! (ESC-4).

use market::{
    LeaseFact, Meter, Outcome, Receipt, Rules, Signed, Terms,
    fact::{Agreement, Delivery},
    task::{Ending, Reported, TaskResult, result_root},
};
use primitives::{Amount, Seconds};

use crate::{fate::words, world::Workshop};

/// What a lease came to.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) ending: Ending,
    /// Whether any program ever started.
    pub(crate) started: bool,
    /// Running time, rounded up.
    pub(crate) seconds: Seconds,
    /// Over all its samples.
    pub(crate) meter: Meter,
}

impl End {
    /// No program ever started, for this reason.
    pub(crate) fn unstarted(outcome: Outcome, ending: Ending) -> Self {
        let (seconds, meter) = (Seconds(1), Meter::default());
        Self { outcome, ending, started: false, seconds, meter }
    }

    /// It was stopped before it began.
    pub(crate) fn stopped_before() -> Self {
        let ending = words("stopped", "it was stopped before it started", "");
        Self::unstarted(Outcome::Stopped, ending)
    }
}

/// What is due at the end: cumulative, within what is locked, nothing for what is free.
pub(crate) fn due(end: &End, terms: &Terms, rules: &Rules) -> Amount {
    let free = end.outcome == Outcome::ProviderFault && end.seconds < rules.free_failure;
    if !end.started || free {
        return Amount::ZERO;
    }
    terms.rate.charge_down(end.seconds).min(terms.cap)
}

/// Sign the terminal receipt over all results, of which some were not reported before. The fact
/// must be durable before it leaves.
pub(crate) fn sign(
    shop: &Workshop,
    agreement: &Agreement,
    end: End,
    all: &[TaskResult],
    unreported: Vec<Reported>,
) -> LeaseFact {
    let receipt = Receipt {
        deal: agreement.deal,
        amount: due(&end, &agreement.terms.document, &shop.config.rules),
        seconds: end.seconds,
        outcome: end.outcome,
        result: result_root(all),
        meter: end.meter.root(),
    };
    let receipt = signed(shop, receipt);
    let End { ending, meter, .. } = end;
    let delivery = Delivery { receipt, results: unreported, ending: Some(ending), meter };
    LeaseFact::Ended(Box::new(delivery))
}

/// A receipt with the provider key's signature.
pub(crate) fn signed(shop: &Workshop, receipt: Receipt) -> Signed<Receipt> {
    let digest = receipt.digest(&shop.world.settlement.escrow());
    Signed { signature: shop.config.key.sign(digest), document: receipt }
}
