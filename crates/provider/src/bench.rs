//! The tasks of one lease at work: as many at the same time as were ordered, the rest in line.
//!
//! Upon entering, perhaps after a restart: every run that was started before is found again. Upon
//! news of a task: its state here follows. Upon a place that is free: the next in line begins. Upon
//! a signal: every run obeys by itself. Upon results that are written down: they are handed in, then
//! reported.
//!
//! Not here: what becomes a fact, and when (`prepare`, `meter`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use market::{stage::Leased, task::Load};
use primitives::{Epoch, Sample, TaskIndex, UnixSeconds};
use sandbox::{Phase, Run};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::Instant,
};

use crate::{
    clock::{Clock, Look, Mark, Seen},
    error::Error,
    fate::{Fate, is_damage, last_sample},
    report::{Reports, Said},
    task::{Ground, News, Signal, Task},
    world::Workshop,
};

/// How many tasks may be on their way to the gateway while others begin; each is watched until it is
/// there, which takes of what the kernel gives.
const BEHIND: usize = 32;

/// The tasks of a lease that are not finished, and what is left to do for those that are.
pub(crate) struct Bench {
    ground: Arc<Ground>,
    at_once: usize,
    /// Every task that was ever seen here.
    known: BTreeSet<TaskIndex>,
    /// Those that are not begun.
    waiting: BTreeMap<TaskIndex, Epoch>,
    /// Those that are begun and not finished.
    at_work: BTreeMap<TaskIndex, State>,
    pub(crate) clock: Clock,
    pub(crate) reports: Reports,
    /// When the gateway was last heard of.
    pub(crate) heard: Instant,
    signal: watch::Sender<Signal>,
    teller: mpsc::UnboundedSender<(TaskIndex, News)>,
    news: mpsc::UnboundedReceiver<(TaskIndex, News)>,
    /// Carry the tasks; end with this.
    hands: JoinSet<()>,
}

/// Where a task stands.
enum State {
    /// On its way to readiness.
    Begun,
    /// Its program runs, or is held.
    Runs(Live),
    /// Its run is over, and what it left is being kept.
    Over(Option<Sample>),
    /// Nothing more will come of it, and that is to be written down.
    Fate(Box<Fate>, Option<oneshot::Sender<()>>),
}

/// A run, and how far its samples were read.
struct Live {
    run: Arc<dyn Run>,
    beats: u64,
    last: Option<Sample>,
}

impl Bench {
    /// The tasks of a lease as they stand, those that were begun before among them.
    pub(crate) async fn find(shop: &Arc<Workshop>, it: &Leased) -> Result<Self, Error> {
        let (teller, news) = mpsc::unbounded_channel();
        let ground = Ground::new(Arc::clone(shop), it.agreement.clone(), it.assignment.clone());
        let mut bench = Self {
            ground: Arc::new(ground),
            at_once: it.assignment.work.at_once().into(),
            known: BTreeSet::new(),
            waiting: BTreeMap::new(),
            at_work: BTreeMap::new(),
            clock: Clock::default(),
            reports: Reports::new(),
            heard: Instant::now(),
            signal: watch::Sender::new(Signal::Stay),
            teller,
            news,
            hands: JoinSet::new(),
        };
        bench.adopt(it).await?;
        let written: Vec<TaskIndex> = it.load.reported().map(|it| it.result.task).collect();
        bench.hand_in_again(&it.load, &written);
        bench.catch_up(&it.load);
        Ok(bench)
    }

    /// Find the runs that were begun before. One that ran and has left no trace is lost.
    async fn adopt(&mut self, it: &Leased) -> Result<(), Error> {
        let failed = |operation| move |source| Error::Sandbox { operation, source };
        let shop = Arc::clone(&self.ground.shop);
        let ran: BTreeMap<TaskIndex, u64> = it.metered.runs.iter().copied().collect();
        let mut marks = BTreeMap::new();
        for (task, epoch) in it.load.outstanding() {
            let folder = shop.task_folder(it.agreement.deal, task, epoch);
            let found = shop.world.runtime.adopt(folder.path()).await;
            let found = found.map_err(failed("looking for a run"))?;
            let ran = ran.get(&task).copied();
            let state = match found {
                None if ran.is_none() => continue,
                None => State::lost("the run and its folder are gone"),
                Some(run) => match found_state(run.as_ref(), ran.unwrap_or_default()).await {
                    Ok((started, mark)) => {
                        marks.insert(task, mark);
                        let run: Arc<dyn Run> = Arc::from(run);
                        self.hands.spawn(self.task(task, epoch, None).carry_out(Some(run.clone())));
                        if started { State::runs(run) } else { State::Begun }
                    }
                    Err(source) if is_damage(&source) => State::damaged(&source),
                    Err(source) => return Err(failed("looking at a run that was found")(source)),
                },
            };
            self.known.insert(task);
            self.at_work.insert(task, state);
        }
        self.clock = Clock::resume(&it.metered, marks);
        Ok(())
    }

