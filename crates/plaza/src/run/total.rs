//! The total: what a job of many tasks cost, deal by deal and in sum, so that anyone can compute it
//! again.
//!
//! Of each deal: charge = floor(rate x seconds / 3600) = fee + paid; escrow = charge + refund. Of the
//! job: the sums of these. Money is in base units of the token, as decimal strings.

use api::{Deal, Job, Task};
use market::{Outcome, fact::Conclusion};
use primitives::{Amount, BasisPoints, JobId, Seconds};
use serde::Serialize;

use crate::{
    daemon::Reached,
    failure::{FAILED, OURS},
    run::bill::{DealBill, TERMINATED, dollars, told},
    voice::table,
};

/// How many failures are told one by one.
const TOLD: usize = 5;

/// What `plaza job submit --json` ends with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Total {
    job: Option<JobId>,
    tasks: u32,
    done: u32,
    failed: u32,
    deals: Vec<Share>,
    seconds: Seconds,
    charge: Amount,
    fee: Amount,
    paid: Amount,
    refund: Amount,
    escrow: Amount,
    chain_id: Option<u64>,
    rpc_url: Option<String>,
    #[serde(skip)]
    pub(crate) status: u8,
    #[serde(skip)]
    failures: Vec<String>,
    #[serde(skip)]
    why: Option<String>,
}

/// What one deal of a job carried and cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Share {
    #[serde(flatten)]
    bill: DealBill,
    tasks: u32,
    fee_bps: BasisPoints,
}

impl Total {
    /// Of a job that never came to be, or of which nothing more is known.
    pub(crate) fn unknown(job: Option<JobId>) -> Self {
        Self { job, status: OURS, ..Self::default() }
    }

    /// Of a job as it stands.
    pub(crate) fn of(job: &Job, tasks: &[Task], reached: &Reached) -> Self {
        let deals: Vec<Share> = job.deals.iter().map(|deal| Share::of(deal, tasks)).collect();
        let sum = |of: fn(&DealBill) -> Amount| {
            let amounts = deals.iter().map(|share| of(&share.bill));
            amounts.fold(Amount::ZERO, |sum, it| sum.plus(it).unwrap_or(Amount::MAX))
        };
        Self {
            job: Some(job.id),
            tasks: job.tasks.all,
            done: job.tasks.done,
            failed: job.tasks.failed,
            seconds: deals.iter().fold(Seconds(0), |sum, share| sum.plus(share.bill.seconds)),
            charge: sum(|bill| bill.charge),
            fee: sum(|bill| bill.fee),
            paid: sum(|bill| bill.paid),
            refund: sum(|bill| bill.refund),
            escrow: sum(|bill| bill.escrow),
            deals,
            chain_id: Some(reached.network.descriptor.chain_id),
            rpc_url: Some(reached.client.rpc_url()),
            status: status(job),
            failures: failures(tasks),
            why: why(job),
        }
    }

    /// The same for people.
    pub(crate) fn lines(&self, decimals: u8) -> Vec<String> {
        let mut lines = vec![self.counted()];
        lines.extend(self.failures.iter().take(TOLD).cloned());
        if let Some(more) = self.failures.len().checked_sub(TOLD).filter(|more| *more > 0) {
            lines.push(format!("and {more} more failed"));
        }
        lines.extend(self.why.clone());
        let settled = self.deals.iter().filter(|it| it.bill.settlement_tx.is_some()).count();
        if settled == 0 {
            lines.push("no money moved".to_owned());
            return lines;
        }
        let deals = if settled == 1 { "1 deal".to_owned() } else { format!("{settled} deals") };
        lines.push(format!(
            "{deals}, {} s in all, cost {}: {} to the providers, {} fee; {} of {} came back",
            self.seconds.0,
            dollars(self.charge, decimals),
            dollars(self.paid, decimals),
            dollars(self.fee, decimals),
            dollars(self.refund, decimals),
            dollars(self.escrow, decimals),
        ));
        lines
    }

