//! Placing: ask the offers that serve, cheapest first, until one gives a firm bid.
//!
//! Upon a bid: check every term against the order before anyone signs anything. Upon "busy": the
//! search goes on until the order expires. Upon nothing that serves: it ends with the count of offers
//! that fail in each dimension.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use market::{
    DealStage, Outcome, Session, Terms, Verdict, Wish,
    fact::{Agreement, Conclusion, Submission},
    machine::Dimension,
    message::{Bid, BidAnswer, BidRequest, ToProvider, check_bid, within_rules},
    quote::{Inquiry, Quote, Quoted},
};
use primitives::{Address, JobId, PeerId, Seconds};
use tokio::time::Instant;

use crate::{
    ask,
    book::Book,
    error::Error,
    world::{AGAIN, TICK, World},
};

/// What became of the search for a provider.
pub(crate) enum Choice {
    /// A firm bid, checked.
    Chosen(Box<Agreement>),
    /// Nobody, and why.
    Nobody(Conclusion),
}

/// Whom not to ask, and whom to ask last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    /// They failed this job before.
    avoided: BTreeSet<Address>,
    /// They carry a part of it now: others are asked first, so that it spreads.
    used: BTreeSet<Address>,
}

impl Search {
    /// The search for one more provider of a job that has these deals.
    pub(crate) fn after(deals: &[Arc<DealStage>]) -> Self {
        let mut search = Self::default();
        for deal in deals {
            let provider = deal.terms().provider;
            let refused = |verdict: &Verdict| matches!(verdict, Verdict::Refuse { .. });
            let at_fault = deal
                .delivery()
                .is_some_and(|delivery| delivery.outcome() == Outcome::ProviderFault);
            let failed = match deal.as_ref() {
                DealStage::Void { .. } => true,
                DealStage::Judged(it) => refused(&it.verdict),
                DealStage::Settled(it) => refused(&it.verdict),
                _ => false,
            };
            if failed || at_fault {
                search.avoided.insert(provider);
            } else if !deal.is_over() {
                search.used.insert(provider);
            }
        }
        search
    }
}

/// How long an order whose wish nothing in the book meets waits for providers to make themselves
/// known; they do within seconds of connecting.
const GATHERING: Seconds = Seconds(3);

pub(crate) async fn choose(
    world: &World,
    book: &Book,
    job: JobId,
    wanted: &Submission,
    search: Search,
) -> Result<Choice, Error> {
    let order = &wanted.order.document;
    let since = Instant::now();
    // Peers that left a question of this order unanswered are not waited for again.
    let mut silent = BTreeSet::new();
    loop {
        let changed = book.changed();
        let mut quote = ask_book(world, book, wanted);
        let mut refusals = Vec::new();
        let mut busy = false;
        quote.ranked.sort_by_key(|quoted| search.used.contains(&quoted.provider));
        for quoted in &quote.ranked {
            if search.avoided.contains(&quoted.provider) {
                refusals.push(format!("{}: it failed this job before", quoted.provider));
                continue;
            }
            let peer = book.offer(quoted.offer).map(|offer| offer.peer);
            if peer.is_none_or(|peer| silent.contains(&peer)) {
                refusals.push(format!("{}: it does not answer", quoted.provider));
                continue;
            }
            match ask_provider(world, book, job, wanted, quoted).await {
                Ok(Asked::Bid(agreement)) => return Ok(Choice::Chosen(agreement)),
                Ok(Asked::Busy) => busy = true,
                Ok(Asked::Refused(why)) => refusals.push(format!("{}: {why}", quoted.provider)),
                Err(error @ Error::Chain(_)) => return Err(error),
                Err(error) => {
                    if let Error::Silent { peer } = &error {
                        silent.insert(peer.clone());
                    }
                    refusals.push(format!("{}: {error}", quoted.provider));
                }
            }
        }
        if world.clock.now() >= order.expiry {
            return Ok(nobody("no provider was free before the order expired", quote.rejected));
        }
        if !busy && since.elapsed() > GATHERING.duration() {
            return Ok(nobody(&reasons(&quote, &refusals), quote.rejected));
        }
        tokio::select! {
            biased;
            () = changed => {}
            () = tokio::time::sleep(if busy { TICK } else { AGAIN }) => {}
        }
    }
}

fn nobody(why: &str, rejected: BTreeMap<Dimension, usize>) -> Choice {
    Choice::Nobody(Conclusion::Unplaced { why: why.to_owned(), rejected })
}

