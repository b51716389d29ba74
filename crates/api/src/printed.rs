//! `/v1/jobs/{job}/outputs/{stdout|stderr}`: what a job prints, while it prints it.
//!
//! Upon a request: everything from byte `from` on, then what is added, until the job is over; with
//! `follow=false` only what is there now. A reader that lost its connection asks again from where
//! it was.

use std::io;

use axum::{
    body::Body,
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use futures::{Stream, stream};
use market::message::Output;
use primitives::{JobId, TaskIndex};
use serde::Deserialize;
use store::OutputName;
use tokio::sync::watch;

use crate::{problem::Problem, request::Named, world::World};

/// The most bytes read at once.
const PIECE: usize = 64 << 10;

/// Where to begin, and whether to wait for more.
#[derive(Deserialize)]
pub(crate) struct Part {
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
    name: OutputName,
    at: u64,
    follow: bool,
    length: watch::Receiver<u64>,
    changed: watch::Receiver<u64>,
}

/// What a job prints to one of its two outputs.
pub(crate) async fn output_feed(
    State(world): State<World>,
    Named((job, output)): Named<(String, Output)>,
    Query(Part { from, follow }): Query<Part>,
) -> Result<Response, Problem> {
    let job = world.job(&job)?.id;
    // Jobs have one task for now.
    let name = broker::output_name(job, TaskIndex(0), output);
    let length = world.outputs.watch(&name).await?;
    let changed = world.broker.changed();
    let reading = Reading { world, job, name, at: from, follow, length, changed };
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
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
            let over = self.world.broker.job(self.job).is_none_or(|job| job.conclusion.is_some());
            let piece = self.world.outputs.read(&self.name, self.at, PIECE).await?;
            if !piece.is_empty() {
                self.at += piece.len() as u64;
                return Ok(Some(piece));
            }
            if over || !self.follow {
                return Ok(None);
            }
            tokio::select! {
                seen = self.length.changed() => if seen.is_err() { return Ok(None) },
                seen = self.changed.changed() => if seen.is_err() { return Ok(None) },
            }
        }
    }
}
