//! `/v1/jobs`: hand in, list, look at and stop jobs.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use market::fact::Submission;

use crate::{
    answer::{Job, Jobs},
    idempotency::Idempotency,
    problem::Problem,
    request::{self, Named},
    world::World,
};

/// Hand in a signed order with the content behind it. The same order is one job however often it
/// is sent; `Idempotency-Key` guards against another order being sent under a key used before.
pub(crate) async fn job_create(
    State(world): State<World>,
    State(keys): State<Idempotency>,
    headers: HeaderMap,
    request::Json(submission): request::Json<Submission>,
) -> Result<impl IntoResponse, Problem> {
    let order = submission.order.document.id(&world.settlement.plaza());
    keys.claim(headers.get("idempotency-key"), order)?;
    let known = world.broker.job(order).is_some();
    let id = world.broker.submit(submission).await?;
    let status = if known { StatusCode::OK } else { StatusCode::CREATED };
    let job: Job = world.job(&id.to_string())?.into();
    Ok((status, [(header::LOCATION, format!("/v1/jobs/{id}"))], Json(job)))
}

/// All jobs, newest first.
pub(crate) async fn job_list(State(world): State<World>) -> Json<Jobs> {
    Json(Jobs { jobs: world.broker.jobs().into_iter().map(Job::from).collect() })
}

/// One job.
pub(crate) async fn job_view(
    State(world): State<World>,
    Named(name): Named<String>,
) -> Result<Json<Job>, Problem> {
    Ok(Json(world.job(&name)?.into()))
}

/// Ask for a job to be ended; it settles what it used.
pub(crate) async fn job_stop(
    State(world): State<World>,
    Named(name): Named<String>,
) -> Result<impl IntoResponse, Problem> {
    let id = world.job(&name)?.id;
    world.broker.stop(id).await?;
    let job: Job = world.job(&id.to_string())?.into();
    Ok((StatusCode::ACCEPTED, Json(job)))
}
