//! What a line is made of: a stage, the number of its next fact, and an inbox.
//!
//! Upon a stride of a deal: its facts are appended at once with full durability, move the stage on,
//! are shown on the board, and only then is whoever waits for them answered. So no signature leaves
//! before the fact that holds it is on disk.

use market::{
    DealFact, DealStage, Fact, JobFact, JobStage, Record,
    document::Consent,
    fact::Agreement,
    message::{Countersign, CountersignAnswer, Phase, ReportAnswer},
    task::Reported,
};
use primitives::{DealId, JobId, UnixSeconds};
use store::{Appended, Batch};
use tokio::sync::{mpsc, oneshot};

use crate::{error::Error, refusal::Refusal, world::World};

/// What comes to a job's lines from outside.
pub(crate) enum Inbound {
    /// The renter consents.
    Consent(Consent, oneshot::Sender<Result<(), Refusal>>),
    /// The provider wants a receipt co-signed.
    Countersign(Box<Countersign>, oneshot::Sender<CountersignAnswer>),
    /// The provider's tasks ended, and what they left is here.
    Report(Vec<Reported>, oneshot::Sender<ReportAnswer>),
    /// The provider says what it does.
    Progress(Phase),
    /// The renter's side wants it ended, and hears when that is written down.
    Stop(String, oneshot::Sender<()>),
}

/// Where a line receives; what arrives while a step is retried waits here.
pub(crate) type Inbox = mpsc::Receiver<Inbound>;

/// One step of a deal: what happened, and who is to be answered once it is written down.
pub(crate) struct Stride {
    pub(crate) facts: Vec<DealFact>,
    pub(crate) answer: Answer,
}

/// An answer that waits for its fact.
pub(crate) enum Answer {
    /// Nobody asked.
    Nobody,
    /// The renter's consent is written down.
    Consented(oneshot::Sender<Result<(), Refusal>>),
    /// A running receipt is co-signed.
    Countersigned(oneshot::Sender<CountersignAnswer>, CountersignAnswer),
    /// Results are written down.
    Counted(oneshot::Sender<ReportAnswer>),
    /// The wish to end it is written down.
    Stopping(oneshot::Sender<()>),
    /// A terminal receipt came in; its asker hears the verdict.
    AtVerdict(oneshot::Sender<CountersignAnswer>),
}

/// The line of one job.
pub(crate) struct JobLine {
    pub(crate) id: JobId,
    pub(crate) since: UnixSeconds,
    /// Where its first fact stands in the journal: tells which of two jobs is newer.
    pub(crate) first: u64,
    pub(crate) stage: JobStage,
    next: u64,
}

/// The line of one deal.
pub(crate) struct DealLine {
    pub(crate) job: JobId,
    pub(crate) stage: DealStage,
    next: u64,
    at_verdict: Option<oneshot::Sender<CountersignAnswer>>,
}

impl Stride {
    /// A fact nobody waits for.
    pub(crate) fn of(fact: DealFact) -> Self {
        Self::answering(fact, Answer::Nobody)
    }

    /// A fact, and who hears of it.
    pub(crate) fn answering(fact: DealFact, answer: Answer) -> Self {
        Self { facts: vec![fact], answer }
    }

    /// The renter's side wants the deal ended.
    pub(crate) fn stop(why: String, asker: oneshot::Sender<()>) -> Self {
        Self::answering(DealFact::StopAsked { why }, Answer::Stopping(asker))
    }

    /// The end of what the deal can do by itself.
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self::of(DealFact::Failed { why: why.into() })
    }
}

pub(crate) fn job_stream(job: JobId) -> String {
    format!("{JOBS}{job}")
}

pub(crate) fn deal_stream(deal: DealId) -> String {
    format!("{DEALS}{deal}")
}

pub(crate) const JOBS: &str = "job/";
const DEALS: &str = "deal/";

