//! What outsiders see of jobs, deals and offers: plain copies of the present stages.

use market::{
    DealStage, JobStage, Offer, Signed,
    document::Receipt,
    fact::{Agreement, Closing, Conclusion, Countersigned, Delivery, Opening, Submission},
    message::Phase,
};
use primitives::{Amount, Digest, JobId, Signature, UnixSeconds};
use serde::Serialize;

/// A job as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// `submitted`, `placed`, `working` or `done`.
    pub state: &'static str,
    /// When its order was accepted.
    pub since: UnixSeconds,
    /// The order and its content.
    pub submission: Submission,
    /// Whether the renter asked to end it.
    pub stopping: bool,
    /// Its deal, if it came to one.
    pub deal: Option<DealView>,
    /// How it ended, once it is done.
    pub conclusion: Option<Conclusion>,
}

/// A deal as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct DealView {
    /// `chosen`, `signed`, `open`, `running`, `delivered`, `judged`, `settled` or `void`.
    pub state: &'static str,
    /// What was agreed.
    pub agreement: Agreement,
    /// How it was opened, once it is.
    pub opening: Option<Opening>,
    /// What the provider last said it does before readiness.
    pub phase: Option<Phase>,
    /// The last running receipt with both signatures.
    pub last: Option<Countersigned>,
    /// What the provider handed in at the end.
    pub delivery: Option<Delivery>,
    /// The renter key's signature over the terminal receipt, if it is to be paid.
    pub signature: Option<Signature>,
    /// Why it is not paid in full, or ended before it began.
    pub problem: Option<String>,
    /// How the chain settled it.
    pub closing: Option<Closing>,
}

/// An offer in the book.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// The offer's digest: how quotes and deals name it.
    pub digest: Digest,
    /// The offer and the provider key's signature.
    pub offer: Signed<Offer>,
    /// Whether its provider is connected to this gateway now.
    pub connected: bool,
}

impl JobView {
    pub(crate) fn of(
        id: JobId,
        since: UnixSeconds,
        stage: &JobStage,
        deal: Option<&DealStage>,
    ) -> Self {
        let conclusion = match stage {
            JobStage::Done { conclusion, .. } => Some(conclusion.as_ref().clone()),
            _ => None,
        };
        Self {
            id,
            state: stage.name(),
            since,
            submission: stage.submission().clone(),
            stopping: stage.stop_asked() || deal.is_some_and(|deal| deal.stop().is_some()),
            deal: deal.map(DealView::of),
            conclusion,
        }
    }
}

impl DealView {
    pub(crate) fn of(stage: &DealStage) -> Self {
        let (opening, phase, signature, problem, closing) = match stage {
            DealStage::Chosen(_) | DealStage::Signed(_) => (None, None, None, None, None),
            DealStage::Open(it) => (Some(it.opening), it.phase, None, it.stop.clone(), None),
            DealStage::Running(it) => (Some(it.opening), None, None, it.stop.clone(), None),
            DealStage::Delivered(it) => (Some(it.opening), None, None, None, None),
            DealStage::Judged(it) => {
                (Some(it.opening), None, it.signature, refusal(&it.verdict), None)
            }
            DealStage::Settled(it) => {
                (Some(it.opening), None, it.signature, refusal(&it.verdict), Some(it.closing))
            }
            DealStage::Void { why, .. } => (None, None, None, Some(why.clone()), None),
        };
        Self {
            state: stage.name(),
            agreement: stage.agreement().clone(),
            opening,
            phase,
            last: stage.last().cloned(),
            delivery: stage.delivery().cloned(),
            signature,
            problem,
            closing,
        }
    }

    /// The newest receipt, co-signed or handed in: what the work costs as far as is known.
    pub fn newest_receipt(&self) -> Option<&Receipt> {
        let delivered = self.delivery.as_ref().map(|delivery| &delivery.receipt.document);
        delivered.or(self.last.as_ref().map(|last| &last.receipt.document))
    }

    /// What it costs so far: the charge once settled, else the newest receipt's amount.
    pub fn cost(&self) -> Amount {
        match (&self.closing, self.newest_receipt()) {
            (Some(closing), _) => closing.split.charge(),
            (None, Some(receipt)) => receipt.amount,
            (None, None) => Amount::ZERO,
        }
    }
}

fn refusal(verdict: &market::Verdict) -> Option<String> {
    match verdict {
        market::Verdict::Pay => None,
        market::Verdict::Refuse { why } => Some(why.clone()),
    }
}
