//! The life of a world, from its plan to the end of all its deals.
//!
//! Upon every tick: what is due fails or comes back; renters look at their jobs and say what they have
//! to say, again where it was lost; the promises are checked against all that was written down since
//! and all that the chain has carried out.
//!
//! Invariant: one thread, paused time, no chance but the seed's: the same plan gives the same life.

use std::time::Duration;

use broker::{JobView, Refusal};
use market::{Slot, State, fact::Submission};
use net::Conditions;
use primitives::{Clock as _, Digest, Hasher, JobId, Rate, Seconds, UnixSeconds};
use settlement::{Call, Settlement as _};
use store::{Crash, Entry, MemoryLog, Position};
use tokio::task::JoinSet;

use crate::{
    absence::Absence,
    crook::Crook,
    gateway::Gateway,
    plan::{Failure, Job, Kind, Nature, Operator, Plan, PlannedCrash, Temper},
    promises::{Absences, Broken, Promise, Promises},
    puppet::Puppet,
    renter::{Renter, WALLET, Wanted},
    script::Program,
    town::{Town, key},
    workshop::Workshop,
};

/// How a life went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Over every fact of every journal and every call at the chain's depth.
    pub digest: Digest,
    /// Deals that were agreed on.
    pub deals: usize,
    /// Simulated time.
    pub span: Duration,
    /// The promises that were broken.
    pub broken: Vec<Broken>,
    /// What happened, line by line, if it was to be told.
    pub story: Vec<String>,
}

/// Between two ticks while jobs are under way, and afterwards.
const TICK: Duration = Duration::from_millis(500);
const SLOW: Duration = Duration::from_secs(2);

/// How long a renter waits for the gateway to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a provider may be looked for.
const SEARCH: Seconds = Seconds(40);

/// Live a plan to its end; `tell` what happens, or only how it ends.
///
/// # Panics
/// When no runtime can be built, or a party cannot be started: never for what happens in the world.
pub fn live(plan: &Plan, tell: bool) -> Life {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a thread and a clock");
    runtime.block_on(async {
        let mut world = World::begin(plan, tell).await;
        world.live().await;
        world.end().await
    })
}

/// A world while it lives.
struct World<'a> {
    plan: &'a Plan,
    town: Town,
    /// Those that are crooks only lend their names, and are never started.
    gateways: Vec<Party<Gateway>>,
    crooks: Vec<Option<Crook>>,
    workshops: Vec<Option<Party<Workshop>>>,
    renters: Vec<Renter>,
    jobs: Vec<Wish>,
    /// Troubles that are still to come, the next one last.
    troubles: Vec<(Duration, Failure)>,
    /// Partitions and the chain's absence, by when they are over.
    healing: Vec<(Duration, Healing)>,
    chain: Absence,
    promises: Promises,
    story: Option<Vec<String>>,
    _puppets: Vec<Puppet>,
    _sealing: Option<JoinSet<()>>,
}

/// A party with a process that can die.
struct Party<T> {
    it: T,
    seen: Position,
    absence: Absence,
    back: Option<Duration>,
    /// How long it stays away after the crash that was planned for it.
    away: u64,
}

/// What comes back by itself.
enum Healing {
    Partition(usize),
    Chain,
}

/// A job as its renter sees it.
#[derive(Default)]
struct Wish {
    submission: Option<Submission>,
    id: Option<JobId>,
    /// When terms to consent to were first seen, and when it was first seen to run.
    chosen: Option<Duration>,
    running: Option<Duration>,
    tricked: bool,
    over: bool,
}

impl<T> Party<T> {
    fn new(it: T, crash: Option<PlannedCrash>) -> Self {
        let away = crash.map_or(0, |crash| crash.away);
        Self { it, seen: Position(0), absence: Absence::default(), back: None, away }
    }

    /// The facts since the last look.
    fn news(&mut self, log: &MemoryLog) -> Vec<Entry> {
        let news = log.kept(self.seen);
        self.seen = news.last().map_or(self.seen, |entry| entry.position);
        news
    }
}

