//! How a run can end, and what is decided about paying for it.

use serde::{Deserialize, Serialize};

/// What a receipt says of the run so far. The numbers are those of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Outcome {
    /// Still running; more receipts follow.
    Running = 0,
    /// Every task ended by itself with exit code 0.
    Completed = 1,
    /// The job's own fault: non-zero exit, time-out, out of memory, missing program.
    Failed = 2,
    /// The provider could not do what it promised.
    ProviderFault = 3,
    /// The renter stopped it.
    Stopped = 4,
    /// The hold was used up.
    OutOfFunds = 5,
}

/// What the broker decides about a delivered deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// The receipt is right: co-sign it and settle at its amount.
    Pay,
    /// Sign no more: the deal ends by the exits at what was co-signed before.
    Refuse {
        /// What was found, for people.
        why: String,
    },
}

impl Outcome {
    /// Whether no receipt may follow.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Running)
    }

    /// The outcome with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Running),
            1 => Some(Self::Completed),
            2 => Some(Self::Failed),
            3 => Some(Self::ProviderFault),
            4 => Some(Self::Stopped),
            5 => Some(Self::OutOfFunds),
            _ => None,
        }
    }

    /// One word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::ProviderFault => "provider-fault",
            Self::Stopped => "stopped",
            Self::OutOfFunds => "out-of-funds",
        }
    }
}
