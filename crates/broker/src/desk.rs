//! The desk: answers what providers ask.
//!
//! Upon any exchange: who asks is known from the connection. A peer speaks for a deal only when the
//! deal's agreement names it. Receipts and progress go to the deal's line; blobs, printed output and
//! the chain's JSON-RPC are served here.
//!
//! Invariant: a provider reads the inputs of its own open deals and nothing else; it writes no more
//! than the order's output limit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use market::{
    DealStage,
    fact::Submission,
    message::{
        BlobAnswer, Countersign, CountersignAnswer, Done, Listed, Missing, Output, Printed,
        ToGateway,
    },
};
use net::{Body, Incoming, Message};
use primitives::{Bytes, DealId, Digest, JobId, PeerId, TaskIndex};
use serde::Serialize;
use store::{Expect, OutputName, TreeLimits, Written, load_tree};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    board::Board,
    book::Book,
    line::Inbound,
    patient::Patient,
    world::{MOST_FILES, World},
};

/// The largest JSON-RPC request taken through the tunnel.
const RPC_LIMIT: usize = 1 << 20;
/// The largest piece of printed output taken at once.
const PIECE_LIMIT: usize = 1 << 20;
/// How long an asker may make us wait for its next bytes.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a line may take for an answer; by then the asker has gone and will ask again.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of inputs of one job.
const INPUT_LIMIT: Bytes = Bytes::gibi(1_024);

/// Answers JSON-RPC requests to the network's chain, as bytes to bytes.
#[async_trait::async_trait]
pub trait Tunnel: Send + Sync {
    /// Answer one request or batch.
    async fn answer(&self, request: Vec<u8>) -> Vec<u8>;
}

pub(crate) struct Desk {
    pub(crate) world: World,
    pub(crate) board: Arc<Board>,
    pub(crate) book: Arc<Book>,
    pub(crate) tunnel: Option<Arc<dyn Tunnel>>,
    /// What each deal has handed in so far, in bytes.
    pub(crate) received: Mutex<BTreeMap<DealId, u64>>,
}

/// A deal on behalf of which a peer may speak.
struct Spoken {
    job: JobId,
    stage: DealStage,
    wanted: Submission,
}

