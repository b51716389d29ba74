//! The bill: what a job cost, so that anyone can compute it again.
//!
//! charge = floor(rate x seconds / 3600) = fee + paid; escrow = charge + refund. Money is in base
//! units of the token, as decimal strings.

use api::{Deal, Job};
use market::{Outcome, fact::Conclusion, task::Ending};
use primitives::{Address, Amount, B256, DealId, JobId, Rate, Seconds};
use serde::Serialize;

use crate::{daemon::Reached, failure::OURS};

/// Exit status: the job ran into its time limit.
const TIMED_OUT: u8 = 124;
/// Exit status: the program cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Exit status: there is no such program.
const NOT_FOUND: u8 = 127;

/// What `plaza run --json` ends with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Bill {
    job: Option<JobId>,
    #[serde(flatten)]
    last: DealBill,
    chain_id: Option<u64>,
    rpc_url: Option<String>,
    deals: Vec<DealBill>,
    #[serde(skip)]
    pub(crate) status: u8,
    #[serde(skip)]
    why: Option<String>,
}

/// What one deal cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DealBill {
    deal: Option<DealId>,
    provider: Option<Address>,
    outcome: String,
    exit_code: Option<i32>,
    seconds: Seconds,
    rate_per_hour: Rate,
    charge: Amount,
    fee: Amount,
    paid: Amount,
    refund: Amount,
    escrow: Amount,
    settlement_tx: Option<B256>,
}

impl Default for DealBill {
    fn default() -> Self {
        Self {
            deal: None,
            provider: None,
            outcome: "not-started".to_owned(),
            exit_code: None,
            seconds: Seconds(0),
            rate_per_hour: Rate::ZERO,
            charge: Amount::ZERO,
            fee: Amount::ZERO,
            paid: Amount::ZERO,
            refund: Amount::ZERO,
            escrow: Amount::ZERO,
            settlement_tx: None,
        }
    }
}

impl Bill {
    /// Of a job that never came to be, or of which nothing more is known.
    pub(crate) fn unknown(job: Option<JobId>) -> Self {
        let outcome = if job.is_some() { "unknown" } else { "not-started" };
        Self { job, last: DealBill::ended(outcome), status: OURS, ..Self::default() }
    }

    /// Of a job as it stands.
    pub(crate) fn of(job: &Job, reached: &Reached) -> Self {
        let last = match (&job.deal, &job.conclusion) {
            (Some(deal), _) => DealBill::of(deal),
            (None, Some(Conclusion::Unplaced { .. })) => DealBill::ended("unplaced"),
            (None, _) => DealBill::ended(&job.state),
        };
        let deals = if last.deal.is_some() { vec![last.clone()] } else { Vec::new() };
        Self {
            job: Some(job.id),
            last,
            chain_id: Some(reached.network.descriptor.chain_id),
            rpc_url: Some(reached.client.rpc_url()),
            deals,
            status: status(job),
            why: why(job),
        }
    }

    /// The same for people.
    pub(crate) fn lines(&self, decimals: u8) -> Vec<String> {
        let it = &self.last;
        let code = it.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
        let mut lines = vec![format!("{}{code}", it.outcome)];
        lines.extend(self.why.clone());
        if let Some(tx) = it.settlement_tx {
            lines.push(format!(
                "{} s at {} cost {}: {} to the provider, {} fee; {} of {} came back",
                it.seconds.0,
                hourly(it.rate_per_hour, decimals),
                dollars(it.charge, decimals),
                dollars(it.paid, decimals),
                dollars(it.fee, decimals),
                dollars(it.refund, decimals),
                dollars(it.escrow, decimals),
            ));
            lines.push(format!("settled in transaction {tx}"));
        } else {
            lines.push("no money moved".to_owned());
        }
        lines
    }
}

impl DealBill {
    fn ended(outcome: &str) -> Self {
        Self { outcome: outcome.to_owned(), ..Self::default() }
    }