impl JobLine {
    /// Begin a line with its first fact; `None` when this order has a line already.
    pub(crate) async fn begin(
        world: &World,
        id: JobId,
        fact: JobFact,
    ) -> Result<Option<Self>, Error> {
        let since = world.clock.now();
        let record = Record { at: since, job: id, deal: None, fact: Fact::Job(fact.clone()) };
        let batch = Batch::to(job_stream(id), 0, vec![json(&record)]);
        let first = match append(world, batch, &job_stream(id)).await {
            Ok(position) => position,
            Err(Error::Fenced { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stage = JobStage::begin(fact).map_err(|source| replay_error(job_stream(id), source))?;
        Ok(Some(Self { id, since, first, stage, next: 1 }))
    }

    /// Rebuild a line from its journal; `None` when there is nothing in it.
    pub(crate) async fn replayed(world: &World, id: JobId) -> Result<Option<Self>, Error> {
        let stream = job_stream(id);
        let mut line: Option<Self> = None;
        for (number, (position, record)) in (0..).zip(records(world, &stream).await?) {
            let Fact::Job(fact) = record.fact else { continue };
            let refused = |source| replay_error(stream.clone(), source);
            line = Some(match line {
                None => {
                    let stage = JobStage::begin(fact).map_err(refused)?;
                    Self { id, since: record.at, first: position, stage, next: number + 1 }
                }
                Some(Self { stage, since, first, .. }) => {
                    let stage = stage.apply(fact).map_err(refused)?;
                    Self { id, since, first, stage, next: number + 1 }
                }
            });
        }
        Ok(line)
    }

    /// Begin again from what the journal says.
    pub(crate) async fn reload(&mut self, world: &World) -> Result<(), Error> {
        if let Some(Self { stage, next, .. }) = Self::replayed(world, self.id).await? {
            (self.stage, self.next) = (stage, next);
        }
        Ok(())
    }

    /// Write a fact down and move on.
    pub(crate) async fn take(&mut self, world: &World, fact: JobFact) -> Result<(), Error> {
        let record = Record {
            at: world.clock.now(),
            job: self.id,
            deal: None,
            fact: Fact::Job(fact.clone()),
        };
        let stream = job_stream(self.id);
        append(world, Batch::to(stream.clone(), self.next, vec![json(&record)]), &stream).await?;
        self.applied(fact)
    }

    /// Write down that a bid was chosen, on both lines at once.
    pub(crate) async fn place(
        &mut self,
        world: &World,
        agreement: Agreement,
    ) -> Result<DealLine, Error> {
        let (at, job, deal) = (world.clock.now(), self.id, agreement.deal);
        let placed = JobFact::Placed { deal };
        let chosen = DealFact::Chosen(Box::new(agreement));
        let on_job = Record { at, job, deal: Some(deal), fact: Fact::Job(placed.clone()) };
        let on_deal = Record { at, job, deal: Some(deal), fact: Fact::Deal(chosen.clone()) };
        let batch = Batch::to(job_stream(job), self.next, vec![json(&on_job)]).and(
            deal_stream(deal),
            0,
            vec![json(&on_deal)],
        );
        append(world, batch, &job_stream(job)).await?;
        self.applied(placed)?;
        let stage =
            DealStage::begin(chosen).map_err(|source| replay_error(deal_stream(deal), source))?;
        Ok(DealLine { job, stage, next: 1, at_verdict: None })
    }

    fn applied(&mut self, fact: JobFact) -> Result<(), Error> {
        let next = self.stage.clone().apply(fact);
        self.stage = next.map_err(|source| replay_error(job_stream(self.id), source))?;
        self.next += 1;
        Ok(())
    }
}

impl DealLine {
    /// Rebuild a line from its journal.
    pub(crate) async fn replayed(world: &World, deal: DealId) -> Result<Option<Self>, Error> {
        let stream = deal_stream(deal);
        let mut line: Option<Self> = None;
        let mut signed_at = UnixSeconds::default();
        for (number, (_, record)) in (0..).zip(records(world, &stream).await?) {
            let Fact::Deal(fact) = record.fact else { continue };
            if matches!(fact, DealFact::Countersigned(_)) {
                signed_at = record.at;
            }
            let stage = match line {
                None => DealStage::begin(fact),
                Some(Self { stage, .. }) => stage.apply(fact),
            };
            let stage = stage.map_err(|source| replay_error(stream.clone(), source))?;
            line = Some(Self { job: record.job, stage, next: number + 1, at_verdict: None });
        }
        if let Some(last) = line.as_ref().and_then(|line| line.stage.last()) {
            // The work may have gone on for as long as we were away; a clock that was set back while
            // we were away still leaves `grace`.
            let away = world.clock.now().since(signed_at).max(world.rules.grace);
            let had_run = last.receipt.document.seconds.plus(away);
            world.ready.note(deal, world.clock.monotonic(), had_run);
        }
        Ok(line)
    }

    /// Begin again from what the journal says.
    pub(crate) async fn reload(&mut self, world: &World) -> Result<(), Error> {
        if let Some(Self { stage, next, .. }) = Self::replayed(world, self.stage.id()).await? {
            (self.stage, self.next) = (stage, next);
        }
        Ok(())
    }

    /// Write a stride's facts down, move on, and give its answer.
    pub(crate) async fn take(&mut self, world: &World, stride: Stride) -> Result<(), Error> {
        let Stride { facts, answer } = stride;
        let (deal, stream) = (self.stage.id(), deal_stream(self.stage.id()));
        let at = world.clock.now();
        let record = |fact: &DealFact| {
            json(&Record { at, job: self.job, deal: Some(deal), fact: Fact::Deal(fact.clone()) })
        };
        let batch = Batch::to(stream.clone(), self.next, facts.iter().map(record).collect());
        append(world, batch, &stream).await?;
        let verdict = facts.iter().find_map(verdict_answer);
        for fact in facts {
            let next = self.stage.clone().apply(fact);
            self.stage = next.map_err(|source| replay_error(stream.clone(), source))?;
            self.next += 1;
        }
        // Whoever asked may have gone meanwhile; it will ask again.
        match answer {
            Answer::Nobody => {}
            Answer::Consented(asker) => drop(asker.send(Ok(()))),
            Answer::Countersigned(asker, answer) => drop(asker.send(answer)),
            Answer::Counted(asker) => drop(asker.send(ReportAnswer::Counted)),
            Answer::Stopping(asker) => {
                let _ = asker.send(());
            }
            Answer::AtVerdict(asker) => self.at_verdict = Some(asker),
        }
        if let Some(answer) = verdict
            && let Some(asker) = self.at_verdict.take()
        {
            drop(asker.send(answer));
        }
        Ok(())
    }
}

fn verdict_answer(fact: &DealFact) -> Option<CountersignAnswer> {
    match fact {
        DealFact::Judged { signature: Some(signature), .. } => {
            Some(CountersignAnswer::Signed { signature: *signature })
        }
        DealFact::Judged { verdict: market::Verdict::Refuse { why }, .. }
        | DealFact::Failed { why } => Some(CountersignAnswer::Refused { why: why.clone() }),
        _ => None,
    }
}

/// The records of a stream, in order, each with its position in the whole journal.
pub(crate) async fn records(world: &World, stream: &str) -> Result<Vec<(u64, Record)>, Error> {
    let entries = world
        .log
        .replay(stream, 0)
        .await
        .map_err(|source| Error::Store { doing: format!("replaying {stream}"), source })?;
    entries
        .into_iter()
        .map(|entry| {
            let record = serde_json::from_slice(&entry.fact).map_err(|source| Error::Fact {
                stream: stream.to_owned(),
                number: entry.number,
                source,
            })?;
            Ok((entry.position.0, record))
        })
        .collect()
}

/// Write a batch down; gives the position of the journal's last fact.
async fn append(world: &World, batch: Batch, stream: &str) -> Result<u64, Error> {
    match world.log.append(batch).await {
        Ok(Appended::Stored { last }) => Ok(last.0),
        Ok(Appended::Conflict { stream, .. }) => Err(Error::Fenced { stream }),
        Err(source) => {
            Err(Error::Store { doing: format!("writing to the journal of {stream}"), source })
        }
    }
}

fn json(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).expect("plain data with string keys serialises")
}

fn replay_error(stream: String, source: market::Error) -> Error {
    Error::Replay { stream, source }
}