impl<'a> World<'a> {
    async fn begin(plan: &'a Plan, tell: bool) -> Self {
        let town = Town::under(plan.seed, plan.profile());
        let sealing = (plan.network.depth > 0).then(|| town.keep_sealing());
        let (mut gateways, mut crooks) = (Vec::new(), Vec::new());
        for (number, operator) in (0u8..).zip(&plan.gateways) {
            let mut gateway = Gateway::numbered(&format!("gateway-{number}"), number);
            let (crash, crook) = match operator {
                Operator::Real(standing) => {
                    plan_crash(&gateway.log, standing.crash);
                    gateway.start(&town).await;
                    (standing.crash, None)
                }
                Operator::Crook(trick) => (None, Some(Crook::start(&town, &gateway, *trick))),
            };
            gateways.push(Party::new(gateway, crash));
            crooks.push(crook);
        }
        let (mut workshops, mut puppets) = (Vec::new(), Vec::new());
        for (number, seller) in (1u8..).zip(&plan.providers) {
            let gateway = &gateways[seller.gateway].it;
            workshops.push(match &seller.nature {
                Nature::Real(standing) => {
                    let workshop = Workshop::playing(number, Program::play);
                    plan_crash(&workshop.log, standing.crash);
                    let mut party = Party::new(workshop, standing.crash);
                    party.it.start(&town, gateway).await;
                    Some(party)
                }
                Nature::Puppet { behaviour, rate } => {
                    let rate = Rate::per_hour(u128::from(*rate)).expect("small");
                    let lasting = Duration::from_secs(12);
                    let puppet =
                        Puppet::selling(&town, &gateway.peer, number, *behaviour, lasting, rate);
                    puppets.push(puppet.await);
                    None
                }
            });
        }
        let renters: Vec<Renter> =
            (200u8..).zip(&plan.renters).map(|(number, _)| Renter { key: key(number) }).collect();
        for renter in &renters {
            town.fund(renter.account(), WALLET).await;
        }
        let most = Duration::from_millis(plan.weather.latency_ms);
        town.network.set_conditions(Conditions {
            latency: Duration::from_millis(1)..=most.max(Duration::from_millis(1)),
            request_lost: plan.weather.trouble,
            response_lost: plan.weather.trouble,
            heard_twice: plan.weather.trouble,
        });
        let accounts = gateways.iter().enumerate();
        let accounts = accounts.filter(|(number, _)| crooks[*number].is_none());
        let accounts = accounts.map(|(number, it)| (it.it.account, number));
        let sellers = workshops.iter().enumerate();
        let sellers = sellers.filter_map(|(number, it)| Some((it.as_ref()?.it.account, number)));
        let promises = Promises::new(plan, &town, accounts.collect(), sellers.collect());
        let mut troubles: Vec<_> = plan
            .troubles
            .iter()
            .map(|it| (Duration::from_millis(it.at_ms), it.what.clone()))
            .collect();
        troubles.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Self {
            plan,
            town,
            gateways,
            crooks,
            workshops,
            renters,
            jobs: plan.jobs.iter().map(|_| Wish::default()).collect(),
            troubles,
            healing: Vec::new(),
            chain: Absence::default(),
            promises,
            story: tell.then(Vec::new),
            _puppets: puppets,
            _sealing: sealing,
        }
    }

    async fn live(&mut self) {
        let bound = self.bound();
        loop {
            self.fail().await;
            self.heal().await;
            for number in 0..self.jobs.len() {
                self.look(number).await;
            }
            self.exit().await;
            self.judge();
            if self.is_over() || !self.promises.broken().is_empty() {
                return;
            }
            if self.now() > bound {
                self.promises.accuse(Promise::Ends, self.unfinished());
                return;
            }
            let busy = self.jobs.iter().any(|it| !it.over);
            tokio::time::sleep(if busy { TICK } else { SLOW }).await;
        }
    }

