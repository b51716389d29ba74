//! The provider's side of the exits, taken level-triggered until the chain says settled.
//!
//! Upon any state of the slot: `market::exit` names the wanted move; it is sent, and the slot is
//! looked at again. Upon a settled slot: the closing at the network's depth is the last fact of the
//! chain. With both signatures on a terminal receipt the gateway settles too; it is let go first.

use std::time::Duration;

use market::{
    LeaseFact, Outcome, Receipt, Signed, Slot, State,
    exit::{Move, ProviderSide, provider_move},
    stage::Ended,
};
use primitives::{Seconds, Signature, UnixSeconds};
use settlement::{Call, Cosigned, Sent};
use tokio::time::{Instant, sleep};

use crate::{
    error::{Error, story},
    outside::{next_head, settled},
    world::Workshop,
};

/// The shortest and the longest time between two looks at a slot while no block comes.
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(30);

/// Take the exits until the deal is settled.
pub(crate) async fn take(shop: &Workshop, it: &Ended) -> LeaseFact {
    let mut heads = shop.world.settlement.heads();
    let courtesy = Instant::now() + shop.config.rules.receipt_interval.duration();
    loop {
        match look(shop, it, courtesy).await {
            Ok(Looked::Settled(fact)) => return *fact,
            Ok(Looked::Moved) => {}
            Ok(Looked::Wait(span)) => next_head(&mut heads, span).await,
            Err(error) => {
                shop.floor.trouble(story(&error));
                sleep(OFTEN).await;
            }
        }
    }
}

enum Looked {
    Settled(Box<LeaseFact>),
    Moved,
    Wait(Duration),
}

async fn look(shop: &Workshop, it: &Ended, courtesy: Instant) -> Result<Looked, Error> {
    let deal = it.agreement.deal;
    let slot = shop.slot(deal).await?;
    if slot.state == State::Settled {
        let fact = settled(shop, deal).await?;
        return Ok(fact.map_or(Looked::Wait(OFTEN), |fact| Looked::Settled(Box::new(fact))));
    }
    let time = shop.time().await?;
    let (terms, windows) = (&it.agreement.terms.document, shop.world.settlement.windows());
    let wanted = provider_move(&slot, terms, &windows, time, side(it));
    if wanted == Move::Settle && Instant::now() < courtesy {
        return Ok(Looked::Wait(courtesy - Instant::now()));
    }
    let Some(call) = call(it, &wanted) else { return Ok(Looked::Wait(pause(&slot, it, time))) };
    let sent = shop.world.settlement.send(call).await;
    match sent.map_err(|source| Error::Chain { operation: "taking an exit", source })? {
        Sent::Done(_) => Ok(Looked::Moved),
        Sent::Refused(refusal) => {
            tracing::debug!(%deal, %refusal, "looking again");
            Ok(Looked::Wait(OFTEN))
        }
    }
}

/// How long the slot is let alone while no block comes.
fn pause(slot: &Slot, it: &Ended, time: UnixSeconds) -> Duration {
    let next = match slot.state {
        State::Stopped | State::Claimed => slot.until,
        _ => it.agreement.terms.document.expiry,
    };
    next.since(time).duration().clamp(OFTEN, SELDOM)
}

/// What this side holds.
fn side(it: &Ended) -> ProviderSide<'_> {
    let terminal = it.delivery.as_ref().map(|delivery| &delivery.receipt.document);
    let running = it.last.as_ref().map(|(receipt, _)| &receipt.document);
    // Whoever signed that the run was its own fault, and free, asks for nothing.
    let waived = terminal.is_some_and(|receipt| {
        receipt.outcome == Outcome::ProviderFault && receipt.amount == primitives::Amount::ZERO
    });
    ProviderSide {
        terminal: terminal.filter(|_| it.renter.is_some()),
        running: running.filter(|_| !waived),
        unsigned: if waived { Seconds(0) } else { it.abandoned.unwrap_or_else(|| unsigned(it)) },
        wants_out: it.abandoned.is_some(),
    }
}

/// Seconds of the terminal receipt beyond the last co-signed one; none that were our fault.
pub(crate) fn unsigned(it: &Ended) -> Seconds {
    let last = it.last.as_ref().map_or(Seconds(0), |(receipt, _)| receipt.document.seconds);
    let ran = it.delivery.as_ref().map(|delivery| &delivery.receipt.document);
    match ran {
        Some(receipt) if receipt.outcome != Outcome::ProviderFault => {
            Seconds(receipt.seconds.0.saturating_sub(last.0))
        }
        _ => Seconds(0),
    }
}

fn call(it: &Ended, wanted: &Move) -> Option<Call> {
    let terms = it.agreement.terms.document.clone();
    match wanted {
        Move::Settle => {
            let receipt = &it.delivery.as_ref()?.receipt;
            Some(Call::Settle { terms, proof: cosigned(receipt, it.renter?) })
        }
        Move::Claim { extra } => {
            let (receipt, renter) = it.last.as_ref()?;
            Some(Call::Claim { terms, proof: Some(cosigned(receipt, *renter)), extra: *extra })
        }
        Move::Finalize => Some(Call::Finalize { terms }),
        Move::Expire => Some(Call::Expire { terms }),
        Move::Wait | Move::Stop | Move::Contest | Move::Done => None,
    }
}

fn cosigned(receipt: &Signed<Receipt>, renter: Signature) -> Cosigned {
    Cosigned {
        receipt: receipt.document.clone(),
        renter: Some(renter),
        provider: Some(receipt.signature),
    }
}
