//! Running: receipts are signed and co-signed until the run is over.
//!
//! Upon readiness, and at every interval: a receipt over the running time so far, with the samples
//! since the last one both sides have. Upon the renter key's signature: it is written down. Upon
//! silence, or the deal's expiry: `pace` says when to hold the work and when to give up. While it may
//! run it is told so each second; work that is not told for `grace` holds itself. Upon a stop,
//! from the gateway or from the chain: the work is ended. Upon the end of the run: `conclude`.
//!
//! Invariant: time is the sandbox's own count of running time, never wall time; nothing is billed
//! while the work is held.

use std::time::Duration;

use futures::future::BoxFuture;
use market::{
    LeaseFact, Outcome, Receipt, Signed,
    message::{CommandAnswer, Countersign, CountersignAnswer, Output},
    stage::Leased,
    task::result_root,
};
use net::Body;
use primitives::{B256, Seconds};
use sandbox::{Progress, Run};
use settlement::Head;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    conclude::{self, Over},
    error::{Error, story},
    gateway::PROMPT,
    inbox::{Inbox, Wanted, is_same, refuse},
    line::Stride,
    outside,
    pace::{Moment, Pace, pace, seconds},
    print,
    tally::Tally,
    terminal,
    world::{AGAIN, Workshop},
};

/// How long asked-to-stop work may take before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// The least time between two looks at a run that changes all the time.
const BREATH: Duration = Duration::from_millis(5);
/// The longest time between two looks.
const SELDOM: Duration = Duration::from_secs(1);
/// How often work that runs is told to go on, lest it hold itself.
const ATTEND_EVERY: Duration = Duration::from_secs(1);

/// What is known of a run beyond the facts; found again after a restart.
pub(crate) struct Watch {
    run: Box<dyn Run>,
    tally: Tally,
    /// Running time, as last seen.
    elapsed: Duration,
    /// Running time that the renter key has signed for.
    signed: Duration,
    /// Running time at which the gateway was found reachable, while it is.
    reachable_since: Option<Duration>,
    /// Since when the work is held, on the clock that never steps.
    held_since: Option<Duration>,
    /// When the next receipt is due.
    due: Instant,
    /// When the run is told again to go on.
    attend: Instant,
    looked: Instant,
    /// The chain's time.
    heads: watch::Receiver<Head>,
    /// Carry what it prints; end with this.
    _prints: JoinSet<()>,
}

type Asked = (Countersign, Result<CountersignAnswer, Error>);

pub(crate) async fn next(
    shop: &std::sync::Arc<Workshop>,
    it: &Leased,
    inbox: &mut Inbox,
    watch: &mut Option<Watch>,
) -> Result<Stride, Error> {
    match until_next(shop, it, inbox, watch).await {
        Err(Error::Sandbox { source, .. }) if conclude::is_damage(&source) => Ok(Stride::of(
            conclude::lost(shop, it, &format!("the records of the run are damaged: {source}")),
        )),
        outcome => outcome,
    }
}

async fn until_next(
    shop: &std::sync::Arc<Workshop>,
    it: &Leased,
    inbox: &mut Inbox,
    watch: &mut Option<Watch>,
) -> Result<Stride, Error> {
    let watch = match watch {
        Some(watch) => watch,
        None => match Watch::begin(shop, it).await? {
            Some(found) => watch.insert(found),
            None => {
                return Ok(Stride::of(conclude::lost(shop, it, "the run and its folder are gone")));
            }
        },
    };
    let (plaza, rules) = (shop.world.settlement.plaza(), &shop.config.rules);
    let mut peers = shop.gateway.peers();
    let mut outside = std::pin::pin!(outside::ended(shop, it.agreement.deal, it.stop));
    let mut asking: Option<BoxFuture<'_, Asked>> = None;
    loop {
        let progress = watch.look(shop, it).await?;
        if let Some(record) = progress.exit() {
            let over = Over { run: watch.run.as_ref(), record, meter: watch.tally.meter() };
            return conclude::run(shop, it, over, watch.billed(it)).await.map(Stride::of);
        }
        watch.keep_pace(shop, it, &progress.phase).await?;
        let reachable = watch.reachable_since.is_some();
        if asking.is_none() && reachable && watch.due <= Instant::now() {
            watch.due = Instant::now() + rules.receipt_interval.duration();
            asking = Some(Box::pin(ask(shop, watch.receipt(shop, it))));
        }
        let soonest = watch.looked + BREATH;
        let wait_for_due = asking.is_none() && reachable;
        tokio::select! {
            biased;
            (wanted, answer) = inbox.next(&it.agreement, &plaza, rules) => match wanted {
                Wanted::Stop if !it.stop => {
                    return Ok(Stride { fact: Some(LeaseFact::StopTaken), answer: Some(answer) });
                }
                Wanted::Assign(work) if !is_same(it, &work.0.document.act) => {
                    refuse(answer, "this deal carries out another task already");
                }
                Wanted::Stop | Wanted::Assign(_) if inbox.is_ahead() => {
                    return Ok(Stride::fence(answer));
                }
                Wanted::Stop | Wanted::Assign(_) => drop(answer.send(CommandAnswer::Taken)),
            },
            (question, answer) = answered(&mut asking) => {
                if let Some(fact) = watch.hear(shop, it, question, answer) {
                    return Ok(Stride::of(fact));
                }
            }
            fact = &mut outside => return Ok(Stride::of(fact)),
            _ = peers.changed() => {}
            () = sleep_until(watch.due), if wait_for_due => {}
            changed = async { sleep_until(soonest).await; watch.run.changed().await } => {
                changed.map_err(|source| Error::Sandbox { operation: "watching a run", source })?;
            }
            () = sleep(SELDOM) => {}
        }
    }
}

