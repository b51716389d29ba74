//! Failures: what went wrong, where and why, and what to do about it.

use std::{error::Error, fmt};

/// Exit status: the command could not do what was asked.
pub(crate) const FAILED: u8 = 1;
/// Exit status of `run`: plaza or the network failed, not the command that was to run.
pub(crate) const OURS: u8 = 125;

/// Something that ends a command.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    why: Vec<String>,
    advice: Option<String>,
    away: bool,
}

/// What a command gives.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// `what` could not be done.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), why: Vec::new(), advice: None, away: false }
    }

    /// Because of this error and its causes.
    #[must_use]
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            self.why.push(error.to_string());
            cause = error.source();
        }
        self
    }

    /// What to do about it.
    #[must_use]
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Because the other side did not answer: it may, later.
    #[must_use]
    pub(crate) fn away(mut self) -> Self {
        self.away = true;
        self
    }

    /// Whether the same may succeed later without anyone changing anything.
    pub(crate) fn is_away(&self) -> bool {
        self.away
    }

    /// The same, on the way to something larger.
    #[must_use]
    pub(crate) fn within(mut self, what: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.what, what.into());
        self.why.insert(0, inner);
        self
    }

    /// What and why in one line.
    pub(crate) fn sentence(&self) -> String {
        let mut words = self.what.clone();
        for cause in &self.why {
            // Some libraries repeat their cause in their own words.
            if !words.ends_with(cause.as_str()) {
                words = format!("{words}: {cause}");
            }
        }
        words
    }

    /// What to do about it, if anything is known.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, "\n  {advice}"))
    }
}

/// Says what was being done when an error came.
pub(crate) trait Doing<T> {
    /// The error, as the cause of `what` having failed.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Error> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::new(what()).because(&error))
    }
}