impl Desk {
    /// Answer one exchange.
    pub(crate) async fn answer(&self, incoming: Incoming) {
        let Incoming { peer, message, reply } = incoming;
        let answer = match serde_json::from_slice(&message.header) {
            Ok(question) => self.reply(&peer, question, message.body).await,
            Err(error) => json(&Done::Refused { why: format!("reading the question: {error}") }),
        };
        // How fast the asker takes a blob is its own affair; anything shorter it takes at once.
        let long = matches!(answer.body, Body::Reader(_));
        let sending = reply.send(answer);
        let sent = if long { Ok(sending.await) } else { timeout(SILENCE, sending).await };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%peer, %error, "the asker went away"),
            Err(_) => tracing::debug!(%peer, "the asker does not take its answer"),
        }
    }

    async fn reply(&self, peer: &PeerId, question: ToGateway, body: Body) -> Message {
        match question {
            ToGateway::Announce(offer) => {
                json(&match self.book.announce(&self.world, peer, *offer).await {
                    Ok(()) => Listed::Listed,
                    Err(why) => Listed::Refused { why },
                })
            }
            ToGateway::Progress { deal, phase } => match self.spoken(peer, deal) {
                Ok(it) => {
                    // A line with a full inbox has signs of life enough, and this one comes again.
                    if let Some(inbox) = self.board.inbox(it.job) {
                        drop(inbox.try_send(Inbound::Progress(phase)));
                    }
                    json(&Done::Done)
                }
                Err(why) => json(&Done::Refused { why }),
            },
            ToGateway::Countersign(ask) => {
                let deal = ask.receipt.document.deal;
                match self.spoken(peer, deal) {
                    Ok(it) => json(&self.countersign(&it, ask).await),
                    Err(why) => json(&CountersignAnswer::Refused { why }),
                }
            }
            ToGateway::Print { deal, task, output, offset } => {
                match self.print(peer, deal, task, output, offset, body).await {
                    Ok(printed) => json(&printed),
                    Err(why) => json(&Done::Refused { why }),
                }
            }
            ToGateway::Missing { deal, blobs } => match self.missing(peer, deal, blobs).await {
                Ok(missing) => json(&missing),
                Err(why) => json(&Done::Refused { why }),
            },
            ToGateway::PutBlob { deal, blob } => {
                json(&match self.put_blob(peer, deal, blob, body).await {
                    Ok(()) => Done::Done,
                    Err(why) => Done::Refused { why },
                })
            }
            ToGateway::GetBlob { deal, blob } => match self.get_blob(peer, deal, blob).await {
                Ok(reader) => json(&BlobAnswer::Follows).with_body(Body::Reader(reader)),
                Err(why) => json(&BlobAnswer::Refused { why }),
            },
            ToGateway::Rpc => self.rpc(body).await,
        }
    }

    /// The deal, if this peer may speak for it.
    fn spoken(&self, peer: &PeerId, deal: DealId) -> Result<Spoken, String> {
        let stage = self.board.deal(deal).filter(|stage| stage.agreement().peer == *peer);
        let view = self.board.job_of(deal).and_then(|job| self.board.job(job));
        match (stage, view) {
            (Some(stage), Some(view)) => {
                Ok(Spoken { job: view.id, stage, wanted: view.submission })
            }
            _ => Err(format!("deal {deal} is not this peer's")),
        }
    }

    /// Have the deal's line look at a receipt.
    async fn countersign(&self, it: &Spoken, ask: Box<Countersign>) -> CountersignAnswer {
        let deal = ask.receipt.document.deal;
        let asking = async {
            let (asker, answer) = oneshot::channel();
            // A line that just ended takes nothing more; the asker's channel then closes.
            let inbox = self.board.inbox(it.job)?;
            inbox.send(Inbound::Countersign(ask, asker)).await.ok()?;
            answer.await.ok()
        };
        match timeout(PATIENCE, asking).await {
            Ok(answer) => answer.unwrap_or_else(|| self.settled_answer(deal)),
            Err(_) => CountersignAnswer::NotYet,
        }
    }

    /// What to answer about a receipt when the deal's line is over or gone.
    fn settled_answer(&self, deal: DealId) -> CountersignAnswer {
        match self.board.deal(deal) {
            Some(DealStage::Settled(it)) => match it.signature {
                Some(signature) => CountersignAnswer::Signed { signature },
                None => CountersignAnswer::Refused { why: "the deal is settled".to_owned() },
            },
            Some(DealStage::Void { why, .. }) => CountersignAnswer::Refused { why },
            _ => CountersignAnswer::NotYet,
        }
    }

    async fn print(
        &self,
        peer: &PeerId,
        deal: DealId,
        task: TaskIndex,
        output: Output,
        offset: u64,
        body: Body,
    ) -> Result<Printed, String> {
        let it = self.spoken(peer, deal)?;
        let bytes = collect(body, PIECE_LIMIT).await?;
        let name = output_name(it.job, task, output);
        let limit = it.wanted.work.output_limit;
        let written = self.world.outputs.write(&name, offset, &bytes, limit).await;
        match written.map_err(|error| error.to_string())? {
            Written::Until(next) | Written::Gap(next) => Ok(Printed { next, full: false }),
            Written::Full(next) => Ok(Printed { next, full: true }),
        }
    }

    async fn missing(
        &self,
        peer: &PeerId,
        deal: DealId,
        blobs: Vec<Digest>,
    ) -> Result<Missing, String> {
        self.spoken(peer, deal)?;
        if blobs.len() > MOST_FILES {
            return Err(format!("more than {MOST_FILES} blobs asked about at once"));
        }
        let mut missing = Vec::new();
        for blob in blobs {
            let has = self.world.blobs.has(&blob).await.map_err(|error| error.to_string())?;
            if !has {
                missing.push(blob);
            }
        }
        Ok(Missing { blobs: missing })
    }

    async fn put_blob(
        &self,
        peer: &PeerId,
        deal: DealId,
        blob: Digest,
        body: Body,
    ) -> Result<(), String> {
        let it = self.spoken(peer, deal)?;
        if !matches!(it.stage, DealStage::Open(_) | DealStage::Running(_)) {
            return Err(format!(
                "the deal is {}, outputs are taken while it runs",
                it.stage.name()
            ));
        }
        // The list of outputs itself comes on top of their size.
        let limits = output_limits(&it.wanted);
        let most = limits.size.0.saturating_add(limits.manifest().0);
        let room = most.saturating_sub(self.received(deal, 0));
        let expect = Expect { digest: Some(blob), limit: Bytes(room) };
        let mut reader = Patient::new(body.into_reader(), SILENCE);
        let kept = self.world.blobs.put(&mut reader, expect).await;
        let kept = kept.map_err(|error| error.to_string())?;
        self.received(deal, kept.size.0);
        Ok(())
    }

    /// Count `more` bytes handed in under a deal; gives the sum.
    fn received(&self, deal: DealId, more: u64) -> u64 {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = received.entry(deal).or_default();
        *sum = sum.saturating_add(more);
        *sum
    }

    async fn get_blob(
        &self,
        peer: &PeerId,
        deal: DealId,
        blob: Digest,
    ) -> Result<store::Reader, String> {
        let it = self.spoken(peer, deal)?;
        if !matches!(it.stage, DealStage::Open(_) | DealStage::Running(_)) {
            return Err(format!(
                "the deal is {}, inputs are given while it is open",
                it.stage.name()
            ));
        }
        if !self.inputs(&it.wanted).await?.contains(&blob) {
            return Err(format!("blob {blob} is no input of the deal's work"));
        }
        self.world.blobs.get(&blob).await.map_err(|error| error.to_string())
    }

    /// Every blob the work needs: the list of inputs and the files on it.
    async fn inputs(&self, wanted: &Submission) -> Result<BTreeSet<Digest>, String> {
        let Some(list) = wanted.work.inputs else { return Ok(BTreeSet::new()) };
        let limits = TreeLimits { entries: MOST_FILES, size: INPUT_LIMIT };
        let tree = load_tree(&list, self.world.blobs.as_ref(), &limits).await;
        let tree = tree.map_err(|error| error.to_string())?;
        Ok(tree.blobs().into_keys().chain([list]).collect())
    }

    async fn rpc(&self, body: Body) -> Message {
        let Some(tunnel) = &self.tunnel else {
            let why = "this gateway has no chain of its own; use the network's RPC".to_owned();
            return json(&Done::Refused { why });
        };
        match collect(body, RPC_LIMIT).await {
            Ok(request) => json(&Done::Done).with_body(tunnel.answer(request).await),
            Err(why) => json(&Done::Refused { why }),
        }
    }
}

/// The name under which a task's output is kept.
pub fn output_name(job: JobId, task: TaskIndex, output: Output) -> OutputName {
    let which = match output {
        Output::Stdout => "stdout",
        Output::Stderr => "stderr",
    };
    OutputName::new(format!("{job}/{}/{which}", task.0))
        .expect("hexadecimal digits, a number and a word make a name")
}

/// A short body, whole.
async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, String> {
    match timeout(SILENCE, body.collect(limit)).await {
        Ok(bytes) => bytes.map_err(|error| error.to_string()),
        Err(_) => Err(format!("{} bytes at most did not come within {SILENCE:?}", limit)),
    }
}

fn output_limits(wanted: &Submission) -> TreeLimits {
    TreeLimits { entries: MOST_FILES, size: wanted.work.output_limit }
}

fn json(answer: &impl Serialize) -> Message {
    Message::new(serde_json::to_vec(answer).expect("plain data with string keys serialises"))
}
