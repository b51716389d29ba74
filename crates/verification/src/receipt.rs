//! The rules by which the renter's side signs receipts (PROTOCOL, "Signing while it runs").

use market::{
    Domain, Meter, Outcome, Receipt, Rules, Signed, Terms, Verdict, task::TaskResult,
    task::result_root,
};
use primitives::{Amount, DealId, Sample, Seconds};

/// What the renter's side knows by itself.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// Time since it learnt of readiness, on a clock that never steps; `None` while it has not, or
    /// no longer knows after a restart.
    pub since_ready: Option<Seconds>,
    /// Time since the deal opened, which bounds the other from above.
    pub since_open: Seconds,
}

/// Everything a decision about a receipt rests on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The contract whose domain receipts are signed under.
    pub escrow: &'a Domain,
    /// The deal.
    pub deal: DealId,
    /// What was agreed.
    pub terms: &'a Terms,
    /// What is locked now; top-ups raise it above the cap.
    pub locked: Amount,
    /// Running time after which the work was to be ended.
    pub time_limit: Seconds,
    /// The last running receipt with both signatures, if there is one.
    pub last: Option<&'a Receipt>,
    /// What the provider signed now.
    pub receipt: &'a Signed<Receipt>,
    /// The meter the provider's samples give, continued from the last receipt's.
    pub meter: &'a Meter,
    /// The samples since the last receipt.
    pub samples: &'a [Sample],
    /// What the renter's side saw.
    pub own: Own,
}

/// Why a receipt is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Doubt {
    /// Another deal's receipt.
    #[error("the receipt is of another deal")]
    OtherDeal,
    /// Not the provider key's signature.
    #[error("the receipt is not signed by the provider key of the terms")]
    NotSigned,
    /// A running receipt where a terminal one belongs, or the reverse.
    #[error("the receipt has the wrong outcome for this moment")]
    WrongOutcome,
    /// Less than what was signed before.
    #[error("the receipt states less than an earlier one")]
    Decreased,
    /// Zero seconds.
    #[error("the receipt states no time at all")]
    NoTime,
    /// More money than rate times time.
    #[error("the receipt asks for more than rate times seconds")]
    Overcharged,
    /// More money than is locked.
    #[error("the receipt asks for more than is locked")]
    Overdrawn,
    /// More time than passed here.
    #[error("the receipt states more time than has passed")]
    AheadOfTime,
    /// The work goes on although its time is over.
    #[error("the receipt states more time than the order's limit and the grace to end it")]
    OverLimit,
    /// The meter root is not that of the samples.
    #[error("the receipt's meter does not follow from the samples")]
    WrongMeter,
    /// The samples go back, or beyond the time stated.
    #[error("the samples contradict the receipt's time")]
    WrongSamples,
    /// The result root is not that of the results.
    #[error("the receipt's result does not follow from the results handed in")]
    WrongResult,
    /// An early fault of the provider's that asks for money (ESC-4).
    #[error(
        "a fault of the provider's in the first minutes is free, yet the receipt asks for money"
    )]
    FaultCharged,
    /// Completed without a result, or with a failing one.
    #[error("the receipt says completed, the results do not")]
    NotCompleted,
}

/// Whether the renter key may sign a running receipt.
///
/// # Errors
/// The first doubt.
pub fn running(it: &Evidence<'_>, rules: &Rules) -> Result<(), Doubt> {
    if it.receipt.document.outcome.is_terminal() {
        return Err(Doubt::WrongOutcome);
    }
    if it.receipt.document.result != result_root(&[]) {
        return Err(Doubt::WrongResult);
    }
    grown(it)?;
    sound(it, rules)
}

/// The verdict on a terminal receipt with its results, once all outputs are here.
pub fn judge(it: &Evidence<'_>, results: &[TaskResult], rules: &Rules) -> Verdict {
    match terminal(it, results, rules) {
        Ok(()) => Verdict::Pay,
        Err(doubt) => Verdict::Refuse { why: doubt.to_string() },
    }
}

fn terminal(it: &Evidence<'_>, results: &[TaskResult], rules: &Rules) -> Result<(), Doubt> {
    let receipt = &it.receipt.document;
    match receipt.outcome {
        Outcome::Running => return Err(Doubt::WrongOutcome),
        // The provider may waive what it earned, so its fault may go below what was signed.
        Outcome::ProviderFault => {
            if receipt.seconds < rules.free_failure && receipt.amount != Amount::ZERO {
                return Err(Doubt::FaultCharged);
            }
        }
        Outcome::Completed => {
            if results.is_empty() || results.iter().any(|result| result.exit_code != 0) {
                return Err(Doubt::NotCompleted);
            }
            grown(it)?;
        }
        Outcome::Failed | Outcome::Stopped | Outcome::OutOfFunds => grown(it)?,
    }
    if receipt.result != result_root(results) {
        return Err(Doubt::WrongResult);
    }
    sound(it, rules)
}

/// Whether no sample takes back what one before it said.
pub fn in_order(samples: &[Sample]) -> bool {
    samples.windows(2).all(|pair| {
        pair[0].at_ms <= pair[1].at_ms
            && pair[0].cpu_ms <= pair[1].cpu_ms
            && pair[0].peak <= pair[1].peak
            && pair[0].fuel <= pair[1].fuel
    })
}

fn grown(it: &Evidence<'_>) -> Result<(), Doubt> {
    let receipt = &it.receipt.document;
    match it.last {
        Some(last) if receipt.amount < last.amount || receipt.seconds < last.seconds => {
            Err(Doubt::Decreased)
        }
        _ => Ok(()),
    }
}

fn sound(it: &Evidence<'_>, rules: &Rules) -> Result<(), Doubt> {
    let receipt = &it.receipt.document;
    let digest = receipt.digest(it.escrow);
    let passed = it.own.since_ready.unwrap_or(it.own.since_open).plus(rules.clock_slack);
    let last_ms = it.samples.last().map_or(0, |sample| sample.at_ms);
    let checks = [
        (Doubt::OtherDeal, receipt.deal == it.deal),
        (Doubt::NotSigned, it.receipt.signature.is_by(it.terms.provider_key, digest)),
        (Doubt::NoTime, receipt.seconds.0 >= 1),
        (Doubt::Overcharged, receipt.amount <= it.terms.rate.charge_down(receipt.seconds)),
        (Doubt::Overdrawn, receipt.amount <= it.locked),
        (Doubt::AheadOfTime, receipt.seconds <= passed),
        (Doubt::OverLimit, receipt.seconds <= it.time_limit.plus(rules.grace)),
        (Doubt::WrongMeter, receipt.meter == it.meter.root()),
        (
            Doubt::WrongSamples,
            in_order(it.samples) && last_ms <= receipt.seconds.0.saturating_mul(1_000),
        ),
    ];
    checks.into_iter().find(|(_, holds)| !holds).map_or(Ok(()), |(doubt, _)| Err(doubt))
}

#[cfg(test)]
mod tests;
