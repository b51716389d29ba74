//! The stages of a deal: Chosen -> Signed -> Open -> Running -> Delivered -> Judged -> Settled.

use primitives::{DealId, Signature};

use crate::{
    document::{Consent, Terms},
    error::Error,
    fact::{Agreement, Closing, Countersigned, DealFact, Delivery, Opening},
    message::Phase,
    meter::Meter,
    outcome::Verdict,
};

/// Where a deal stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DealStage {
    /// A firm bid waits for the renter's consent.
    Chosen(Box<Chosen>),
    /// The renter consented; the escrow is to be opened.
    Signed(Box<Signed>),
    /// Money is locked; the provider prepares.
    Open(Box<Open>),
    /// The work runs and is metered.
    Running(Box<Running>),
    /// The provider handed in its terminal receipt.
    Delivered(Box<Delivered>),
    /// It is decided what to pay.
    Judged(Box<Judged>),
    /// The chain settled it.
    Settled(Box<Settled>),
    /// It ended before money was locked.
    Void {
        /// What had been agreed.
        agreement: Box<Agreement>,
        /// For people.
        why: String,
    },
}

/// A firm bid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// What was bid.
    pub agreement: Agreement,
    /// Whether the renter's side wants it ended, and why.
    pub stop: Option<String>,
}

/// A bid with the renter's consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What was agreed.
    pub agreement: Agreement,
    /// The renter's consent.
    pub consent: Consent,
    /// Whether the renter's side wants it ended, and why.
    pub stop: Option<String>,
}

/// An open deal before readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// What was agreed.
    pub agreement: Agreement,
    /// How it was opened.
    pub opening: Opening,
    /// What the provider last said it does.
    pub phase: Option<Phase>,
    /// Whether the renter's side wants it ended, and why.
    pub stop: Option<String>,
}

/// An open deal whose work is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// What was agreed.
    pub agreement: Agreement,
    /// How it was opened.
    pub opening: Opening,
    /// The last receipt with both signatures.
    pub last: Countersigned,
    /// Whether the renter's side wants it ended, and why.
    pub stop: Option<String>,
}

/// A deal whose provider handed in its terminal receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// What was agreed.
    pub agreement: Agreement,
    /// How it was opened.
    pub opening: Opening,
    /// The last running receipt with both signatures, if there was one.
    pub last: Option<Countersigned>,
    /// What was handed in.
    pub delivery: Delivery,
}

/// A deal that only the chain can end now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What was agreed.
    pub agreement: Agreement,
    /// How it was opened.
    pub opening: Opening,
    /// The last running receipt with both signatures, if there was one.
    pub last: Option<Countersigned>,
    /// What was handed in, if anything.
    pub delivery: Option<Delivery>,
    /// The decision.
    pub verdict: Verdict,
    /// The renter key's signature over the terminal receipt, if it is to be paid.
    pub signature: Option<Signature>,
}

/// A deal the chain settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What was agreed.
    pub agreement: Agreement,
    /// How it was opened.
    pub opening: Opening,
    /// The last running receipt with both signatures, if there was one.
    pub last: Option<Countersigned>,
    /// What was handed in, if anything.
    pub delivery: Option<Delivery>,
    /// The decision before.
    pub verdict: Verdict,
    /// The renter key's signature over the terminal receipt, if it was paid.
    pub signature: Option<Signature>,
    /// How the chain settled it.
    pub closing: Closing,
}

impl DealStage {
    /// The first stage, from the first fact.
    ///
    /// # Errors
    /// Any other fact than `Chosen`.
    pub fn begin(fact: DealFact) -> Result<Self, Error> {
        match fact {
            DealFact::Chosen(agreement) => {
                Ok(Self::Chosen(Box::new(Chosen { agreement: *agreement, stop: None })))
            }
            other => Err(Error { stage: "nothing", fact: other.name() }),
        }
    }

