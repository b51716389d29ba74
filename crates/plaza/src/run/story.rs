//! The story of a job: its facts replayed into the stages of its deals, and what follows from them.
//!
//! The gateway's feed is all that is read here, so a renter that looks on knows what the gateway
//! knows, and computes for itself what that costs.

use std::collections::BTreeMap;

use api::TaskCounts;
use market::{
    DealFact, DealStage, Fact, JobFact, Record,
    fact::{Agreement, Closing},
    task::Load,
};
use primitives::{Amount, DealId, TaskIndex, UnixSeconds};

/// A job as its facts tell it.
pub(crate) struct Story {
    tasks: u32,
    deals: BTreeMap<DealId, Told>,
    over: bool,
}

struct Told {
    stage: DealStage,
    /// When its work began to be billed, on our clock; while it runs.
    ready: Option<UnixSeconds>,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) tasks: TaskCounts,
    /// Deals that may still bring results.
    pub(crate) carrying: usize,
    /// Deals that the chain is yet to settle, and that bring no more results.
    pub(crate) settling: usize,
    /// What all deals cost so far, computed from rate and time where nothing is signed yet.
    pub(crate) cost: Amount,
}

impl Story {
    /// Of a job of so many tasks.
    pub(crate) fn new(tasks: u32) -> Self {
        Self { tasks, deals: BTreeMap::new(), over: false }
    }

    /// What happened next. Facts about what this side does not know are passed over.
    ///
    /// # Errors
    /// A fact that cannot follow the ones before.
    pub(crate) fn take(&mut self, record: &Record, now: UnixSeconds) -> Result<(), market::Error> {
        match (&record.fact, record.deal) {
            (Fact::Job(fact), _) => self.over |= matches!(fact, JobFact::Done(_)),
            (Fact::Deal(fact @ DealFact::Chosen(_)), Some(deal)) => {
                let stage = DealStage::begin(fact.clone())?;
                self.deals.insert(deal, Told { stage, ready: None });
            }
            (Fact::Deal(fact), Some(deal)) => {
                let Some(told) = self.deals.remove(&deal) else { return Ok(()) };
                let stage = told.stage.apply(fact.clone())?;
                let ready = match fact {
                    DealFact::Countersigned(it) => Some(now.minus(it.receipt.document.seconds)),
                    DealFact::Delivered(_) | DealFact::Failed { .. } => None,
                    _ => told.ready,
                };
                self.deals.insert(deal, Told { stage, ready });
            }
            (Fact::Deal(_), None) => {}
        }
        Ok(())
    }

    /// Whether the job is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// How many of its deals were ever opened.
    pub(crate) fn opened(&self) -> usize {
        self.deals.values().filter(|told| told.stage.load().is_some()).count()
    }

    /// What the deals but `deal` have put aside or cost.
    pub(crate) fn bound_beside(&self, deal: DealId) -> Amount {
        let others = self.deals.iter().filter(|(id, _)| **id != deal);
        sum(others.map(|(_, told)| match &told.stage {
            DealStage::Void { .. } => Amount::ZERO,
            DealStage::Settled(it) => it.closing.split.charge(),
            stage => stage.terms().cap,
        }))
    }

    /// What the deals but `deal` that were offered and are not open yet will take.
    pub(crate) fn unopened_beside(&self, deal: DealId) -> Amount {
        let others = self.deals.iter().filter(|(id, _)| **id != deal).map(|(_, told)| &told.stage);
        let unopened =
            others.filter(|it| matches!(it, DealStage::Chosen(_) | DealStage::Signed(_)));
        sum(unopened.map(|stage| stage.terms().escrowed().unwrap_or(Amount::MAX)))
    }

    /// The share of what a deal put aside that its co-signed receipts have used, in percent.
    pub(crate) fn used(&self, deal: DealId) -> u128 {
        let Some(told) = self.deals.get(&deal) else { return 0 };
        let used = told.stage.last().map_or(0, |last| last.receipt.document.amount.units());
        (used * 100).checked_div(told.stage.terms().cap.units()).unwrap_or(0)
    }

    /// Whose deal this is.
    pub(crate) fn agreement(&self, deal: DealId) -> Option<&Agreement> {
        self.deals.get(&deal).map(|told| told.stage.agreement())
    }

    /// Since when the newest of its deals runs, if one does.
    pub(crate) fn running_since(&self) -> Option<UnixSeconds> {
        self.deals.values().filter_map(|told| told.ready).max()
    }

    /// How it stands at `now`.
    pub(crate) fn standing(&self, now: UnixSeconds) -> Standing {
        let stages = || self.deals.values().map(|told| &told.stage);
        let carries =
            |stage: &&DealStage| !stage.is_over() && !matches!(stage, DealStage::Judged(_));
        Standing {
            tasks: self.tasks(),
            carrying: stages().filter(carries).count(),
            settling: stages().filter(|stage| matches!(stage, DealStage::Judged(_))).count(),
            cost: sum(self.deals.values().map(|told| told.cost(now))),
        }
    }

    fn tasks(&self) -> TaskCounts {
        let mut done: BTreeMap<TaskIndex, bool> = BTreeMap::new();
        for told in self.deals.values() {
            let counting = told.stage.counting().map(|reported| reported.result);
            done.extend(counting.map(|result| (result.task, result.exit_code != 0)));
        }
        let handed = self.deals.values().filter(|told| told.stage.delivery().is_none());
        let handed = handed.filter(|told| !matches!(told.stage, DealStage::Judged(_)));
        let handed = handed.filter(|told| !told.stage.is_over());
        let outstanding = handed.filter_map(|told| told.stage.load()).flat_map(Load::outstanding);
        let count = |many: usize| u32::try_from(many).unwrap_or(u32::MAX);
        TaskCounts {
            all: self.tasks,
            handed: count(outstanding.filter(|(task, _)| !done.contains_key(task)).count()),
            done: count(done.len()),
            failed: count(done.values().filter(|failed| **failed).count()),
        }
    }
}

impl Told {
    fn cost(&self, now: UnixSeconds) -> Amount {
        let terms = self.stage.terms();
        let closing = |closing: &Closing| closing.split.charge();
        let signed = || self.stage.last().map_or(Amount::ZERO, |it| it.receipt.document.amount);
        match (&self.stage, self.ready) {
            (DealStage::Settled(it), _) => closing(&it.closing),
            (_, Some(ready)) => {
                terms.rate.charge_down(now.since(ready)).min(terms.cap).max(signed())
            }
            (stage, None) => {
                stage.delivery().map_or_else(signed, |delivery| delivery.receipt.document.amount)
            }
        }
    }
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    amounts.fold(Amount::ZERO, |sum, amount| sum.plus(amount).unwrap_or(Amount::MAX))
}
