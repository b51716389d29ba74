//! Signed -> Open: the money is locked, or it is certain that it never will be.
//!
//! Upon an unopened slot: send `open` while `acceptBy` lasts; a vanished transaction is sent again.
//! Upon an opened one: it became a fact at the network's depth, whoever sent it.
//! Upon a block at the network's depth later than `acceptBy` with the slot unopened, or upon the
//! newest block refusing the call for its time: void. Our own clock decides nothing here.
//!
//! The call is simulated before it is sent, so a refusal leaves no transaction with the renter's
//! consent in it for others to replay.

use market::{DealFact, State, escrow::Revert, stage::Signed};
use settlement::{Call, Reason, Sent};

use crate::{
    error::Error,
    line::Stride,
    world::{AGAIN, World},
};

pub(crate) async fn escrow(world: &World, it: &Signed) -> Result<Stride, Error> {
    let (deal, terms) = (it.agreement.deal, &it.agreement.terms.document);
    let chain = Error::settlement(deal);
    loop {
        let head = world.settlement.head().await.map_err(&chain)?;
        let slot = world.settlement.slot(deal).await.map_err(&chain)?;
        match slot.state {
            State::None if head.time > terms.accept_by => return Ok(Stride::failed(LATE)),
            State::Cancelled => return Ok(Stride::failed("the renter cancelled the deal")),
            State::None => {
                let call = Call::Open {
                    terms: terms.clone(),
                    bid: it.agreement.terms.signature,
                    consent: it.consent.clone(),
                };
                match world.settlement.send(call).await.map_err(&chain)? {
                    // Open already, on blocks that are not yet at the network's depth.
                    Sent::Refused(refusal) if refusal.is_wrong_state() => {}
                    // Too late on the newest block: it will be so on every later one.
                    Sent::Refused(refusal)
                        if refusal.reason == Reason::Table(Revert::WrongTime) =>
                    {
                        return Ok(Stride::failed(LATE));
                    }
                    Sent::Refused(refusal) => return Ok(Stride::failed(explain(&refusal))),
                    Sent::Done(_) => {}
                }
            }
            _ => {}
        }
        if let Some(opening) = world.settlement.opening(deal).await.map_err(&chain)? {
            return Ok(Stride::of(DealFact::Opened(opening)));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

const LATE: &str = "the deal was not opened before the bid ran out";

fn explain(refusal: &settlement::Refusal) -> String {
    match refusal.reason {
        Reason::Funds | Reason::Authorization => {
            format!("the renter's wallet does not cover what the deal puts aside ({refusal})")
        }
        Reason::Session(breach) => format!("the renter's session does not allow it: {breach}"),
        _ => format!("the escrow refused to open the deal: {refusal}"),
    }
}
