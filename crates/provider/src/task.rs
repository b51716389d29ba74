//! One task of a lease: place inputs -> prepare -> start -> watch -> keep outputs -> hand them in.
//!
//! Upon beginning: whatever was started in its folder before is found again, never started twice.
//! Upon every change of its run, and upon every signal: the run is held, resumed or ended as the
//! signal says; while it may go on it is told so each second, as work that nobody tells for `grace`
//! holds itself. Upon its end: what it left is kept, and the lease hears its fate. Upon the word that
//! this counts and is written down: outputs and the rest of what it printed are handed in, and its
//! folder is removed.
//!
//! Not here: what counts, what time costs, when the lease ends (`meter`, `conclude`).

use std::{pin::pin, sync::Arc, time::Duration};

use futures::future::{Either, select};
use market::{
    fact::Agreement,
    machine::Root,
    message::{Assignment, Phase},
    task::TaskResult,
};
use primitives::{Bytes, Epoch, Resources, TaskIndex, UnixSeconds};
use sandbox::{ExitRecord, Folder, Limits, Preparation, Progress, Run, Spec};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    error::{Error, story},
    fate::{Doing, Fate, OURS, is_damage, told, words},
    inputs::Inputs,
    outputs,
    print::{self, Printer},
    root::served,
    world::{AGAIN, Workshop},
};

/// The least time between two looks at a run that changes all the time; young ones are not kept
/// waiting.
const BREATH: Duration = Duration::from_millis(5);
const YOUNG: Duration = Duration::from_millis(100);
/// How often work that runs is told to go on.
const ATTEND_EVERY: Duration = Duration::from_secs(1);
/// How many tasks are handed in at the same time.
const HANDED_IN_AT_ONCE: usize = 8;
/// The longest pause between two attempts.
const SELDOM: Duration = Duration::from_secs(5);

/// What all tasks of a lease stand on.
pub(crate) struct Ground {
    pub(crate) shop: Arc<Workshop>,
    pub(crate) agreement: Agreement,
    pub(crate) assignment: Assignment,
    inputs: Inputs,
    handing_in: Semaphore,
}

/// What is to be done with the runs of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// As they are, until we know better.
    Stay,
    /// Let them run.
    Go,
    /// Hold them.
    Hold,
    /// End them.
    End {
        /// How long they may take, asked to, before they are killed.
        grace: Duration,
        /// Whether what they leave then is kept.
        keeps: bool,
    },
}

/// What a lease hears of its tasks.
pub(crate) enum News {
    /// The program runs, or ran.
    Ready(Arc<dyn Run>),
    /// The run is over; what it left is being kept.
    Over(Box<ExitRecord>),
    /// Nothing more will come of it; it waits for the word that this is written down.
    Fate(Box<Fate>, oneshot::Sender<()>),
    /// It was not begun, because all are to end.
    Unbegun,
    /// Everything it left and printed is with the gateway.
    HandedIn,
}

/// A task on its way.
pub(crate) struct Task {
    pub(crate) ground: Arc<Ground>,
    pub(crate) index: TaskIndex,
    pub(crate) epoch: Epoch,
    pub(crate) signal: watch::Receiver<Signal>,
    /// Until when it may be begun, while nothing of the lease ever ran.
    pub(crate) latest: Option<UnixSeconds>,
    pub(crate) news: mpsc::UnboundedSender<(TaskIndex, News)>,
}

enum Begun {
    Running(Arc<dyn Run>),
    Never(Box<Fate>),
    Unbegun,
}

impl Signal {
    /// Whether it ends them.
    pub(crate) fn is_end(self) -> bool {
        matches!(self, Self::End { .. })
    }
}

impl Ground {
    pub(crate) fn new(shop: Arc<Workshop>, agreement: Agreement, assignment: Assignment) -> Self {
        let handing_in = Semaphore::new(HANDED_IN_AT_ONCE);
        Self { shop, agreement, assignment, inputs: Inputs::default(), handing_in }
    }
}

