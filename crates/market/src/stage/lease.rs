//! The stages of a lease at the provider: Offered -> Assigned -> Running -> Ended -> Settled.

use primitives::{Sample, Seconds, Signature};

use crate::{
    document::{Receipt, Signed},
    error::Error,
    fact::{Agreement, Closing, Delivery, LeaseFact, Reading},
    message::Assignment,
    task::Load,
};

/// Where a lease stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseStage {
    /// A firm bid was given; capacity is put aside until `acceptBy`.
    Offered(Box<Agreement>),
    /// The deal is open and the work is known.
    Assigned(Box<Leased>),
    /// The program runs or ran, and its end is not yet written down.
    Running(Box<Leased>),
    /// The run is over; what is due is to be collected.
    Ended(Box<Ended>),
    /// The chain settled it; the renter's data is to be wiped.
    Settled {
        /// What was agreed.
        agreement: Box<Agreement>,
        /// How the chain settled it.
        closing: Closing,
    },
    /// Nothing is left to do.
    Over {
        /// What was agreed.
        agreement: Box<Agreement>,
        /// How the chain settled it, if the deal was ever opened.
        closing: Option<Closing>,
    },
}

/// An open deal with its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// What was agreed.
    pub agreement: Agreement,
    /// The work.
    pub assignment: Assignment,
    /// The tasks of it that were handed over.
    pub load: Load,
    /// What was measured so far.
    pub metered: Reading,
    /// The last running receipt with both signatures, if there is one.
    pub last: Option<(Signed<Receipt>, Signature)>,
    /// Whether the renter's side asked to end it.
    pub stop: bool,
}

/// A lease whose work is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What was agreed.
    pub agreement: Agreement,
    /// The tasks that were handed over.
    pub load: Load,
    /// Every sample, in order.
    pub samples: Vec<Sample>,
    /// The last running receipt with both signatures, if there is one.
    pub last: Option<(Signed<Receipt>, Signature)>,
    /// The terminal receipt and what is behind it; `None` when the deal was abandoned before.
    pub delivery: Option<Delivery>,
    /// The renter key's signature over the terminal receipt.
    pub renter: Option<Signature>,
    /// Seconds run beyond the last co-signed receipt, once the renter's side is given up.
    pub abandoned: Option<Seconds>,
}

impl LeaseStage {
    /// The first stage, from the first fact.
    ///
    /// # Errors
    /// Any other fact than `Bid`.
    pub fn begin(fact: LeaseFact) -> Result<Self, Error> {
        match fact {
            LeaseFact::Bid(agreement) => Ok(Self::Offered(agreement)),
            other => Err(Error { stage: "nothing", fact: other.name() }),
        }
    }