/// Wait for the answer that is under way, if one is.
async fn answered(asking: &mut Option<BoxFuture<'_, Asked>>) -> Asked {
    let Some(answer) = asking else { return std::future::pending().await };
    let answer = answer.await;
    *asking = None;
    answer
}

async fn ask(shop: &Workshop, question: Countersign) -> Asked {
    let said = market::message::ToGateway::Countersign(Box::new(question.clone()));
    let answer = shop.gateway.ask("having a receipt co-signed", &said, Body::Empty, PROMPT).await;
    (question, answer)
}

impl Watch {
    /// Find the run, and carry what it prints from now on; `None` when there is no trace of it.
    async fn begin(shop: &std::sync::Arc<Workshop>, it: &Leased) -> Result<Option<Self>, Error> {
        let failed = |operation| move |source| Error::Sandbox { operation, source };
        let deal = it.agreement.deal;
        let found = shop.world.runtime.adopt(shop.folder(deal).path()).await;
        let Some(run) = found.map_err(failed("looking for a run"))? else { return Ok(None) };
        let beats = run.samples(0).await.map_err(failed("reading samples"))?;
        let progress = run.progress().await.map_err(failed("looking at a run"))?;
        let (root, signed) = match &it.last {
            Some((receipt, _)) => (receipt.document.meter, receipt.document.seconds),
            None => (B256::ZERO, Seconds(0)),
        };
        let mut prints = JoinSet::new();
        for output in [Output::Stdout, Output::Stderr] {
            let shop = std::sync::Arc::clone(shop);
            let task = terminal::task_of(&it.command.document).0;
            prints.spawn(async move { print::follow(&shop, deal, task, output).await });
        }
        Ok(Some(Self {
            run,
            tally: Tally::new(beats.into_iter().map(|beat| beat.sample).collect(), root),
            elapsed: progress.elapsed,
            signed: signed.duration(),
            reachable_since: shop.gateway.is_connected().then_some(progress.elapsed),
            held_since: None,
            due: Instant::now(),
            attend: Instant::now(),
            looked: Instant::now(),
            heads: shop.world.settlement.heads(),
            _prints: prints,
        }))
    }

    /// Look at the run and at who can be reached.
    async fn look(&mut self, shop: &Workshop, it: &Leased) -> Result<Progress, Error> {
        let failed = |operation| move |source| Error::Sandbox { operation, source };
        // The samples before the time: none of them is later than it.
        let beats = self.run.samples(self.tally.count()).await;
        let beats = beats.map_err(failed("reading samples"))?;
        self.tally.extend(beats.into_iter().map(|beat| beat.sample));
        let progress = self.run.progress().await.map_err(failed("looking at a run"))?;
        self.elapsed = progress.elapsed;
        self.looked = Instant::now();
        match (shop.gateway.is_connected(), self.reachable_since) {
            (true, None) => {
                self.reachable_since = Some(self.elapsed);
                self.due = Instant::now();
            }
            (false, Some(_)) => self.reachable_since = None,
            _ => {}
        }
        let now = shop.world.clock.monotonic();
        let held = progress.phase == sandbox::Phase::Paused;
        self.held_since = held.then(|| self.held_since.unwrap_or(now));
        shop.floor.show(it.agreement.deal, |view| {
            view.seconds = seconds(self.elapsed);
            view.held = held;
        });
        Ok(progress)
    }

    /// Let the run go on, hold it, or end it.
    async fn keep_pace(
        &mut self,
        shop: &Workshop,
        it: &Leased,
        phase: &sandbox::Phase,
    ) -> Result<(), Error> {
        let now = shop.world.clock.monotonic();
        let terms = &it.agreement.terms.document;
        let time = self.heads.borrow().time.max(shop.world.clock.now());
        let moment = Moment {
            elapsed: self.elapsed,
            signed: self.signed,
            reachable_since: self.reachable_since,
            held_for: self.held_since.map_or(Duration::ZERO, |since| now.saturating_sub(since)),
            expired: time >= terms.expiry,
            stop: it.stop,
        };
        let config = &shop.config;
        let limit = it.assignment.work.time_limit;
        let wanted = pace(&moment, terms, limit, &config.rules, config.policy.patience);
        let told = match (wanted, phase) {
            (Pace::Hold, sandbox::Phase::Running) => self.run.pause().await,
            (Pace::Go, phase)
                if *phase == sandbox::Phase::Paused || self.attend <= Instant::now() =>
            {
                self.attend = Instant::now() + ATTEND_EVERY;
                self.run.resume().await
            }
            (Pace::End(_), _) => self.run.stop(STOP_GRACE).await,
            _ => Ok(()),
        };
        match told {
            // It ended meanwhile; the next look shows it.
            Ok(()) | Err(sandbox::Error::NotRunning { .. }) => Ok(()),
            Err(source) => Err(Error::Sandbox { operation: "telling a run", source }),
        }
    }

    /// A receipt over what has run so far.
    fn receipt(&self, shop: &Workshop, it: &Leased) -> Countersign {
        let terms = &it.agreement.terms.document;
        let seconds = self.billed(it);
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

    /// Running time so far as it is billed; never less than what was signed before.
    fn billed(&self, it: &Leased) -> Seconds {
        let last = it.last.as_ref().map_or(Seconds(0), |(receipt, _)| receipt.document.seconds);
        seconds(self.elapsed).max(last)
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
                return Some(LeaseFact::Countersigned { receipt, renter: signature });
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

fn is_renters(
    shop: &Workshop,
    it: &Leased,
    receipt: &Signed<Receipt>,
    signature: &primitives::Signature,
) -> bool {
    let digest = receipt.document.digest(&shop.world.settlement.escrow());
    signature.is_by(it.agreement.terms.document.renter_key, digest)
}
