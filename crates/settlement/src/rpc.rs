//! JSON-RPC: the one way to a chain, and the HTTP form of it.
//!
//! Not here: chains in this process and tunnels through a gateway; the binary brings those.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::error::{Error, RpcError};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(20);

/// Something that answers Ethereum JSON-RPC.
#[async_trait]
pub trait Rpc: Send + Sync {
    /// What is asked, for messages; names no credentials.
    fn endpoint(&self) -> String;

    /// Ask one method.
    ///
    /// # Errors
    /// [`RpcError::Unreachable`] when no answer came, [`RpcError::Refused`] when the node answered
    /// with an error.
    async fn request(&self, method: &str, params: Value) -> Result<Value, RpcError>;

    /// Changes whenever the endpoint says that a block was sealed; `None` where it has to be asked.
    fn blocks(&self) -> Option<watch::Receiver<u64>> {
        None
    }
}

/// JSON-RPC by HTTP POST.
pub struct Http {
    client: reqwest::Client,
    url: reqwest::Url,
    endpoint: String,
    next: AtomicU64,
}

impl Http {
    /// The endpoint at `url`. Nothing is asked yet.
    ///
    /// # Errors
    /// When it is no HTTP URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        let url: reqwest::Url =
            url.parse().map_err(|error| Error::Url { why: format!("{error}") })?;
        let Some(host) = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")) else {
            return Err(Error::Url { why: "expected http://HOST or https://HOST".into() });
        };
        // The path is left out as well: hosted nodes keep their keys there.
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let endpoint = format!("{}://{host}{port}", url.scheme());
        let near = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let builder = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER);
        let builder = if near { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|error| Error::Url { why: words(&error) })?;
        Ok(Self { client, url, endpoint, next: AtomicU64::new(1) })
    }

    fn unreachable(&self, why: String) -> RpcError {
        RpcError::Unreachable { endpoint: self.endpoint.clone(), why }
    }
}

#[async_trait]
impl Rpc for Http {
    fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    async fn request(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let sent = self.client.post(self.url.clone()).json(&body).send().await;
        let response = sent.map_err(|error| self.unreachable(words(&error)))?;
        let status = response.status();
        let read = response.json::<Value>().await;
        let mut answer = match read {
            Ok(answer) => answer,
            Err(_) if !status.is_success() => {
                return Err(self.unreachable(format!("HTTP status {status}")));
            }
            Err(error) => return Err(self.unreachable(words(&error))),
        };
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            return Err(refused(&self.endpoint, error));
        }
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(self.unreachable(format!("HTTP status {status} without a result"))),
        }
    }
}

/// The `error` member of a JSON-RPC answer.
fn refused(endpoint: &str, error: &Value) -> RpcError {
    let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    RpcError::Refused {
        endpoint: endpoint.to_owned(),
        code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
        message: text("message").unwrap_or_default(),
        data: text("data"),
    }
}

/// An HTTP failure down to its cause, without the URL.
fn words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
