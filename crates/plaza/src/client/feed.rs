//! The feed of a job's facts: server-sent events read as records.

use std::{collections::VecDeque, pin::Pin};

use futures::{Stream, StreamExt as _};
use market::Record;
use primitives::JobId;
use reqwest::{Method, StatusCode};

use super::{Client, answered};
use crate::failure::{Doing as _, Failure, Result};

type Pieces = Pin<Box<dyn Stream<Item = reqwest::Result<Vec<u8>>> + Send>>;

/// What happens to a job, from some fact on.
pub(crate) struct Feed {
    pieces: Pieces,
    reading: Reading,
    ready: VecDeque<(u64, Record)>,
}

#[derive(Default)]
struct Reading {
    rest: Vec<u8>,
    number: u64,
    text: String,
}

impl Client {
    /// The facts of a job after position `seen` (0 for all), until it is over.
    pub(crate) async fn facts(&self, job: JobId, seen: u64) -> Result<Feed> {
        let mut request = self.request(Method::GET, &format!("v1/jobs/{job}/facts"));
        if seen > 0 {
            request = request.header("last-event-id", seen.to_string());
        }
        let response = answered(request).await?;
        let pieces: Pieces = match response.status() {
            StatusCode::NO_CONTENT => Box::pin(futures::stream::empty()),
            _ => Box::pin(response.bytes_stream().map(|piece| piece.map(|piece| piece.to_vec()))),
        };
        Ok(Feed { pieces, reading: Reading::default(), ready: VecDeque::new() })
    }
}

impl Feed {
    /// The next fact and its number, or `None` when the feed has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<(u64, Record)>> {
        loop {
            if let Some(fact) = self.ready.pop_front() {
                return Ok(Some(fact));
            }
            match self.pieces.next().await {
                Some(Ok(piece)) => self.ready.extend(self.reading.take(&piece)?),
                Some(Err(error)) => {
                    return Err(Failure::new("following the job").because(&error));
                }
                None => return Ok(None),
            }
        }
    }
}

impl Reading {
    /// Take a piece of the stream and give the records that are whole by now.
    fn take(&mut self, piece: &[u8]) -> Result<Vec<(u64, Record)>> {
        self.rest.extend_from_slice(piece);
        let mut records = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            match line.split_once(':').unwrap_or((line, "")) {
                ("id", number) => self.number = number.trim().parse().unwrap_or(self.number),
                ("data", text) => self.text.push_str(text.strip_prefix(' ').unwrap_or(text)),
                ("", "") if !self.text.is_empty() => {
                    let read = serde_json::from_str(&self.text);
                    let record = read.doing(|| "reading a fact of the job".to_owned())?;
                    self.text.clear();
                    records.push((self.number, record));
                }
                _ => {}
            }
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use market::{Fact, JobFact};
    use primitives::{B256, UnixSeconds};

    use super::*;

    #[test]
    fn records_are_read_however_the_stream_is_cut() {
        let job = JobId(B256::repeat_byte(3));
        let record =
            Record { at: UnixSeconds(5), job, deal: None, fact: Fact::Job(JobFact::StopAsked) };
        let json = serde_json::to_string(&record).expect("plain data");
        let stream = format!(
            ": alive\n\nid: 4\nevent: job.stop-asked\ndata: {json}\n\nid:5\ndata:{json}\n\n"
        );
        for cut in 0..stream.len() {
            let mut reading = Reading::default();
            let mut read = reading.take(&stream.as_bytes()[..cut]).expect("facts");
            read.extend(reading.take(&stream.as_bytes()[cut..]).expect("facts"));
            assert_eq!(read, [(4, record.clone()), (5, record.clone())], "cut at {cut}");
        }
    }
}
