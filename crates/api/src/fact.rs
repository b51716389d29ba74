//! `/v1/jobs/{job}/facts`: what happened to a job and its deals, as it happens.
//!
//! Upon a request: every fact so far, then each new one, as server-sent events whose id is the
//! fact's position in the gateway's journal, from 1 and growing; the stream ends when the job is over. Upon `Last-Event-ID`: only what came after.
//! Upon a request after the last fact of a job that is over: 204, so that browsers stop asking.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, stream};
use market::{Fact, JobFact, Record};
use primitives::JobId;
use tokio::sync::watch;

use crate::{problem::Problem, request::Named, world::World};

/// How often a quiet feed shows that it is alive.
const ALIVE: Duration = Duration::from_secs(15);

/// How long a feed waits after the journal could not be read.
const AGAIN: Duration = Duration::from_secs(1);

struct Feed {
    world: World,
    job: JobId,
    seen: u64,
    waiting: VecDeque<(u64, Record)>,
    changed: watch::Receiver<u64>,
    over: bool,
}

/// The facts of a job.
pub(crate) async fn fact_feed(
    State(world): State<World>,
    Named(name): Named<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = world.job(&name)?.id;
    let seen = seen(&headers)?;
    let changed = world.broker.changed();
    let waiting: VecDeque<_> = world.broker.records(job, seen).await?.into();
    let over = world.job(&name)?.conclusion.is_some();
    if over && waiting.is_empty() && seen > 0 {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let feed = Feed { world, job, seen, waiting, changed, over: false };
    Ok(Sse::new(feed.events()).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}

/// The number of the last fact seen; 0 is before the first.
fn seen(headers: &HeaderMap) -> Result<u64, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(0) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Problem::malformed("Last-Event-ID is not the number of a fact"))
}

impl Feed {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut feed| async move {
            let (number, record) = feed.next().await?;
            let event = Event::default().id(number.to_string()).event(name(&record.fact));
            let event = event.json_data(&record).unwrap_or_default();
            Some((Ok(event), feed))
        })
    }

    /// The next fact, or `None` after the last one of a job that is over.
    async fn next(&mut self) -> Option<(u64, Record)> {
        loop {
            if let Some((number, record)) = self.waiting.pop_front() {
                self.seen = number;
                self.over |= matches!(record.fact, Fact::Job(JobFact::Done(_)));
                return Some((number, record));
            }
            if self.over {
                return None;
            }
            self.changed.mark_unchanged();
            match self.world.broker.records(self.job, self.seen).await {
                Ok(records) if records.is_empty() => self.changed.changed().await.ok()?,
                Ok(records) => self.waiting.extend(records),
                Err(error) => {
                    tracing::warn!(job = %self.job, error = &error as &dyn std::error::Error, "a feed cannot read the journal");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

fn name(fact: &Fact) -> String {
    match fact {
        Fact::Job(fact) => format!("job.{}", fact.name()),
        Fact::Deal(fact) => format!("deal.{}", fact.name()),
    }
}
