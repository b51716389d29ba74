//! The server: which function answers which request, and how it begins and ends.

use std::{future::Future, io};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef},
    middleware,
    routing::{get, post},
};
use tokio::net::TcpListener;

use crate::{
    balance, blob, deal, fact,
    guard::{Access, guard},
    idempotency::Idempotency,
    job, network, offer, printed,
    problem::Problem,
    quote, rpc,
    seller::{self, Seller},
    task,
    world::World,
};

/// The longest JSON document taken, in bytes: four times what `execve` takes, since JSON may
/// escape every byte of a command.
const DOCUMENT: usize = 8 << 20;

#[derive(Clone)]
struct Shared {
    world: World,
    keys: Idempotency,
}

impl FromRef<Shared> for World {
    fn from_ref(shared: &Shared) -> Self {
        shared.world.clone()
    }
}

impl FromRef<Shared> for Idempotency {
    fn from_ref(shared: &Shared) -> Self {
        shared.keys.clone()
    }
}

/// The resources of a gateway.
pub fn gateway(world: World) -> Router {
    let blobs = Router::new()
        .route("/v1/blobs", post(blob::blob_create))
        .route("/v1/blobs/{digest}", get(blob::blob_view).head(blob::blob_head).put(blob::blob_put))
        .layer(DefaultBodyLimit::disable());
    let documents = Router::new()
        .route("/healthz", get(network::health))
        .route("/rpc", post(rpc::rpc))
        .route("/v1/network", get(network::network_view))
        .route("/v1/offers", get(offer::offer_list))
        .route("/v1/offers/{digest}", get(offer::offer_view))
        .route("/v1/quote", post(quote::quote))
        .route("/v1/jobs", get(job::job_list).post(job::job_create))
        .route("/v1/jobs/{job}", get(job::job_view))
        .route("/v1/jobs/{job}/tasks", get(task::task_list))
        .route("/v1/jobs/{job}/facts", get(fact::fact_feed))
        .route("/v1/jobs/{job}/outputs/{output}", get(printed::output_feed))
        .route("/v1/jobs/{job}/stop", post(job::job_stop))
        .route("/v1/deals/{deal}/consent", post(deal::deal_consent))
        .route("/v1/deals/{deal}/receipt", get(deal::deal_receipt))
        .route("/v1/balances/{account}", get(balance::balance_view))
        .layer(DefaultBodyLimit::max(DOCUMENT));
    documents.merge(blobs).with_state(Shared { world, keys: Idempotency::default() })
}

/// The resources of a provider, for its owner.
pub fn seller(seller: Seller) -> Router {
    Router::new()
        .route("/v1/provider", get(seller::provider_view))
        .route("/v1/provider/earnings", get(seller::provider_earnings))
        .route("/v1/provider/drain", post(seller::provider_drain))
        .route("/v1/provider/withdraw", post(seller::provider_withdraw))
        .layer(DefaultBodyLimit::max(DOCUMENT))
        .with_state(seller)
}

/// Answer requests for `resources` until `end` comes, then finish those that were begun.
///
/// Feeds of jobs that go on end when the process does: whoever awaits this sets a bound.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    resources: Router,
    access: Access,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let guarded = resources
        .fallback(|uri: axum::http::Uri| async move {
            Problem::unknown(format!("there is no resource {}", uri.path()))
        })
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(middleware::from_fn_with_state(access, guard));
    axum::serve(listener, guarded).with_graceful_shutdown(end).await
}
