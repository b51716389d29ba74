//! A fact about a machine with the source it comes from, or the honest lack of one.

use serde::{Deserialize, Serialize};

/// How a finding came about, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// The operator says so.
    Claimed,
    /// The operating system or the processor says so.
    OsReported,
    /// It was measured.
    Measured,
    /// Hardware signed it.
    Attested,
}

/// A fact, or `Unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding<T> {
    /// Nobody told and nothing was measured.
    #[default]
    Unknown,
    /// It was found.
    Found {
        /// What.
        value: T,
        /// From where.
        from: Provenance,
    },
}

impl<T> Finding<T> {
    /// Something the system reported, if it did.
    pub(crate) fn reported(value: Option<T>) -> Self {
        value.map_or(Self::Unknown, |value| Self::Found { value, from: Provenance::OsReported })
    }

    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Unknown => None,
            Self::Found { value, .. } => Some(value),
        }
    }

    /// Where it comes from, if it was found.
    pub fn provenance(&self) -> Option<Provenance> {
        match self {
            Self::Unknown => None,
            Self::Found { from, .. } => Some(*from),
        }
    }
}