fn reasons(quote: &Quote, refusals: &[String]) -> String {
    if quote.considered == 0 {
        return "no provider is connected to this gateway".to_owned();
    }
    if quote.ranked.is_empty() {
        return format!("none of {} offers serves the order", quote.considered);
    }
    format!("every provider that serves the order refused: {}", refusals.join("; "))
}

fn ask_book(world: &World, book: &Book, wanted: &Submission) -> Quote {
    let order = &wanted.order.document;
    let inquiry = Inquiry {
        wish: bundle(wanted),
        time_limit: order.time_limit,
        max_rate: Some(order.max_rate),
        token: order.token,
    };
    let connected = world.transport.watch_peers().borrow().clone();
    book.quote(world, &inquiry, &connected, world.clock.now())
}

/// What one deal reserves. Work whose bundle overflows is refused before it gets here.
fn bundle(wanted: &Submission) -> Wish {
    wanted.work.bundle().unwrap_or_else(|| wanted.work.wish.clone())
}

enum Asked {
    Bid(Box<Agreement>),
    Busy,
    Refused(String),
}

async fn ask_provider(
    world: &World,
    book: &Book,
    job: JobId,
    wanted: &Submission,
    quoted: &Quoted,
) -> Result<Asked, Error> {
    let Some(offer) = book.offer(quoted.offer) else {
        return Ok(Asked::Refused("its offer was replaced meanwhile".to_owned()));
    };
    let request = BidRequest {
        order: wanted.order.clone(),
        wish: bundle(wanted),
        salt: wanted.salt,
        deal_salt: (world.salts)(),
        open_fee: world.open_fee,
        close_fee: world.close_fee,
    };
    let question = ToProvider::Bid(Box::new(request.clone()));
    Ok(match ask::provider(world, &offer.peer, &question).await? {
        BidAnswer::Busy { .. } => Asked::Busy,
        BidAnswer::Refused { why } => Asked::Refused(why),
        BidAnswer::Bid(bid) if bid.offer != quoted.offer => {
            Asked::Refused("the bid stands on another offer".to_owned())
        }
        BidAnswer::Bid(bid) => {
            let session = wanted.session.as_ref().map(|session| &session.document);
            check(world, job, &request, session, &offer.peer, *bid).await?
        }
    })
}

async fn check(
    world: &World,
    job: JobId,
    request: &BidRequest,
    session: Option<&Session>,
    peer: &PeerId,
    bid: Bid,
) -> Result<Asked, Error> {
    let escrow = world.escrow();
    let token = request.order.document.token;
    let present = world.settlement.admission(token).await.map_err(Error::chain)?;
    if present.paused {
        return Ok(Asked::Refused("the network has paused new deals".to_owned()));
    }
    let longest = world.time().await.map_err(Error::chain)?.plus(world.settlement.windows().accept);
    if let Err(why) = check_bid(request, &bid, &escrow, job, present.fee, longest) {
        return Ok(Asked::Refused(why));
    }
    let terms = &bid.terms.document;
    if let Err(why) = within_rules(terms, &request.order.document, &world.rules) {
        return Ok(Asked::Refused(why));
    }
    if let Some(why) = unpaid(world, terms, session).await? {
        return Ok(Asked::Refused(why));
    }
    Ok(Asked::Bid(Box::new(Agreement {
        deal: terms.id(&escrow),
        job,
        peer: peer.clone(),
        offer: bid.offer,
        resources: bid.resources,
        salt: bid.salt,
        terms: bid.terms,
    })))
}

/// Why nothing pays what the terms put aside, for people. Without a session the renter's wallet or
/// its balance in the escrow may; in one the balance alone, and no more than the session has left.
async fn unpaid(
    world: &World,
    terms: &Terms,
    session: Option<&Session>,
) -> Result<Option<String>, Error> {
    let funds = world.settlement.balances(terms.token, terms.renter).await.map_err(Error::chain)?;
    let Some(needed) = terms.escrowed() else {
        return Ok(Some("the deal puts aside more than an escrow can hold".to_owned()));
    };
    let Some(session) = session else {
        return Ok((needed > funds.wallet && needed > funds.escrow).then(|| {
            format!(
                "the deal puts aside {needed} units of the token, and renter {} has {} in its \
                 wallet and {} in the escrow",
                terms.renter, funds.wallet, funds.escrow,
            )
        }));
    };
    let kept = world.settlement.session(session.id(&world.escrow())).await.map_err(Error::chain)?;
    let time = world.time().await.map_err(Error::chain)?;
    let left = kept.left(session, time);
    Ok((needed > left || needed > funds.escrow).then(|| {
        format!(
            "the deal puts aside {needed} units of the token, the session has {left} left of its \
             cap, and renter {} has {} in the escrow",
            terms.renter, funds.escrow,
        )
    }))
}
