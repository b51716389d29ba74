//! The gateway's side of the messages, as simple as the protocol allows, and as strict.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use market::{
    Domain, Meter, Outcome, Receipt, Signed,
    message::{
        BlobAnswer, Countersign, CountersignAnswer, Done, Listed, Missing, Output, Phase, Printed,
        ReportAnswer, ToGateway,
    },
    task::{Ending, Reported, TaskResult, result_root},
};
use net::{Incoming, Message, Simulated, Transport};
use primitives::{DealId, Digest, Epoch, TaskIndex};
use serde::Serialize;

use super::hall::{key, provider_key, signer};

/// What the gateway does with receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mood {
    /// Signs whatever is right.
    #[default]
    Fair,
    /// Says nothing.
    Silent,
    /// Says no.
    Refusing,
    /// Signs while it runs, and no terminal receipt.
    RefusingTheEnd,
    /// Signs, and will have nothing that is printed.
    Deaf,
    /// Signs with a key that is not the renter's.
    Forging,
    /// Signs, and counts no results before the end.
    Uncounting,
    /// Signs, and takes a minute and a half for every blob.
    Slow,
}

#[derive(Default)]
struct Known {
    mood: Mood,
    listed: usize,
    deals: BTreeMap<DealId, Deal>,
    inputs: BTreeMap<Digest, Vec<u8>>,
    faults: Vec<String>,
}

/// What the gateway knows of a deal.
#[derive(Clone, Default)]
pub(super) struct Deal {
    pub(super) last: Option<Signed<Receipt>>,
    pub(super) signed: usize,
    pub(super) meter: Meter,
    pub(super) terminals: BTreeSet<Vec<u8>>,
    /// By index, as far as they count.
    pub(super) results: BTreeMap<TaskIndex, Reported>,
    /// How many results came in reports, and how many reports there were.
    pub(super) reported: (usize, usize),
    /// How many came with the terminal receipt.
    pub(super) came_last: usize,
    pub(super) ending: Option<Ending>,
    pub(super) phases: Vec<Phase>,
    pub(super) printed: BTreeMap<(TaskIndex, Epoch, Output), Vec<u8>>,
    pub(super) blobs: BTreeMap<Digest, Vec<u8>>,
}

pub(super) struct Gate {
    escrow: Domain,
    known: Mutex<Known>,
}

impl Gate {
    /// Answer whatever comes over `wire`.
    pub(super) fn open(wire: Arc<Simulated>, escrow: Domain) -> Arc<Self> {
        let gate = Arc::new(Self { escrow, known: Mutex::default() });
        let answering = gate.clone();
        tokio::spawn(async move {
            while let Some(incoming) = wire.accept().await {
                let gate = answering.clone();
                tokio::spawn(async move { gate.answer(incoming).await });
            }
        });
        gate
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no test panics while it holds this")
    }

    pub(super) fn set(&self, mood: Mood) {
        self.known().mood = mood;
    }

    pub(super) fn hold_input(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.known().inputs.insert(digest, bytes.to_vec());
        digest
    }

    pub(super) fn is_listed(&self) -> bool {
        self.known().listed > 0
    }

    pub(super) fn announcements(&self) -> usize {
        self.known().listed
    }

    pub(super) fn deal(&self, deal: DealId) -> Deal {
        self.known().deals.get(&deal).cloned().unwrap_or_default()
    }

    /// What the first attempt at the first task printed.
    pub(super) fn stdout(&self, deal: DealId) -> Vec<u8> {
        self.stdout_of(deal, 0)
    }

    pub(super) fn stdout_of(&self, deal: DealId, task: u32) -> Vec<u8> {
        let printer = (TaskIndex(task), Epoch(1), Output::Stdout);
        self.deal(deal).printed.remove(&printer).unwrap_or_default()
    }

    /// What the provider did against the protocol.
    pub(super) fn all_faults(&self) -> Vec<String> {
        self.known().faults.clone()
    }

    async fn answer(&self, incoming: Incoming) {
        let question: ToGateway =
            serde_json::from_slice(&incoming.message.header).expect("a question");
        let body = incoming.message.body.collect(1 << 20).await.unwrap_or_default();
        let answer = match question {
            ToGateway::Countersign(_) if self.known().mood == Mood::Silent => return,
            ToGateway::Countersign(it) => header(&self.countersign(*it)),
            ToGateway::Announce(offer) => {
                let plaza = market::Domain {
                    contract: primitives::Address::repeat_byte(0xa1),
                    ..self.escrow
                };
                let by =
                    offer.signature.is_by(provider_key().address(), offer.document.digest(&plaza));
                assert!(by, "an offer that is not signed");
                self.known().listed += 1;
                header(&Listed::Listed)
            }
            ToGateway::Progress { deal, phase } => {
                self.known().deals.entry(deal).or_default().phases.push(phase);
                header(&Done::Done)
            }
            ToGateway::Print { .. } if self.known().mood == Mood::Deaf => {
                header(&Done::Refused { why: "no room".into() })
            }
            ToGateway::Print { deal, task, epoch, output, offset } => {
                header(&self.print(deal, (task, epoch, output), offset, &body))
            }
            ToGateway::Report { .. } if self.known().mood == Mood::Silent => return,
            ToGateway::Report { deal, results } => header(&self.report(deal, results)),
            ToGateway::Missing { deal, blobs } => {
                let mut known = self.known();
                let held = &known.deals.entry(deal).or_default().blobs;
                let blobs = blobs.into_iter().filter(|blob| !held.contains_key(blob)).collect();
                header(&Missing { blobs })
            }
            ToGateway::PutBlob { deal, blob } => {
                assert_eq!(Digest::of(&body), blob);
                let slow = self.known().mood == Mood::Slow;
                if slow {
                    tokio::time::sleep(std::time::Duration::from_secs(90)).await;
                }
                self.known().deals.entry(deal).or_default().blobs.insert(blob, body);
                header(&Done::Done)
            }
            ToGateway::GetBlob { blob, .. } => {
                let found = self.known().inputs.get(&blob).cloned();
                let answer = match found {
                    Some(bytes) => Message::new(header(&BlobAnswer::Follows)).with_body(bytes),
                    None => Message::new(header(&BlobAnswer::Refused { why: "unknown".into() })),
                };
                drop(incoming.reply.send(answer).await);
                return;
            }
            ToGateway::Rpc => return,
        };
        // Whoever asked may have crashed.
        drop(incoming.reply.send(Message::new(answer)).await);
    }

