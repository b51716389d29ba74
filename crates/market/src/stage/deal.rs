//! The stages of a deal: Chosen -> Signed -> Open -> Running -> Delivered -> Judged -> Settled.

use primitives::{DealId, Signature};

use crate::{
    document::{Consent, Terms},
    error::Error,
    fact::{Agreement, Closing, Countersigned, DealFact, Delivery, Opening},
    message::Phase,
    meter::Meter,
    outcome::{Outcome, Verdict},
    task::{Load, Reported, TaskResult},
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
    /// The tasks it carries.
    pub load: Load,
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
    /// The tasks it carries.
    pub load: Load,
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
    /// The tasks it carries.
    pub load: Load,
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
    /// The tasks it carries.
    pub load: Load,
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
    /// The tasks it carries.
    pub load: Load,
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
                let load = Load::default();
                Ok(Self::Open(Box::new(Open { agreement, opening, load, phase: None, stop })))
            }
            (mut stage, DealFact::Assigned { tasks, released }) => {
                let load = stage.open_load().ok_or(refused)?;
                load.assign(tasks);
                load.released |= released;
                Ok(stage)
            }
            (mut stage, DealFact::Reported { results }) => {
                stage.open_load().ok_or(refused)?.report(results);
                Ok(stage)
            }
            (Self::Open(mut it), DealFact::Progressed { phase }) => {
                it.phase = Some(phase);
                Ok(Self::Open(it))
            }
            (Self::Running(it), DealFact::Progressed { .. }) => Ok(Self::Running(it)),
            (Self::Open(it), DealFact::Countersigned(last)) => {
                let Open { agreement, opening, load, stop, .. } = *it;
                let last = *last;
                Ok(Self::Running(Box::new(Running { agreement, opening, load, last, stop })))
            }
            (Self::Running(mut it), DealFact::Countersigned(last)) => {
                it.last = *last;
                Ok(Self::Running(it))
            }
            (Self::Open(it), DealFact::Delivered(delivery)) => {
                let Open { agreement, opening, load, .. } = *it;
                Ok(Self::delivered(agreement, opening, load, None, *delivery))
            }
            (Self::Running(it), DealFact::Delivered(delivery)) => {
                let Running { agreement, opening, load, last, .. } = *it;
                Ok(Self::delivered(agreement, opening, load, Some(last), *delivery))
            }
            (Self::Delivered(it), DealFact::Judged { verdict, signature }) => {
                let Delivered { agreement, opening, load, last, delivery } = *it;
                let delivery = Some(delivery);
                Ok(Self::Judged(Box::new(Judged {
                    agreement,
                    opening,
                    load,
                    last,
                    delivery,
                    verdict,
                    signature,
                })))
            }
            (Self::Open(it), DealFact::Failed { why }) => {
                let Open { agreement, opening, load, .. } = *it;
                Ok(Self::refused(agreement, opening, load, None, why))
            }
            (Self::Running(it), DealFact::Failed { why }) => {
                let Running { agreement, opening, load, last, .. } = *it;
                Ok(Self::refused(agreement, opening, load, Some(last), why))
            }
            (Self::Judged(it), DealFact::Settled(closing)) => {
                let Judged { agreement, opening, load, last, delivery, verdict, signature } = *it;
                Ok(Self::Settled(Box::new(Settled {
                    agreement,
                    opening,
                    load,
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

    fn delivered(
        agreement: Agreement,
        opening: Opening,
        mut load: Load,
        last: Option<Countersigned>,
        mut delivery: Delivery,
    ) -> Self {
        load.released = true;
        // A provider that does not remember what was counted says it again.
        delivery.results.retain(|again| {
            load.outcome(again.result.task).is_none_or(|known| known.result != again.result)
        });
        Self::Delivered(Box::new(Delivered { agreement, opening, load, last, delivery }))
    }

    fn refused(
        agreement: Agreement,
        opening: Opening,
        load: Load,
        last: Option<Countersigned>,
        why: String,
    ) -> Self {
        let verdict = Verdict::Refuse { why };
        Self::Judged(Box::new(Judged {
            agreement,
            opening,
            load,
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

    /// The tasks of a deal that can be handed more, or can report some.
    fn open_load(&mut self) -> Option<&mut Load> {
        match self {
            Self::Open(it) => Some(&mut it.load),
            Self::Running(it) => Some(&mut it.load),
            _ => None,
        }
    }

    /// The tasks it carries, once it is open.
    pub fn load(&self) -> Option<&Load> {
        match self {
            Self::Chosen(_) | Self::Signed(_) | Self::Void { .. } => None,
            Self::Open(it) => Some(&it.load),
            Self::Running(it) => Some(&it.load),
            Self::Delivered(it) => Some(&it.load),
            Self::Judged(it) => Some(&it.load),
            Self::Settled(it) => Some(&it.load),
        }
    }

    /// Every result of the deal that counts: those reported while it was open, and those that came
    /// with a terminal receipt that blames the provider for nothing.
    pub fn counting(&self) -> impl Iterator<Item = &Reported> {
        let blameless = |delivery: &&Delivery| delivery.outcome() != Outcome::ProviderFault;
        let paid = match self {
            Self::Delivered(_) => None,
            Self::Judged(it) => it.delivery.as_ref().filter(|_| it.verdict == Verdict::Pay),
            Self::Settled(it) => it.delivery.as_ref().filter(|_| it.verdict == Verdict::Pay),
            _ => None,
        };
        let rest = paid.filter(blameless).map(|delivery| delivery.results.as_slice());
        let reported = self.load().into_iter().flat_map(Load::reported);
        reported.chain(rest.unwrap_or_default())
    }

    /// Every result that the provider's terminal receipt covers: those reported before it, and those
    /// that came with it.
    pub fn results(&self) -> Vec<TaskResult> {
        let before = self.load().map(Load::results).unwrap_or_default();
        let rest = self.delivery().map(|delivery| delivery.results.as_slice());
        let rest = rest.unwrap_or_default().iter().map(|reported| reported.result);
        before.into_iter().chain(rest).collect()
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
            Self::Assigned { .. } => "assigned",
            Self::Reported { .. } => "reported",
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
