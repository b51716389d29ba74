//! Accepting an order: everything that can be checked before a provider is asked.

use market::{Domain, Signed, document::Order, fact::Submission};
use primitives::{JobId, UnixSeconds};

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
    not_expired(order, world.clock.now())?;
    consistent(it)?;
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
    if !order.session.is_zero() {
        return Err(Refusal::field("session", "sessions are not available on this network"));
    }
    if order.token != world.token {
        return Err(Refusal::field("token", &format!("deals here are paid in {}", world.token)));
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
        ("resources", order.resources == market::work::salted(it.salt, &work.wish)),
        ("time_limit", order.time_limit == work.time_limit),
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
