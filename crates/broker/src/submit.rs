//! Accepting an order: everything that can be checked before a provider is asked.

use market::{Domain, Session, Signed, document::Order, fact::Submission};
use primitives::{Amount, JobId, UnixSeconds};

use crate::{refusal::Refusal, world::World};

/// Check an order, whose digest is `id`, and the content behind it.
pub(crate) fn check(world: &World, id: JobId, it: &Submission) -> Result<(), Refusal> {
    let Signed { document: order, signature } = &it.order;
    if !signature.is_by(order.renter, id.0) {
        return Err(Refusal::NotSigned(format!(
            "the order must be signed by its renter {} under {}",
            order.renter,
            domain(&world.plaza())
        )));
    }
    addressed_here(world, order)?;
    granted(world, it)?;
    not_expired(order, world.clock.now())?;
    consistent(it)?;
    if order.time_limit > world.rules.longest_deal {
        let longest = world.rules.longest_deal;
        return Err(Refusal::field("time_limit", &format!("is above the longest deal, {longest}")));
    }
    match it.work.flaw(world.rules.longest_deal) {
        Some(flaw) => Err(flaw.into()),
        None => Ok(()),
    }
}

fn addressed_here(world: &World, order: &Order) -> Result<(), Refusal> {
    if order.gateway != world.account {
        return Err(Refusal::field("gateway", &format!("this gateway is {}", world.account)));
    }
    if order.renter_key != world.signer.address() {
        let ours = world.signer.address();
        return Err(Refusal::field("renter_key", &format!("this gateway signs with {ours}")));
    }
    if order.token != world.token {
        return Err(Refusal::field("token", &format!("deals here are paid in {}", world.token)));
    }
    Ok(())
}

/// The session that the order names comes with it, is the renter's leave for this gateway's key, and
/// holds for as long as the order does.
fn granted(world: &World, it: &Submission) -> Result<(), Refusal> {
    let (order, escrow) = (&it.order.document, world.escrow());
    let Some(session) = &it.session else {
        return match order.session.is_zero() {
            true => Ok(()),
            false => Err(Refusal::field("session", "must come with an order that names one")),
        };
    };
    let Session { renter, key, token, max_rate, expiry, .. } = &session.document;
    let flaws = [
        (session.document.id(&escrow).0 != order.session, "is not the one that the order names"),
        (*renter != order.renter, "is another renter's"),
        (*key != order.renter_key, "is for another key than this gateway's"),
        (*token != order.token, "is for another token"),
        (*max_rate < order.max_rate, "does not allow the price that the order does"),
        (*expiry < order.expiry, "ends before the order"),
    ];
    if let Some((_, why)) = flaws.iter().find(|(flawed, _)| *flawed) {
        return Err(Refusal::field("session", why));
    }
    if session.is_granted(&escrow) {
        return Ok(());
    }
    Err(Refusal::NotSigned(format!(
        "the session must be signed by its renter {renter} under {}",
        domain(&escrow)
    )))
}

/// What the chain knows of the order's session: nothing is placed in one that is over. While the
/// chain is away nobody knows, and placing looks again.
pub(crate) async fn is_live(world: &World, it: &Submission) -> Result<(), Refusal> {
    let Some(Signed { document: session, .. }) = &it.session else { return Ok(()) };
    let Ok(kept) = world.settlement.session(session.id(&world.escrow())).await else {
        return Ok(());
    };
    if kept.revoked {
        return Err(Refusal::field("session", "is revoked"));
    }
    if kept.left(session, world.seen_time()) == Amount::ZERO {
        return Err(Refusal::field("session", "has nothing left of its cap"));
    }
    Ok(())
}

fn not_expired(order: &Order, now: UnixSeconds) -> Result<(), Refusal> {
    if now < order.expiry { Ok(()) } else { Err(Refusal::TooLate("the order has expired".into())) }
}

fn consistent(it: &Submission) -> Result<(), Refusal> {
    let (order, work) = (&it.order.document, &it.work);
    let checks = [
        ("spec", order.spec == work.digest(it.salt)),
        (
            "resources",
            work.bundle()
                .is_some_and(|bundle| order.resources == market::work::salted(it.salt, &bundle)),
        ),
        (
            "time_limit",
            match work.array {
                None => order.time_limit == work.time_limit,
                Some(_) => order.time_limit >= work.time_limit,
            },
        ),
        ("output_limit", order.output_limit == work.output_limit.0),
    ];
    match checks.into_iter().find(|(_, same)| !same) {
        Some((field, _)) => {
            Err(Refusal::field(field, "does not match the work sent with the order"))
        }
        None => Ok(()),
    }
}

fn domain(domain: &Domain) -> String {
    format!("chain {} and contract {}", domain.chain_id, domain.contract)
}
