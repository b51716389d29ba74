//! What can go wrong in this room, naming the operation, the endpoint and the reason.

use primitives::B256;

/// A failure between us and the chain. What the contracts refuse is a value
/// ([`crate::Refusal`]), not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The chain could not be asked, or its node refused the request.
    #[error("{operation}")]
    Rpc {
        /// What was being done, with its object.
        operation: String,
        /// Which endpoint failed, and why.
        #[source]
        source: RpcError,
    },
    /// The node answered with something that is no answer to the question.
    #[error("{operation}: the node's answer cannot be read: {why}")]
    Answer {
        /// What was being asked, with its object.
        operation: String,
        /// What is wrong with it.
        why: String,
    },
    /// A transaction left, but nothing is known of it yet. It may still be sealed: look at the
    /// deal's slot before sending again.
    #[error("transaction {tx} was sent and is not confirmed: {why}")]
    Unconfirmed {
        /// The transaction seen last under its nonce.
        tx: B256,
        /// What kept us from knowing.
        why: String,
    },
    /// An endpoint's URL is none.
    #[error("reading the URL of a JSON-RPC endpoint: {why}")]
    Url {
        /// What is wrong with it; never the URL itself, which may hold credentials.
        why: String,
    },
    /// The chain is not the one these contracts are on.
    #[error("the node serves chain {found}, the network is on chain {wanted}")]
    OtherChain {
        /// The node's chain id.
        found: u64,
        /// The network's.
        wanted: u64,
    },
    /// A step of setting up a network failed, or what is there belongs to another network.
    #[error("setting up the network: {step}: {why}")]
    Deploy {
        /// Which contract or call.
        step: &'static str,
        /// What was found.
        why: String,
    },
    /// The account cannot pay what the chain itself asks for a transaction.
    #[error("account {account} needs native coin for the chain's own fees: {why}")]
    Fees {
        /// Whose transaction it is.
        account: primitives::Address,
        /// The node's words.
        why: String,
    },
    /// The sending task has ended.
    #[error("the sender of {account} has ended")]
    Closed {
        /// Its account.
        account: primitives::Address,
    },
}

/// Why one JSON-RPC request brought no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RpcError {
    /// No answer: worth trying again.
    #[error("{endpoint} cannot be reached: {why}")]
    Unreachable {
        /// Where, without credentials.
        endpoint: String,
        /// The transport's word.
        why: String,
    },
    /// The node answered with a JSON-RPC error.
    #[error("{endpoint} answers error {code}: {message}")]
    Refused {
        /// Where, without credentials.
        endpoint: String,
        /// The JSON-RPC error code.
        code: i64,
        /// The node's words.
        message: String,
        /// The `data` member; for a revert the revert's bytes in hexadecimal.
        data: Option<String>,
    },
}

impl Error {
    /// Whether the same question may get an answer later without anyone changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Rpc { source, .. } => source.is_passing(),
            Self::Unconfirmed { .. } => true,
            _ => false,
        }
    }
}

/// Codes by which nodes say that they cannot answer now: resource unavailable, limit exceeded
/// (EIP-1474), and the status of HTTP for too many requests.
const PASSING_CODES: [i64; 3] = [-32_002, -32_005, 429];

/// What nodes say when they are busy, or behind the others that share their address.
const PASSING_WORDS: [&str; 15] = [
    "rate limit",
    "too many requests",
    "limit exceeded",
    "try again",
    "timeout",
    "timed out",
    "temporarily",
    "overloaded",
    "header not found",
    "block not found",
    "unknown block",
    "beyond current head",
    "outofrange",
    "indexing is in progress",
    "missing trie node",
];

impl RpcError {
    /// Whether the same request may well be answered a moment later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { code, .. } => {
                PASSING_CODES.contains(code) || PASSING_WORDS.iter().any(|words| self.says(words))
            }
        }
    }

    /// Whether the node's words contain these, in whatever case.
    pub(crate) fn says(&self, words: &str) -> bool {
        matches!(self, Self::Refused { message, .. } if message.to_lowercase().contains(words))
    }
}
