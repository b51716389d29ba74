//! The bill: what a job cost, so that anyone can compute it again.
//!
//! charge = floor(rate x seconds / 3600) = fee + paid; escrow = charge + refund. Money is in base
//! units of the token, as decimal strings.

use api::{Deal, Job, Task};
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
    pub(crate) deal: Option<DealId>,
    pub(crate) provider: Option<Address>,
    pub(crate) outcome: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) seconds: Seconds,
    pub(crate) rate_per_hour: Rate,
    pub(crate) charge: Amount,
    pub(crate) fee: Amount,
    pub(crate) paid: Amount,
    pub(crate) refund: Amount,
    pub(crate) escrow: Amount,
    pub(crate) settlement_tx: Option<B256>,
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

    /// Of a job of one task as it stands.
    pub(crate) fn of(job: &Job, tasks: &[Task], reached: &Reached) -> Self {
        let last = match (job.deal(), &job.conclusion) {
            (Some(deal), _) => DealBill::of(deal, tasks),
            (None, Some(Conclusion::Unplaced { .. })) => DealBill::ended("unplaced"),
            (None, _) => DealBill::ended(&job.state),
        };
        Self {
            job: Some(job.id),
            last,
            chain_id: Some(reached.network.descriptor.chain_id),
            rpc_url: Some(reached.client.rpc_url()),
            deals: job.deals.iter().map(|deal| DealBill::of(deal, tasks)).collect(),
            status: status(job, tasks),
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
            lines.extend(self.earlier(decimals));
        } else {
            lines.push("no money moved".to_owned());
        }
        lines
    }
}

impl Bill {
    /// What deals cost that ended before the task did.
    fn earlier(&self, decimals: u8) -> impl Iterator<Item = String> {
        let paid = |it: &&DealBill| it.deal != self.last.deal && it.settlement_tx.is_some();
        self.deals.iter().filter(paid).map(move |it| {
            let provider = it.provider.unwrap_or_default();
            let (charge, escrow) = (dollars(it.charge, decimals), dollars(it.escrow, decimals));
            format!("an earlier deal, with provider {provider}, cost {charge} of {escrow}")
        })
    }
}

impl DealBill {
    fn ended(outcome: &str) -> Self {
        Self { outcome: outcome.to_owned(), ..Self::default() }
    }

    /// Of a deal as it stands.
    pub(crate) fn of(deal: &Deal, tasks: &[Task]) -> Self {
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
            exit_code: exit_code(deal, tasks),
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

/// The exit code of the one task that a deal carried, counted or not.
fn exit_code(deal: &Deal, tasks: &[Task]) -> Option<i32> {
    let [task] = tasks else { return None };
    let delivered = deal.delivery.as_ref().and_then(|delivery| delivery.results.first());
    let counted = || task.exit_code.filter(|_| task.deal == Some(deal.agreement.deal));
    delivered.map(|reported| reported.result.exit_code).or_else(counted)
}

/// What `plaza run` exits with.
fn status(job: &Job, tasks: &[Task]) -> u8 {
    let Some((deal, delivery)) = job.deal().and_then(|deal| Some((deal, deal.delivery.as_ref()?)))
    else {
        return OURS;
    };
    let code = exit_code(deal, tasks).and_then(|code| u8::try_from(code).ok());
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
pub(crate) const TERMINATED: u8 = 128 + 15;

fn why(job: &Job) -> Option<String> {
    let deal = job.deal();
    let ending = deal.and_then(|deal| deal.delivery.as_ref()?.ending.as_ref());
    let ending = ending.filter(|ending| ending.code != "completed").map(told);
    let problem = deal.and_then(|deal| deal.problem.clone());
    let conclusion = match &job.conclusion {
        // How its deal ended says it all.
        Some(Conclusion::Settled | Conclusion::Unfinished { .. }) | None => None,
        Some(other) => Some(other.sentence()),
    };
    ending.or(problem).or(conclusion)
}

/// An ending in one line.
pub(crate) fn told(ending: &Ending) -> String {
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
