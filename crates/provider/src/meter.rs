//! Running: receipts are signed and co-signed until the lease is over.
//!
//! Upon readiness, and at every interval: what was measured is written down, then a receipt over it,
//! with the samples since the last one both sides have. Upon the renter key's signature: it is
//! written down. Upon tasks that came to their end: their results are written down, all at once, and then
//! reported. Upon silence, or the deal's expiry: `pace` says when to hold the work and when to give
//! up. Upon a stop, from the gateway or from the chain, and upon a fault of our machine: the work is
//! ended. Upon the end of the last task after the release: `conclude`. Upon a gateway that neither
//! releases an idle lease nor says anything for `grace`: as if it were released.
//!
//! Invariant: a receipt says only what is written down; nothing is billed while the work is held.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use market::{
    LeaseFact, Outcome, Receipt, Signed,
    fact::Reading,
    message::{Countersign, CountersignAnswer, ToGateway},
    stage::Leased,
    task::result_root,
};
use net::Body;
use primitives::{B256, Seconds};
use settlement::Head;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    bench::Bench,
    conclude::{self, Cause, Last, billed},
    error::{Error, story},
    fate::Doing,
    gateway::PROMPT,
    inbox::Inbox,
    line::Stride,
    outside,
    pace::{Limit, Moment, Pace, Why, pace, seconds, why_stopped},
    tally::Tally,
    task::Signal,
    terminal, told,
    world::{AGAIN, Workshop},
};

/// How old a reading may be for a receipt to stand on it.
const FRESH: Duration = Duration::from_secs(1);

/// What is known of a running lease beyond its facts and its tasks; found again after a restart.
pub(crate) struct Watch {
    tally: Tally,
    /// Running time that the renter key has signed for.
    signed: Duration,
    /// Running time at which the gateway was found reachable, while it is.
    reachable_since: Option<Duration>,
    /// Since when the work is held, on the clock that never steps.
    held_since: Option<Duration>,
    /// Why we end it, once we do; there is no way back.
    ending: Option<Why>,
    /// When the next receipt is due.
    due: Instant,
    /// The chain's time.
    heads: watch::Receiver<Head>,
    /// The receipt that is being co-signed.
    asking: Option<BoxFuture<'static, Asked>>,
    /// What the chain does to the lease, and whether that is awaited after a stop.
    outside: (BoxFuture<'static, LeaseFact>, bool),
}

type Asked = (Countersign, Result<CountersignAnswer, Error>);

pub(crate) async fn next(
    shop: &Arc<Workshop>,
    it: &Leased,
    inbox: &mut Inbox,
    bench: &mut Option<Bench>,
    watch: &mut Option<Watch>,
) -> Result<Stride, Error> {
    let bench = match bench {
        Some(bench) => bench,
        None => bench.insert(Bench::find(shop, it).await?),
    };
    let watch = watch.get_or_insert_with(|| Watch::begin(shop, it, bench));
    bench.catch_up(&it.load);
    watch.catch_up(shop, it);
    let (plaza, rules) = (shop.world.settlement.plaza(), &shop.config.rules);
    let mut peers = shop.gateway.peers();
    loop {
        bench.hear_all();
        if let Some(stride) = watch.act(shop, it, bench).await? {
            return Ok(stride);
        }
        watch.reach(shop, bench);
        let can_ask = watch.asking.is_none() && watch.reachable_since.is_some();
        if can_ask && watch.due <= Instant::now() {
            if bench.clock.elapsed().saturating_sub(metered(it)) >= FRESH {
                bench.look(watch.is_held(), false).await?;
                return Ok(Stride::of(reading(bench)));
            }
            watch.due = Instant::now() + rules.receipt_interval.duration();
            watch.asking = Some(ask(shop, watch.receipt(shop, it)));
            continue;
        }
        let next_look = watch.next_look(shop, it, bench);
        let due = watch.due;
        tokio::select! {
            biased;
            (wanted, answer) = inbox.next(&it.agreement, &plaza, rules) => {
                bench.heard = Instant::now();
                if let Some(mut stride) = told::hear(it, inbox, wanted, answer) {
                    if matches!(stride.facts[..], [LeaseFact::Assigned { .. }]) {
                        // The time up to a release counts, with tasks or without.
                        bench.look(watch.is_held(), false).await?;
                        stride.facts.push(reading(bench));
                    }
                    return Ok(stride);
                }
            }
            (question, answer) = answered(&mut watch.asking) => {
                if answer.is_ok() {
                    bench.heard = Instant::now();
                }
                if let Some(fact) = watch.hear(shop, it, question, answer) {
                    return Ok(Stride::of(fact));
                }
            }
            fact = &mut watch.outside.0 => return Ok(Stride::of(fact)),
            () = bench.next(it) => {}
            _ = peers.changed() => {}
            () = sleep_until(due), if can_ask => {}
            () = sleep_until(next_look) => {}
        }
    }
}

/// The running time that is written down.
fn metered(it: &Leased) -> Duration {
    Duration::from_millis(it.metered.elapsed_ms)
}

/// What was measured since the last reading, as a fact.
fn reading(bench: &mut Bench) -> LeaseFact {
    let finished: Vec<_> = bench.fates().map(|(task, _)| task).collect();
    LeaseFact::Metered(Box::new(bench.clock.reading(|task| finished.contains(&task))))
}

/// Wait for the answer that is under way, if one is.
async fn answered(asking: &mut Option<BoxFuture<'static, Asked>>) -> Asked {
    let Some(answer) = asking else { return std::future::pending().await };
    let answer = answer.await;
    *asking = None;
    answer
}

fn ask(shop: &Arc<Workshop>, question: Countersign) -> BoxFuture<'static, Asked> {
    let shop = Arc::clone(shop);
    Box::pin(async move {
        let said = ToGateway::Countersign(Box::new(question.clone()));
        let asked = shop.gateway.ask("having a receipt co-signed", &said, Body::Empty, PROMPT);
        (question, asked.await)
    })
}

