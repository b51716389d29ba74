//! Following a job: facts, what it prints, and the renter's hand on it.
//!
//! Upon a chosen deal: consent. Upon bytes printed: pass them on. Upon the first Ctrl-C: ask for
//! the end and go on following until it is settled; upon the second: leave. Upon a gateway that
//! does not answer: wait for it, and go on from the last fact and the last byte seen.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use api::{Job, Network};
use market::{
    DealFact, Fact, Record,
    fact::{Agreement, Submission},
    message::Output,
};
use primitives::{Amount, Clock, DealId, Epoch, JobId, Key, TaskIndex};

use crate::{
    client::Client,
    clock::SystemClock,
    config::Config,
    daemon,
    failure::{Doing as _, Failure, Result},
    run::{
        consent::{self, Answer, Budget},
        progress::Progress,
        story::Story,
    },
    voice::pass_error,
};

/// How long a gateway may be away before following ends.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(200);
/// How often the running cost on the screen is brought up to date.
const TICK: Duration = Duration::from_secs(1);
/// Share of the hold at which the renter is warned, in percent.
const WARNING: u128 = 80;
/// How long a detached job's further deals are waited for, which nobody else would agree to.
const FURTHER: Duration = Duration::from_secs(15);

/// A job that is followed.
pub(crate) struct Following<'a> {
    pub(crate) client: Client,
    pub(crate) config: &'a Config,
    pub(crate) network: &'a Network,
    pub(crate) submission: &'a Submission,
    pub(crate) key: &'a Key,
    pub(crate) job: JobId,
    /// The most to put aside for all its deals together, if limited.
    pub(crate) budget: Option<Amount>,
    /// Whether what its one task prints is passed on.
    pub(crate) prints: bool,
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
struct Known {
    seen: u64,
    story: Story,
    /// When the first deal was opened.
    opened: Option<Instant>,
    /// The deals of which the renter was warned that their hold is nearly used up.
    warned: BTreeSet<DealId>,
    cut: bool,
}

impl Following<'_> {
    /// Follow until the job is over or the user leaves.
    pub(crate) async fn to_the_end(&self, progress: &Progress) -> Result<End> {
        let over = AtomicBool::new(false);
        let prints = async {
            if self.prints && !self.detach {
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
        if !known.story.is_over() {
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
        let mut known = Known {
            seen: 0,
            story: Story::new(self.submission.work.tasks()),
            opened: None,
            warned: BTreeSet::new(),
            cut: false,
        };
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
                        self.take(&client, record, known, progress).await?;
                        known.seen = number;
                    }
                    None => return Ok(known.story.is_over()),
                },
                _ = tick.tick() => {}
            }
            progress.shown(&known.story, self.decimals());
            if known.story.is_over() || (self.detach && self.may_leave(known)) {
                return Ok(true);
            }
        }
    }

    /// Whether all deals that the job could use are open, or no more are to be expected soon.
    fn may_leave(&self, known: &Known) -> bool {
        let work = &self.submission.work;
        let useful = work.tasks().div_ceil(work.at_once().into()).min(work.deals().into());
        let all = u32::try_from(known.story.opened()).is_ok_and(|opened| opened >= useful);
        known.opened.is_some_and(|since| all || since.elapsed() >= FURTHER)
    }

    async fn take(
        &self,
        client: &Client,
        record: Record,
        known: &mut Known,
        progress: &Progress,
    ) -> std::result::Result<(), Trouble> {
        let now = SystemClock::new().now();
        let told = known.story.take(&record, now);
        told.doing(|| "reading the facts of the job".to_owned()).map_err(Trouble::Ours)?;
        let (Fact::Deal(fact), Some(deal)) = (record.fact, record.deal) else { return Ok(()) };
        match fact {
            DealFact::Chosen(agreement) => {
                progress.chosen(&agreement, self.decimals());
                self.consent(client, &agreement, known, progress).await?;
            }
            DealFact::Opened(opening) => {
                progress.opened(opening.tx);
                known.opened.get_or_insert_with(Instant::now);
            }
            DealFact::Progressed { phase } => progress.phase(phase),
            DealFact::Countersigned(_) => warn(known, deal, progress),
            DealFact::Failed { why } => {
                if let Some(agreement) = known.story.agreement(deal) {
                    progress.failed(agreement, &why);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Agree to a deal, unless that was done before the gateway went away.
    async fn consent(
        &self,
        client: &Client,
        agreement: &Agreement,
        known: &Known,
        progress: &Progress,
    ) -> std::result::Result<(), Trouble> {
        if self.submission.session.is_some() {
            // The gateway signs: that is what the session is for.
            return Ok(());
        }
        if known.cut {
            let job = client.job(&self.job.to_string()).await.map_err(Trouble::Away)?;
            let asks = |deal: &&api::Deal| deal.agreement.deal == agreement.deal;
            if job.deals.iter().find(asks).is_none_or(|deal| deal.state != "chosen") {
                return Ok(());
            }
        }
        let bound = known.story.bound_beside(agreement.deal);
        let unopened = known.story.unopened_beside(agreement.deal);
        let given = consent::give(
            client,
            self.network,
            self.submission,
            agreement,
            Budget { most: self.budget, bound, unopened },
            self.key,
            SystemClock::new().now(),
        );
        match given.await {
            Ok(Answer::Given) => Ok(()),
            Ok(Answer::Withheld) => {
                progress.withheld(agreement, bound, self.decimals());
                Ok(())
            }
            Err(failure) if failure.is_away() => Err(Trouble::Away(failure)),
            Err(failure) => Err(Trouble::Ours(failure)),
        }
    }

    fn decimals(&self) -> u8 {
        self.network.descriptor.contracts.token_decimals
    }

    /// Pass on what the job prints, from where we were after every cut.
    async fn pass(&self, output: Output, progress: &Progress, over: &AtomicBool) {
        let mut at = At::default();
        loop {
            let last = over.load(Ordering::Acquire);
            let before = at.epoch;
            let whole = self.pass_once(output, progress, &mut at).await;
            // A stream that ended well, twice in the same attempt, is at its end; a newer attempt is
            // read from its start. One that was cut is asked for again, and once more after the end.
            if (whole && before == at.epoch && before.is_some()) || last {
                return;
            }
            if !whole {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    async fn pass_once(&self, output: Output, progress: &Progress, at: &mut At) -> bool {
        const TASK: TaskIndex = TaskIndex(0);
        let Ok(client) = daemon::present(self.config, &self.client) else { return false };
        let Ok(mut printed) = client.output(self.job, TASK, output, at.bytes, true).await else {
            return false;
        };
        if at.epoch.is_some_and(|epoch| epoch != printed.epoch) && at.bytes > 0 {
            *at = At { epoch: Some(printed.epoch), bytes: 0 };
            return false;
        }
        at.epoch = Some(printed.epoch);
        loop {
            match printed.response.chunk().await {
                Ok(Some(piece)) => {
                    at.bytes += piece.len() as u64;
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

/// Say once of each deal that its hold is nearly used up.
fn warn(known: &mut Known, deal: DealId, progress: &Progress) {
    if known.story.used(deal) >= WARNING && known.warned.insert(deal) {
        progress.nearly_spent();
    }
}

/// How far an output was passed on.
#[derive(Default)]
struct At {
    /// Of which attempt at the task.
    epoch: Option<Epoch>,
    bytes: u64,
}

/// Why facts stopped coming.
enum Trouble {
    /// The gateway does not answer: it may come back.
    Away(Failure),
    /// We cannot or must not go on.
    Ours(Failure),
}
