//! Facts: everything that happened to jobs, deals and leases, as it is written down.
//!
//! The facts are at once the journal, the live feed, the metrics and the audit trail. A fact that
//! holds a signature is durable before the signature leaves the process.
//!
//! Facts are versioned by their names: a released variant never changes its meaning; what is new
//! gets a new name.

use primitives::{
    Amount, B256, DealId, Digest, Epoch, JobId, PeerId, Resources, Sample, Seconds, Signature,
    TaskIndex, UnixSeconds,
};
use serde::{Deserialize, Serialize};

use crate::{
    document::{Command, Consent, Order, Receipt, Session, Signed, Terms},
    escrow::Split,
    machine::Dimension,
    message::{Assignment, Phase},
    meter::Meter,
    outcome::{Outcome, Verdict},
    task::{Ending, Reported},
    work::Work,
};

/// A fact as the journal keeps it: when, and about what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Wall time at which it was written down.
    pub at: UnixSeconds,
    /// The job it belongs to.
    pub job: JobId,
    /// The deal it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deal: Option<DealId>,
    /// What happened.
    pub fact: Fact,
}

/// What happened to a job or to a deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "line")]
pub enum Fact {
    /// On the line of a job.
    Job(JobFact),
    /// On the line of a deal.
    Deal(DealFact),
}

/// The line of a job: Submitted -> Placed -> Working -> Done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fact")]
pub enum JobFact {
    /// A signed order was accepted.
    Submitted(Box<Submission>),
    /// A bid was chosen for it: the first, or one more.
    Placed {
        /// The deal it makes.
        deal: DealId,
    },
    /// The first of its deals is open.
    Working {
        /// The deal.
        deal: DealId,
    },
    /// The renter wants it ended.
    StopAsked,
    /// It is over.
    Done(Box<Conclusion>),
}

/// An order with the content behind its digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The renter's signed order.
    pub order: Signed<Order>,
    /// The work behind its digests.
    pub work: Work,
    /// The salt of its digests.
    pub salt: B256,
    /// The session that the order names: with it the gateway signs terms by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Signed<Session>>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "conclusion")]
pub enum Conclusion {
    /// All its tasks have their results, and all its deals are settled.
    Settled,
    /// Its deals are over, and some of its tasks have no result.
    Unfinished {
        /// Why no further deal carries them, for people.
        why: String,
        /// How many tasks have no result.
        tasks: u32,
    },
    /// No provider took it, for these reasons; no money moved.
    Unplaced {
        /// For people.
        why: String,
        /// How many offers failed in each dimension.
        rejected: std::collections::BTreeMap<Dimension, usize>,
    },
    /// None of its deals was ever opened; no money moved.
    Unopened {
        /// For people.
        why: String,
    },
}

/// The line of a deal: Chosen -> Signed -> Open -> Running -> Delivered -> Judged -> Settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fact")]
pub enum DealFact {
    /// A provider's firm bid was chosen.
    Chosen(Box<Agreement>),
    /// The renter consented.
    Signed {
        /// Its consent.
        consent: Consent,
    },
    /// The deal is open on the chain, at the network's depth.
    Opened(Opening),
    /// Tasks are handed to it.
    Assigned {
        /// Which, each with the attempt this is.
        tasks: Vec<(TaskIndex, Epoch)>,
        /// Whether no more will come.
        released: bool,
    },
    /// The provider says what it does.
    Progressed {
        /// What.
        phase: Phase,
    },
    /// The renter's side wants it ended.
    StopAsked {
        /// Who or what asks, for people.
        why: String,
    },
    /// A running receipt has both signatures.
    Countersigned(Box<Countersigned>),
    /// Tasks ended, and their outputs are here.
    Reported {
        /// What came of them.
        results: Vec<Reported>,
    },
    /// The provider handed in its terminal receipt, and all outputs are here.
    Delivered(Box<Delivery>),
    /// It was decided what to pay; with `Pay`, the renter key's signature.
    Judged {
        /// The decision.
        verdict: Verdict,
        /// Over the terminal receipt, if it is to be paid.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<Signature>,
    },
    /// The deal can go no further on its own; money that is locked comes back by the exits.
    Failed {
        /// Where and why, for people.
        why: String,
    },
    /// The chain settled it.
    Settled(Box<Closing>),
}