fn outside(shop: &Arc<Workshop>, it: &Leased) -> (BoxFuture<'static, LeaseFact>, bool) {
    let (shop, deal, stop) = (Arc::clone(shop), it.agreement.deal, it.stop);
    (Box::pin(async move { outside::ended(&shop, deal, stop).await }), stop)
}

impl Watch {
    fn begin(shop: &Arc<Workshop>, it: &Leased, bench: &Bench) -> Self {
        let (root, signed) = match &it.last {
            Some((receipt, _)) => (receipt.document.meter, receipt.document.seconds),
            None => (B256::ZERO, Seconds(0)),
        };
        Self {
            tally: Tally::new(it.metered.samples.clone(), root),
            signed: signed.duration(),
            reachable_since: shop.gateway.is_connected().then(|| bench.clock.elapsed()),
            held_since: None,
            ending: None,
            due: Instant::now(),
            heads: shop.world.settlement.heads(),
            asking: None,
            outside: outside(shop, it),
        }
    }

    /// Take in what the facts say.
    fn catch_up(&mut self, shop: &Arc<Workshop>, it: &Leased) {
        let known = usize::try_from(self.tally.count()).unwrap_or(usize::MAX);
        self.tally.extend(it.metered.samples.iter().skip(known).copied());
        if self.outside.1 != it.stop {
            self.outside = outside(shop, it);
        }
    }

    /// Look at the work as often as needed, let it go on, hold it, or end it; what is to be written
    /// down.
    async fn act(
        &mut self,
        shop: &Arc<Workshop>,
        it: &Leased,
        bench: &mut Bench,
    ) -> Result<Option<Stride>, Error> {
        let is_last = it.load.released && !bench.has_waiting();
        let is_over = (is_last || bench.is_ending()) && !bench.is_busy();
        let has_fates = bench.fates().next().is_some();
        let is_due = bench.clock.until_due(shop.world.clock.monotonic()).is_zero();
        if is_due || is_over || has_fates {
            bench.look(self.is_held(), is_over).await?;
            shop.floor.show(it.agreement.deal, |view| {
                view.seconds = seconds(bench.clock.elapsed());
                view.held = self.held_since.is_some();
            });
        }
        let wanted = match (self.pace(shop, it, bench), self.ending) {
            (Pace::Go | Pace::Hold, Some(why)) => Pace::End(why),
            (wanted, _) => wanted,
        };
        if let Pace::End(why) = wanted {
            self.ending = Some(why);
        }
        if let Some(cause) = cause(shop, it, bench, wanted) {
            bench.signal(conclude::last_signal(it, &cause));
            if bench.is_going() {
                return Ok(None);
            }
            bench.look(self.is_held(), true).await?;
            return Ok(Some(self.conclude(shop, it, bench, cause)));
        }
        let holds = wanted == Pace::Hold;
        let now = shop.world.clock.monotonic();
        self.held_since = holds.then(|| self.held_since.unwrap_or(now));
        bench.signal(if holds { Signal::Hold } else { Signal::Go });
        if !holds {
            bench.begin(None);
        }
        if !has_fates {
            return Ok(None);
        }
        let results = conclude::finished(shop, it, bench.fates());
        Ok(Some(Stride::all([LeaseFact::Finished { results }, reading(bench)])))
    }

    fn pace(&self, shop: &Workshop, it: &Leased, bench: &Bench) -> Pace {
        let now = shop.world.clock.monotonic();
        let (terms, config) = (&it.agreement.terms.document, &shop.config);
        let time = self.heads.borrow().time.max(shop.world.clock.now());
        let moment = Moment {
            elapsed: bench.clock.elapsed(),
            signed: self.signed,
            reachable_since: self.reachable_since,
            held_for: self.held_since.map_or(Duration::ZERO, |since| now.saturating_sub(since)),
            expired: time >= terms.expiry,
            stop: it.stop,
        };
        let limit = Limit::of(&it.assignment.work, terms, &config.rules);
        pace(&moment, terms, limit, &config.rules, config.policy.patience)
    }

