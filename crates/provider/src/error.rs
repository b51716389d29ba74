//! What can go wrong in this room, naming the operation and its object.

use primitives::DealId;

/// A failure on our side. What a renter asks for and does not get is a value (a refusal), and what
/// goes wrong with its work is an ending.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A price policy is not understood.
    #[error("reading the price policy, line {line}, field '{field}': {why}")]
    Policy {
        /// Counted from 1.
        line: usize,
        /// Its dotted name.
        field: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The machine and the policy make no offer.
    #[error("making an offer: {why}")]
    Offer {
        /// What is missing.
        why: String,
    },
    /// The chain could not be asked.
    #[error("{operation} on the chain")]
    Chain {
        /// What was tried.
        operation: &'static str,
        /// Why not.
        #[source]
        source: settlement::Error,
    },
    /// The contracts refuse what a provider needs to join.
    #[error("{operation}: the contracts refuse it")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: settlement::Refusal,
    },
    /// The gateway could not be asked.
    #[error("{operation} at the gateway")]
    Gateway {
        /// What was tried.
        operation: &'static str,
        /// Why not.
        #[source]
        source: net::Error,
    },
    /// The gateway did not answer in time.
    #[error("{operation} at the gateway: no answer in time")]
    Silent {
        /// What was tried.
        operation: &'static str,
    },
    /// The gateway's answer is no answer to the question.
    #[error("{operation} at the gateway: the answer cannot be read")]
    Answer {
        /// What was asked.
        operation: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The gateway will not do what the protocol says it does.
    #[error("{operation} at the gateway: refused, {why}")]
    Denied {
        /// What was asked.
        operation: &'static str,
        /// Its words.
        why: String,
    },
    /// Something kept could not be read or written.
    #[error("{operation}")]
    Store {
        /// What was tried.
        operation: &'static str,
        /// Why not.
        #[source]
        source: store::Error,
    },
    /// What is left of a run folder cannot be removed.
    #[error("removing {}", path.display())]
    Folder {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The sandbox failed.
    #[error("{operation}")]
    Sandbox {
        /// What was tried.
        operation: &'static str,
        /// Why not.
        #[source]
        source: sandbox::Error,
    },
    /// A fact in the journal of a lease is not one we wrote.
    #[error("replaying lease {deal}, fact {number}")]
    Fact {
        /// The lease.
        deal: String,
        /// Which fact, from 0.
        number: u64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Facts do not follow from one another.
    #[error("replaying lease {deal}")]
    Journal {
        /// The lease.
        deal: String,
        /// Which fact cannot follow.
        #[source]
        source: market::Error,
    },
    /// Another process writes to the same journal.
    #[error("writing to lease {deal}: another process carries it on")]
    Shared {
        /// The lease.
        deal: DealId,
    },
}

/// The whole story of an error, in one line for people: each cause after a colon.
pub(crate) fn story(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