    /// Take in what the facts say: tasks that are new stand in line, and those that are finished
    /// are handed in.
    pub(crate) fn catch_up(&mut self, load: &Load) {
        if load.assigned().count() > self.known.len() {
            for (task, epoch) in load.assigned() {
                if self.known.insert(task) && load.outcome(task).is_none() {
                    self.waiting.insert(task, epoch);
                }
            }
        }
        let finished = |task: &TaskIndex| load.outcome(*task).is_some();
        for (_, state) in self.at_work.extract_if(.., |task, _| finished(task)) {
            if let State::Fate(_, Some(word)) = state {
                // A task that was lost meanwhile has nobody who listens.
                word.send(()).unwrap_or_default();
            }
        }
    }

    /// Begin as many of those in line as there is room for, but none later than `latest`.
    pub(crate) fn begin(&mut self, latest: Option<UnixSeconds>) {
        let busy = self.at_work.values().filter(|state| state.is_busy()).count();
        let free = self.at_once.saturating_sub(busy);
        let room = (self.at_once + BEHIND).saturating_sub(self.hands.len());
        for _ in 0..free.min(room) {
            let Some((task, epoch)) = self.waiting.pop_first() else { return };
            self.at_work.insert(task, State::Begun);
            self.hands.spawn(self.task(task, epoch, latest).carry_out(None));
        }
    }

    /// Tell every run what it is to do.
    pub(crate) fn signal(&self, signal: Signal) {
        self.signal.send_if_modified(|present| std::mem::replace(present, signal) != signal);
    }

    /// Whether every run was told to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.signal.borrow().is_end()
    }

    /// Hand these results in once more, and report them then.
    pub(crate) fn hand_in_again(&mut self, load: &Load, tasks: &[TaskIndex]) {
        for result in tasks.iter().filter_map(|task| load.outcome(*task)).map(|it| it.result) {
            self.known.insert(result.task);
            let task = self.task(result.task, result.epoch, None);
            self.hands.spawn(task.hand_in_again(result));
        }
    }

    /// Wait for news of the tasks, or for the answer to a report; losing this future loses nothing.
    pub(crate) async fn next(&mut self, it: &Leased) {
        let shop = &self.ground.shop;
        tokio::select! {
            biased;
            Some((task, news)) = self.news.recv() => self.take(task, news),
            said = self.reports.next(shop, it.agreement.deal, &it.load) => match said {
                Said::Counted => self.heard = Instant::now(),
                Said::Lacks(tasks) => {
                    self.heard = Instant::now();
                    self.hand_in_again(&it.load, &tasks);
                }
                Said::Nothing => {}
            },
        }
    }

    /// Take in all news that are there.
    pub(crate) fn hear_all(&mut self) {
        while let Ok((task, news)) = self.news.try_recv() {
            self.take(task, news);
        }
        while self.hands.try_join_next().is_some() {}
    }

    /// Look at every run, and let the clock follow.
    pub(crate) async fn look(&mut self, held: bool, over: bool) -> Result<(), Error> {
        let monotonic = &self.ground.shop.world.clock;
        let sampled = over || self.clock.until_due(monotonic.monotonic()).is_zero();
        let mut runs = BTreeMap::new();
        for (task, state) in &mut self.at_work {
            match state.look(sampled).await {
                Ok(Some(seen)) => {
                    runs.insert(*task, seen);
                }
                Ok(None) => {}
                Err(source) if is_damage(&source) => {
                    *state = State::damaged(&source);
                }
                Err(source) => {
                    return Err(Error::Sandbox { operation: "looking at a run", source });
                }
            }
        }
        self.clock.advance(Look { at: monotonic.monotonic(), held, over, runs: &runs });
        Ok(())
    }

    /// What came of tasks, and is to be written down.
    pub(crate) fn fates(&self) -> impl Iterator<Item = (TaskIndex, &Fate)> {
        self.at_work.iter().filter_map(|(task, state)| match state {
            State::Fate(fate, _) => Some((*task, fate.as_ref())),
            _ => None,
        })
    }

    /// Whether a program runs or ran.
    pub(crate) fn has_started(&self) -> bool {
        self.at_work.values().any(|state| match state {
            State::Begun => false,
            State::Runs(_) => true,
            State::Over(ran) => ran.is_some(),
            State::Fate(fate, _) => fate.ran.is_some(),
        })
    }

    /// Whether something may still come of a task that was begun.
    pub(crate) fn is_going(&self) -> bool {
        self.at_work.values().any(|state| !matches!(state, State::Fate(..)))
    }

    /// Whether a task runs, or is on its way to that.
    pub(crate) fn is_busy(&self) -> bool {
        self.at_work.values().any(State::is_busy)
    }

    /// Whether tasks stand in line.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.at_work.is_empty() && self.waiting.is_empty()
    }

    fn task(&self, index: TaskIndex, epoch: Epoch, latest: Option<UnixSeconds>) -> Task {
        let (ground, news) = (Arc::clone(&self.ground), self.teller.clone());
        Task { ground, index, epoch, signal: self.signal.subscribe(), latest, news }
    }

    fn take(&mut self, task: TaskIndex, news: News) {
        let Some(state) = self.at_work.get_mut(&task) else {
            if matches!(news, News::HandedIn) {
                self.reports.handed_in(task);
            }
            return;
        };
        match (&state, news) {
            (State::Begun, News::Ready(run)) => {
                *state = State::runs(run);
            }
            (State::Begun | State::Runs(_), News::Over(record)) => {
                *state = State::Over(last_sample(&record));
            }
            (State::Begun | State::Runs(_) | State::Over(_), News::Fate(fate, word)) => {
                *state = State::Fate(fate, Some(word));
            }
            (State::Begun, News::Unbegun) => {
                self.at_work.remove(&task);
            }
            // What is told again after a failure of ours changes nothing.
            _ => {}
        }
    }
}