    fn is_held(&self) -> bool {
        self.held_since.is_some()
    }

    /// See whether the gateway can be reached.
    fn reach(&mut self, shop: &Workshop, bench: &Bench) {
        match (shop.gateway.is_connected(), self.reachable_since) {
            (true, None) => {
                self.reachable_since = Some(bench.clock.elapsed());
                self.due = Instant::now();
            }
            (false, Some(_)) => self.reachable_since = None,
            _ => {}
        }
    }

    /// When to look at the work again, if nothing happens.
    fn next_look(&self, shop: &Workshop, it: &Leased, bench: &Bench) -> Instant {
        let look = Instant::now() + bench.clock.until_due(shop.world.clock.monotonic());
        if bench.is_idle() && !it.load.released {
            return look.min(bench.heard + shop.config.rules.grace.duration());
        }
        look
    }

    fn conclude(&self, shop: &Workshop, it: &Leased, bench: &mut Bench, cause: Cause) -> Stride {
        // A run that our machine lost is paid for up to what was written down.
        let reading = match cause {
            Cause::Fault(_) => Reading { elapsed_ms: it.metered.elapsed_ms, ..Reading::default() },
            _ => bench.clock.reading(|_| true),
        };
        let meter = self.tally.meter().extended(&reading.samples);
        let counts = &|task| bench.reports.counts(task);
        let (fates, reading) = (bench.fates().collect(), Some((reading, meter)));
        Stride::all(conclude::conclude(shop, it, Last { cause, fates, reading, counts }))
    }

    /// A receipt over what is written down.
    fn receipt(&self, shop: &Workshop, it: &Leased) -> Countersign {
        let terms = &it.agreement.terms.document;
        let seconds = billed(shop, it, &it.metered);
        let receipt = Receipt {
            deal: it.agreement.deal,
            amount: terms.rate.charge_down(seconds).min(terms.cap),
            seconds,
            outcome: Outcome::Running,
            result: result_root(&[]),
            meter: self.tally.meter().root(),
        };
        Countersign {
            receipt: terminal::signed(shop, receipt),
            samples_before: self.tally.agreed(),
            samples: self.tally.since().to_vec(),
            results: Vec::new(),
            ending: None,
        }
    }

    /// Take the gateway's answer; a signature becomes a fact.
    fn hear(
        &mut self,
        shop: &Workshop,
        it: &Leased,
        question: Countersign,
        answer: Result<CountersignAnswer, Error>,
    ) -> Option<LeaseFact> {
        let receipt = question.receipt;
        match answer {
            Ok(CountersignAnswer::Signed { signature })
                if is_renters(shop, it, &receipt, &signature) =>
            {
                self.tally.agree_on(question.samples_before + question.samples.len() as u64);
                self.signed = receipt.document.seconds.duration();
                return Some(LeaseFact::Countersigned {
                    receipt: Box::new(receipt),
                    renter: signature,
                });
            }
            Ok(CountersignAnswer::Signed { .. }) => {
                shop.floor.trouble("the gateway's signature is not the renter key's".into());
            }
            Ok(CountersignAnswer::Behind { samples }) => {
                self.tally.agree_on(samples);
                self.due = Instant::now() + AGAIN;
            }
            Ok(CountersignAnswer::NotYet) => self.due = Instant::now() + AGAIN,
            Ok(CountersignAnswer::Refused { why }) => {
                shop.floor.trouble(format!("the gateway does not sign a receipt: {why}"));
            }
            Err(error) => tracing::debug!(error = story(&error), "a receipt was not answered"),
        }
        None
    }
}

/// Why the lease ends now, if it does.
fn cause(shop: &Workshop, it: &Leased, bench: &Bench, wanted: Pace) -> Option<Cause> {
    if let Some(fault) = conclude::fault(bench.fates()) {
        return Some(fault);
    }
    let was_stopped = bench.fates().any(|(_, fate)| fate.doing == Doing::Stopped);
    let silent = bench.heard.elapsed() >= shop.config.rules.grace.duration();
    let is_forgotten = bench.is_idle() && !it.load.released && silent;
    let is_done = it.load.released && !bench.has_waiting() && !bench.is_going();
    match wanted {
        Pace::End(why) => Some(Cause::Ended(why)),
        // Before a restart it was decided to end it.
        _ if was_stopped => {
            let (terms, rules) = (&it.agreement.terms.document, &shop.config.rules);
            let limit = Limit::of(&it.assignment.work, terms, rules);
            let why = why_stopped(it.stop, bench.clock.elapsed(), terms, limit);
            Some(Cause::Ended(why))
        }
        _ => (is_done || is_forgotten).then_some(Cause::Done),
    }
}

fn is_renters(
    shop: &Workshop,
    it: &Leased,
    receipt: &Signed<Receipt>,
    signature: &primitives::Signature,
) -> bool {
    let digest = receipt.document.digest(&shop.world.settlement.escrow());
    signature.is_by(it.agreement.terms.document.renter_key, digest)
}
