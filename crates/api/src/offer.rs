//! `/v1/offers`: the book.

use axum::{Json, extract::State};
use primitives::Digest;

use crate::{
    answer::{Listed, Offers},
    problem::Problem,
    request::Named,
    world::World,
};

/// Every valid offer.
pub(crate) async fn offer_list(State(world): State<World>) -> Json<Offers> {
    Json(Offers { offers: world.broker.offers().into_iter().map(Listed::from).collect() })
}

/// One offer.
pub(crate) async fn offer_view(
    State(world): State<World>,
    Named(name): Named<String>,
) -> Result<Json<Listed>, Problem> {
    let wanted: Digest = name.parse().map_err(|flaw| Problem::malformed(format!("{flaw}")))?;
    let found = world.broker.offers().into_iter().find(|listing| listing.digest == wanted);
    let none = || Problem::unknown(format!("no offer {wanted} is in the book"));
    found.map(|listing| Json(listing.into())).ok_or_else(none)
}