impl Task {
    /// Carry it out, from wherever it stands; a failure of ours only delays it.
    pub(crate) async fn carry_out(mut self, mut found: Option<Arc<dyn Run>>) {
        loop {
            match self.attempt(found.take()).await {
                Ok(()) => return,
                Err(Error::Sandbox { source, .. }) if is_damage(&source) => {
                    let why = format!("the records of the run are damaged: {source}");
                    self.settle(Fate::lost(&why)).await;
                    return;
                }
                Err(error) => {
                    self.ground.shop.floor.trouble(story(&error));
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Hand in what is written down already, after a restart or once more.
    pub(crate) async fn hand_in_again(self, result: TaskResult) {
        let shop = &self.ground.shop;
        self.hand_in(result.output).await;
        let most = shop.config.policy.patience.duration();
        // What cannot be printed by then never will be; the receipt does not depend on it.
        drop(timeout(most, print::follow_rest(shop, self.printer())).await);
        self.wipe().await;
        self.tell(News::HandedIn);
    }

    async fn attempt(&mut self, found: Option<Arc<dyn Run>>) -> Result<(), Error> {
        let run = match self.begun(found).await? {
            Begun::Running(run) => run,
            Begun::Never(fate) => {
                if self.settle(*fate).await {
                    self.tell(News::HandedIn);
                }
                return Ok(());
            }
            Begun::Unbegun => {
                self.tell(News::Unbegun);
                return Ok(());
            }
        };
        let (ground, printer) = (Arc::clone(&self.ground), self.printer());
        let (seen, progress) = watch::channel(look(run.as_ref()).await?);
        let counts = {
            let printing = pin!(print::follow(&ground.shop, printer, run.as_ref(), progress));
            let working = pin!(self.work(&run, &seen));
            match select(working, printing).await {
                Either::Left((counts, printing)) => {
                    let counts = counts?;
                    if counts {
                        let most = ground.shop.config.policy.patience.duration();
                        // As with `hand_in_again`.
                        drop(timeout(most, printing).await);
                    }
                    counts
                }
                Either::Right(((), working)) => working.await?,
            }
        };
        if counts {
            self.wipe().await;
            self.tell(News::HandedIn);
        }
        Ok(())
    }

    /// Watch the run to its end, keep what it left, and hand that in if it counts; whether it did.
    async fn work(
        &mut self,
        run: &Arc<dyn Run>,
        seen: &watch::Sender<Progress>,
    ) -> Result<bool, Error> {
        let record = self.watch(run, seen).await?;
        self.tell(News::Over(Box::new(record.clone())));
        let fate = self.keep(run.as_ref(), &record).await?;
        let output = fate.output;
        let counts = self.settle(fate).await;
        if counts {
            self.hand_in(output).await;
        }
        Ok(counts)
    }

    /// Find its run, or bring it to one.
    async fn begun(&mut self, found: Option<Arc<dyn Run>>) -> Result<Begun, Error> {
        let failed = |operation| move |source| Error::Sandbox { operation, source };
        let runtime = &self.ground.shop.world.runtime;
        let folder = self.folder();
        if let Some(run) = found {
            return Ok(Begun::Running(run));
        }
        let found = runtime.adopt(folder.path()).await;
        if let Some(run) = found.map_err(failed("looking for a run"))? {
            return Ok(Begun::Running(Arc::from(run)));
        }
        let Ground { shop, agreement, assignment, inputs, .. } = self.ground.as_ref();
        let never = |fate| Ok(Begun::Never(Box::new(fate)));
        if self.latest.is_some_and(|latest| shop.world.clock.now() > latest) {
            let cause = format!("it was not ready within {}", shop.config.rules.preparation);
            return never(Fate::fault("too-late", &cause));
        }
        let Some(spec) = spec(agreement, assignment, self.index) else {
            let action = "order with the host root, or a WebAssembly module";
            let ending = words("no-image", "this provider runs no images", action);
            return never(Fate::refused(OURS, ending));
        };
        let placing = inputs.place(shop, agreement, assignment.work.inputs, &folder);
        let placed = tokio::select! {
            biased;
            Ok(_) = self.signal.wait_for(|signal| signal.is_end()) => {
                return Ok(Begun::Unbegun);
            }
            placed = placing => placed?,
        };
        if let Some(fate) = placed {
            return never(fate);
        }
        let prepared = runtime.prepare(&spec, folder.path()).await;
        let prepared = match prepared.map_err(failed("preparing a run"))? {
            Preparation::Refused(ending) => {
                return never(Fate::refused(refused_code(ending.outcome), told(&ending)));
            }
            Preparation::Ready(prepared) => prepared,
        };
        if self.signal.borrow().is_end() {
            return Ok(Begun::Unbegun);
        }
        let run = runtime.start(prepared).await.map_err(failed("starting a run"))?;
        Ok(Begun::Running(Arc::from(run)))
    }

    /// Watch a run to its end, and see to it that it obeys.
    async fn watch(
        &mut self,
        run: &Arc<dyn Run>,
        seen: &watch::Sender<Progress>,
    ) -> Result<ExitRecord, Error> {
        let mut is_ready = false;
        let mut attend = Instant::now();
        loop {
            let signal = *self.signal.borrow_and_update();
            let progress = look(run.as_ref()).await?;
            seen.send_replace(progress.clone());
            let started = match &progress.phase {
                sandbox::Phase::Prepared | sandbox::Phase::Starting => false,
                sandbox::Phase::Running | sandbox::Phase::Paused => true,
                sandbox::Phase::Ended(record) => record.started,
            };
            if started && !is_ready {
                is_ready = true;
                self.tell(News::Ready(Arc::clone(run)));
            }
            if let sandbox::Phase::Ended(record) = progress.phase {
                return Ok(*record);
            }
            let is_due = signal == Signal::Go && attend <= Instant::now();
            if is_due {
                attend = Instant::now() + ATTEND_EVERY;
            }
            obey(run.as_ref(), signal, &progress.phase, is_due).await?;
            let breath = if progress.elapsed < YOUNG { Duration::ZERO } else { BREATH };
            let soonest = Instant::now() + breath;
            tokio::select! {
                biased;
                changed = async { sleep_until(soonest).await; run.changed().await } => {
                    let failed = |source| Error::Sandbox { operation: "watching a run", source };
                    changed.map_err(failed)?;
                }
                Ok(()) = self.signal.changed() => {}
                () = sleep_until(attend), if signal == Signal::Go => {}
            }
        }
    }

    /// Keep what the run left, within the limit that was ordered.
    async fn keep(&self, run: &dyn Run, record: &ExitRecord) -> Result<Fate, Error> {
        let Ground { shop, agreement, assignment, .. } = self.ground.as_ref();
        let fate = Fate::of(record);
        let is_nobodys = fate.doing == Doing::Stopped
            && matches!(*self.signal.borrow(), Signal::End { keeps: false, .. });
        if !record.started || is_nobodys {
            return Ok(fate);
        }
        let keeping = outputs::keep(shop, run, assignment.work.output_limit);
        let (deal, every) = (agreement.deal, shop.sign_of_life());
        match shop.gateway.while_saying(deal, Phase::Delivering, every, keeping).await {
            Ok(output) => Ok(Fate { output, ..fate }),
            Err(error) => fate.unkept(error),
        }
    }

    /// Say what came of it, and wait for the word that this is written down; whether it came.
    async fn settle(&self, fate: Fate) -> bool {
        let (word, written) = oneshot::channel();
        self.tell(News::Fate(Box::new(fate), word));
        written.await.is_ok()
    }

    /// Hand in what it left, until it is there.
    async fn hand_in(&self, output: primitives::Digest) {
        let Ground { shop, agreement, handing_in, .. } = self.ground.as_ref();
        let (mut heard, mut pause) = (Instant::now(), AGAIN);
        loop {
            let turn = handing_in.acquire().await;
            match outputs::hand_in(shop, agreement.deal, [output], &mut heard).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(error = story(&error), "handing in again"),
            }
            drop(turn);
            sleep(pause).await;
            pause = (pause * 2).min(SELDOM);
            shop.gateway.connected_within(SELDOM).await;
        }
    }

    /// Remove its folder: what counts is elsewhere by now. What stays is removed with the lease's.
    async fn wipe(&self) {
        let folder = self.folder();
        if let Err(error) = self.ground.shop.world.runtime.wipe(folder.path()).await {
            tracing::debug!(error = story(&error), "a run folder stays for now");
        }
    }

    fn tell(&self, news: News) {
        // A lease that hears no more has come to its end.
        drop(self.news.send((self.index, news)));
    }

    fn folder(&self) -> Folder {
        let Ground { shop, agreement, .. } = self.ground.as_ref();
        shop.task_folder(agreement.deal, self.index, self.epoch)
    }

    fn printer(&self) -> Printer {
        Printer { deal: self.ground.agreement.deal, task: self.index, epoch: self.epoch }
    }
}

async fn look(run: &dyn Run) -> Result<Progress, Error> {
    let progress = run.progress().await;
    progress.map_err(|source| Error::Sandbox { operation: "looking at a run", source })
}

/// Make a run do what the signal says; where it goes on, say so if that `is_due` again.
async fn obey(
    run: &dyn Run,
    signal: Signal,
    phase: &sandbox::Phase,
    is_due: bool,
) -> Result<(), Error> {
    let told = match (signal, phase) {
        (Signal::Hold, sandbox::Phase::Running) => run.pause().await,
        (Signal::Go, sandbox::Phase::Paused) => run.resume().await,
        (Signal::Go, _) if is_due => run.resume().await,
        (Signal::End { grace, .. }, _) => run.stop(grace).await,
        _ => Ok(()),
    };
    match told {
        // It ended meanwhile; the next look shows it.
        Ok(()) | Err(sandbox::Error::NotRunning { .. }) => Ok(()),
        Err(source) => Err(Error::Sandbox { operation: "telling a run", source }),
    }
}

/// What the sandbox is to run; `None` for a root that is not served. A lone task has all that is
/// reserved, one of an array what one of them wished for.
fn spec(agreement: &Agreement, assignment: &Assignment, index: TaskIndex) -> Option<Spec> {
    let work = &assignment.work;
    let piece = work.piece(index)?;
    let (program, arguments) = piece.command.split_first()?;
    let share = match (&work.array, &work.wish.root) {
        // A module gets what was wished, also where the whole machine had to be reserved for it: it
        // runs out of memory at the same point on every machine.
        (Some(_), _) | (None, Root::Wasm(_)) => work.wish.resources,
        (None, Root::Host | Root::Image(_)) => agreement.resources,
    };
    let disk = if share.disk == Bytes(0) { work.output_limit } else { share.disk };
    let limits = Limits {
        resources: Resources { disk: at_least_one(disk), ..share },
        time: work.time_limit,
        // Nobody could be billed for more of it.
        unattended: Some(agreement.terms.document.grace),
        output: at_least_one(work.output_limit),
        log: work.output_limit,
        ..Limits::default()
    };
    Some(Spec {
        program: program.clone(),
        arguments: arguments.to_vec(),
        environment: piece.env,
        root: served(&work.wish.root)?,
        limits,
    })
}

fn at_least_one(bytes: Bytes) -> Bytes {
    bytes.max(Bytes(1))
}

/// What a shell shows for a program that is not found, cannot be executed, or is refused.
fn refused_code(outcome: sandbox::Outcome) -> i32 {
    match outcome {
        sandbox::Outcome::MissingProgram => 127,
        sandbox::Outcome::NotExecutable => 126,
        _ => OURS,
    }
}
