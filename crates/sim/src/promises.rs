//! What must hold in every world: the promises of PROTOCOL, checked from outside.
//!
//! Upon every look: new facts of all journals, then new calls at the chain's depth, are set beside
//! each other. What a party knows is taken from its own journal alone, and what money did from the
//! chain alone; nothing here asks the rooms what they think.
//!
//! In: journals, the ledger, who is honest, who was away when. Out: the promises that were broken.
//!
//! Not here: what a world does (`life`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use market::{
    DealFact, Fact, LeaseFact, Outcome, Receipt, Record, State, Terms, Verdict,
    escrow::Windows,
    fact::{Agreement, Closing, Delivery},
};
use primitives::{Address, Amount, B256, DealId, JobId, Rate, Seconds, UnixSeconds};
use serde::Deserialize;
use settlement::{Call, Carried, Ledger};
use store::Entry;

use crate::{
    absence::Absence,
    plan::{Job, Kind, Plan},
    town::Town,
};

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// Wallets, balances, open deals and fees hold what was minted.
    Conserved,
    /// A live renter pays only what its key signed; a silent one at most `grace` more.
    SignedOnly,
    /// An honest gateway signs only what follows from terms and time.
    Sound,
    /// What an honest gateway signs only grows.
    Grown,
    /// An honest gateway enters only deals that the network's rules allow.
    Ruled,
    /// A signature leaves after the fact that holds it is durable.
    Durable,
    /// An honest provider gets all that was co-signed.
    Due,
    /// An honest provider loses at most `grace` and two signing intervals.
    Loss,
    /// Work begins only under a deal that is open.
    Opened,
    /// Nobody is paid twice for a second, and no work runs twice.
    Once,
    /// Where nothing fails and nobody cheats, bills are exact.
    Exact,
    /// Every job and every deal ends in bounded time.
    Ends,
    /// No reservation is leaked.
    Released,
}

/// A promise that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// How, with names and figures.
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.how)
    }
}

/// How far a clock that shows whole seconds, and the way of a word, may shift a count.
const SLACK: u64 = 3;

/// How long an honest party that is awake may take to act on what the chain shows.
const REACTION: Seconds = Seconds(15);

/// Everything seen so far.
pub(crate) struct Promises {
    rules: market::Rules,
    windows: Windows,
    escrow: market::Domain,
    depth: u64,
    calm: bool,
    /// The honest gateways by account, the honest providers by account.
    gateways: BTreeMap<Address, usize>,
    providers: BTreeMap<Address, usize>,
    jobs: BTreeMap<JobId, Job>,
    deals: BTreeMap<DealId, Deal>,
    calls: usize,
    broken: Vec<Broken>,
}

/// What is known of one deal.
#[derive(Default)]
struct Deal {
    job: Option<JobId>,
    terms: Option<Terms>,
    /// The receipts that the gateway's journal holds with its signature, by digest.
    cosigned: BTreeSet<B256>,
    /// The newest of them.
    newest: Option<Receipt>,
    newest_sample_ms: u64,
    delivered: Option<Delivery>,
    /// What the provider's journal holds with the renter key's signature.
    held: Amount,
    /// Running time by the provider's journal.
    ran: Option<Seconds>,
    /// The terminal receipt in the provider's journal.
    ended: Option<Delivery>,
    starts: u32,
    opened: Option<UnixSeconds>,
    stopped: Option<UnixSeconds>,
    claimed: Option<(UnixSeconds, Seconds)>,
    closed: Option<(UnixSeconds, Closing)>,
}

/// A fact of a provider's journal, as far as it matters here.
#[derive(Deserialize)]
struct Leased {
    #[serde(default)]
    fact: Option<LeaseFact>,
}

/// Who was away when.
pub(crate) struct Absences<'a> {
    /// Each gateway.
    pub(crate) gateways: Vec<&'a Absence>,
    /// Each provider; those that are puppets are never asked about.
    pub(crate) providers: Vec<&'a Absence>,
    /// The chain.
    pub(crate) chain: &'a Absence,
}

impl Promises {
    /// Nothing seen yet. Parties are numbered as in the plan, and known by their accounts.
    pub(crate) fn new(
        plan: &Plan,
        town: &Town,
        gateways: BTreeMap<Address, usize>,
        providers: BTreeMap<Address, usize>,
    ) -> Self {
        Self {
            rules: town.profile.market.clone(),
            windows: town.setup.windows,
            escrow: town.escrow(),
            depth: plan.network.depth,
            calm: plan.is_calm(),
            gateways,
            providers,
            jobs: BTreeMap::new(),
            deals: BTreeMap::new(),
            calls: 0,
            broken: Vec::new(),
        }
    }

