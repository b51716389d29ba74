//! JSON-RPC: the one way to a chain, and the HTTP form of it.
//!
//! Not here: chains in this process and tunnels through a gateway; the binary brings those.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::error::{Error, RpcError};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(20);

/// HTTP statuses of one that could answer later: too many requests, and gateways without a node.
const LATER: [u16; 4] = [429, 502, 503, 504];

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
        let tls = tls(url.scheme()).map_err(|error| Error::Url { why: error.to_string() })?;
        let builder = builder.tls_backend_preconfigured(tls);
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
        // Whatever stands in front of the node speaks here, even where it speaks JSON.
        if LATER.contains(&status.as_u16()) {
            return Err(self.unreachable(format!("HTTP status {status}")));
        }
        match response.json::<Value>().await {
            Ok(answer) => read_answer(&self.endpoint, answer),
            Err(_) if !status.is_success() => {
                Err(self.unreachable(format!("HTTP status {status}")))
            }
            Err(error) => Err(self.unreachable(words(&error))),
        }
    }
}

/// Whom a connection trusts: the authorities this machine trusts, and in the clear nobody.
fn tls(scheme: &str) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match scheme {
        "https" => builder.with_platform_verifier()?,
        _ => builder.with_root_certificates(RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}

/// What a JSON-RPC answer says: the result, or the node's error.
///
/// # Errors
/// [`RpcError::Refused`] for an answer with an error, [`RpcError::Unreachable`] for one with
/// neither.
pub fn read_answer(endpoint: &str, mut answer: Value) -> Result<Value, RpcError> {
    let endpoint = endpoint.to_owned();
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        let data = error.get("data").and_then(revert_data);
        return Err(RpcError::Refused { endpoint, code, message, data });
    }
    let why = || "its answer has no result".to_owned();
    let result = answer.get_mut("result").map(Value::take);
    result.ok_or_else(|| RpcError::Unreachable { endpoint, why: why() })
}

/// The hexadecimal bytes in the `data` of an error: alone, after a word, or in an object, depending
/// on the node.
fn revert_data(data: &Value) -> Option<String> {
    match data {
        Value::String(text) => {
            let start = text.find("0x").unwrap_or(0);
            text[start..].split_whitespace().next().map(str::to_owned)
        }
        Value::Object(members) => ["data", "result", "originalError"]
            .iter()
            .find_map(|name| revert_data(members.get(*name)?)),
        _ => None,
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
