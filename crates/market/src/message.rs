//! What gateway and provider say to each other over the authenticated connection.
//!
//! Upon an order: the gateway asks `ToProvider::Bid`; the answer is firm until `acceptBy`.
//! Upon an open deal: the gateway sends `Command` (assign, and release with the last task); the
//! provider fetches blobs, starts, and sends `Countersign` at readiness, at every interval and at the
//! end.
//! Upon output: the provider sends `Print` pieces while a task runs and `PutBlob` after it; then
//! `Report`, upon whose answer the task counts, or the terminal `Countersign`, which reports the rest.
//!
//! Each value travels as the JSON header of one exchange; blobs, output pieces and JSON-RPC travel
//! as its body. Whatever is lost is sent again: every message may arrive twice.

use primitives::{
    Amount, B256, BasisPoints, DealId, Digest, Epoch, Sample, Signature, TaskIndex, UnixSeconds,
};
use serde::{Deserialize, Serialize};

use crate::{
    document::{Command, Offer, Order, Receipt, Signed, Terms},
    machine::Wish,
    task::{Ending, Reported},
    work::Work,
};

/// From the gateway to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum ToProvider {
    /// Answered by [`BidAnswer`].
    Bid(Box<BidRequest>),
    /// Answered by [`CommandAnswer`].
    Command(Box<Instruction>),
}

/// A request for a firm price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BidRequest {
    /// The renter's signed order.
    pub order: Signed<Order>,
    /// The content behind the order's `resources`: the bundle that one deal reserves.
    pub wish: Wish,
    /// The salt of the order's digests.
    pub salt: B256,
    /// Fresh per deal: enters the terms' `spec` and makes their nonce.
    pub deal_salt: B256,
    /// Paid to whoever opens.
    pub open_fee: Amount,
    /// Paid to whoever ends.
    pub close_fee: Amount,
}

/// The answer to a request for a price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum BidAnswer {
    /// Terms signed by the provider key: capacity is put aside until `acceptBy`.
    Bid(Box<Bid>),
    /// No capacity free now; ask again then.
    Busy {
        /// When some is expected.
        until: UnixSeconds,
    },
    /// Not for this order.
    Refused {
        /// For people.
        why: String,
    },
}

/// A firm bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bid {
    /// The terms and the provider key's signature over their digest.
    pub terms: Signed<Terms>,
    /// The offer it stands on.
    pub offer: Digest,
    /// The salt of the terms' `spec`.
    pub salt: B256,
    /// What is reserved.
    pub resources: primitives::Resources,
}

/// Signed commands of one deal with what it takes to carry them out; all are taken, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// The commands, each with the renter key's signature, in the order in which they are meant.
    pub commands: Vec<Signed<Command>>,
    /// With the first assignment under the deal: the content behind its `spec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<Assignment>,
}

/// The content behind an assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The work.
    pub work: Work,
    /// The salt of the order's digest of it.
    pub salt: B256,
}

/// The answer to an instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum CommandAnswer {
    /// It is being carried out, or was before.
    Taken,
    /// The deal is not yet open on the provider's own view of the chain; send again.
    NotYet,
    /// It will not be.
    Refused {
        /// For people.
        why: String,
    },
}

/// From a provider to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum ToGateway {
    /// Put this offer into the book. Answered by [`Listed`].
    Announce(Box<Signed<Offer>>),
    /// What happens before readiness, for the renter to see. Answered by [`Done`].
    Progress {
        /// The deal.
        deal: DealId,
        /// What the provider does now.
        phase: Phase,
    },
    /// Co-sign this receipt. Answered by [`CountersignAnswer`].
    Countersign(Box<Countersign>),
    /// The body is the next piece of what the task printed. Answered by [`Printed`].
    Print {
        /// The deal.
        deal: DealId,
        /// The task.
        task: TaskIndex,
        /// Which attempt at it.
        epoch: Epoch,
        /// Which output.
        output: Output,
        /// How many bytes came before.
        offset: u64,
    },
    /// These tasks ended, and their outputs are handed in. Answered by [`ReportAnswer`].
    Report {
        /// The deal.
        deal: DealId,
        /// What came of them.
        results: Vec<Reported>,
    },
    /// Which of these does the gateway not have yet? Answered by [`Missing`].
    Missing {
        /// The deal.
        deal: DealId,
        /// Blobs to be delivered.
        blobs: Vec<Digest>,
    },
    /// The body is this blob, an output. Answered by [`Done`].
    PutBlob {
        /// The deal.
        deal: DealId,
        /// What it must hash to.
        blob: Digest,
    },
    /// Send this blob, an input. Answered by [`BlobAnswer`] with the blob as body.
    GetBlob {
        /// The deal.
        deal: DealId,
        /// The blob wanted.
        blob: Digest,
    },
    /// The body is a JSON-RPC request for the network's chain; the answer's body is its response.
    Rpc,
}

