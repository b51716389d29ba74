//! The broker: starts every line that is not over, and takes new orders.
//!
//! Upon a start: every job in the journal is put on the board, and every one that is not done goes
//! on where it was. Upon an order: it becomes the first fact of a line of its own.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use market::{
    DealStage, JobFact, JobStage, Record,
    document::Consent,
    fact::Submission,
    quote::{Inquiry, Quote},
};
use primitives::{Address, DealId, JobId};
use store::{Appended, Batch, Log};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};

use crate::{
    board::Board,
    book::Book,
    desk::{Desk, Tunnel},
    door,
    error::Error,
    handed::Handed,
    job,
    line::{DealLine, Inbound, JOBS, JobLine, deal_stream, job_stream, records},
    refusal::Refusal,
    submit, sweep,
    view::{JobView, Listing, TaskView, task_views},
    world::World,
};

/// How long a stop may take to be written down.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A running broker; cheap to clone.
#[derive(Clone)]
pub struct Broker {
    world: World,
    board: Arc<Board>,
    book: Arc<Book>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Broker {
    /// Replay the journal, carry on what is not over, and answer providers. `tunnel` answers the
    /// JSON-RPC that providers send through their connection, on networks that offer it.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn start(world: World, tunnel: Option<Arc<dyn Tunnel>>) -> Result<Self, Error> {
        let broker = Self {
            board: Arc::new(Board::new()),
            book: Arc::new(Book::new()),
            tasks: Arc::default(),
            world,
        };
        broker.replay().await?;
        let handed = Arc::new(Handed::default());
        let desk = Arc::new(Desk {
            world: broker.world.clone(),
            board: broker.board.clone(),
            book: broker.book.clone(),
            tunnel,
            handed: handed.clone(),
        });
        let (world, board) = (broker.world.clone(), broker.board.clone());
        broker.spawn(async move { sweep::sweep(&world, &board, &handed).await });
        broker.spawn(door::keep(desk));
        Ok(broker)
    }

