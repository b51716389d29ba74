//! Results on their way to the gateway while the lease goes on.
//!
//! Upon outputs that are handed in: report their results; all that wait go together, and one report
//! is under way at a time. Upon the answer that they count: they need not be said again, not even by
//! the terminal receipt. Upon any other: again after a while; what the gateway may lack is handed in
//! once more.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use market::{
    message::{ReportAnswer, ToGateway},
    task::{Load, Reported},
};
use net::Body;
use primitives::{DealId, TaskIndex};
use tokio::time::{Instant, sleep_until};

use crate::{
    error::{Error, story},
    gateway::PROMPT,
    world::{AGAIN, Workshop},
};

/// The most results in one report: with their words they surely fit into one header.
pub(crate) const MOST_RESULTS: usize = 512;
/// The longest pause between two attempts.
const SELDOM: Duration = Duration::from_secs(5);

/// Which results are to be reported, and which count already.
pub(crate) struct Reports {
    /// Handed in, and not known to count.
    waiting: BTreeSet<TaskIndex>,
    counted: BTreeSet<TaskIndex>,
    under_way: Option<BoxFuture<'static, Answered>>,
    /// When the next may leave.
    next: Instant,
    pause: Duration,
}

type Answered = (Vec<TaskIndex>, Result<ReportAnswer, Error>);

/// What the gateway said to a report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// These count.
    Counted,
    /// It may lack something of these.
    Lacks(Vec<TaskIndex>),
    /// Nothing that helps.
    Nothing,
}

impl Reports {
    pub(crate) fn new() -> Self {
        Self {
            waiting: BTreeSet::new(),
            counted: BTreeSet::new(),
            under_way: None,
            next: Instant::now(),
            pause: AGAIN,
        }
    }

    /// The outputs of this task are with the gateway.
    pub(crate) fn handed_in(&mut self, task: TaskIndex) {
        self.waiting.insert(task);
    }

    /// Whether the gateway said that this task counts.
    pub(crate) fn counts(&self, task: TaskIndex) -> bool {
        self.counted.contains(&task)
    }

    /// Report what waits, and wait for the answer; losing this future loses nothing.
    pub(crate) async fn next(&mut self, shop: &Arc<Workshop>, deal: DealId, load: &Load) -> Said {
        if self.under_way.is_none() {
            if self.waiting.is_empty() {
                return std::future::pending().await;
            }
            sleep_until(self.next).await;
        }
        let report = self.under_way.get_or_insert_with(|| {
            let tasks: Vec<TaskIndex> = self.waiting.iter().copied().take(MOST_RESULTS).collect();
            let results = tasks.iter().filter_map(|task| load.outcome(*task).cloned()).collect();
            let shop = Arc::clone(shop);
            Box::pin(async move { (tasks, send(&shop, deal, results).await) })
        });
        let (tasks, answer) = report.await;
        self.under_way = None;
        match answer {
            Ok(ReportAnswer::Counted) => {
                for task in tasks {
                    self.waiting.remove(&task);
                    self.counted.insert(task);
                }
                (self.next, self.pause) = (Instant::now(), AGAIN);
                return Said::Counted;
            }
            Ok(ReportAnswer::NotYet) => {
                self.wait();
                return Said::Lacks(tasks);
            }
            Ok(ReportAnswer::Refused { why }) => {
                shop.floor.trouble(format!("the gateway does not count results: {why}"));
            }
            Err(error) => tracing::debug!(error = story(&error), "a report was not answered"),
        }
        self.wait();
        Said::Nothing
    }

    fn wait(&mut self) {
        self.next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(SELDOM);
    }
}

/// Report these results.
pub(crate) async fn send(
    shop: &Workshop,
    deal: DealId,
    results: Vec<Reported>,
) -> Result<ReportAnswer, Error> {
    let question = ToGateway::Report { deal, results };
    shop.gateway.ask("reporting results", &question, Body::Empty, PROMPT).await
}