    /// A job got its name.
    pub(crate) fn ordered(&mut self, id: JobId, job: &Job) {
        self.jobs.entry(id).or_insert_with(|| job.clone());
    }

    /// What was broken so far.
    pub(crate) fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// How many deals were agreed on.
    pub(crate) fn agreed(&self) -> usize {
        self.deals.len()
    }

    /// Something else was broken.
    pub(crate) fn accuse(&mut self, promise: Promise, how: String) {
        self.broken.push(Broken { promise, how });
    }

    /// The deals that the chain has not settled.
    pub(crate) fn unsettled(&self, ledger: &Ledger) -> Vec<(DealId, Terms)> {
        let opened = self.deals.iter().filter(|(_, deal)| deal.opened.is_some());
        let open = opened.filter(|(id, _)| ledger.peek(**id).0.state != State::Settled);
        open.filter_map(|(id, deal)| Some((*id, deal.terms.clone()?))).collect()
    }

    /// New facts of a gateway's journal.
    pub(crate) fn gateway_facts(&mut self, entries: &[Entry]) {
        for entry in entries {
            let Ok(Record { at, job, deal, fact }) = serde_json::from_slice(&entry.fact) else {
                continue;
            };
            if let (Some(id), Fact::Deal(fact)) = (deal, fact) {
                self.deals.entry(id).or_default().job = Some(job);
                self.gateway_fact(id, at, fact);
            }
        }
    }

    fn gateway_fact(&mut self, id: DealId, at: UnixSeconds, fact: DealFact) {
        match fact {
            DealFact::Chosen(agreement) => self.chosen(id, *agreement),
            DealFact::Opened(opening) => {
                self.deals.entry(id).or_default().opened = Some(opening.at);
            }
            DealFact::Countersigned(it) => {
                let (receipt, root) = (it.receipt.document.clone(), it.meter.root());
                if receipt.meter != root {
                    self.accuse(Promise::Sound, format!("{}: a meter of no samples", id.short()));
                }
                let sample_ms = it.sample.map_or(0, |sample| sample.at_ms);
                let before = self.deals.entry(id).or_default().newest_sample_ms;
                if sample_ms < before {
                    let how = format!("{}: a sample of {sample_ms} ms after {before}", id.short());
                    self.accuse(Promise::Grown, how);
                }
                self.deals.entry(id).or_default().newest_sample_ms = sample_ms;
                self.cosigned(id, at, receipt);
            }
            DealFact::Delivered(delivery) => {
                self.deals.entry(id).or_default().delivered = Some(*delivery);
            }
            DealFact::Judged { verdict: Verdict::Pay, signature: Some(_) } => {
                let delivered = self.deals.entry(id).or_default().delivered.as_ref();
                if let Some(receipt) = delivered.map(|it| it.receipt.document.clone()) {
                    self.cosigned(id, at, receipt);
                }
            }
            _ => {}
        }
    }

    fn chosen(&mut self, id: DealId, agreement: Agreement) {
        let terms = agreement.terms.document;
        if terms.grace > self.rules.grace {
            let how = format!("{}: a grace of {}", id.short(), terms.grace);
            self.accuse(Promise::Ruled, how);
        }
        let limit = time_limit(&terms, &self.rules);
        let most = terms.rate.hold_up(limit, self.rules.hold_buffer).unwrap_or(Amount::ZERO);
        if terms.cap > most {
            self.accuse(Promise::Ruled, format!("{}: a hold of {}", id.short(), terms.cap));
        }
        self.deals.entry(id).or_default().terms = Some(terms);
    }

    /// An honest gateway has signed a receipt.
    fn cosigned(&mut self, id: DealId, at: UnixSeconds, receipt: Receipt) {
        let digest = receipt.digest(&self.escrow);
        let deal = self.deals.entry(id).or_default();
        let (Some(terms), Some(opened)) = (&deal.terms, deal.opened) else {
            deal.cosigned.insert(digest);
            let how = format!("{}: a receipt of a deal that is not open", id.short());
            return self.accuse(Promise::Sound, how);
        };
        let passed = at.since(opened).0 + SLACK;
        let limit = time_limit(terms, &self.rules).plus(self.rules.grace);
        let mut flaws = Vec::new();
        if receipt.amount > terms.rate.charge_down(receipt.seconds) {
            flaws.push((Promise::Sound, "more than rate times seconds"));
        }
        if receipt.amount > terms.cap {
            flaws.push((Promise::Sound, "more than is locked"));
        }
        if receipt.seconds.0 > passed {
            flaws.push((Promise::Sound, "more seconds than passed since it opened"));
        }
        if receipt.seconds > limit {
            flaws.push((Promise::Sound, "more seconds than limit and grace"));
        }
        let waives = receipt.outcome == Outcome::ProviderFault;
        if let Some(before) = &deal.newest
            && !waives
            && (before.amount > receipt.amount || before.seconds > receipt.seconds)
        {
            flaws.push((Promise::Grown, "less than what was signed before"));
        }
        if deal.newest.as_ref().is_some_and(|it| it.outcome.is_terminal()) {
            flaws.push((Promise::Once, "a receipt after a terminal one"));
        }
        deal.cosigned.insert(digest);
        deal.newest = Some(receipt.clone());
        for (promise, flaw) in flaws {
            let (amount, seconds) = (receipt.amount, receipt.seconds);
            let how = format!("{}: {amount} for {seconds} signed, {flaw}", id.short());
            self.accuse(promise, how);
        }
    }

