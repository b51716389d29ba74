//! `/v1/network`, `/healthz`: which network this is, and that it answers.

use axum::{Json, extract::State};

use crate::{answer::Network, problem::Problem, world::World};

/// The network, as anyone may know it.
pub(crate) async fn network_view(State(world): State<World>) -> Result<Json<Network>, Problem> {
    let head = world.settlement.head().await?;
    let descriptor = world.descriptor.as_ref().clone();
    Ok(Json(Network {
        local: profile::Profile::is_local(descriptor.chain_id),
        descriptor,
        account: world.account,
        signer: world.broker.signer(),
        block: head.number,
    }))
}

/// That this server answers.
pub(crate) async fn health() -> &'static str {
    "ok\n"
}
