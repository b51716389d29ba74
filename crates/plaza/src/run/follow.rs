//! Following a job: facts, what it prints, and the renter's hand on it.
//!
//! Upon a chosen deal: consent. Upon bytes printed: pass them on. Upon the first Ctrl-C: ask for
//! the end and go on following until it is settled; upon the second: leave. Upon a gateway that
//! does not answer: wait for it, and go on from the last fact and the last byte seen.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use api::{Job, Network};
use market::{
    DealFact, Fact, JobFact,
    fact::{Agreement, Submission},
    message::Output,
};
use primitives::{Amount, Clock, JobId, Key, Rate, UnixSeconds};

use crate::{
    client::Client,
    clock::SystemClock,
    config::Config,
    daemon,
    failure::{Doing as _, Failure, Result},
    run::{consent, progress::Progress},
    voice::pass_error,
};

/// How long a gateway may be away before following ends.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(200);
/// How often the running cost on the screen is brought up to date.
const TICK: Duration = Duration::from_secs(1);
/// Share of the hold at which the renter is warned, in percent.
const WARNING: u128 = 80;

/// A job that is followed.
pub(crate) struct Following<'a> {
    pub(crate) client: Client,
    pub(crate) config: &'a Config,
    pub(crate) network: &'a Network,
    pub(crate) submission: &'a Submission,
    pub(crate) key: &'a Key,
    pub(crate) job: JobId,
    pub(crate) detach: bool,
    /// Whether what the job printed last is a line without an end.
    pub(crate) open_line: AtomicBool,
}

/// How following ended.
pub(crate) enum End {
    /// The job is over.
    Over(Box<Job>),
    /// The user went away.
    Left,
}

/// What is known while following.
#[derive(Default)]
struct Known {
    seen: u64,
    rate: Rate,
    cap: Amount,
    opened: bool,
    ready: Option<UnixSeconds>,
    warned: bool,
    cut: bool,
    done: bool,
}

