//! What the resources answer: plain documents that clients read back into the same types.

use broker::{DealView, JobView, Listing};
use market::{
    Offer, Outcome, Signed,
    document::{Receipt, Terms},
    escrow::Split,
    fact::{Agreement, Closing, Conclusion, Countersigned, Delivery, Opening, Submission},
    message::Phase,
    task::Ending,
};
use primitives::{
    Address, Amount, Bytes, DealId, Digest, Epoch, JobId, Seconds, Signature, TaskIndex,
    UnixSeconds,
};
use profile::Descriptor;
use serde::{Deserialize, Serialize};

/// The network that this gateway belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// All a newcomer needs to join, signed by the gateway.
    pub descriptor: Descriptor,
    /// The account orders name as their gateway.
    pub account: Address,
    /// The key orders name as `renterKey`: it co-signs receipts for the renter.
    pub signer: Address,
    /// The latest block.
    pub block: u64,
    /// Whether its chain id marks it as local: play money, demo keys allowed.
    pub local: bool,
}

/// The book of offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// Every valid offer.
    pub offers: Vec<Listed>,
}

/// An offer in the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// How quotes and deals name it.
    pub digest: Digest,
    /// The offer and the provider key's signature.
    pub offer: Signed<Offer>,
    /// Whether its provider is connected to this gateway now.
    pub connected: bool,
}

/// Jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// Newest first.
    pub jobs: Vec<Job>,
}

/// A job as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// `submitted`, `placed`, `working` or `done`.
    pub state: String,
    /// When its order was accepted.
    pub since: UnixSeconds,
    /// The order and its content.
    pub submission: Submission,
    /// Whether the renter asked to end it.
    pub stopping: bool,
    /// Its deals, in the order in which they were chosen.
    pub deals: Vec<Deal>,
    /// How its tasks stand.
    pub tasks: TaskCounts,
    /// How it ended, once it is done.
    pub conclusion: Option<Conclusion>,
}

/// How many tasks of a job stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// All of them.
    pub all: u32,
    /// Handed to a provider, without a result yet.
    pub handed: u32,
    /// With a result that counts, whatever it is.
    pub done: u32,
    /// Of those, with an exit code that is not zero.
    pub failed: u32,
}

/// The tasks of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tasks {
    /// All of them, by index.
    pub tasks: Vec<Task>,
}

/// A task as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Which task of the job.
    pub task: TaskIndex,
    /// Where it stands.
    pub state: TaskState,
    /// The newest attempt at it, if there was one.
    pub epoch: Option<Epoch>,
    /// The deal that carried that attempt.
    pub deal: Option<DealId>,
    /// Who ran it.
    pub provider: Option<Address>,
    /// As a shell would give it, once it is done.
    pub exit_code: Option<i32>,
    /// How long it ran, once it is done.
    pub seconds: Option<Seconds>,
    /// The list of what it left in `./out`; none where it left nothing.
    pub output: Option<Digest>,
    /// Why it ended, once it is done.
    pub ending: Option<Ending>,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// No deal carries it now.
    Waiting,
    /// A deal carries it.
    Handed,
    /// It has a result that counts, whatever it is.
    Done,
}

/// A deal as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deal {
    /// `chosen`, `signed`, `open`, `running`, `delivered`, `judged`, `settled` or `void`.
    pub state: String,
    /// What was agreed.
    pub agreement: Agreement,
    /// How it was opened, once it is.
    pub opening: Option<Opening>,
    /// What the provider last said it does before readiness.
    pub phase: Option<Phase>,
    /// The last running receipt with both signatures.
    pub last: Option<Countersigned>,
    /// How many tasks it was handed.
    pub assigned: u32,
    /// How many of those had their result before the terminal receipt.
    pub reported: u32,
    /// What the provider handed in at the end.
    pub delivery: Option<Delivery>,
    /// The renter key's signature over the terminal receipt, if it is to be paid.
    pub signature: Option<Signature>,
    /// Why it is not paid in full, or ended before it began.
    pub problem: Option<String>,
    /// How the chain settled it.
    pub closing: Option<Closing>,
}

/// Everything anyone needs to check a deal, or to present or settle it on the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealReceipt {
    /// The deal.
    pub deal: DealId,
    /// The job it served.
    pub job: JobId,
    /// The chain.
    pub chain_id: u64,
    /// The escrow, under whose domain terms and receipts are signed.
    pub escrow: Address,
    /// The terms and the provider key's signature.
    pub terms: Signed<Terms>,
    /// The last running receipt with both signatures, if there is one.
    pub running: Option<Cosigned>,
    /// The terminal receipt, with the renter key's signature if it is to be paid.
    pub terminal: Option<Cosigned>,
    /// How the chain settled it.
    pub closing: Option<Closing>,
}

/// A receipt with the signatures of both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cosigned {
    /// What is stated.
    pub receipt: Receipt,
    /// By the provider key.
    pub provider: Signature,
    /// By the renter key.
    pub renter: Option<Signature>,
}

/// A blob that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBlob {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: Bytes,
}

/// What an account has in the network's stablecoin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// The account.
    pub account: Address,
    /// In its wallet.
    pub wallet: Amount,
    /// Inside the escrow, free to withdraw or to open deals with.
    pub escrow: Amount,
}

impl Job {
    /// The deal that says most about the job: the last that was opened, else the last.
    pub fn deal(&self) -> Option<&Deal> {
        let opened = self.deals.iter().rev().find(|deal| deal.opening.is_some());
        opened.or(self.deals.last())
    }

    /// What all its deals cost so far.
    pub fn cost(&self) -> Amount {
        let costs = self.deals.iter().map(Deal::cost);
        costs.fold(Amount::ZERO, |sum, cost| sum.plus(cost).unwrap_or(Amount::MAX))
    }
}

impl Deal {
    /// Whether it may still bring results.
    pub fn carries(&self) -> bool {
        !matches!(self.state.as_str(), "judged" | "settled" | "void")
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

    /// How its run ended, once the provider said so.
    pub fn outcome(&self) -> Option<Outcome> {
        self.delivery.as_ref().map(Delivery::outcome)
    }

    /// Who got what, once the chain settled it.
    pub fn split(&self) -> Option<Split> {
        self.closing.map(|closing| closing.split)
    }
}

impl From<JobView> for Job {
    fn from(view: JobView) -> Self {
        Self {
            id: view.id,
            state: view.state.to_owned(),
            since: view.since,
            submission: view.submission,
            stopping: view.stopping,
            deals: view.deals.into_iter().map(Deal::from).collect(),
            tasks: view.tasks.into(),
            conclusion: view.conclusion,
        }
    }
}

impl From<broker::TaskCounts> for TaskCounts {
    fn from(counts: broker::TaskCounts) -> Self {
        let broker::TaskCounts { all, handed, done, failed } = counts;
        Self { all, handed, done, failed }
    }
}

impl From<DealView> for Deal {
    fn from(view: DealView) -> Self {
        Self {
            state: view.state.to_owned(),
            agreement: view.agreement,
            opening: view.opening,
            phase: view.phase,
            last: view.last,
            assigned: view.assigned,
            reported: view.reported,
            delivery: view.delivery,
            signature: view.signature,
            problem: view.problem,
            closing: view.closing,
        }
    }
}

impl From<Listing> for Listed {
    fn from(listing: Listing) -> Self {
        Self { digest: listing.digest, offer: listing.offer, connected: listing.connected }
    }
}
