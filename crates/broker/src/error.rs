//! What can go wrong in this room; every line tries again after any of these.

use primitives::{DealId, PeerId};

/// A failure to do something that is wanted; refusals of business are facts and values instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The chain could not be asked or told.
    #[error("asking the chain about deal {deal}")]
    Settlement {
        /// The deal.
        deal: DealId,
        /// What the chain's door reported.
        #[source]
        source: Box<settlement::Error>,
    },
    /// The chain could not be asked.
    #[error("asking the chain")]
    Chain(#[source] Box<settlement::Error>),
    /// The journal or another store refused.
    #[error("{doing}")]
    Store {
        /// What was being done, with its object.
        doing: String,
        /// What the store reported.
        #[source]
        source: store::Error,
    },
    /// Another gateway writes the same line.
    #[error("writing to the journal of {stream}: another writer was there first")]
    Fenced {
        /// The line's stream.
        stream: String,
    },
    /// A provider could not be asked.
    #[error("asking provider {peer}")]
    Peer {
        /// The provider.
        peer: PeerId,
        /// What the connection reported.
        #[source]
        source: net::Error,
    },
    /// A provider is connected and does not answer.
    #[error("asking provider {peer}: no answer in time")]
    Silent {
        /// The provider.
        peer: PeerId,
    },
    /// A provider's answer is not one.
    #[error("reading the answer of provider {peer}")]
    Answer {
        /// The provider.
        peer: PeerId,
        /// What the parser reported.
        #[source]
        source: serde_json::Error,
    },
    /// The journal holds something that is no fact.
    #[error("reading fact {number} of {stream}")]
    Fact {
        /// The line's stream.
        stream: String,
        /// Its number in the stream.
        number: u64,
        /// What the parser reported.
        #[source]
        source: serde_json::Error,
    },
    /// The journal holds facts that do not follow from one another.
    #[error("replaying {stream}")]
    Replay {
        /// The line's stream.
        stream: String,
        /// Which fact could not follow.
        #[source]
        source: market::Error,
    },
}

impl Error {
    /// The chain could not be asked or told about `deal`.
    pub(crate) fn settlement(deal: DealId) -> impl Fn(settlement::Error) -> Self {
        move |source| Self::Settlement { deal, source: Box::new(source) }
    }

    /// The chain could not be asked.
    pub(crate) fn chain(source: settlement::Error) -> Self {
        Self::Chain(Box::new(source))
    }
}
