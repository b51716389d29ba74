//! `/v1/balances`: what an account has.

use axum::{Json, extract::State};
use primitives::Address;

use crate::{answer::Balance, problem::Problem, request::Named, world::World};

/// What an account has in the network's stablecoin.
pub(crate) async fn balance_view(
    State(world): State<World>,
    Named(name): Named<String>,
) -> Result<Json<Balance>, Problem> {
    let account: Address = name.parse().map_err(|_| {
        Problem::malformed(format!("'{name}' is no account: expected 0x and 40 hexadecimal digits"))
    })?;
    let token = world.descriptor.contracts.token;
    // Whoever asks may have moved money just now.
    world.settlement.head().await?;
    let found = world.settlement.balances(token, account).await?;
    Ok(Json(Balance { account, wallet: found.wallet, escrow: found.escrow }))
}