    /// New facts of an honest provider's journal.
    pub(crate) fn provider_facts(&mut self, entries: &[Entry]) {
        for entry in entries {
            let name = entry.stream.trim_start_matches("lease/");
            let written: Result<Leased, _> = serde_json::from_slice(&entry.fact);
            if let (Ok(id), Ok(Leased { fact: Some(fact) })) = (name.parse(), written) {
                self.provider_fact(id, fact);
            }
        }
    }

    fn provider_fact(&mut self, id: DealId, fact: LeaseFact) {
        let deal = self.deals.entry(id).or_default();
        match fact {
            LeaseFact::Bid(agreement) => deal.terms = Some(agreement.terms.document),
            LeaseFact::Started => {
                deal.starts += 1;
                if deal.starts > 1 {
                    self.accuse(Promise::Once, format!("{}: it was started twice", id.short()));
                }
            }
            LeaseFact::Countersigned { receipt, .. } => {
                deal.held = receipt.document.amount;
                deal.ran = Some(receipt.document.seconds);
                self.heard(id, &receipt.document);
            }
            LeaseFact::Ended(delivery) => {
                deal.ran = Some(delivery.receipt.document.seconds);
                deal.ended = Some(*delivery);
            }
            LeaseFact::Accepted { .. } => {
                let ended = deal.ended.as_ref().map(|it| it.receipt.document.clone());
                if let Some(receipt) = ended {
                    deal.held = receipt.amount;
                    self.heard(id, &receipt);
                }
            }
            LeaseFact::Abandoned { unsigned, .. } => {
                let last = if deal.ended.is_some() { Seconds(0) } else { unsigned };
                deal.ran = Some(deal.ran.unwrap_or_default().plus(last));
            }
            _ => {}
        }
    }

    /// A provider has heard an honest gateway's signature.
    fn heard(&mut self, id: DealId, receipt: &Receipt) {
        let deal = self.deals.entry(id).or_default();
        let gateway = deal.terms.as_ref().map(|terms| terms.gateway);
        let honest = gateway.is_some_and(|it| self.gateways.contains_key(&it));
        if honest && !deal.cosigned.contains(&receipt.digest(&self.escrow)) {
            let how = format!(
                "{}: {} was signed, and the gateway's journal does not hold it",
                id.short(),
                receipt.amount
            );
            self.accuse(Promise::Durable, how);
        }
    }

    /// New calls at the chain's depth, which come back, and whether money is conserved.
    pub(crate) fn chain(&mut self, ledger: &Ledger, absences: &Absences<'_>) -> Vec<Carried> {
        if let Err(imbalance) = ledger.check() {
            self.accuse(Promise::Conserved, imbalance.to_string());
        }
        let new = ledger.carried(self.calls);
        self.calls += new.len();
        for carried in &new {
            self.carried(carried, ledger, absences);
        }
        let early = self.deals.iter().filter(|(_, deal)| deal.starts > 0 && deal.opened.is_none());
        let early: Vec<DealId> = early.map(|(id, _)| *id).collect();
        for id in early {
            if ledger.peek(id).0.state == State::None {
                self.accuse(Promise::Opened, format!("{}: work was begun", id.short()));
            }
        }
        new
    }

    fn carried(&mut self, carried: &Carried, ledger: &Ledger, absences: &Absences<'_>) {
        let (call, at) = (&carried.call, carried.mined.at);
        for receipt in presented(call) {
            self.heard(receipt.deal, receipt);
        }
        for terms in call.deals() {
            let id = terms.id(&self.escrow);
            let deal = self.deals.entry(id).or_default();
            deal.terms.get_or_insert_with(|| terms.clone());
            let (slot, closing) = ledger.peek(id);
            match call {
                Call::Open { .. } | Call::OpenBatch { .. } if slot.state != State::None => {
                    deal.opened = Some(at);
                }
                Call::Stop { .. } => deal.stopped = Some(at),
                Call::Claim { extra, .. } => deal.claimed = Some((at, *extra)),
                _ => {}
            }
            if deal.closed.is_none()
                && let Some(closing) = closing
            {
                deal.closed = Some((at, closing));
                self.closed(id, absences);
            }
        }
    }