/// Whether an offer was listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum Listed {
    /// It is in the book.
    Listed,
    /// It is not.
    Refused {
        /// For people.
        why: String,
    },
}

/// What a provider does before work is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Fetching inputs.
    Fetching,
    /// Preparing root, folder and limits.
    Preparing,
    /// Handing in outputs.
    Delivering,
}

/// The two things a program prints to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A receipt with what it takes to check it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Countersign {
    /// The receipt and the provider key's signature.
    pub receipt: Signed<Receipt>,
    /// How many samples came before these.
    pub samples_before: u64,
    /// The samples since.
    pub samples: Vec<Sample>,
    /// With a terminal receipt: the results behind its root that were not reported before.
    pub results: Vec<Reported>,
    /// With a terminal receipt: why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
}

/// The answer to a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum CountersignAnswer {
    /// The renter key's signature over the same receipt.
    Signed {
        /// The signature.
        signature: Signature,
    },
    /// The gateway's meter covers another number of samples; send again from there.
    Behind {
        /// How many it covers.
        samples: u64,
    },
    /// Not now (the deal is not open on the gateway's view, or its line is busy); send again.
    NotYet,
    /// Never.
    Refused {
        /// For people.
        why: String,
    },
}

/// The answer to results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum ReportAnswer {
    /// They are written down, and count.
    Counted,
    /// Not now, or something that they name has not come in; hand it in and report again.
    NotYet,
    /// Never.
    Refused {
        /// For people.
        why: String,
    },
}

/// The answer to a piece of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Printed {
    /// How many bytes the gateway has now; the next piece starts here.
    pub next: u64,
    /// Whether the limit is reached and further pieces would be dropped.
    pub full: bool,
}

/// The blobs that are still missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// In the order they were asked for.
    pub blobs: Vec<Digest>,
}

/// An answer without content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum Done {
    /// It is done.
    Done,
    /// It is not.
    Refused {
        /// For people.
        why: String,
    },
}

/// Whether a blob follows as the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum BlobAnswer {
    /// It follows.
    Follows,
    /// It does not.
    Refused {
        /// For people.
        why: String,
    },
}

/// What a bid must be, checked by the broker before it asks the renter to sign it.
///
/// # Errors
/// The first thing wrong with the bid, for people.
pub fn check_bid(
    request: &BidRequest,
    bid: &Bid,
    escrow: &crate::document::Domain,
    order_id: primitives::JobId,
    present_fee: BasisPoints,
    longest_lead: UnixSeconds,
) -> Result<(), String> {
    let order = &request.order.document;
    let terms = &bid.terms.document;
    let spec = crate::document::terms_spec(
        request.deal_salt,
        order_id,
        &bid.resources,
        bid.offer,
        B256::ZERO,
    );
    let checks = [
        ("another renter", terms.renter == order.renter && terms.renter_key == order.renter_key),
        ("a provider that is excluded", !request.wish.exclude.contains(&terms.provider)),
        ("another session", terms.session == order.session),
        ("another token", terms.token == order.token),
        ("another kind", terms.kind == order.kind),
        ("a rate above the order's", terms.rate <= order.max_rate),
        ("another fee than the network's", terms.fee == present_fee),
        ("another gateway", terms.gateway == order.gateway),
        (
            "other transaction fees",
            terms.open_fee == request.open_fee && terms.close_fee == request.close_fee,
        ),
        ("resources below the wish", bid.resources.holds(&request.wish.resources)),
        ("a specification of something else", terms.spec == spec && bid.salt == request.deal_salt),
        ("too long an acceptance", terms.accept_by <= longest_lead),
        ("too short a time limit", terms.accept_by.plus(order.time_limit) <= terms.expiry),
        ("a wrong signature", bid.terms.signature.is_by(terms.provider_key, terms.id(escrow).0)),
    ];
    match checks.into_iter().find(|(_, right)| !right) {
        Some((what, _)) => Err(format!("the bid has {what}")),
        None => Ok(()),
    }
}

/// What terms must be beside the order: the numbers every bid on this network derives alike.
///
/// # Errors
/// The first number that is another one, for people.
pub fn within_rules(
    terms: &Terms,
    order: &Order,
    rules: &crate::rules::Rules,
) -> Result<(), String> {
    let hold = terms.rate.hold_up(order.time_limit, rules.hold_buffer);
    let expiry = terms.accept_by.plus(rules.preparation).plus(order.time_limit);
    let checks = [
        ("another hold than rate and time limit give", hold == Some(terms.cap)),
        ("another grace than the network's", terms.grace == rules.grace),
        ("another expiry than preparation and time limit give", terms.expiry == expiry),
    ];
    match checks.into_iter().find(|(_, right)| !right) {
        Some((what, _)) => Err(format!("the bid has {what}")),
        None => Ok(()),
    }
}
