//! What an owner can see of its provider.

use market::{Offer, fact::Agreement};
use primitives::{Address, Amount, DealId, JobId, Rate, Resources, Seconds, UnixSeconds};
use serde::{Deserialize, Serialize};

/// A provider at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it last offered, if anything.
    pub offer: Option<Offer>,
    /// Whether the gateway has that offer in its book.
    pub listed: bool,
    /// Whether it takes no new work.
    pub draining: bool,
    /// What it sells in all.
    pub capacity: Resources,
    /// What of that is free now.
    pub free: Resources,
    /// Its leases that are not over, by deal.
    pub leases: Vec<LeaseView>,
    /// What went wrong last, in plain words; `None` when nothing did since it started.
    pub problem: Option<String>,
}

/// A lease at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// The deal.
    pub deal: DealId,
    /// The job it serves.
    pub job: JobId,
    /// The account that pays.
    pub renter: Address,
    /// Its stage, by name.
    pub stage: String,
    /// What is put aside for it.
    pub resources: Resources,
    /// Its price.
    pub rate: Rate,
    /// Running time so far, co-signed or not.
    pub seconds: Seconds,
    /// What is co-signed so far.
    pub amount: Amount,
    /// Whether the work is held because the renter's side signs no more.
    pub held: bool,
}

/// What a provider has earned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earnings {
    /// Settled deals, in the order in which they were seen to be settled.
    pub deals: Vec<Earned>,
    /// What they paid together.
    pub total: Amount,
    /// What lies inside the escrow for this account, free to withdraw.
    pub balance: Amount,
    /// What lies in its wallet.
    pub wallet: Amount,
}

/// What one deal has paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earned {
    /// The deal.
    pub deal: DealId,
    /// The job it served.
    pub job: JobId,
    /// When it was seen to be settled, by the own clock.
    pub at: UnixSeconds,
    /// What this account was paid.
    pub paid: Amount,
}

impl LeaseView {
    /// A lease that has only been agreed on.
    pub(crate) fn of(agreement: &Agreement) -> Self {
        let terms = &agreement.terms.document;
        Self {
            deal: agreement.deal,
            job: agreement.job,
            renter: terms.renter,
            stage: "offered".into(),
            resources: agreement.resources,
            rate: terms.rate,
            seconds: Seconds::default(),
            amount: Amount::ZERO,
            held: false,
        }
    }
}