    /// A deal is settled: who got what?
    fn closed(&mut self, id: DealId, absences: &Absences<'_>) {
        let Some(deal) = self.deals.get(&id) else { return };
        let (Some(terms), Some((at, closing))) = (&deal.terms, &deal.closed) else { return };
        let (charge, name) = (closing.split.charge(), id.short());
        let mut broken = Vec::new();
        let mut accuse = |promise, how| broken.push(Broken { promise, how });
        if charge.plus(closing.split.refund) != Some(terms.cap) {
            accuse(Promise::Conserved, format!("{name}: {:?} of {}", closing.split, terms.cap));
        }
        let paid = seconds_of(terms.rate, charge);
        let open = at.since(deal.opened.unwrap_or(*at));
        if paid.0 > open.0 + SLACK {
            accuse(Promise::Once, format!("{name}: {paid} are paid, it was open for {open}"));
        }
        if let Some(gateway) = self.gateways.get(&terms.gateway) {
            let signed = deal.newest.as_ref().map_or(Amount::ZERO, |it| it.amount);
            let silent = deal.claimed.is_some_and(|(from, _)| {
                let until = from.plus(self.windows.dispute);
                let away = [absences.gateways[*gateway], absences.chain];
                Absence::longest_presence(&away, from, until) < self.reaction()
            });
            let more = if silent { self.rules.grace } else { Seconds(0) };
            let most = signed.plus(terms.rate.charge_down(more)).unwrap_or(Amount::MAX);
            if charge > most {
                let how =
                    format!("{name}: {charge} is paid, {signed} was signed, {more} of silence");
                accuse(Promise::SignedOnly, how);
            }
        }
        if let Some(provider) = self.providers.get(&terms.provider) {
            let away = [absences.providers[*provider], absences.chain];
            let fault =
                deal.ended.as_ref().is_some_and(|it| it.outcome() == Outcome::ProviderFault);
            let (from, until) = match deal.stopped {
                Some(from) => (from, from.plus(self.windows.dispute)),
                None => {
                    let dead = terms.expiry.plus(terms.grace);
                    (
                        dead.plus(Seconds(self.windows.dispute.0 / 2)),
                        dead.plus(self.windows.dispute),
                    )
                }
            };
            let present = deal.claimed.is_some()
                || Absence::longest_presence(&away, from, until) >= self.reaction();
            if charge < deal.held && !fault && present {
                let how = format!("{name}: {charge} is paid, {} was co-signed", deal.held);
                accuse(Promise::Due, how);
            }
            let ran = deal.ran.unwrap_or_default();
            let lost = Seconds(ran.0.saturating_sub(paid.0));
            let gone = Absence::total(&away, deal.opened.unwrap_or(*at), *at);
            let two = self.rules.receipt_interval.plus(self.rules.receipt_interval);
            let most = self.rules.grace.plus(two).plus(gone).plus(Seconds(SLACK + 4 * self.depth));
            if lost > most && !fault && present {
                accuse(Promise::Loss, format!("{name}: {ran} ran, {paid} are paid, {gone} away"));
            }
        }
        if self.calm
            && let Some(job) = deal.job.and_then(|job| self.jobs.get(&job))
            && job.stop_after.is_none()
        {
            let Kind::Program { program, time_limit } = &job.kind;
            let due = terms.rate.charge_down(Seconds(program.seconds.min(*time_limit)));
            if charge != due {
                accuse(Promise::Exact, format!("{name}: {charge} is paid, {due} is due"));
            }
        }
        self.broken.extend(broken);
    }

    fn reaction(&self) -> Seconds {
        REACTION.plus(Seconds(4 * self.depth))
    }
}

/// The receipts that a call shows to the chain.
fn presented(call: &Call) -> Vec<&Receipt> {
    match call {
        Call::Present { proof, .. } | Call::Settle { proof, .. } => vec![&proof.receipt],
        Call::Claim { proof, .. } => proof.iter().map(|proof| &proof.receipt).collect(),
        Call::SettleBatch { closings, .. } => closings.iter().map(|(_, receipt)| receipt).collect(),
        _ => Vec::new(),
    }
}

/// The order's time limit, as the terms carry it.
fn time_limit(terms: &Terms, rules: &market::Rules) -> Seconds {
    Seconds(terms.expiry.since(terms.accept_by).0.saturating_sub(rules.preparation.0))
}

/// The least time that costs this much.
fn seconds_of(rate: Rate, amount: Amount) -> Seconds {
    let (units, rate) = (amount.units() * 3_600, rate.units_per_hour().max(1));
    Seconds(u64::try_from(units.div_ceil(rate)).unwrap_or(u64::MAX))
}
