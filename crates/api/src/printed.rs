//! `/v1/jobs/{job}/outputs/{stdout|stderr}`: what a task of a job prints, while it prints it.
//!
//! Upon a request: what the newest attempt at task `task` (0 without) printed from byte `from` on,
//! then what is added, until the task has its result, the job is over, or a newer attempt began; with
//! `follow=false` only what is there now. The header `plaza-epoch` says which attempt it is. A reader
//! that lost its connection asks again from where it was, or from the start of a newer attempt.

use std::io;

use axum::{
    body::Body,
    extract::{Query, State},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, stream};
use market::message::Output;
use primitives::{Epoch, JobId, TaskIndex};
use serde::Deserialize;
use store::OutputName;
use tokio::sync::watch;

use crate::{problem::Problem, request::Named, world::World};

/// The most bytes read at once.
const PIECE: usize = 64 << 10;

/// The header that says which attempt at the task printed this.
pub const EPOCH: &str = "plaza-epoch";

/// The attempt at a task before any other.
const FIRST: Epoch = Epoch(1);

/// Whose output, where to begin, and whether to wait for more.
#[derive(Deserialize)]
pub(crate) struct Part {
    #[serde(default)]
    task: u32,
    #[serde(default)]
    from: u64,
    #[serde(default = "yes")]
    follow: bool,
}

const fn yes() -> bool {
    true
}

struct Reading {
    world: World,
    job: JobId,
    task: TaskIndex,
    epoch: Epoch,
    name: OutputName,
    at: u64,
    follow: bool,
    length: watch::Receiver<u64>,
    changed: watch::Receiver<u64>,
}

/// What a task prints to one of its two outputs.
pub(crate) async fn output_feed(
    State(world): State<World>,
    Named((name, output)): Named<(String, Output)>,
    Query(Part { task, from, follow }): Query<Part>,
) -> Result<Response, Problem> {
    let job = world.job(&name)?;
    if task >= job.tasks.all {
        return Err(Problem::unknown(format!(
            "job {} has no task {task}: its tasks are 0 to {}",
            job.id,
            job.tasks.all.saturating_sub(1)
        )));
    }
    let (job, task) = (job.id, TaskIndex(task));
    // Marked before the attempt is looked up, so that a newer one is noticed.
    let changed = world.broker.changed();
    let newest = world.broker.tasks(job).into_iter().find(|view| view.task == task);
    let epoch = newest.map_or(FIRST, |view| view.epoch);
    let name = broker::output_name(job, task, epoch, output);
    let length = world.outputs.watch(&name).await?;
    let reading = Reading { world, job, task, epoch, name, at: from, follow, length, changed };
    let kind = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (HeaderName::from_static(EPOCH), HeaderValue::from(epoch.0)),
    ];
    Ok((kind, Body::from_stream(reading.pieces())).into_response())
}

impl Reading {
    fn pieces(self) -> impl Stream<Item = io::Result<Vec<u8>>> {
        stream::try_unfold(self, |mut reading| async move {
            let piece = reading.next().await.map_err(io::Error::other)?;
            Ok(piece.map(|piece| (piece, reading)))
        })
    }

    /// The next piece, or `None` when nothing more is to be waited for.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, store::Error> {
        loop {
            // Marked before looking, so that whatever changes meanwhile wakes the wait below; and the
            // end is looked at before reading, so that what is printed before it is read before it.
            self.length.mark_unchanged();
            self.changed.mark_unchanged();
            let over = !self.follow || self.is_over();
            let piece = self.world.outputs.read(&self.name, self.at, PIECE).await?;
            if !piece.is_empty() {
                self.at += piece.len() as u64;
                return Ok(Some(piece));
            }
            if over {
                return Ok(None);
            }
            tokio::select! {
                seen = self.length.changed() => if seen.is_err() { return Ok(None) },
                seen = self.changed.changed() => if seen.is_err() { return Ok(None) },
            }
        }
    }

    /// Whether nothing more will be printed under this name.
    fn is_over(&self) -> bool {
        let newest = self.world.broker.tasks(self.job).into_iter().find(|it| it.task == self.task);
        let ended = newest.is_some_and(|it| it.epoch > self.epoch || it.outcome.is_some());
        ended || self.world.broker.job(self.job).is_none_or(|job| job.conclusion.is_some())
    }
}
