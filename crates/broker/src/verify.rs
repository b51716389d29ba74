//! Delivered -> Judged: the evidence is looked at once, and the decision is kept.
//!
//! Upon a delivery: every output named by the results must be here, and the receipt must follow
//! from terms, samples, results and our own time. Then it is signed; otherwise nothing more is
//! signed and the exits decide.
//!
//! A pause of the chain or of this gateway between delivery and judgement only makes more time
//! pass, which never turns an honest receipt into a doubtful one.

use std::collections::BTreeMap;

use market::{
    DealFact, Outcome, TaskResult, Verdict, fact::Submission, stage::Delivered, task::Reported,
};
use primitives::{Bytes, Digest, Epoch, TaskIndex};
use store::{TreeKind, TreeLimits, load_tree};
use verification::{Evidence, Own};

use crate::{
    error::Error,
    line::Stride,
    world::{MOST_FILES, World},
};

pub(crate) async fn judge(
    world: &World,
    wanted: &Submission,
    it: &Delivered,
) -> Result<Stride, Error> {
    let limit = wanted.work.output_limit;
    let flaw = match strange_result(it) {
        Some(why) => Some(why),
        None => missing_output(world, limit, it).await?,
    };
    let verdict = match flaw {
        Some(why) => Verdict::Refuse { why },
        None => decide(world, wanted, it),
    };
    let digest = it.delivery.receipt.document.digest(&world.escrow());
    let signature = (verdict == Verdict::Pay).then(|| world.signer.sign(digest));
    Ok(Stride::of(DealFact::Judged { verdict, signature }))
}

fn decide(world: &World, wanted: &Submission, it: &Delivered) -> Verdict {
    let (escrow, terms) = (world.escrow(), &it.agreement.terms.document);
    let evidence = Evidence {
        escrow: &escrow,
        deal: it.agreement.deal,
        terms,
        locked: terms.cap,
        time_limit: wanted.order.document.time_limit,
        last: it.last.as_ref().map(|last| &last.receipt.document),
        receipt: &it.delivery.receipt,
        meter: &it.delivery.meter,
        samples: &[],
        own: Own {
            since_ready: world.ready.since(it.agreement.deal, world.clock.monotonic()),
            since_open: world.seen_time().since(it.opening.at),
        },
    };
    let rest = it.delivery.results.iter().map(|reported| reported.result);
    let results: Vec<TaskResult> = it.load.results().into_iter().chain(rest).collect();
    verification::judge(&evidence, &results, &world.rules)
}

/// The first result that is of no task whose result is awaited, for people. A provider at fault may
/// say of any task that it came to nothing.
fn strange_result(it: &Delivered) -> Option<String> {
    if it.delivery.receipt.document.outcome == Outcome::ProviderFault {
        return None;
    }
    let mut awaited: BTreeMap<TaskIndex, Epoch> = it.load.outstanding().collect();
    let results = it.delivery.results.iter().map(|reported| reported.result);
    let strange =
        results.into_iter().find(|result| awaited.remove(&result.task) != Some(result.epoch))?;
    let (task, epoch) = (strange.task.0, strange.epoch.0);
    Some(format!("a result is of task {task} in epoch {epoch}, which is not awaited"))
}

/// The first output that was promised and is not here, for people.
async fn missing_output(
    world: &World,
    limit: Bytes,
    it: &Delivered,
) -> Result<Option<String>, Error> {
    if it.delivery.receipt.document.outcome == Outcome::ProviderFault {
        return Ok(None);
    }
    let failed = |source| Error::Store { doing: "looking for outputs".to_owned(), source };
    for Reported { result, .. } in &it.delivery.results {
        if result.output == Digest::default() {
            continue;
        }
        if !world.blobs.has(&result.output).await.map_err(failed)? {
            return Ok(Some(format!("the list of outputs {} was not handed in", result.output)));
        }
        let limits = TreeLimits { entries: MOST_FILES, size: limit };
        let tree = match load_tree(&result.output, world.blobs.as_ref(), &limits).await {
            Ok(tree) => tree,
            Err(
                error @ (store::Error::Manifest { .. }
                | store::Error::Entry { .. }
                | store::Error::TooLarge { .. }
                | store::Error::Content { .. }
                | store::Error::Mismatch { .. }
                | store::Error::Absent { .. }),
            ) => {
                return Ok(Some(format!("the list of outputs is wrong: {error}")));
            }
            Err(source) => return Err(failed(source)),
        };
        for entry in tree.entries() {
            let TreeKind::File { digest, .. } = &entry.kind else { continue };
            if !world.blobs.has(digest).await.map_err(failed)? {
                return Ok(Some(format!("output {} was not handed in", entry.path)));
            }
        }
    }
    Ok(None)
}