    /// What was leaked, and how it all went.
    async fn end(mut self) -> Life {
        for party in self.workshops.iter().flatten().filter(|party| party.back.is_none()) {
            let status = party.it.provider().status();
            if self.promises.broken().is_empty() && status.free != status.capacity {
                let (name, free) = (&party.it.peer, status.free);
                self.promises.accuse(Promise::Released, format!("{name} has {free:?} free"));
                break;
            }
        }
        let mut hasher = Hasher::default();
        let gateways = self.gateways.iter().map(|party| &party.it.log);
        let workshops = self.workshops.iter().flatten().map(|party| &party.it.log);
        for log in gateways.chain(workshops) {
            for entry in log.kept(Position(0)) {
                hasher.update(entry.stream.as_bytes());
                hasher.update(&entry.fact);
            }
        }
        for it in self.town.ledger.carried(0) {
            hasher.update(&it.mined.block.to_be_bytes());
            hasher.update(&it.mined.at.0.to_be_bytes());
            hasher.update(it.sender.as_slice());
            hasher.update(it.call.name().as_bytes());
        }
        Life {
            digest: hasher.finish(),
            deals: self.promises.agreed(),
            span: self.now(),
            broken: self.promises.broken().to_vec(),
            story: self.story.unwrap_or_default(),
        }
    }

    fn now(&self) -> Duration {
        self.town.clock.monotonic()
    }

    fn time(&self) -> UnixSeconds {
        self.town.clock.now()
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(story) = &mut self.story {
            story.push(format!("{:>9.3} {}", now.as_secs_f64(), line()));
        }
    }

    /// By when everything must have ended: the longest that one deal may take after the last order, and
    /// all that may hold it up.
    fn bound(&self) -> Duration {
        let rules = &self.town.profile.market;
        let limit = self.plan.jobs.iter().map(|it| it.kind.time_limit()).max().unwrap_or(0);
        let orders = self.plan.jobs.iter().map(|it| it.at_ms).max().unwrap_or(0);
        let deal = [SEARCH, rules.bid_lead, rules.preparation, Seconds(limit), rules.grace];
        let deal: u64 = deal.iter().map(|span| span.0).sum();
        let exits = 3 * self.town.setup.windows.dispute.0;
        let held_up = self.plan.held_up();
        Duration::from_millis(orders) + Duration::from_secs(deal + exits + held_up + 120)
    }

    // ---- what fails ----

    async fn fail(&mut self) {
        while self.troubles.last().is_some_and(|(at, _)| *at <= self.now()) {
            if let Some((_, failure)) = self.troubles.pop() {
                self.tell(|| format!("trouble: {failure:?}"));
                self.befall(failure).await;
            }
        }
        for number in 0..self.gateways.len() {
            let party = &self.gateways[number];
            if party.back.is_none() && party.it.is_down() {
                self.gateway_dies(number, party.away).await;
            }
        }
        for number in 0..self.workshops.len() {
            let Some(party) = &self.workshops[number] else { continue };
            if party.back.is_none() && party.it.is_down() {
                self.provider_dies(number, party.away).await;
            }
        }
    }

    async fn befall(&mut self, failure: Failure) {
        match failure {
            Failure::GatewayDies { gateway, away } => self.gateway_dies(gateway, away).await,
            Failure::ProviderDies { provider, away } => self.provider_dies(provider, away).await,
            Failure::Partition { provider, span } => {
                if let Some(party) = &mut self.workshops[provider] {
                    let seller = &self.plan.providers[provider];
                    let gateway = &self.gateways[seller.gateway].it.peer;
                    self.town.network.divide(&party.it.peer, gateway);
                    let over = self.town.clock.monotonic() + Duration::from_secs(span);
                    self.healing.push((over, Healing::Partition(provider)));
                }
            }
            Failure::ChainGone { span } => {
                self.town.ledger.set_gone(true);
                self.chain.begin(self.time());
                let over = self.now() + Duration::from_secs(span);
                self.healing.push((over, Healing::Chain));
            }
            Failure::CallsLost { count } => self.town.ledger.lose_calls(count),
            Failure::AnswersLost { count } => self.town.ledger.lose_answers(count),
            Failure::Reorganised { blocks } => self.town.ledger.reorganise(blocks),
            Failure::GatewayDiskFull { gateway, facts } => {
                let party = &self.gateways[gateway];
                if party.back.is_none() {
                    party.it.log.fail_appends(facts);
                }
            }
            Failure::ProviderDiskFull { provider, facts } => {
                let party = self.workshops[provider].as_ref();
                if let Some(party) = party.filter(|party| party.back.is_none()) {
                    party.it.log.fail_appends(facts);
                }
            }
        }
    }