    /// Of a deal as it stands.
    pub(crate) fn of(deal: &Deal) -> Self {
        let terms = &deal.agreement.terms.document;
        let split = deal.split();
        let outcome = match (deal.outcome(), deal.state.as_str()) {
            (Some(outcome), _) => outcome.word(),
            // Settled by an exit, without a terminal receipt: nobody handed anything in.
            (None, "settled") => Outcome::ProviderFault.word(),
            (None, "void") => "unopened",
            (None, state) => state,
        };
        let locked = deal.closing.map(|closing| closing.locked());
        Self {
            deal: Some(deal.agreement.deal),
            provider: Some(terms.provider),
            outcome: outcome.to_owned(),
            exit_code: deal.delivery.as_ref().and_then(|delivery| delivery.exit_code()),
            seconds: deal.newest_receipt().map_or(Seconds(0), |receipt| receipt.seconds),
            rate_per_hour: terms.rate,
            charge: deal.cost(),
            fee: split.map_or(Amount::ZERO, |split| split.fee),
            paid: split.map_or(Amount::ZERO, |split| split.paid),
            refund: split.map_or(Amount::ZERO, |split| split.refund),
            escrow: locked.unwrap_or(Amount::ZERO),
            settlement_tx: deal.closing.map(|closing| closing.tx),
        }
    }
}

/// What `plaza run` exits with.
fn status(job: &Job) -> u8 {
    let Some(delivery) = job.deal.as_ref().and_then(|deal| deal.delivery.as_ref()) else {
        return OURS;
    };
    let code = delivery.exit_code().and_then(|code| u8::try_from(code).ok());
    let limit = job.submission.work.time_limit;
    let ending = delivery.ending.as_ref().map(|ending| ending.code.as_str());
    match (delivery.outcome(), ending) {
        (Outcome::Failed, Some("timed-out")) => TIMED_OUT,
        (Outcome::Failed, Some("not-executable")) => NOT_EXECUTABLE,
        (Outcome::Failed, Some("missing-program")) => NOT_FOUND,
        (Outcome::Completed, _) => code.unwrap_or(0),
        (Outcome::Failed, _) => code.filter(|code| *code != 0).unwrap_or(FAILED_SILENTLY),
        (Outcome::Stopped, _) => code.filter(|code| *code != 0).unwrap_or(TERMINATED),
        // The hold covers the time limit: whoever used both up ran into the limit.
        (Outcome::OutOfFunds, _) if delivery.receipt.document.seconds >= limit => TIMED_OUT,
        (Outcome::OutOfFunds | Outcome::ProviderFault | Outcome::Running, _) => OURS,
    }
}

/// The job's fault with an exit code of zero, as when it left more output than allowed.
const FAILED_SILENTLY: u8 = 1;
/// Ended by SIGTERM.
const TERMINATED: u8 = 128 + 15;

fn why(job: &Job) -> Option<String> {
    let deal = job.deal.as_ref();
    let ending = deal.and_then(|deal| deal.delivery.as_ref()?.ending.as_ref());
    let ending = ending.filter(|ending| ending.code != "completed").map(told);
    let problem = deal.and_then(|deal| deal.problem.clone());
    let conclusion = match &job.conclusion {
        Some(Conclusion::Settled) | None => None,
        Some(other) => Some(other.sentence()),
    };
    ending.or(problem).or(conclusion)
}

fn told(ending: &Ending) -> String {
    let Ending { code, cause, action } = ending;
    if action.is_empty() {
        format!("{code}: {cause}")
    } else {
        format!("{code}: {cause}; {action}")
    }
}

/// Money for people: `0.000277 dollars`.
pub(crate) fn dollars(amount: Amount, decimals: u8) -> String {
    format!("${}", amount.in_coins(decimals))
}

/// A price for people.
pub(crate) fn hourly(rate: Rate, decimals: u8) -> String {
    let amount = Amount::new(rate.units_per_hour()).unwrap_or(Amount::MAX);
    format!("{} per hour", dollars(amount, decimals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_the_fields_other_tools_rely_on() {
        let json = serde_json::to_value(Bill::unknown(None)).expect("plain data");
        let mut names: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
        names.sort();
        let mut promised = [
            "job",
            "deal",
            "provider",
            "outcome",
            "exit_code",
            "seconds",
            "rate_per_hour",
            "charge",
            "fee",
            "paid",
            "refund",
            "escrow",
            "settlement_tx",
            "chain_id",
            "rpc_url",
            "deals",
        ];
        promised.sort_unstable();
        assert_eq!(names, promised);
        assert_eq!(json["charge"], "0", "money is a decimal string");
        assert_eq!(json["seconds"], 0, "seconds are a number");
    }

    #[test]
    fn money_is_written_for_people() {
        let amount = Amount::new(277).expect("small");
        assert_eq!(dollars(amount, 6), "$0.000277");
        assert_eq!(hourly(Rate::per_hour(50_000).expect("small"), 6), "$0.05 per hour");
    }
}
