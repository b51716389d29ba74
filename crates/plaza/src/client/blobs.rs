//! Blobs at a gateway, as a store like any other: packing writes to it, unpacking reads from it.

use std::io;

use api::StoredBlob;
use async_trait::async_trait;
use futures::TryStreamExt as _;
use primitives::{Bytes, Digest, Hasher};
use reqwest::{Body, Method, Response};
use store::{Blob, Blobs, Error, Expect, Reader};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_util::io::{ReaderStream, StreamReader};

use super::{Client, answered};
use crate::failure::Failure;

/// The blobs at a gateway.
#[derive(Clone, Debug)]
pub(crate) struct RemoteBlobs(pub(crate) Client);

/// How many bytes are under way between reading and sending.
const PIPE: usize = 256 << 10;

#[async_trait]
impl Blobs for RemoteBlobs {
    async fn put(
        &self,
        content: &mut (dyn AsyncRead + Send + Unpin),
        expect: Expect,
    ) -> Result<Blob, Error> {
        let what = named(expect.digest);
        let (into, from) = tokio::io::duplex(PIPE);
        let body = Body::wrap_stream(ReaderStream::new(from));
        let request = match expect.digest {
            Some(digest) => self.0.request(Method::PUT, &format!("v1/blobs/{digest}")),
            None => self.0.request(Method::POST, "v1/blobs"),
        };
        let send = async {
            let response = answered(request.body(body)).await.map_err(|why| failed(&what, &why))?;
            let bytes =
                response.bytes().await.map_err(|why| unread(&what, io::Error::other(why)))?;
            serde_json::from_slice::<StoredBlob>(&bytes).map_err(|why| unread(&what, why.into()))
        };
        let (read, sent) = tokio::join!(copy(content, into, expect.limit), send);
        let Copied { found, size } = match read.map_err(|why| unread(&what, why))? {
            Some(copied) => copied,
            None => return Err(Error::TooLarge { what, limit: expect.limit }),
        };
        match sent {
            Ok(stored) if stored.digest == found => Ok(Blob { digest: found, size }),
            Ok(stored) => Err(Error::Mismatch { expected: found, found: stored.digest }),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, digest: &Digest) -> Result<Reader, Error> {
        let response = self.ask(Method::GET, digest).await?;
        Ok(Box::new(StreamReader::new(response.bytes_stream().map_err(io::Error::other))))
    }

    async fn size(&self, digest: &Digest) -> Result<Option<Bytes>, Error> {
        let response = match self.ask(Method::HEAD, digest).await {
            Err(Error::Absent { .. }) => return Ok(None),
            answer => answer?,
        };
        let length = response.headers().get("content-length");
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(length.map(Bytes))
    }

    async fn remove(&self, digest: &Digest) -> Result<bool, Error> {
        let why = io::Error::other("a gateway's blobs are removed by the gateway alone");
        Err(unread(&named(Some(*digest)), why))
    }
}

impl RemoteBlobs {
    async fn ask(&self, method: Method, digest: &Digest) -> Result<Response, Error> {
        let request = self.0.request(method, &format!("v1/blobs/{digest}"));
        let response = request.send().await;
        let response =
            response.map_err(|why| unread(&named(Some(*digest)), io::Error::other(why)))?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Err(Error::Absent { digest: *digest });
        }
        let why = |why: reqwest::Error| unread(&named(Some(*digest)), io::Error::other(why));
        response.error_for_status().map_err(why)
    }
}

struct Copied {
    found: Digest,
    size: Bytes,
}

/// Pass content on and learn its digest; `None` when it is longer than `limit`, and then what was
/// passed on is cut.
async fn copy(
    content: &mut (dyn AsyncRead + Send + Unpin),
    mut into: DuplexStream,
    limit: Bytes,
) -> io::Result<Option<Copied>> {
    let (mut hasher, mut size) = (Hasher::default(), 0u64);
    let mut piece = vec![0; PIPE];
    loop {
        let read = content.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        size += read as u64;
        if size > limit.0 {
            return Ok(None);
        }
        hasher.update(&piece[..read]);
        if into.write_all(&piece[..read]).await.is_err() {
            // The other side has ended the request; what it says about that is the better answer.
            break;
        }
    }
    Ok(Some(Copied { found: hasher.finish(), size: Bytes(size) }))
}

fn named(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "a blob".to_owned(), |digest| format!("blob {digest}"))
}

fn unread(what: &str, source: io::Error) -> Error {
    Error::Content { what: what.to_owned(), source }
}

fn failed(what: &str, failure: &Failure) -> Error {
    unread(what, io::Error::other(failure.sentence()))
}
