//! What can go wrong in this room: facts that do not follow from one another.

/// A fact that cannot follow the stage it was applied to: the journal is damaged or two writers
/// shared it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("applying fact '{fact}' to stage '{stage}': the one cannot follow the other")]
pub struct Error {
    /// The stage's name.
    pub stage: &'static str,
    /// The fact's name.
    pub fact: &'static str,
}
