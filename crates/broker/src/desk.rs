//! The desk: answers what providers ask.
//!
//! Upon any exchange: who asks is known from the connection. A peer speaks for a deal only when the
//! deal's agreement names it. Receipts and progress go to the deal's line; blobs, printed output and
//! the chain's JSON-RPC are served here.
//!
//! Upon a terminal receipt: what its results name must have come in under its own deal before the
//! line sees it.
//!
//! Invariant: a provider reads the inputs of its own open deals and nothing else, and learns nothing
//! of what others handed in; it prints no more than the order's output limit, and leaves no more.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use market::{
    DealStage,
    fact::Submission,
    message::{
        BlobAnswer, Countersign, CountersignAnswer, Done, Listed, Missing, Output, Printed,
        ReportAnswer, ToGateway,
    },
    task::Reported,
};
use net::{Body, Incoming, Message};
use primitives::{Bytes, DealId, Digest, Epoch, Hasher, JobId, PeerId, TaskIndex};
use serde::Serialize;
use store::{Expect, OutputName, TreeLimits, Written, load_tree};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::oneshot,
    time::timeout,
};

use crate::{
    board::Board,
    book::Book,
    handed::{Handed, Intake},
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
/// How many messages may be before a line for one more word of progress to be passed on.
const PROGRESS: usize = 2;
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
    pub(crate) handed: Arc<Handed>,
}

/// A deal on behalf of which a peer may speak.
struct Spoken {
    job: JobId,
    stage: Arc<DealStage>,
    wanted: Arc<Submission>,
}

