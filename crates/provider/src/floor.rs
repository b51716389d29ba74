//! What all lines of a provider share: the calendar, who can be told what, what is shown.
//!
//! Invariant: every lease that is not over is here; its reservation lasts as long as its work may.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use market::{Offer, fact::Agreement};
use primitives::{Address, B256, DealId, JobId, Resources, UnixSeconds};
use scheduler::{Busy, Calendar, Reservation};
use tokio::sync::{mpsc, watch};

use crate::{
    inbox::Inbound,
    view::{Earned, LeaseView, Status},
};

/// Until when an open deal's capacity is put aside: its end decides.
const OPEN_END: UnixSeconds = UnixSeconds(u64::MAX);

pub(crate) struct Floor {
    inner: Mutex<Inner>,
    /// How many leases are not over.
    busy: watch::Sender<usize>,
}

struct Inner {
    calendar: Calendar<DealId>,
    leases: BTreeMap<DealId, Held>,
    earned: Vec<Earned>,
    offer: Option<Offer>,
    listed: bool,
    draining: bool,
    problem: Option<String>,
}

struct Held {
    agreement: Agreement,
    inbox: mpsc::Sender<Inbound>,
    view: LeaseView,
}

impl Floor {
    pub(crate) fn new(capacity: Resources) -> Self {
        let inner = Inner {
            calendar: Calendar::new(capacity),
            leases: BTreeMap::new(),
            earned: Vec::new(),
            offer: None,
            listed: false,
            draining: false,
            problem: None,
        };
        Self { inner: Mutex::new(inner), busy: watch::Sender::new(0) }
    }

    /// Decide something on the calendar.
    pub(crate) fn on_calendar<T>(&self, decide: impl FnOnce(&mut Calendar<DealId>) -> T) -> T {
        decide(&mut self.inner().calendar)
    }

    /// Put capacity aside until the lease ends. Capacity whose time had run out is taken again if
    /// nobody else has it.
    pub(crate) fn keep(&self, agreement: &Agreement, now: UnixSeconds) -> Result<(), Busy> {
        let calendar = &mut self.inner().calendar;
        if calendar.extend(&agreement.deal, OPEN_END) {
            return Ok(());
        }
        let wanted = Reservation { resources: agreement.resources, until: OPEN_END };
        calendar.reserve(agreement.deal, wanted, now)
    }

    /// Give a lease's capacity back.
    pub(crate) fn release(&self, deal: DealId) {
        self.inner().calendar.release(&deal);
    }

    /// A lease begins, or goes on after a restart.
    pub(crate) fn enter(&self, agreement: Agreement, inbox: mpsc::Sender<Inbound>) {
        let view = LeaseView::of(&agreement);
        let mut inner = self.inner();
        inner.leases.insert(agreement.deal, Held { agreement, inbox, view });
        self.busy.send_replace(inner.leases.len());
    }

    /// A lease is over.
    pub(crate) fn leave(&self, deal: DealId) {
        let mut inner = self.inner();
        inner.leases.remove(&deal);
        inner.calendar.release(&deal);
        self.busy.send_replace(inner.leases.len());
    }

    /// A settled lease has paid; counted once.
    pub(crate) fn earn(&self, earned: Earned) {
        let all = &mut self.inner().earned;
        if all.iter().all(|one| one.deal != earned.deal) {
            all.push(earned);
        }
    }

    /// What was earned so far.
    pub(crate) fn earned(&self) -> Vec<Earned> {
        self.inner().earned.clone()
    }

    /// Show a lease as it is now.
    pub(crate) fn show(&self, deal: DealId, change: impl FnOnce(&mut LeaseView)) {
        if let Some(held) = self.inner().leases.get_mut(&deal) {
            change(&mut held.view);
        }
    }

    /// Where a lease is told what to do.
    pub(crate) fn inbox(&self, deal: DealId) -> Option<mpsc::Sender<Inbound>> {
        Some(self.inner().leases.get(&deal)?.inbox.clone())
    }

    /// The firm bid that was given for an order under a salt, if one is still held.
    pub(crate) fn firm_bid(&self, job: JobId, salt: B256) -> Option<Agreement> {
        let inner = self.inner();
        let given = inner.leases.values().map(|held| &held.agreement);
        given.into_iter().find(|given| given.job == job && given.salt == salt).cloned()
    }

    /// How many bids a renter has not answered.
    pub(crate) fn unanswered(&self, renter: Address) -> u32 {
        let inner = self.inner();
        let offered = inner
            .leases
            .values()
            .filter(|held| held.view.renter == renter && held.view.stage == "offered");
        u32::try_from(offered.count()).unwrap_or(u32::MAX)
    }

    /// The leases that are not over, but one.
    pub(crate) fn others(&self, deal: DealId) -> Vec<DealId> {
        self.inner().leases.keys().copied().filter(|other| *other != deal).collect()
    }

    pub(crate) fn offer(&self) -> Option<Offer> {
        self.inner().offer.clone()
    }

    /// This offer stands, whether or not the gateway has listed it yet.
    pub(crate) fn stand_on(&self, offer: Offer, listed: bool) {
        let mut inner = self.inner();
        inner.offer = Some(offer);
        inner.listed = listed;
    }

    pub(crate) fn drain(&self) {
        self.inner().draining = true;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.inner().draining
    }

    /// How many leases are not over, to wait for none.
    pub(crate) fn busy(&self) -> watch::Receiver<usize> {
        self.busy.subscribe()
    }

    /// Remember what went wrong, for the owner to see.
    pub(crate) fn trouble(&self, words: String) {
        let mut inner = self.inner();
        if inner.problem.as_ref() != Some(&words) {
            tracing::warn!(words, "trouble");
            inner.problem = Some(words);
        }
    }

    pub(crate) fn status(&self, now: UnixSeconds) -> Status {
        let inner = self.inner();
        Status {
            offer: inner.offer.clone(),
            listed: inner.listed,
            draining: inner.draining,
            capacity: inner.calendar.capacity(),
            free: inner.calendar.free(now),
            leases: inner.leases.values().map(|held| held.view.clone()).collect(),
            problem: inner.problem.clone(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete before the lock is given back.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