    /// The next stage.
    ///
    /// # Errors
    /// A fact that cannot follow.
    pub fn apply(self, fact: LeaseFact) -> Result<Self, Error> {
        let refused = Error { stage: self.name(), fact: fact.name() };
        match (self, fact) {
            (Self::Offered(agreement), LeaseFact::Lapsed) => {
                Ok(Self::Over { agreement, closing: None })
            }
            (Self::Offered(agreement), LeaseFact::Assigned { commands, assignment }) => {
                let mut it = Leased {
                    agreement: *agreement,
                    assignment: *assignment.ok_or(refused)?,
                    load: Load::default(),
                    metered: Reading::default(),
                    last: None,
                    stop: false,
                };
                it.load.take(&commands);
                Ok(Self::Assigned(Box::new(it)))
            }
            (Self::Assigned(mut it), LeaseFact::Assigned { commands, .. }) => {
                it.load.take(&commands);
                Ok(Self::Assigned(it))
            }
            (Self::Running(mut it), LeaseFact::Assigned { commands, .. }) => {
                it.load.take(&commands);
                Ok(Self::Running(it))
            }
            (Self::Assigned(mut it), LeaseFact::Finished { results }) => {
                it.load.report(results);
                Ok(Self::Assigned(it))
            }
            (Self::Running(mut it), LeaseFact::Finished { results }) => {
                it.load.report(results);
                Ok(Self::Running(it))
            }
            (Self::Running(mut it), LeaseFact::Metered(reading)) => {
                it.metered.read_on(*reading);
                Ok(Self::Running(it))
            }
            (Self::Offered(agreement), LeaseFact::Ended(delivery)) => {
                Ok(Self::Ended(Box::new(Ended {
                    agreement: *agreement,
                    load: Load::default(),
                    samples: Vec::new(),
                    last: None,
                    delivery: Some(*delivery),
                    renter: None,
                    abandoned: None,
                })))
            }
            (Self::Assigned(it), LeaseFact::Started) => Ok(Self::Running(it)),
            (Self::Assigned(mut it), LeaseFact::StopTaken) => {
                it.stop = true;
                Ok(Self::Assigned(it))
            }
            (Self::Running(mut it), LeaseFact::StopTaken) => {
                it.stop = true;
                Ok(Self::Running(it))
            }
            (Self::Running(mut it), LeaseFact::Countersigned { receipt, renter }) => {
                it.last = Some((*receipt, renter));
                Ok(Self::Running(it))
            }
            (Self::Assigned(it) | Self::Running(it), LeaseFact::Ended(delivery)) => {
                Ok(Self::Ended(Box::new(Ended {
                    agreement: it.agreement,
                    load: it.load,
                    samples: it.metered.samples,
                    last: it.last,
                    delivery: Some(*delivery),
                    renter: None,
                    abandoned: None,
                })))
            }
            (Self::Ended(mut it), LeaseFact::Accepted { renter }) if it.delivery.is_some() => {
                it.renter = Some(renter);
                Ok(Self::Ended(it))
            }
            (Self::Ended(mut it), LeaseFact::Abandoned { unsigned, .. }) => {
                it.abandoned = Some(unsigned);
                Ok(Self::Ended(it))
            }
            (Self::Assigned(it) | Self::Running(it), LeaseFact::Abandoned { unsigned, .. }) => {
                Ok(Self::Ended(Box::new(Ended {
                    agreement: it.agreement,
                    load: it.load,
                    samples: it.metered.samples,
                    last: it.last,
                    delivery: None,
                    renter: None,
                    abandoned: Some(unsigned),
                })))
            }
            (Self::Offered(agreement), LeaseFact::Settled(closing)) => {
                Ok(Self::Settled { agreement, closing: *closing })
            }
            (Self::Assigned(it) | Self::Running(it), LeaseFact::Settled(closing)) => {
                Ok(Self::Settled { agreement: Box::new(it.agreement), closing: *closing })
            }
            (Self::Ended(it), LeaseFact::Settled(closing)) => {
                Ok(Self::Settled { agreement: Box::new(it.agreement), closing: *closing })
            }
            (Self::Settled { agreement, closing }, LeaseFact::Wiped { .. }) => {
                Ok(Self::Over { agreement, closing: Some(closing) })
            }
            _ => Err(refused),
        }
    }

    /// What was agreed.
    pub fn agreement(&self) -> &Agreement {
        match self {
            Self::Offered(agreement)
            | Self::Settled { agreement, .. }
            | Self::Over { agreement, .. } => agreement,
            Self::Assigned(it) | Self::Running(it) => &it.agreement,
            Self::Ended(it) => &it.agreement,
        }
    }

    /// Whether no step is left to take.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Over { .. })
    }

    /// The stage's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Offered(_) => "offered",
            Self::Assigned(_) => "assigned",
            Self::Running(_) => "running",
            Self::Ended(_) => "ended",
            Self::Settled { .. } => "settled",
            Self::Over { .. } => "over",
        }
    }
}

impl LeaseFact {
    /// The fact's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bid(_) => "bid",
            Self::Lapsed => "lapsed",
            Self::Assigned { .. } => "assigned",
            Self::Started => "started",
            Self::Metered(_) => "metered",
            Self::Finished { .. } => "finished",
            Self::StopTaken => "stop-taken",
            Self::Countersigned { .. } => "countersigned",
            Self::Ended(_) => "ended",
            Self::Accepted { .. } => "accepted",
            Self::Abandoned { .. } => "abandoned",
            Self::Settled(_) => "settled",
            Self::Wiped { .. } => "wiped",
        }
    }
}