impl Spoken {
    /// Whether outputs are taken.
    fn hands_in(&self) -> bool {
        matches!(*self.stage, DealStage::Open(_) | DealStage::Running(_))
    }
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
                Ok(_) => {
                    // A line that has more to read has signs of life enough, and this one comes
                    // again.
                    let inbox = self.board.inbox(deal);
                    if let Some(inbox) = inbox
                        && inbox.max_capacity() - inbox.capacity() < PROGRESS
                    {
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
            ToGateway::Report { deal, results } => match self.spoken(peer, deal) {
                Ok(it) => json(&self.report(&it, deal, results).await),
                Err(why) => json(&ReportAnswer::Refused { why }),
            },
            ToGateway::Print { deal, task, epoch, output, offset } => {
                match self.print(peer, deal, (task, epoch), output, offset, body).await {
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
        let job = self.board.job_of(deal);
        let wanted = job.and_then(|job| self.board.submission(job));
        match (job, stage, wanted) {
            (Some(job), Some(stage), Some(wanted)) => Ok(Spoken { job, stage, wanted }),
            _ => Err(format!("deal {deal} is not this peer's")),
        }
    }

    /// Have the deal's line look at a receipt.
    async fn countersign(&self, it: &Spoken, ask: Box<Countersign>) -> CountersignAnswer {
        let deal = ask.receipt.document.deal;
        if it.hands_in() && !self.handed_in(deal, &it.wanted, &ask.results).await {
            // It is asked again after what is missing was handed in: so it is after a restart too.
            return CountersignAnswer::NotYet;
        }
        let intake = self.intake(deal);
        let asking = async {
            // One receipt is before the line at a time: the inbox has room for the renter's words.
            let mut before = intake.asking.lock().await;
            if let Some(earlier) = before.as_mut() {
                // Its asker has gone, its answer does not matter any more.
                drop(earlier.await);
            }
            let (asker, answer) = oneshot::channel();
            // A line that just ended takes nothing more; the asker's channel then closes.
            let inbox = self.board.inbox(deal)?;
            inbox.send(Inbound::Countersign(ask, asker)).await.ok()?;
            let answer = before.insert(answer).await;
            *before = None;
            answer.ok()
        };
        match timeout(PATIENCE, asking).await {
            Ok(answer) => answer.unwrap_or_else(|| self.settled_answer(deal)),
            Err(_) => CountersignAnswer::NotYet,
        }
    }

    /// Have the deal's line count results.
    async fn report(&self, it: &Spoken, deal: DealId, results: Vec<Reported>) -> ReportAnswer {
        if !it.hands_in() {
            // What the deal's verdict covers is said by the verdict.
            let why = format!("the deal is {}, it takes no more results", it.stage.name());
            return ReportAnswer::Refused { why };
        }
        if !self.handed_in(deal, &it.wanted, &results).await {
            return ReportAnswer::NotYet;
        }
        let asking = async {
            let (asker, answer) = oneshot::channel();
            self.board.inbox(deal)?.send(Inbound::Report(results, asker)).await.ok()?;
            answer.await.ok()
        };
        let answer = timeout(PATIENCE, asking).await;
        answer.ok().flatten().unwrap_or(ReportAnswer::NotYet)
    }

    /// Whether everything these results name came in under the deal. A list that is wrong is for the
    /// line to judge.
    async fn handed_in(&self, deal: DealId, wanted: &Submission, results: &[Reported]) -> bool {
        let (intake, limits) = (self.intake(deal), output_limits(wanted));
        let lists: BTreeSet<Digest> = results.iter().map(|it| it.result.output).collect();
        for list in lists.iter().filter(|list| **list != Digest::default()) {
            if !intake.has(list) {
                return false;
            }
            match load_tree(list, self.world.blobs.as_ref(), &limits).await {
                Ok(tree) if tree.blobs().keys().all(|blob| intake.has(blob)) => {}
                Err(
                    store::Error::Manifest { .. }
                    | store::Error::Entry { .. }
                    | store::Error::TooLarge { .. },
                ) => {}
                Ok(_) | Err(_) => return false,
            }
        }
        true
    }

    /// What to answer about a receipt when the deal's line is over or gone.
    fn settled_answer(&self, deal: DealId) -> CountersignAnswer {
        match self.board.deal(deal).as_deref() {
            Some(DealStage::Settled(it)) => match it.signature {
                Some(signature) => CountersignAnswer::Signed { signature },
                None => CountersignAnswer::Refused { why: "the deal is settled".to_owned() },
            },
            Some(DealStage::Void { why, .. }) => CountersignAnswer::Refused { why: why.clone() },
            _ => CountersignAnswer::NotYet,
        }
    }

    async fn print(
        &self,
        peer: &PeerId,
        deal: DealId,
        (task, epoch): (TaskIndex, Epoch),
        output: Output,
        offset: u64,
        body: Body,
    ) -> Result<Printed, String> {
        let it = self.spoken(peer, deal)?;
        if it.stage.load().and_then(|load| load.epoch(task)) != Some(epoch) {
            return Err(format!("the deal has no task {} in epoch {}", task.0, epoch.0));
        }
        if matches!(*it.stage, DealStage::Settled(_) | DealStage::Void { .. }) {
            return Err(format!("the deal is {}, it prints no more", it.stage.name()));
        }
        let bytes = collect(body, PIECE_LIMIT).await?;
        let intake = self.intake(deal);
        let _turn = intake.printing.lock().await;
        let other = output_name(it.job, task, epoch, the_other(output));
        let other = self.world.outputs.watch(&other).await.map_err(|error| error.to_string())?;
        let limit = it.wanted.work.output_limit.0.saturating_sub(*other.borrow());
        let name = output_name(it.job, task, epoch, output);
        let written = self.world.outputs.write(&name, offset, &bytes, Bytes(limit)).await;
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
        let it = self.spoken(peer, deal)?;
        if blobs.len() > MOST_FILES {
            return Err(format!("more than {MOST_FILES} blobs asked about at once"));
        }
        let mut missing = Vec::new();
        if !it.hands_in() {
            // What was delivered is judged as it is; nothing more is taken.
            return Ok(Missing { blobs: missing });
        }
        let intake = self.intake(deal);
        for blob in blobs {
            if !self.has(&intake, &blob).await? {
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
        if !it.hands_in() {
            return Err(format!(
                "the deal is {}, outputs are taken while it runs",
                it.stage.name()
            ));
        }
        let intake = self.intake(deal);
        let _turn = intake.receiving.lock().await;
        if self.has(&intake, &blob).await? {
            return Ok(());
        }
        // The list of outputs itself comes on top of their size.
        let limits = output_limits(&it.wanted);
        let of_one = limits.size.0.saturating_add(limits.manifest().0);
        let tasks = it.stage.load().map_or(0, |load| load.assigned().count() as u64);
        let most = Bytes(of_one.saturating_mul(tasks));
        let expect = Expect { digest: Some(blob), limit: intake.room(most) };
        let mut content = Patient::new(body.into_reader(), SILENCE).take(u64::MAX);
        let kept = self.world.blobs.put(&mut content, expect).await;
        let kept = kept.map_err(|error| error.to_string())?;
        if content.limit() == u64::MAX {
            if kept.size > expect.limit {
                let (what, limit) = (format!("blob {blob}"), expect.limit);
                return Err(store::Error::TooLarge { what, limit }.to_string());
            }
            // The store has these bytes already and did not read them; whoever hands them in must
            // have them all the same.
            let found = digest_of(content, kept.size).await.map_err(|error| error.to_string())?;
            if found != blob {
                let error = store::Error::Mismatch { expected: blob, found };
                return Err(error.to_string());
            }
        }
        intake.take(blob, kept.size);
        Ok(())
    }

    /// Whether this blob came in under the deal and is still here.
    async fn has(&self, intake: &Intake, blob: &Digest) -> Result<bool, String> {
        let kept = intake.has(blob)
            && self.world.blobs.has(blob).await.map_err(|error| error.to_string())?;
        Ok(kept)
    }

    fn intake(&self, deal: DealId) -> Arc<Intake> {
        let goes_on = |deal| self.board.deal(deal).is_some_and(|stage| !stage.is_over());
        self.handed.intake(deal, goes_on)
    }

    async fn get_blob(
        &self,
        peer: &PeerId,
        deal: DealId,
        blob: Digest,
    ) -> Result<store::Reader, String> {
        let it = self.spoken(peer, deal)?;
        if !it.hands_in() {
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

const fn the_other(output: Output) -> Output {
    match output {
        Output::Stdout => Output::Stderr,
        Output::Stderr => Output::Stdout,
    }
}

/// The name under which the output of one attempt at a task is kept.
pub fn output_name(job: JobId, task: TaskIndex, epoch: Epoch, output: Output) -> OutputName {
    let which = match output {
        Output::Stdout => "stdout",
        Output::Stderr => "stderr",
    };
    OutputName::new(format!("{job}/{}/{}/{which}", task.0, epoch.0))
        .expect("hexadecimal digits, two numbers and a word make a name")
}

/// A short body, whole.
async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, String> {
    match timeout(SILENCE, body.collect(limit)).await {
        Ok(bytes) => bytes.map_err(|error| error.to_string()),
        Err(_) => Err(format!("{} bytes at most did not come within {SILENCE:?}", limit)),
    }
}

/// The digest of what is read, or of a piece beyond `size`.
async fn digest_of(content: impl AsyncRead + Unpin, size: Bytes) -> io::Result<Digest> {
    let mut content = content.take(size.0.saturating_add(1));
    let (mut hasher, mut piece) = (Hasher::default(), vec![0; 64 << 10]);
    loop {
        match content.read(&mut piece).await? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&piece[..length]),
        }
    }
}

fn output_limits(wanted: &Submission) -> TreeLimits {
    TreeLimits { entries: MOST_FILES, size: wanted.work.output_limit }
}

fn json(answer: &impl Serialize) -> Message {
    Message::new(serde_json::to_vec(answer).expect("plain data with string keys serialises"))
}
