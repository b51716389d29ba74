//! `/v1/quote`: what a machine like this would cost now.

use axum::extract::State;
use market::quote::{Inquiry, Quote};

use crate::{request::Json, world::World};

/// The offers that serve, cheapest first, and why the others do not.
pub(crate) async fn quote(
    State(world): State<World>,
    Json(inquiry): Json<Inquiry>,
) -> axum::Json<Quote> {
    axum::Json(world.broker.quote(&inquiry))
}
