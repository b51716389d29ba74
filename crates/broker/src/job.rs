//! The line of a job: Submitted -> Placed -> Working -> Done.
//!
//! Upon tasks that wait and fewer deals than they could use: find one more provider, and write the
//! choice down on both lines at once. Upon a deal that died: its tasks wait again, and its provider
//! is asked no more. Upon a stop: every deal is told to end, and no further one is made. Upon all
//! deals being over with nothing left to place: done.
//!
//! The deals are carried side by side. What the job does next is a pure decision over how it and
//! its tasks stand, taken anew after every change; so it goes on after a crash as if there had been
//! none.

use std::{collections::BTreeSet, error::Error as _, time::Duration};

use futures::{
    future::{BoxFuture, FutureExt as _},
    stream::{FuturesUnordered, StreamExt as _},
};
use market::{
    DealStage, JobFact, JobStage,
    fact::{Conclusion, Submission},
};
use primitives::DealId;
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep},
};

use crate::{
    board::Board,
    book::Book,
    deal,
    error::Error,
    line::{DealLine, Inbound, Inbox, JobLine},
    place::{self, Choice, Search},
    tasks::{Standing, Tasks},
    world::{AGAIN, TICK, World},
};

/// Why a stopped job's deals end.
const STOPPED: &str = "the renter stopped it";

/// How long after a search that found nobody it is searched again, while other deals go on.
const SEARCH_AGAIN: Duration = Duration::from_secs(10);

/// Carry a job to its end.
pub(crate) async fn carry(
    world: &World,
    board: &Board,
    book: &Book,
    mut job: JobLine,
    mut inbox: Inbox,
) {
    let wanted = job.stage.submission().clone();
    let tasks = Tasks::of(&job.stage);
    let mut work = Work {
        world,
        board,
        book,
        wanted: &wanted,
        tasks: &tasks,
        changed: tasks.changed(),
        begun: BTreeSet::new(),
        live: FuturesUnordered::new(),
        search: None,
        nobody: None,
        told: BTreeSet::new(),
    };
    while !matches!(job.stage, JobStage::Done { .. }) {
        match work.advance(&mut job, &mut inbox).await {
            Ok(()) => {}
            Err(error @ Error::Fenced { .. }) => {
                tracing::warn!(job = %job.id, %error, "another gateway carries this job");
                return;
            }
            Err(error) => {
                let source = error.source().map(ToString::to_string);
                tracing::warn!(job = %job.id, stage = job.stage.name(), %error, source, "trying again");
                sleep(AGAIN).await;
                if matches!(error, Error::Store { .. }) {
                    // A fact may be there although its writer was told of a failure.
                    while job.reload(world).await.is_err() {
                        sleep(AGAIN).await;
                    }
                }
            }
        }
        board.show(&job);
    }
}

/// A job at work: what is known beyond its facts.
struct Work<'a> {
    world: &'a World,
    board: &'a Board,
    book: &'a Book,
    wanted: &'a Submission,
    tasks: &'a Tasks,
    changed: watch::Receiver<()>,
    /// The deals that were taken up.
    begun: BTreeSet<DealId>,
    /// Those of them that are not over.
    live: FuturesUnordered<BoxFuture<'a, (DealId, Result<(), Error>)>>,
    search: Option<BoxFuture<'a, Result<Choice, Error>>>,
    /// What the last search ended with, when it found nobody, and how many deals went on then.
    nobody: Option<(Conclusion, Instant, usize)>,
    /// The deals that were told to end.
    told: BTreeSet<DealId>,
}

/// What a job is to do next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Write down that its first deal is open.
    Open(DealId),
    /// Look for one more provider.
    Search,
    /// Write down how it ended.
    Conclude,
    /// Wait for something to change.
    Wait,
}

/// How a job stands beyond its tasks.
#[derive(Clone, Copy)]
struct Moment {
    /// Whether its first deal was opened and that is not written down yet.
    placed: bool,
    /// Whether no further deal may be made: it was stopped, its consent ran out, or nobody is left.
    closed: bool,
    /// Whether a provider is being looked for.
    searching: bool,
    /// How many deals are not over.
    live: usize,
    /// How many deals there may be, and how many tasks each runs at the same time.
    deals: usize,
    at_once: usize,
}

fn next(moment: Moment, standing: Standing) -> Next {
    if moment.placed
        && let Some(deal) = standing.opened
    {
        return Next::Open(deal);
    }
    let useful = standing.left.div_ceil(moment.at_once).min(moment.deals);
    let more = standing.waiting > 0 && standing.carrying < useful && !moment.closed;
    match (more, moment.searching, moment.live) {
        (true, false, _) => Next::Search,
        (false, false, 0) => Next::Conclude,
        _ => Next::Wait,
    }
}

