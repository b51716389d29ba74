//! Judged -> Settled: the exits, taken level-triggered until the chain says settled.
//!
//! Upon any state of the slot: `market::exit` names the wanted move; it is sent, and the slot is
//! looked at again. Upon a settled slot: the closing at the network's depth is the last fact.
//! Upon a provider that asks for its signature again: it gets the same one.

use market::{
    DealFact, Verdict,
    document::Purpose,
    exit::{Move, RenterSide, renter_move},
    message::CountersignAnswer,
    stage::Judged,
};
use settlement::{Call, Cosigned, Sent};

use crate::{
    ask::answer_later,
    error::Error,
    line::{Inbound, Inbox, Stride},
    world::{TICK, World},
};

pub(crate) async fn pay(world: &World, it: &Judged, inbox: &mut Inbox) -> Result<Stride, Error> {
    let deal = it.agreement.deal;
    world.ready.forget(deal);
    let chain = Error::settlement(deal);
    loop {
        if let Some(closing) = world.settlement.closing(deal).await.map_err(&chain)? {
            return Ok(Stride::of(DealFact::Settled(Box::new(closing))));
        }
        let slot = world.settlement.slot(deal).await.map_err(&chain)?;
        let time = world.time().await.map_err(&chain)?;
        let terms = &it.agreement.terms.document;
        let wanted = renter_move(&slot, terms, &world.settlement.windows(), time, side(it));
        if let Some(call) = call(world, it, &wanted) {
            match world.settlement.send(call).await.map_err(&chain)? {
                Sent::Done(_) => continue,
                Sent::Refused(refusal) => tracing::debug!(%deal, %refusal, "looking again"),
            }
        }
        if let Ok(Some(message)) = tokio::time::timeout(TICK, inbox.recv()).await {
            match message {
                Inbound::Countersign(ask, asker) => {
                    drop(asker.send(again(it, &ask.receipt.document)))
                }
                other => answer_later(other),
            }
        }
    }
}

fn side(it: &Judged) -> RenterSide<'_> {
    match (&it.verdict, &it.delivery, it.signature) {
        (Verdict::Pay, Some(delivery), Some(_)) => {
            RenterSide { terminal: Some(&delivery.receipt.document), wants_out: false }
        }
        _ => RenterSide { terminal: None, wants_out: true },
    }
}

fn call(world: &World, it: &Judged, wanted: &Move) -> Option<Call> {
    let (deal, terms) = (it.agreement.deal, it.agreement.terms.document.clone());
    match wanted {
        Move::Settle => {
            let delivery = it.delivery.as_ref()?;
            let proof = Cosigned {
                receipt: delivery.receipt.document.clone(),
                renter: it.signature,
                provider: Some(delivery.receipt.signature),
            };
            Some(Call::Settle { terms, proof })
        }
        Move::Stop => {
            let intent = world.intent(&Purpose::Stop { deal });
            Some(Call::Stop { terms, intent })
        }
        Move::Contest => {
            let intent = world.intent(&Purpose::Contest { deal });
            Some(Call::Contest { terms, intent })
        }
        Move::Finalize => Some(Call::Finalize { terms }),
        Move::Expire => Some(Call::Expire { terms }),
        Move::Wait | Move::Done | Move::Claim { .. } => None,
    }
}

fn again(it: &Judged, receipt: &market::Receipt) -> CountersignAnswer {
    let same = it.delivery.as_ref().is_some_and(|delivery| delivery.receipt.document == *receipt);
    match (&it.verdict, it.signature) {
        (Verdict::Pay, Some(signature)) if same => CountersignAnswer::Signed { signature },
        (Verdict::Pay, _) => {
            CountersignAnswer::Refused { why: "another terminal receipt is signed already".into() }
        }
        (Verdict::Refuse { why }, _) => CountersignAnswer::Refused { why: why.clone() },
    }
}
