//! One thing that is out of order: which rule, where, and what about it.

use std::fmt;

/// Reads as "place: what is wrong (rule)".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Complaint {
    pub(crate) rule: &'static str,
    /// A path from the root, with a line where there is one.
    pub(crate) place: String,
    pub(crate) says: String,
}

impl Complaint {
    pub(crate) fn new(rule: &'static str, place: impl Into<String>, says: String) -> Self {
        Self { rule, place: place.into(), says }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} ({})", self.place, self.says, self.rule)
    }
}
