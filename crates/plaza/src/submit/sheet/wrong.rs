//! What is wrong with a job sheet, where, and what would be right.

use std::fmt;

use serde_saphyr::Location;

/// What is wrong with a sheet, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::submit) struct Wrong {
    /// Line and column, from 1, where they are known.
    at: Option<(u64, u64)>,
    /// Its dotted name.
    field: String,
    /// What is wrong, and what would be right.
    why: String,
}

impl std::error::Error for Wrong {}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.at {
            write!(f, "line {line}, column {column}, ")?;
        }
        write!(f, "field '{}': {}", self.field, self.why)
    }
}

impl Wrong {
    pub(super) fn new(field: &str, at: Location, why: impl Into<String>) -> Self {
        let known = at != Location::UNKNOWN;
        let at = known.then(|| (at.line(), at.column()));
        Self { at, field: field.to_owned(), why: why.into() }
    }
}