    fn report(&self, deal: DealId, results: Vec<Reported>) -> ReportAnswer {
        let mut known = self.known();
        if known.mood == Mood::Uncounting {
            return ReportAnswer::NotYet;
        }
        let deal = known.deals.entry(deal).or_default();
        let lacks = results.iter().any(|it| deal.lacks(&it.result));
        deal.reported.0 += results.len();
        deal.reported.1 += 1;
        deal.count(results);
        if lacks {
            known.faults.push("a report of a task whose outputs were not handed in".into());
        }
        ReportAnswer::Counted
    }

    fn print(
        &self,
        deal: DealId,
        printer: (TaskIndex, Epoch, Output),
        offset: u64,
        piece: &[u8],
    ) -> Printed {
        let mut known = self.known();
        let text = known.deals.entry(deal).or_default().printed.entry(printer).or_default();
        let have = text.len() as u64;
        if offset <= have {
            let skip = usize::try_from(have - offset).expect("small").min(piece.len());
            text.extend_from_slice(&piece[skip..]);
        }
        Printed { next: text.len() as u64, full: false }
    }

    fn countersign(&self, it: Countersign) -> CountersignAnswer {
        let mut known = self.known();
        let mood = known.mood;
        let receipt = &it.receipt.document;
        let digest = receipt.digest(&self.escrow);
        let terminal = receipt.outcome != Outcome::Running;
        let deal = known.deals.entry(receipt.deal).or_default();
        if terminal {
            deal.terminals.insert(serde_json::to_vec(&it.receipt).expect("plain data"));
        }
        if mood == Mood::Refusing || (terminal && mood == Mood::RefusingTheEnd) {
            return CountersignAnswer::Refused { why: "no".into() };
        }
        let forging = mood == Mood::Forging;
        let signature = if forging { key(9) } else { signer() }.sign(digest);
        if deal.last.as_ref() == Some(&it.receipt) {
            return CountersignAnswer::Signed { signature };
        }
        if it.samples_before != deal.meter.count() {
            return CountersignAnswer::Behind { samples: deal.meter.count() };
        }
        let meter = deal.meter.clone().extended(&it.samples);
        let last = deal.last.as_ref().map(|last| last.document.seconds).unwrap_or_default();
        let mut counted = deal.clone();
        counted.count(it.results.clone());
        let root = match terminal {
            true => result_root(&counted.all()),
            false => result_root(&[]),
        };
        let latest = it.samples.last().map_or(0, |sample| sample.at_ms);
        let checks = [
            ("signature", it.receipt.signature.is_by(provider_key().address(), digest)),
            ("meter", receipt.meter == meter.root()),
            ("monotone", receipt.seconds >= last || receipt.outcome == Outcome::ProviderFault),
            ("samples", latest <= receipt.seconds.0 * 1_000),
            (
                "amount",
                receipt.amount >= deal.amount() || receipt.outcome == Outcome::ProviderFault,
            ),
            ("results", receipt.result == root),
            ("outputs", !it.results.iter().any(|it| deal.lacks(&it.result))),
        ];
        let wrong = checks.into_iter().find(|(_, right)| !right).map(|(what, _)| what);
        if wrong.is_none() {
            deal.meter = meter;
            deal.signed += 1;
            deal.last = Some(it.receipt);
            if terminal {
                deal.came_last = it.results.len();
                deal.count(it.results);
                deal.ending = it.ending;
            }
            return CountersignAnswer::Signed { signature };
        }
        known.faults.push(format!("{wrong:?}: {:?}", it.receipt));
        CountersignAnswer::Refused { why: format!("{wrong:?}") }
    }
}

impl Deal {
    fn count(&mut self, results: Vec<Reported>) {
        for reported in results {
            self.results.entry(reported.result.task).or_insert(reported);
        }
    }

    /// The results that count, by index.
    pub(super) fn all(&self) -> Vec<TaskResult> {
        self.results.values().map(|it| it.result).collect()
    }

    /// The exit codes, by index.
    pub(super) fn exit_codes(&self) -> Vec<(u32, i32)> {
        self.all().iter().map(|result| (result.task.0, result.exit_code)).collect()
    }

    fn lacks(&self, result: &TaskResult) -> bool {
        result.output != Digest::default() && !self.blobs.contains_key(&result.output)
    }

    fn amount(&self) -> primitives::Amount {
        self.last.as_ref().map_or(primitives::Amount::ZERO, |last| last.document.amount)
    }
}

fn header(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).expect("plain data")
}