impl State {
    fn runs(run: Arc<dyn Run>) -> Self {
        Self::Runs(Live { run, beats: 0, last: None })
    }

    fn lost(why: &str) -> Self {
        Self::Fate(Box::new(Fate::lost(why)), None)
    }

    fn damaged(error: &sandbox::Error) -> Self {
        Self::lost(&format!("the records of the run are damaged: {error}"))
    }

    fn is_busy(&self) -> bool {
        matches!(self, Self::Begun | Self::Runs(_))
    }

    /// The run as it is now; `None` where none has started.
    async fn look(&mut self, sampled: bool) -> Result<Option<Seen>, sandbox::Error> {
        let ended = |last: &Sample| {
            let elapsed = Duration::from_millis(last.at_ms);
            Seen { live: false, elapsed, used: Some(*last) }
        };
        match self {
            Self::Begun => Ok(None),
            Self::Over(ran) => Ok(ran.as_ref().map(ended)),
            Self::Fate(fate, _) => Ok(fate.ran.as_ref().map(ended)),
            Self::Runs(live) => live.look(sampled).await.map(Some),
        }
    }
}

impl Live {
    async fn look(&mut self, sampled: bool) -> Result<Seen, sandbox::Error> {
        if sampled {
            let beats = self.run.samples(self.beats).await?;
            self.beats += beats.len() as u64;
            self.last = beats.last().map(|beat| beat.sample).or(self.last);
        }
        let progress = self.run.progress().await?;
        let Some(record) = progress.exit() else {
            let used = self.last.filter(|_| sampled);
            return Ok(Seen { live: true, elapsed: progress.elapsed, used });
        };
        Ok(Seen { live: false, elapsed: progress.elapsed, used: last_sample(record) })
    }
}

/// Whether a run that was found has started, and how it stood when it had run for `ran`
/// milliseconds.
async fn found_state(run: &dyn Run, ran: u64) -> Result<(bool, Mark), sandbox::Error> {
    let started = match run.progress().await?.phase {
        Phase::Prepared | Phase::Starting => false,
        Phase::Running | Phase::Paused => true,
        Phase::Ended(record) => record.started,
    };
    let beats = run.samples(0).await?;
    let before = beats.iter().rev().find(|beat| beat.sample.at_ms <= ran);
    let Sample { cpu_ms, fuel, memory, .. } = before.map(|beat| beat.sample).unwrap_or_default();
    Ok((started, Mark { elapsed: Duration::from_millis(ran), cpu_ms, fuel, memory }))
}
