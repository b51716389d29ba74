//! `/v1/network`, `/healthz`: which network this is, and that it answers.

use axum::{Json, extract::State};

use crate::{answer::Network, world::World};

/// The network, as anyone may know it.
pub(crate) async fn network_view(State(world): State<World>) -> Json<Network> {
    // The newest block seen, not one asked for now: we answer while the chain is away, too.
    let head = *world.settlement.heads().borrow();
    let descriptor = world.descriptor.as_ref().clone();
    Json(Network {
        local: profile::Profile::is_local(descriptor.chain_id),
        descriptor,
        account: world.account,
        signer: world.broker.signer(),
        block: head.number,
    })
}

/// That this server answers.
pub(crate) async fn health() -> &'static str {
    "ok\n"
}