    async fn gateway_dies(&mut self, number: usize, away: u64) {
        let (now, time) = (self.now(), self.time());
        let party = &mut self.gateways[number];
        if party.back.is_none() && self.crooks[number].is_none() {
            party.it.kill(&self.town).await;
            party.it.log.fail_appends(0);
            party.absence.begin(time);
            party.back = Some(now + Duration::from_secs(away));
            self.tell(|| format!("gateway-{number} is down for {away} s"));
        }
    }

    async fn provider_dies(&mut self, number: usize, away: u64) {
        let (now, time) = (self.now(), self.time());
        let Some(party) = &mut self.workshops[number] else { return };
        if party.back.is_none() {
            party.it.kill(&self.town).await;
            party.it.log.fail_appends(0);
            party.absence.begin(time);
            party.back = Some(now + Duration::from_secs(away));
            self.tell(|| format!("provider {number} is down for {away} s"));
        }
    }

    async fn heal(&mut self) {
        let (now, time) = (self.now(), self.time());
        let over = |at: &Option<Duration>| at.is_some_and(|at| at <= now);
        for (number, party) in self.gateways.iter_mut().enumerate() {
            if over(&party.back) {
                party.it.restart(&self.town).await;
                (party.back, _) = (None, party.absence.end(time));
                let line = format!("{:>9.3} gateway-{number} is back", now.as_secs_f64());
                self.story.iter_mut().for_each(|story| story.push(line.clone()));
            }
        }
        for (number, party) in self.workshops.iter_mut().enumerate() {
            let Some(party) = party.as_mut().filter(|party| over(&party.back)) else { continue };
            let gateway = &self.gateways[self.plan.providers[number].gateway].it;
            party.it.start(&self.town, gateway).await;
            (party.back, _) = (None, party.absence.end(time));
            let line = format!("{:>9.3} provider {number} is back", now.as_secs_f64());
            self.story.iter_mut().for_each(|story| story.push(line.clone()));
        }
        for (_, healing) in self.healing.extract_if(.., |(at, _)| *at <= now) {
            match healing {
                Healing::Chain => {
                    self.town.ledger.set_gone(false);
                    self.chain.end(time);
                }
                Healing::Partition(number) => {
                    let Some(party) = &self.workshops[number] else { continue };
                    let gateway = &self.gateways[self.plan.providers[number].gateway].it.peer;
                    self.town.network.heal(&party.it.peer, gateway);
                }
            }
        }
    }

    // ---- what renters do ----

    /// A renter looks at one of its jobs, and does what its temper has it do.
    async fn look(&mut self, number: usize) {
        let plan = self.plan;
        let job = &plan.jobs[number];
        let due = Duration::from_millis(job.at_ms) <= self.now();
        let down = self.gateways[job.gateway].back.is_some();
        if self.jobs[number].over || !due || down {
            return;
        }
        if let Some(crook) = &mut self.crooks[job.gateway] {
            let (renter, names) = (&self.renters[job.renter], &self.gateways[job.gateway].it);
            let wanted = renter.submission(&self.town, names, &job.kind.wanted(number));
            crook.order(&self.town, &renter.key, wanted);
            self.jobs[number].over = true;
            return self.tell(|| format!("job {number} is given to a crook"));
        }
        let Some(view) = self.ordered(number, job).await else { return };
        if view.state == "done" {
            self.jobs[number].over = true;
            let why = view.conclusion.as_ref().map(market::fact::Conclusion::sentence);
            return self.tell(|| format!("job {number} is done: {}", why.unwrap_or_default()));
        }
        let stop = job.stop_after.map(Duration::from_secs);
        let begun = Duration::from_millis(job.at_ms);
        if stop.is_some_and(|after| begun + after <= self.now()) && !view.stopping {
            let broker = self.gateways[job.gateway].it.broker().clone();
            // Not heard, it is said again at the next look.
            let _ = tokio::time::timeout(PATIENCE, broker.stop(view.id)).await;
        }
        self.act(number, job, &view).await;
    }

