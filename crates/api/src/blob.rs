//! `/v1/blobs`: inputs on their way to a job, outputs on their way back.

use std::io;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::TryStreamExt;
use primitives::{Bytes, Digest};
use store::Expect;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::{answer::StoredBlob, problem::Problem, request::Named, world::World};

/// The largest blob taken; the store's own limit may be lower.
const LARGEST: Bytes = Bytes::gibi(1_024);

/// The bytes of a blob; without a body for HEAD.
pub(crate) async fn blob_view(
    State(world): State<World>,
    Named(name): Named<String>,
) -> Result<Response, Problem> {
    let (digest, size) = kept(&world, &name).await?;
    let stream = ReaderStream::new(world.blobs.get(&digest).await?);
    Ok((described(size), Body::from_stream(stream)).into_response())
}

/// Whether a blob is kept, and how large it is.
pub(crate) async fn blob_head(
    State(world): State<World>,
    Named(name): Named<String>,
) -> Result<Response, Problem> {
    let (_, size) = kept(&world, &name).await?;
    Ok(described(size).into_response())
}

/// Store the bytes that this digest names.
pub(crate) async fn blob_put(
    State(world): State<World>,
    Named(name): Named<String>,
    body: Body,
) -> Result<(StatusCode, Json<StoredBlob>), Problem> {
    store(&world, body, Expect::exactly(digest(&name)?, LARGEST)).await
}

/// Store bytes and learn their digest.
pub(crate) async fn blob_create(
    State(world): State<World>,
    body: Body,
) -> Result<(StatusCode, Json<StoredBlob>), Problem> {
    store(&world, body, Expect::any(LARGEST)).await
}

async fn store(
    world: &World,
    body: Body,
    expect: Expect,
) -> Result<(StatusCode, Json<StoredBlob>), Problem> {
    let pieces = body.into_data_stream().map_err(io::Error::other);
    let mut content = StreamReader::new(pieces);
    let blob = world.blobs.put(&mut content, expect).await?;
    Ok((StatusCode::CREATED, Json(StoredBlob { digest: blob.digest, size: blob.size })))
}

async fn kept(world: &World, name: &str) -> Result<(Digest, Bytes), Problem> {
    let digest = digest(name)?;
    let size = world.blobs.size(&digest).await?;
    let none = || Problem::unknown(format!("no blob {digest} is kept here"));
    Ok((digest, size.ok_or_else(none)?))
}

fn digest(text: &str) -> Result<Digest, Problem> {
    text.parse().map_err(|flaw| Problem::malformed(format!("{flaw}")))
}

fn described(size: Bytes) -> [(header::HeaderName, String); 2] {
    [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.0.to_string()),
    ]
}
