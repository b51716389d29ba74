//! The stages of a job: Submitted -> Placed -> Working -> Done.

use primitives::DealId;

use crate::{
    error::Error,
    fact::{Conclusion, JobFact, Submission},
};

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStage {
    /// Its order is accepted; it looks for a provider.
    Submitted {
        /// The order and its content.
        submission: Box<Submission>,
        /// Whether the renter wants it ended.
        stop: bool,
    },
    /// A bid is chosen; the renter is to consent and the deal to open.
    Placed {
        /// The order and its content.
        submission: Box<Submission>,
        /// Its deals, in the order in which they were chosen.
        deals: Vec<DealId>,
        /// Whether the renter wants it ended.
        stop: bool,
    },
    /// A deal of it is open, or was.
    Working {
        /// The order and its content.
        submission: Box<Submission>,
        /// Its deals, in the order in which they were chosen.
        deals: Vec<DealId>,
        /// Whether the renter wants it ended.
        stop: bool,
    },
    /// It is over.
    Done {
        /// The order and its content.
        submission: Box<Submission>,
        /// Its deals, in the order in which they were chosen.
        deals: Vec<DealId>,
        /// How it ended.
        conclusion: Box<Conclusion>,
    },
}

impl JobStage {
    /// The first stage, from the first fact.
    ///
    /// # Errors
    /// Any other fact than `Submitted`.
    pub fn begin(fact: JobFact) -> Result<Self, Error> {
        match fact {
            JobFact::Submitted(submission) => Ok(Self::Submitted { submission, stop: false }),
            other => Err(Error { stage: "nothing", fact: other.name() }),
        }
    }

    /// The next stage.
    ///
    /// # Errors
    /// A fact that cannot follow.
    pub fn apply(self, fact: JobFact) -> Result<Self, Error> {
        let refused = Error { stage: self.name(), fact: fact.name() };
        match (self, fact) {
            (Self::Submitted { submission, stop }, JobFact::Placed { deal }) => {
                Ok(Self::Placed { submission, deals: vec![deal], stop })
            }
            (Self::Placed { submission, mut deals, stop }, JobFact::Placed { deal }) => {
                deals.push(deal);
                Ok(Self::Placed { submission, deals, stop })
            }
            (Self::Working { submission, mut deals, stop }, JobFact::Placed { deal }) => {
                deals.push(deal);
                Ok(Self::Working { submission, deals, stop })
            }
            (Self::Placed { submission, deals, stop }, JobFact::Working { deal })
                if deals.contains(&deal) =>
            {
                Ok(Self::Working { submission, deals, stop })
            }
            (Self::Submitted { submission, .. }, JobFact::StopAsked) => {
                Ok(Self::Submitted { submission, stop: true })
            }
            (Self::Placed { submission, deals, .. }, JobFact::StopAsked) => {
                Ok(Self::Placed { submission, deals, stop: true })
            }
            (Self::Working { submission, deals, .. }, JobFact::StopAsked) => {
                Ok(Self::Working { submission, deals, stop: true })
            }
            (Self::Submitted { submission, .. }, JobFact::Done(conclusion)) => {
                Ok(Self::Done { submission, deals: Vec::new(), conclusion })
            }
            (
                Self::Placed { submission, deals, .. } | Self::Working { submission, deals, .. },
                JobFact::Done(conclusion),
            ) => Ok(Self::Done { submission, deals, conclusion }),
            _ => Err(refused),
        }
    }

    /// The order and its content.
    pub fn submission(&self) -> &Submission {
        match self {
            Self::Submitted { submission, .. }
            | Self::Placed { submission, .. }
            | Self::Working { submission, .. }
            | Self::Done { submission, .. } => submission,
        }
    }

    /// Its deals, in the order in which they were chosen.
    pub fn deals(&self) -> &[DealId] {
        match self {
            Self::Submitted { .. } => &[],
            Self::Placed { deals, .. } | Self::Working { deals, .. } | Self::Done { deals, .. } => {
                deals
            }
        }
    }

    /// Whether the renter wants it ended.
    pub fn stop_asked(&self) -> bool {
        match self {
            Self::Submitted { stop, .. }
            | Self::Placed { stop, .. }
            | Self::Working { stop, .. } => *stop,
            Self::Done { .. } => false,
        }
    }

    /// The stage's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Submitted { .. } => "submitted",
            Self::Placed { .. } => "placed",
            Self::Working { .. } => "working",
            Self::Done { .. } => "done",
        }
    }
}

impl JobFact {
    /// The fact's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Submitted(_) => "submitted",
            Self::Placed { .. } => "placed",
            Self::Working { .. } => "working",
            Self::StopAsked => "stop-asked",
            Self::Done(_) => "done",
        }
    }
}