impl Following<'_> {
    /// Follow until the job is over or the user leaves.
    pub(crate) async fn to_the_end(&self, progress: &Progress) -> Result<End> {
        let over = AtomicBool::new(false);
        let prints = async {
            if !self.detach {
                tokio::join!(
                    self.pass(Output::Stdout, progress, &over),
                    self.pass(Output::Stderr, progress, &over)
                );
            }
        };
        let facts = async {
            let known = self.facts(progress).await;
            over.store(true, Ordering::Release);
            known
        };
        let work = async { tokio::join!(facts, prints).0 };
        let known = tokio::select! {
            known = work => known?,
            left = self.interrupted(progress) => return left.map(|()| End::Left),
        };
        if !known.done {
            return Ok(End::Left);
        }
        Ok(End::Over(Box::new(
            daemon::present(self.config, &self.client)?.job(&self.job.to_string()).await?,
        )))
    }

    /// Begin a new line, so that the object that follows has one of its own.
    pub(crate) fn end_line(&self) {
        if self.open_line.swap(false, Ordering::AcqRel) {
            self.config.voice.pass(b"\n");
        }
    }

    /// Upon the first Ctrl-C: stop the job. Returns upon the second.
    async fn interrupted(&self, progress: &Progress) -> Result<()> {
        let waiting = || "waiting for Ctrl-C".to_owned();
        tokio::signal::ctrl_c().await.doing(waiting)?;
        progress.stopping();
        if let Err(failure) = daemon::present(self.config, &self.client)?.stop(self.job).await {
            progress.remark(&failure.within("asking for the job to end").sentence());
        }
        tokio::signal::ctrl_c().await.doing(waiting)
    }

    async fn facts(&self, progress: &Progress) -> Result<Known> {
        let mut known = Known::default();
        let mut away: Option<Instant> = None;
        loop {
            match self.facts_once(&mut known, &mut away, progress).await {
                Ok(true) => return Ok(known),
                // The feed was cut in the middle: ask for the rest.
                Ok(false) => {}
                Err(Trouble::Ours(failure)) => return Err(self.given_up(failure).await),
                Err(Trouble::Away(failure)) => {
                    known.cut = true;
                    let since = *away.get_or_insert_with(|| {
                        progress.waiting();
                        Instant::now()
                    });
                    if since.elapsed() > PATIENCE {
                        let short = self.job.short();
                        return Err(failure.advise(format!(
                            "the job may go on by itself; when the network is back: plaza job view {short}"
                        )));
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Read facts until the feed ends; whether there is nothing more to wait for.
    async fn facts_once(
        &self,
        known: &mut Known,
        away: &mut Option<Instant>,
        progress: &Progress,
    ) -> std::result::Result<bool, Trouble> {
        let client = daemon::present(self.config, &self.client).map_err(Trouble::Away)?;
        let mut feed = client.facts(self.job, known.seen).await.map_err(Trouble::Away)?;
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                fact = feed.next() => match fact.map_err(Trouble::Away)? {
                    Some((number, record)) => {
                        *away = None;
                        self.take(&client, record.fact, known, progress).await?;
                        known.seen = number;
                        if known.done || (self.detach && known.opened) {
                            return Ok(true);
                        }
                    }
                    None => return Ok(known.done),
                },
                _ = tick.tick() => self.show(known, progress),
            }
        }
    }

    async fn take(
        &self,
        client: &Client,
        fact: Fact,
        known: &mut Known,
        progress: &Progress,
    ) -> std::result::Result<(), Trouble> {
        let decimals = self.network.descriptor.contracts.token_decimals;
        match fact {
            Fact::Job(JobFact::Done(_)) => known.done = true,
            Fact::Job(_) => {}
            Fact::Deal(DealFact::Chosen(agreement)) => {
                progress.chosen(&agreement, decimals);
                known.cap = agreement.terms.document.cap;
                known.rate = agreement.terms.document.rate;
                self.consent(client, &agreement, known.cut).await?;
            }
            Fact::Deal(DealFact::Opened(opening)) => {
                progress.opened(opening.tx);
                known.opened = true;
            }
            Fact::Deal(DealFact::Progressed { phase }) => progress.phase(phase),
            Fact::Deal(DealFact::Countersigned(signed)) => {
                let receipt = &signed.receipt.document;
                progress.running(receipt.seconds, receipt.amount, decimals);
                let now = SystemClock::new().now();
                known.ready = Some(now.minus(receipt.seconds));
                let used = receipt.amount.units() * 100;
                if !known.warned && used >= known.cap.units() * WARNING && known.cap > Amount::ZERO
                {
                    known.warned = true;
                    progress.nearly_spent();
                }
            }
            Fact::Deal(DealFact::Delivered(_)) => known.ready = None,
            Fact::Deal(_) => {}
        }
        Ok(())
    }

    /// Agree to a deal, unless that was done before the gateway went away.
    async fn consent(
        &self,
        client: &Client,
        agreement: &Agreement,
        again: bool,
    ) -> std::result::Result<(), Trouble> {
        if self.submission.session.is_some() {
            // The gateway signs: that is what the session is for.
            return Ok(());
        }
        if again {
            let job = client.job(&self.job.to_string()).await.map_err(Trouble::Away)?;
            if job.deal.is_none_or(|deal| deal.state != "chosen") {
                return Ok(());
            }
        }
        let now = SystemClock::new().now();
        let given = consent::give(client, self.network, self.submission, agreement, self.key, now);
        given.await.map_err(|failure| match failure.is_away() {
            true => Trouble::Away(failure),
            false => Trouble::Ours(failure),
        })
    }

    fn show(&self, known: &Known, progress: &Progress) {
        if let Some(ready) = known.ready {
            let decimals = self.network.descriptor.contracts.token_decimals;
            progress.elapsed(ready, SystemClock::new().now(), known.rate, decimals);
        }
    }

    /// Pass on what the job prints, from where we were after every cut.
    async fn pass(&self, output: Output, progress: &Progress, over: &AtomicBool) {
        let mut at = 0u64;
        loop {
            let last = over.load(Ordering::Acquire);
            let whole = self.pass_once(output, progress, &mut at).await;
            // A stream that ended well is at the end of a job that is over; one that was cut is
            // asked for again, and once more after the end.
            if whole || last {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn pass_once(&self, output: Output, progress: &Progress, at: &mut u64) -> bool {
        let Ok(client) = daemon::present(self.config, &self.client) else { return false };
        let Ok(mut response) = client.output(self.job, output, *at, true).await else {
            return false;
        };
        loop {
            match response.chunk().await {
                Ok(Some(piece)) => {
                    *at += piece.len() as u64;
                    progress.beside(|| match output {
                        Output::Stdout => self.config.voice.pass(&piece),
                        Output::Stderr => pass_error(&piece),
                    });
                    if output == Output::Stdout {
                        self.open_line.store(!piece.ends_with(b"\n"), Ordering::Release);
                    }
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// We cannot go on with this job: nothing of it shall run unwatched.
    async fn given_up(&self, failure: Failure) -> Failure {
        // The bid lapses by itself if this does not arrive.
        let _ = self.client.stop(self.job).await;
        failure
    }
}

/// Why facts stopped coming.
enum Trouble {
    /// The gateway does not answer: it may come back.
    Away(Failure),
    /// We cannot or must not go on.
    Ours(Failure),
}