    /// Order a job, again if need be, and give how it stands.
    async fn ordered(&mut self, number: usize, job: &Job) -> Option<JobView> {
        let gateway = &self.gateways[job.gateway].it;
        if let Some(view) = self.jobs[number].id.and_then(|id| gateway.broker().job(id)) {
            return Some(view);
        }
        let submission = match &self.jobs[number].submission {
            Some(submission) => submission.clone(),
            None => {
                let wanted = job.kind.wanted(number);
                let made = self.renters[job.renter].submission(&self.town, gateway, &wanted);
                self.jobs[number].submission.insert(made).clone()
            }
        };
        let answer = tokio::time::timeout(PATIENCE, gateway.broker().submit(submission)).await;
        match answer {
            Ok(Ok(id)) => {
                self.jobs[number].id = Some(id);
                self.promises.ordered(id, job);
                self.tell(|| format!("job {number} is ordered: {}", id.short()));
                self.gateways[job.gateway].it.broker().job(id)
            }
            // Said again at the next look.
            Ok(Err(Refusal::Unavailable(_))) | Err(_) => None,
            Ok(Err(refusal)) => {
                self.jobs[number].over = true;
                self.tell(|| format!("job {number} is refused: {refusal:?}"));
                None
            }
        }
    }

    async fn act(&mut self, number: usize, job: &Job, view: &JobView) {
        let Some(deal) = view.deal() else { return };
        let now = self.now();
        let (renter, gateway) = (&self.renters[job.renter], &self.gateways[job.gateway].it);
        let wish = &mut self.jobs[number];
        let seat = self.town.ledger.seat(renter.account());
        let terms = deal.agreement.terms.document.clone();
        match (deal.state, self.plan.renters[job.renter]) {
            ("chosen", temper) => {
                let since = *wish.chosen.get_or_insert(now);
                if temper == Temper::Absent && now < since + Duration::from_secs(25) {
                    return;
                }
                let trick = match temper {
                    Temper::DoubleSpender => Some(Call::Deposit {
                        token: self.town.setup.token,
                        account: key(199).address(),
                        amount: WALLET.minus(terms.rate.charge_down(Seconds(1))).unwrap_or(WALLET),
                    }),
                    Temper::Canceller => Some(Call::Cancel { terms, intent: None }),
                    _ => None,
                };
                let first = !std::mem::replace(&mut wish.tricked, true);
                if let Some(trick) = trick.filter(|_| first) {
                    let _ = tokio::time::timeout(PATIENCE, seat.send(trick)).await;
                }
                let consent = renter.consent(&self.town, gateway, view);
                let _ = tokio::time::timeout(PATIENCE, consent).await;
            }
            (_, Temper::Stingy) => {
                let since = *wish.running.get_or_insert(now);
                let trick = match self.town.ledger.peek(deal.agreement.deal).0.state {
                    State::Open if now > since + Duration::from_secs(3) => {
                        Call::Stop { terms, intent: None }
                    }
                    State::Claimed => Call::Contest { terms, intent: None },
                    _ => return,
                };
                let _ = tokio::time::timeout(PATIENCE, seat.send(trick)).await;
            }
            _ => {}
        }
    }

    /// Anyone ends on the chain what its parties leave open beyond every deadline.
    async fn exit(&mut self) {
        let now = self.time();
        for (deal, terms) in self.promises.unsettled(&self.town.ledger) {
            let (slot, windows) = (self.town.ledger.peek(deal).0, self.town.setup.windows);
            let late = |at: UnixSeconds| now > at.plus(windows.dispute);
            let call = match slot.state {
                State::Open if late(Slot::deadline(&terms, &windows)) => Call::Expire { terms },
                State::Stopped | State::Claimed if late(slot.until) => Call::Finalize { terms },
                _ => continue,
            };
            let seat = self.town.ledger.seat(key(198).address());
            let _ = tokio::time::timeout(PATIENCE, seat.send(call)).await;
        }
    }

