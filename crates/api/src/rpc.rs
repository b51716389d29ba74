//! `/rpc`: the chain's JSON-RPC, so that any Ethereum tool can look at it.

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::header,
    response::{IntoResponse, Response},
};

use crate::{problem::Problem, request::unread, world::World};

/// Ask the chain.
pub(crate) async fn rpc(
    State(world): State<World>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let request = body.map_err(unread)?;
    let answer = (world.rpc)(request.into()).await;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}