/// What both sides agreed on, before anything is locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// The deal: the digest of the terms.
    pub deal: DealId,
    /// The job it serves.
    pub job: JobId,
    /// The terms and the provider key's signature.
    pub terms: Signed<Terms>,
    /// Where the provider is reached.
    pub peer: PeerId,
    /// The offer the bid stands on.
    pub offer: Digest,
    /// What is reserved.
    pub resources: Resources,
    /// The salt of the terms' `spec`.
    pub salt: B256,
}

/// How a deal was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The transaction.
    pub tx: B256,
    /// Its block.
    pub block: u64,
    /// That block's time.
    pub at: UnixSeconds,
}

/// A receipt with both signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Countersigned {
    /// The receipt and the provider key's signature.
    pub receipt: Signed<Receipt>,
    /// The renter key's signature.
    pub renter: Signature,
    /// The meter it carries.
    pub meter: Meter,
    /// The newest sample under that meter; later ones must not take back what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

/// What a provider handed in at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The terminal receipt and the provider key's signature.
    pub receipt: Signed<Receipt>,
    /// The results behind its root that were not reported before.
    pub results: Vec<Reported>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The meter it carries.
    pub meter: Meter,
}

/// Where the clock of a lease stood, and what it measured since the reading before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Running time of the lease since readiness, in milliseconds; holds and gaps excluded.
    pub elapsed_ms: u64,
    /// Running time of each task that had begun and was not finished, in milliseconds. What these
    /// grow while nobody reads the clock is running time of the lease, too.
    pub runs: Vec<(TaskIndex, u64)>,
    /// The samples since the reading before.
    pub samples: Vec<Sample>,
}

/// How the chain settled a deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// The transaction.
    pub tx: B256,
    /// Its block.
    pub block: u64,
    /// Who got what.
    pub split: Split,
}

/// The line of a lease at the provider: accept -> prepare -> run -> meter -> deliver -> wipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fact")]
pub enum LeaseFact {
    /// A firm bid was given and capacity put aside.
    Bid(Box<Agreement>),
    /// The deal never opened; capacity is free again.
    Lapsed,
    /// The deal is open and valid commands came, which hand over tasks or say that no more will come.
    Assigned {
        /// The signed commands.
        commands: Vec<Signed<Command>>,
        /// With the first of them: the work.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assignment: Option<Box<Assignment>>,
    },
    /// The first program runs; billing starts here.
    Started,
    /// What was measured since; written down before it is told to anybody.
    Metered(Box<Reading>),
    /// Tasks ended, and what they left is kept.
    Finished {
        /// What came of them.
        results: Vec<Reported>,
    },
    /// The renter's side asked to end it.
    StopTaken,
    /// A running receipt has both signatures.
    Countersigned {
        /// The receipt and this side's signature.
        receipt: Box<Signed<Receipt>>,
        /// The renter key's signature.
        renter: Signature,
    },
    /// The run ended, and this terminal receipt was signed.
    Ended(Box<Delivery>),
    /// The terminal receipt has both signatures.
    Accepted {
        /// The renter key's signature.
        renter: Signature,
    },
    /// The renter's side will not sign; the exits decide.
    Abandoned {
        /// For people.
        why: String,
        /// Seconds run beyond the last co-signed receipt.
        unsigned: Seconds,
    },
    /// The chain settled it.
    Settled(Box<Closing>),
    /// Nothing of the renter's is left on this machine.
    Wiped {
        /// How many bytes were removed.
        bytes: u64,
    },
}

impl Conclusion {
    /// One sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Settled => "settled".into(),
            Self::Unfinished { why, tasks } => {
                format!("{tasks} of its tasks have no result: {why}")
            }
            Self::Unplaced { why, .. } | Self::Unopened { why } => why.clone(),
        }
    }
}

impl Reading {
    /// This reading, then `next`.
    pub fn read_on(&mut self, next: Self) {
        let Self { elapsed_ms, runs, samples } = next;
        (self.elapsed_ms, self.runs) = (elapsed_ms, runs);
        self.samples.extend(samples);
    }
}

impl Closing {
    /// What was locked.
    pub fn locked(&self) -> Amount {
        self.split.charge().plus(self.split.refund).unwrap_or(Amount::MAX)
    }
}

impl Delivery {
    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        self.receipt.document.outcome
    }
}