    // ---- what is seen of it all ----

    fn judge(&mut self) {
        let mut lines = Vec::new();
        for (number, party) in self.gateways.iter_mut().enumerate() {
            let log = party.it.log.clone();
            let news = party.news(&log);
            self.promises.gateway_facts(&news);
            if self.story.is_some() {
                lines.extend(news.iter().map(|it| line(&format!("gateway-{number}"), it)));
            }
        }
        for (number, party) in self.workshops.iter_mut().enumerate() {
            let Some(party) = party else { continue };
            let log = party.it.log.clone();
            let news = party.news(&log);
            self.promises.provider_facts(&news);
            if self.story.is_some() {
                lines.extend(news.iter().map(|it| line(&format!("provider {number}"), it)));
            }
        }
        let nobody = Absence::default();
        let absences = Absences {
            gateways: self.gateways.iter().map(|party| &party.absence).collect(),
            providers: self
                .workshops
                .iter()
                .map(|party| party.as_ref().map_or(&nobody, |party| &party.absence))
                .collect(),
            chain: &self.chain,
        };
        let carried = self.promises.chain(&self.town.ledger, &absences);
        if self.story.is_some() {
            lines.extend(carried.iter().map(|it| {
                let deals = it.call.deals();
                let deals = deals.iter().map(|terms| terms.id(&self.town.escrow()).short());
                format!("chain: {} {}", it.call.name(), deals.collect::<Vec<_>>().join(" "))
            }));
            for text in lines {
                self.tell(|| text);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.jobs.iter().all(|it| it.over)
            && self.gateways.iter().all(|party| party.back.is_none())
            && self.workshops.iter().flatten().all(|party| {
                party.back.is_none()
                    && !party.it.is_down()
                    && party.it.provider().status().leases.is_empty()
            })
            && self.promises.unsettled(&self.town.ledger).is_empty()
    }

    /// What has not ended, for people.
    fn unfinished(&self) -> String {
        let jobs = self.jobs.iter().enumerate().filter(|(_, it)| !it.over);
        let jobs: Vec<usize> = jobs.map(|(number, _)| number).collect();
        let deals = self.promises.unsettled(&self.town.ledger);
        let deals: Vec<_> =
            deals.iter().map(|(id, _)| (id.short(), self.town.ledger.peek(*id).0.state)).collect();
        let running = self.workshops.iter().flatten().filter(|party| party.back.is_none());
        let leases: Vec<_> = running
            .flat_map(|party| party.it.provider().status().leases)
            .map(|lease| (lease.deal.short(), lease.stage))
            .collect();
        format!("jobs {jobs:?}, deals {deals:?}, leases {leases:?} have not ended")
    }
}

impl Kind {
    fn wanted(&self, number: usize) -> Wanted {
        let nonce = u64::try_from(number).expect("few jobs");
        match self {
            Self::Program { program, time_limit } => Wanted {
                command: program.command(),
                time_limit: Seconds(*time_limit),
                patience: SEARCH,
                ..Wanted::plain(nonce)
            },
        }
    }
}

fn plan_crash(log: &MemoryLog, crash: Option<PlannedCrash>) {
    if let Some(PlannedCrash { fact, kept, .. }) = crash {
        log.crash_at(Position(fact), if kept { Crash::After } else { Crash::Before });
    }
}

/// A fact in a line, for people.
fn line(whose: &str, entry: &Entry) -> String {
    let words: serde_json::Value = serde_json::from_slice(&entry.fact).unwrap_or_default();
    let fact = &words["fact"];
    let name = fact["fact"].as_str().or(fact.as_str()).unwrap_or("fence");
    let receipt = ["/receipt/document", "/document"].iter().find_map(|at| fact.pointer(at));
    let said = receipt.map(|it| format!(" {} for {} s", it["amount"], it["seconds"]));
    let why = fact["why"].as_str().map(|why| format!(": {why}"));
    let stream: String = entry.stream.chars().take(19).collect();
    format!("{whose} {stream} {name}{}{}", said.unwrap_or_default(), why.unwrap_or_default())
}