    /// Stop all lines where they are; the next start carries them on.
    pub async fn shutdown(self) {
        let mut tasks = {
            let mut held = self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *held)
        };
        tasks.shutdown().await;
    }

    /// Take an order. The same order twice is one job.
    ///
    /// # Errors
    /// What is wrong with it, or that it cannot be written down now.
    pub async fn submit(&self, submission: Submission) -> Result<JobId, Refusal> {
        let id = submission.order.document.id(&self.world.plaza());
        if self.board.job(id).is_some_and(|job| job.submission == submission) {
            return Ok(id);
        }
        submit::check(&self.world, id, &submission)?;
        submit::is_live(&self.world, &submission).await?;
        if let Some(inputs) = submission.work.inputs {
            let has = self.world.blobs.has(&inputs).await;
            if !has.map_err(|error| Refusal::Unavailable(error.to_string()))? {
                return Err(Refusal::field("work.inputs", "the list of inputs was not uploaded"));
            }
        }
        let fact = JobFact::Submitted(Box::new(submission));
        let line = JobLine::begin(&self.world, id, fact).await;
        match line.map_err(|error| Refusal::Unavailable(error.to_string()))? {
            Some(line) => self.carry(line),
            None => tracing::debug!(job = %id, "the order came twice at once"),
        }
        Ok(id)
    }

    /// Take the renter's consent to a deal; written down when this returns.
    ///
    /// # Errors
    /// When there is no such deal, its moment has passed, or the signature is not the renter's.
    pub async fn consent(&self, deal: DealId, consent: Consent) -> Result<(), Refusal> {
        let unknown = || Refusal::Unknown(format!("deal {deal}"));
        let over = || Refusal::TooLate("the deal is over".to_owned());
        match self.board.deal(deal).ok_or_else(unknown)?.as_ref() {
            DealStage::Void { why, .. } => return Err(Refusal::TooLate(why.clone())),
            DealStage::Chosen(_) => {}
            // Consented before: saying it twice is saying it once.
            _ => return Ok(()),
        }
        let inbox = self.board.inbox(deal).ok_or_else(over)?;
        let (asker, answer) = oneshot::channel();
        inbox.send(Inbound::Consent(consent, asker)).await.map_err(|_| over())?;
        answer.await.unwrap_or_else(|_| Err(over()))
    }

    /// Ask a job to end; written down when this returns. Asking again, or asking a job that is done,
    /// changes nothing.
    ///
    /// # Errors
    /// When there is no such job, or it could not be written down yet.
    pub async fn stop(&self, job: JobId) -> Result<(), Refusal> {
        self.board.job(job).ok_or_else(|| Refusal::Unknown(format!("job {job}")))?;
        let Some(inbox) = self.board.inbox_of_job(job) else { return Ok(()) };
        let (asker, answer) = oneshot::channel();
        let asked = async {
            inbox.send(Inbound::Stop("the renter stopped it".to_owned(), asker)).await.ok()?;
            answer.await.ok()
        };
        let written = tokio::time::timeout(STOP_PATIENCE, asked).await.ok().flatten();
        // A line that ended, or was asked before, needs no stop.
        let needless = || self.board.job(job).is_none_or(|it| it.stopping || it.state == "done");
        match written {
            Some(()) => Ok(()),
            None if needless() => Ok(()),
            None => Err(Refusal::Unavailable("the stop is not written down yet".to_owned())),
        }
    }

    /// A job as it stands.
    pub fn job(&self, id: JobId) -> Option<JobView> {
        self.board.job(id)
    }

    /// The job a deal serves.
    pub fn job_of(&self, deal: DealId) -> Option<JobId> {
        self.board.job_of(deal)
    }

    /// The newest attempt at each task of a job that was handed to a provider, by index.
    pub fn tasks(&self, job: JobId) -> Vec<TaskView> {
        let deals = self.board.deals_of(job);
        let deals: Vec<&DealStage> = deals.iter().map(Arc::as_ref).collect();
        task_views(&deals).into_values().collect()
    }

    /// All jobs, newest first.
    pub fn jobs(&self) -> Vec<JobView> {
        self.board.jobs()
    }

    /// Counts every change of any job: feeds wait on it instead of polling.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.board.changed()
    }

    /// The facts of a job and of its deals, in the order they were written down, each with its
    /// position in the journal; those after position `after`.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn records(&self, job: JobId, after: u64) -> Result<Vec<(u64, Record)>, Error> {
        let mut found = records(&self.world, &job_stream(job)).await?;
        let deals: BTreeSet<DealId> = found.iter().filter_map(|(_, record)| record.deal).collect();
        for deal in deals {
            found.extend(records(&self.world, &deal_stream(deal)).await?);
        }
        found.retain(|(position, _)| *position > after);
        found.sort_by_key(|(position, _)| *position);
        Ok(found)
    }

    /// Every offer in the book.
    pub fn offers(&self) -> Vec<Listing> {
        self.book.listings(&self.world.transport.watch_peers().borrow())
    }

    /// Which connected offers serve an inquiry, what they cost, and why the others do not.
    pub fn quote(&self, inquiry: &Inquiry) -> Quote {
        let connected = self.world.transport.watch_peers().borrow().clone();
        self.book.quote(&self.world, inquiry, &connected, self.world.clock.now())
    }

    /// The key that renters name as `renterKey`.
    pub fn signer(&self) -> Address {
        self.world.signer.address()
    }

    async fn replay(&self) -> Result<(), Error> {
        for id in names(&self.world, JOBS).await? {
            let Some(line) = JobLine::replayed(&self.world, JobId(id)).await? else { continue };
            for deal in line.stage.deals() {
                if let Some(deal) = DealLine::replayed(&self.world, *deal).await? {
                    // Its line gets an inbox of its own when it is taken up.
                    drop(self.board.enter_deal(&deal));
                }
            }
            self.carry(line);
        }
        Ok(())
    }

    fn carry(&self, line: JobLine) {
        let inbox = self.board.enter(&line);
        if matches!(line.stage, JobStage::Done { .. }) {
            return;
        }
        let (world, board, book) = (self.world.clone(), self.board.clone(), self.book.clone());
        self.spawn(async move { job::carry(&world, &board, &book, line, inbox).await });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

async fn names(world: &World, prefix: &str) -> Result<Vec<primitives::B256>, Error> {
    let failed = |source| Error::Store { doing: format!("listing {prefix}"), source };
    let heads = world.log.streams(prefix).await.map_err(failed)?;
    let name = |stream: &str| stream.strip_prefix(prefix)?.parse().ok();
    Ok(heads.iter().filter_map(|head| name(&head.stream)).collect())
}

/// The number of this start of the gateway: one higher at each. Providers obey the highest they
/// have seen under a deal, so an older process that still runs is obeyed no more.
///
/// # Errors
/// When the journal cannot be read or written.
pub async fn next_fence(log: &dyn Log) -> Result<u64, Error> {
    const STREAM: &str = "gateway/starts";
    let failed = |source| Error::Store { doing: "counting this start".to_owned(), source };
    loop {
        let heads = log.streams(STREAM).await.map_err(failed)?;
        let next = heads.iter().find(|head| head.stream == STREAM).map_or(0, |head| head.next);
        let fact = br#"{"fact":"started"}"#.to_vec();
        match log.append(Batch::to(STREAM, next, vec![fact])).await.map_err(failed)? {
            Appended::Stored { .. } => return Ok(next + 1),
            Appended::Conflict { .. } => {}
        }
    }
}
