//! Refusals: what a renter hears instead of yes.

use market::work::Flaw;

/// Why a renter's request is not carried out; a value, not a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is wrong in itself.
    #[error(transparent)]
    Malformed(#[from] Flaw),
    /// There is no such job or deal here.
    #[error("there is no {0} here")]
    Unknown(String),
    /// It contradicts what was there before.
    #[error("{0}")]
    Conflict(String),
    /// The moment for it has passed.
    #[error("{0}")]
    TooLate(String),
    /// The signature is not the one needed.
    #[error("{0}")]
    NotSigned(String),
    /// The chain or the journal could not be reached; the request may be sent again.
    #[error("{0}; the request may be sent again")]
    Unavailable(String),
}

impl Refusal {
    /// A field is wrong.
    pub(crate) fn field(field: &str, why: &str) -> Self {
        Self::Malformed(Flaw { field: field.to_owned(), why: why.to_owned() })
    }
}