    /// The next stage.
    ///
    /// # Errors
    /// A fact that cannot follow.
    pub fn apply(self, fact: DealFact) -> Result<Self, Error> {
        let refused = Error { stage: self.name(), fact: fact.name() };
        match (self, fact) {
            (stage, DealFact::StopAsked { why }) => stage.stopped(why).ok_or(refused),
            (Self::Chosen(it), DealFact::Signed { consent }) => {
                let Chosen { agreement, stop } = *it;
                Ok(Self::Signed(Box::new(Signed { agreement, consent, stop })))
            }
            (Self::Chosen(it), DealFact::Failed { why }) => {
                Ok(Self::Void { agreement: Box::new(it.agreement), why })
            }
            (Self::Signed(it), DealFact::Failed { why }) => {
                Ok(Self::Void { agreement: Box::new(it.agreement), why })
            }
            (Self::Signed(it), DealFact::Opened(opening)) => {
                let Signed { agreement, stop, .. } = *it;
                Ok(Self::Open(Box::new(Open { agreement, opening, phase: None, stop })))
            }
            (Self::Open(mut it), DealFact::Progressed { phase }) => {
                it.phase = Some(phase);
                Ok(Self::Open(it))
            }
            (Self::Running(it), DealFact::Progressed { .. }) => Ok(Self::Running(it)),
            (Self::Open(it), DealFact::Countersigned(last)) => {
                let Open { agreement, opening, stop, .. } = *it;
                Ok(Self::Running(Box::new(Running { agreement, opening, last: *last, stop })))
            }
            (Self::Running(mut it), DealFact::Countersigned(last)) => {
                it.last = *last;
                Ok(Self::Running(it))
            }
            (Self::Open(it), DealFact::Delivered(delivery)) => {
                let Open { agreement, opening, .. } = *it;
                let delivered = Delivered { agreement, opening, last: None, delivery: *delivery };
                Ok(Self::Delivered(Box::new(delivered)))
            }
            (Self::Running(it), DealFact::Delivered(delivery)) => {
                let Running { agreement, opening, last, .. } = *it;
                let delivered =
                    Delivered { agreement, opening, last: Some(last), delivery: *delivery };
                Ok(Self::Delivered(Box::new(delivered)))
            }
            (Self::Delivered(it), DealFact::Judged { verdict, signature }) => {
                let Delivered { agreement, opening, last, delivery } = *it;
                let delivery = Some(delivery);
                Ok(Self::Judged(Box::new(Judged {
                    agreement,
                    opening,
                    last,
                    delivery,
                    verdict,
                    signature,
                })))
            }
            (Self::Open(it), DealFact::Failed { why }) => {
                let Open { agreement, opening, .. } = *it;
                Ok(Self::refused(agreement, opening, None, why))
            }
            (Self::Running(it), DealFact::Failed { why }) => {
                let Running { agreement, opening, last, .. } = *it;
                Ok(Self::refused(agreement, opening, Some(last), why))
            }
            (Self::Judged(it), DealFact::Settled(closing)) => {
                let Judged { agreement, opening, last, delivery, verdict, signature } = *it;
                Ok(Self::Settled(Box::new(Settled {
                    agreement,
                    opening,
                    last,
                    delivery,
                    verdict,
                    signature,
                    closing: *closing,
                })))
            }
            _ => Err(refused),
        }
    }

    fn refused(
        agreement: Agreement,
        opening: Opening,
        last: Option<Countersigned>,
        why: String,
    ) -> Self {
        let verdict = Verdict::Refuse { why };
        Self::Judged(Box::new(Judged {
            agreement,
            opening,
            last,
            delivery: None,
            verdict,
            signature: None,
        }))
    }

    /// Remember that the renter's side wants out; the first reason stays. `None` when it is too
    /// late to matter and the fact should not have been written.
    fn stopped(mut self, why: String) -> Option<Self> {
        let stop = match &mut self {
            Self::Chosen(it) => &mut it.stop,
            Self::Signed(it) => &mut it.stop,
            Self::Open(it) => &mut it.stop,
            Self::Running(it) => &mut it.stop,
            _ => return None,
        };
        stop.get_or_insert(why);
        Some(self)
    }

    /// Why the renter's side wants it ended, if it does and it is not too late.
    pub fn stop(&self) -> Option<&str> {
        match self {
            Self::Chosen(it) => it.stop.as_deref(),
            Self::Signed(it) => it.stop.as_deref(),
            Self::Open(it) => it.stop.as_deref(),
            Self::Running(it) => it.stop.as_deref(),
            _ => None,
        }
    }

    /// What was agreed.
    pub fn agreement(&self) -> &Agreement {
        match self {
            Self::Chosen(it) => &it.agreement,
            Self::Signed(it) => &it.agreement,
            Self::Open(it) => &it.agreement,
            Self::Running(it) => &it.agreement,
            Self::Delivered(it) => &it.agreement,
            Self::Judged(it) => &it.agreement,
            Self::Settled(it) => &it.agreement,
            Self::Void { agreement, .. } => agreement,
        }
    }

    /// The deal.
    pub fn id(&self) -> DealId {
        self.agreement().deal
    }

    /// The terms.
    pub fn terms(&self) -> &Terms {
        &self.agreement().terms.document
    }

    /// Whether no step is left to take.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Settled(_) | Self::Void { .. })
    }

    /// The last running receipt with both signatures, if there is one.
    pub fn last(&self) -> Option<&Countersigned> {
        match self {
            Self::Running(it) => Some(&it.last),
            Self::Delivered(it) => it.last.as_ref(),
            Self::Judged(it) => it.last.as_ref(),
            Self::Settled(it) => it.last.as_ref(),
            _ => None,
        }
    }

    /// What the provider handed in at the end, if anything.
    pub fn delivery(&self) -> Option<&Delivery> {
        match self {
            Self::Delivered(it) => Some(&it.delivery),
            Self::Judged(it) => it.delivery.as_ref(),
            Self::Settled(it) => it.delivery.as_ref(),
            _ => None,
        }
    }

    /// The meter so far.
    pub fn meter(&self) -> Meter {
        self.last().map(|last| last.meter.clone()).unwrap_or_default()
    }

    /// The stage's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Chosen(_) => "chosen",
            Self::Signed(_) => "signed",
            Self::Open(_) => "open",
            Self::Running(_) => "running",
            Self::Delivered(_) => "delivered",
            Self::Judged(_) => "judged",
            Self::Settled(_) => "settled",
            Self::Void { .. } => "void",
        }
    }
}

impl DealFact {
    /// The fact's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Chosen(_) => "chosen",
            Self::Signed { .. } => "signed",
            Self::Opened(_) => "opened",
            Self::Progressed { .. } => "progressed",
            Self::StopAsked { .. } => "stop-asked",
            Self::Countersigned(_) => "countersigned",
            Self::Delivered(_) => "delivered",
            Self::Judged { .. } => "judged",
            Self::Failed { .. } => "failed",
            Self::Settled(_) => "settled",
        }
    }
}