    /// How many tasks came to what, in words.
    fn counted(&self) -> String {
        let without = self.tasks.saturating_sub(self.done);
        let mut words =
            format!("{} of {} tasks done, {} failed", self.done, self.tasks, self.failed);
        if without > 0 {
            words.push_str(&format!(", {without} without a result"));
        }
        words
    }

    /// The whole bill as a table, in base units, and how each figure follows.
    pub(crate) fn papers(&self, decimals: u8) -> String {
        let mut rows: Vec<Vec<String>> = self.deals.iter().map(Share::row).collect();
        let sums = [self.charge, self.fee, self.paid, self.refund, self.escrow];
        let sums = sums.map(|sum| sum.to_string());
        let count = |text: String| vec![text, String::new(), String::new()];
        let mut last = count("sum".to_owned());
        last.extend([self.done.to_string(), self.seconds.0.to_string(), String::new()]);
        last.extend(sums);
        rows.push(last);
        let head = [
            "DEAL", "PROVIDER", "OUTCOME", "TASKS", "SECONDS", "RATE", "CHARGE", "FEE", "PAID",
            "REFUND", "ESCROW",
        ];
        let mut fees: Vec<u16> = self.deals.iter().map(|share| share.fee_bps.0).collect();
        fees.sort_unstable();
        fees.dedup();
        let fees = fees.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        let unit = dollars(Amount::new(1).unwrap_or_default(), decimals);
        format!(
            "{}\n\ncharge = floor(rate x seconds / 3600)   fee = floor(charge x {fees} / 10000)\n\
             paid = charge - fee   refund = escrow - charge   RATE is per hour; one unit is {unit}",
            table(&head, &rows)
        )
    }
}

impl Share {
    fn of(deal: &Deal, tasks: &[Task]) -> Self {
        let of_deal =
            |task: &&Task| task.deal == Some(deal.agreement.deal) && task.exit_code.is_some();
        let count = tasks.iter().filter(of_deal).count();
        Self {
            bill: DealBill::of(deal, tasks),
            tasks: u32::try_from(count).unwrap_or(u32::MAX),
            fee_bps: deal.agreement.terms.document.fee,
        }
    }

    fn row(&self) -> Vec<String> {
        let it = &self.bill;
        let mut row = vec![
            it.deal.map(|deal| deal.short()).unwrap_or_default(),
            it.provider.map(|provider| provider.to_string()).unwrap_or_default(),
            it.outcome.clone(),
            self.tasks.to_string(),
            it.seconds.0.to_string(),
            it.rate_per_hour.units_per_hour().to_string(),
        ];
        let amounts = [it.charge, it.fee, it.paid, it.refund, it.escrow];
        row.extend(amounts.map(|amount| amount.to_string()));
        row
    }
}

/// What `plaza job submit` exits with.
fn status(job: &Job) -> u8 {
    let stopped = job.deals.iter().any(|deal| deal.outcome() == Some(Outcome::Stopped));
    match &job.conclusion {
        Some(Conclusion::Settled) if job.tasks.failed == 0 => 0,
        Some(Conclusion::Settled) => FAILED,
        Some(Conclusion::Unfinished { .. }) if stopped => TERMINATED,
        _ => OURS,
    }
}

fn failures(tasks: &[Task]) -> Vec<String> {
    let failed = tasks.iter().filter(|task| task.exit_code.is_some_and(|code| code != 0));
    let line = |task: &Task| {
        let code = task.exit_code.unwrap_or_default();
        let why = task.ending.as_ref().map(told).unwrap_or_default();
        format!("task {} failed with exit code {code}: {why}", task.task.0)
    };
    failed.map(line).collect()
}

fn why(job: &Job) -> Option<String> {
    match &job.conclusion {
        Some(Conclusion::Settled) | None => None,
        Some(other) => Some(other.sentence()),
    }
}
