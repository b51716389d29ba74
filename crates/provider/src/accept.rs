//! Offered -> Assigned: a firm bid waits for its deal to open and for its work.
//!
//! Upon tasks with the work: they are taken when the deal is open on our own view at the network's
//! depth; until then the gateway hears `NotYet`, after a moment of waiting for the next block. Upon
//! a stop of an open deal: nothing ran, and a terminal receipt says so, so that it settles at once.
//! Upon a final block later than `acceptBy` without the deal, or upon its cancel: the bid has
//! lapsed. Upon a deal that is open and never assigned: the exits, with nothing in hand, until it
//! is settled.
//!
//! Invariant: nothing is prepared for a deal that the network could still take back.

use std::{pin::pin, time::Duration};

use market::{
    LeaseFact, Slot, State,
    document::{Command, Signed},
    fact::Agreement,
    message::{Assignment, CommandAnswer},
    stage::Ended,
    task::Load,
};
use tokio::time::Instant;

use crate::{
    assign::{Standing, news},
    error::Error,
    exits,
    inbox::{Answer, Handed, Inbox, Wanted, refuse},
    line::Stride,
    outside::next_head,
    terminal::{self, End},
    world::Workshop,
};

/// How long an assignment waits here for its deal to be seen open.
const WAIT: Duration = Duration::from_secs(1);
/// How often the slot is looked at meanwhile.
const OFTEN: Duration = Duration::from_millis(20);
/// How often it is looked at while nobody waits and no block comes.
const SELDOM: Duration = Duration::from_secs(10);

/// Tasks that came before their deal was seen open.
struct Waiting {
    commands: Vec<Signed<Command>>,
    assignment: Box<Assignment>,
    answer: Answer,
    until: Instant,
}

pub(crate) async fn work(
    shop: &Workshop,
    agreement: &Agreement,
    inbox: &mut Inbox,
) -> Result<Stride, Error> {
    let mut heads = shop.world.settlement.heads();
    let (plaza, rules) = (shop.world.settlement.plaza(), &shop.config.rules);
    let mut waiting: Option<Waiting> = None;
    let nothing = nothing_ran(agreement);
    let mut settled = pin!(exits::take(shop, &nothing));
    loop {
        let slot = shop.slot(agreement.deal).await?;
        if has_lapsed(shop, agreement, &slot).await? {
            return Ok(Stride::of(LeaseFact::Lapsed));
        }
        let opened = slot.state != State::None;
        waiting = match waiting {
            None => None,
            Some(it) => match take(shop, agreement, &slot, it) {
                Taken::Yes(stride) => return Ok(*stride),
                Taken::NotYet(it) => Some(it),
                Taken::Never => None,
            },
        };
        let pause = if waiting.is_some() { OFTEN } else { SELDOM };
        tokio::select! {
            biased;
            (wanted, answer) = inbox.next(agreement, &plaza, rules) => match wanted {
                Wanted::Tasks(handed) => match first(*handed) {
                    Ok((commands, assignment)) => {
                        let until = Instant::now() + WAIT;
                        waiting = Some(Waiting { commands, assignment, answer, until });
                    }
                    Err(why) => refuse(answer, why),
                },
                Wanted::Stop if slot.state == State::Open => {
                    let fact = terminal::sign(shop, agreement, End::stopped_before(), &[], Vec::new());
                    return Ok(Stride { facts: vec![fact], answer: Some(answer) });
                }
                Wanted::Stop if slot.state == State::None => {
                    drop(answer.send(CommandAnswer::NotYet));
                }
                Wanted::Stop => refuse(answer, "nothing was begun under this deal, and nothing will be"),
            },
            fact = &mut settled, if opened => return Ok(Stride::of(fact)),
            () = next_head(&mut heads, pause) => {}
        }
    }
}

/// The first tasks of a lease, with the work.
fn first(handed: Handed) -> Result<(Vec<Signed<Command>>, Box<Assignment>), String> {
    let Handed { commands, assignment } = handed;
    let assignment = Box::new(assignment.ok_or("the work is missing")?);
    let standing = Standing {
        work: &assignment.work,
        spec: assignment.work.digest(assignment.salt),
        load: &Load::default(),
        stop: false,
    };
    Ok((news(standing, commands)?, assignment))
}

/// What the exits stand on while no work was ever assigned.
fn nothing_ran(agreement: &Agreement) -> Ended {
    Ended {
        agreement: agreement.clone(),
        load: Load::default(),
        samples: Vec::new(),
        last: None,
        delivery: None,
        renter: None,
        abandoned: None,
    }
}

enum Taken {
    Yes(Box<Stride>),
    NotYet(Waiting),
    Never,
}

fn take(shop: &Workshop, agreement: &Agreement, slot: &Slot, it: Waiting) -> Taken {
    match slot.state {
        State::Open => match shop.floor.keep(agreement, shop.world.clock.now()) {
            Ok(()) => {
                let Waiting { commands, assignment, answer, .. } = it;
                let fact = LeaseFact::Assigned { commands, assignment: Some(assignment) };
                Taken::Yes(Box::new(Stride { facts: vec![fact], answer: Some(answer) }))
            }
            Err(_) => {
                refuse(it.answer, "the deal opened so late that its capacity was given away");
                Taken::Never
            }
        },
        State::None if Instant::now() < it.until => Taken::NotYet(it),
        State::None => {
            drop(it.answer.send(CommandAnswer::NotYet));
            Taken::Never
        }
        _ => {
            refuse(it.answer, "the deal is not open any more");
            Taken::Never
        }
    }
}

/// Whether the bid can be opened no more.
async fn has_lapsed(shop: &Workshop, agreement: &Agreement, slot: &Slot) -> Result<bool, Error> {
    let accept_by = agreement.terms.document.accept_by;
    match slot.state {
        State::Cancelled => Ok(true),
        State::None => {
            let head = shop.world.settlement.head().await;
            let head =
                head.map_err(|source| Error::Chain { operation: "reading the head", source })?;
            // A chain without blocks shows nothing; a quarter of an hour of our own shows enough.
            let own = shop.world.clock.now() > accept_by.plus(shop.config.rules.preparation);
            Ok(head.time > accept_by || own)
        }
        State::Open | State::Stopped | State::Claimed | State::Settled => Ok(false),
    }
}