impl Work<'_> {
    async fn advance(&mut self, job: &mut JobLine, inbox: &mut Inbox) -> Result<(), Error> {
        self.take_up(job).await?;
        if job.stage.stop_asked() {
            self.search = None;
            self.tell_to_stop(job);
        }
        let standing = self.tasks.standing();
        let work = &self.wanted.work;
        let moment = Moment {
            placed: matches!(job.stage, JobStage::Placed { .. }),
            closed: self.is_closed(job, standing),
            searching: self.search.is_some(),
            live: self.live.len(),
            deals: work.deals().into(),
            at_once: work.at_once().into(),
        };
        match next(moment, standing) {
            Next::Open(deal) => job.take(self.world, JobFact::Working { deal }).await,
            Next::Search => {
                self.begin_search(job);
                Ok(())
            }
            Next::Conclude => {
                let conclusion = self.conclusion(job, standing);
                job.take(self.world, JobFact::Done(Box::new(conclusion))).await
            }
            Next::Wait => self.wait(job, inbox).await,
        }
    }

    /// Take up every deal of the job that was not taken up yet.
    async fn take_up(&mut self, job: &JobLine) -> Result<(), Error> {
        for deal in job.stage.deals() {
            if !self.begun.contains(deal)
                && let Some(line) = DealLine::replayed(self.world, *deal).await?
            {
                self.begin(line);
            }
        }
        Ok(())
    }

    fn begin(&mut self, line: DealLine) {
        let deal = line.stage.id();
        self.begun.insert(deal);
        self.tasks.see(&line.stage);
        let inbox = self.board.enter_deal(&line);
        let (world, board, wanted, tasks) = (self.world, self.board, self.wanted, self.tasks);
        let carried = deal::carry(world, board, wanted, tasks, line, inbox);
        self.live.push(carried.map(move |ended| (deal, ended)).boxed());
    }

    /// Tell every deal to end, again until its inbox takes it.
    fn tell_to_stop(&mut self, job: &JobLine) {
        for deal in job.stage.deals() {
            let Some(inbox) = self.board.inbox(*deal) else { continue };
            // Whether it is written down shows in the deal's stage.
            let (asker, _) = oneshot::channel();
            let told = self.told.contains(deal)
                || inbox.try_send(Inbound::Stop(STOPPED.to_owned(), asker)).is_ok();
            if told {
                self.told.insert(*deal);
            }
        }
    }

    /// Whether no further deal may be made.
    fn is_closed(&self, job: &JobLine, standing: Standing) -> bool {
        // Where the renter itself must consent, a bid that ran out is its answer.
        let alone = self.wanted.order.document.session.is_zero();
        let deals = self.board.deals_of(job.id);
        let unanswered = alone && deals.iter().any(|deal| matches!(**deal, DealStage::Void { .. }));
        let found_nobody = self.nobody.as_ref().is_some_and(|(_, since, carrying)| {
            let others_go_on = standing.carrying > 0;
            standing.carrying >= *carrying && !(others_go_on && since.elapsed() >= SEARCH_AGAIN)
        });
        job.stage.stop_asked() || unanswered || found_nobody
    }

    fn begin_search(&mut self, job: &JobLine) {
        let search = Search::after(&self.board.deals_of(job.id));
        self.nobody = None;
        let (world, book, wanted) = (self.world, self.book, self.wanted);
        self.search = Some(place::choose(world, book, job.id, wanted, search).boxed());
    }

    async fn wait(&mut self, job: &mut JobLine, inbox: &mut Inbox) -> Result<(), Error> {
        let searching = self.search.is_some();
        let found = async {
            match &mut self.search {
                Some(search) => search.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            message = inbox.recv() => match message {
                Some(Inbound::Stop(_, asker)) => {
                    if !job.stage.stop_asked() {
                        job.take(self.world, JobFact::StopAsked).await?;
                    }
                    // Whoever asked may have gone meanwhile.
                    let _ = asker.send(());
                }
                Some(other) => crate::ask::answer_later(other),
                // The gateway is shutting down.
                None => sleep(TICK).await,
            },
            Some((deal, ended)) = self.live.next(), if !self.live.is_empty() => {
                if let Err(error) = ended {
                    self.begun.remove(&deal);
                    return Err(error);
                }
            }
            choice = found, if searching => {
                self.search = None;
                match choice? {
                    Choice::Chosen(agreement) => {
                        let line = job.place(self.world, *agreement).await?;
                        self.board.show(job);
                        self.begin(line);
                    }
                    Choice::Nobody(conclusion) => {
                        let carrying = self.tasks.standing().carrying;
                        self.nobody = Some((conclusion, Instant::now(), carrying));
                    }
                }
            }
            _ = self.changed.changed() => {}
            () = sleep(TICK) => {}
        }
        Ok(())
    }

    fn conclusion(&self, job: &JobLine, standing: Standing) -> Conclusion {
        if standing.left == 0 {
            return Conclusion::Settled;
        }
        let nobody = self.nobody.as_ref().map(|(conclusion, ..)| conclusion.clone());
        let deals = self.board.deals_of(job.id);
        let void = deals.iter().rev().find_map(|deal| match deal.as_ref() {
            DealStage::Void { why, .. } => Some(why.clone()),
            _ => None,
        });
        if standing.opened.is_none() {
            return match (void, nobody) {
                (Some(why), _) => Conclusion::Unopened { why },
                (None, Some(nobody)) => nobody,
                (None, None) => {
                    let why = format!("{STOPPED} before a provider was chosen");
                    Conclusion::Unplaced { why, rejected: Default::default() }
                }
            };
        }
        let why = match (job.stage.stop_asked(), nobody, void) {
            (true, ..) => STOPPED.to_owned(),
            (_, Some(nobody), _) => nobody.sentence(),
            (_, None, Some(void)) => void,
            (_, None, None) => "each attempt at them failed".to_owned(),
        };
        let tasks = u32::try_from(standing.left).unwrap_or(u32::MAX);
        Conclusion::Unfinished { why, tasks }
    }
}

#[cfg(test)]
mod tests;
