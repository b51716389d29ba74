//! Ways to a chain's JSON-RPC besides HTTP: the chain in this process, and the tunnel through a
//! gateway.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use chain::Chain;
use market::message::ToGateway;
use net::{Body, Message, Transport};
use primitives::PeerId;
use serde_json::{Value, json};
use settlement::{Rpc, RpcError};
use tokio::sync::{broadcast::error::RecvError, watch};

/// The chain in this process.
#[derive(Clone)]
pub(crate) struct Inside {
    chain: Chain,
    blocks: watch::Receiver<u64>,
}

/// The chain that a gateway leads to, over the connection a provider keeps to it.
pub(crate) struct Tunnelled {
    transport: Arc<dyn Transport>,
    gateway: PeerId,
    next: AtomicU64,
}

/// The longest answer taken through a tunnel, in bytes.
const LONGEST: usize = 64 << 20;

impl Inside {
    /// Ask `chain`, and follow its blocks. Needs a tokio runtime.
    pub(crate) fn new(chain: Chain) -> Self {
        let mut sealed = chain.subscribe();
        let (tell, blocks) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                match sealed.recv().await {
                    Ok(_) | Err(RecvError::Lagged(_)) => tell.send_modify(|count| *count += 1),
                    Err(RecvError::Closed) => return,
                }
                if tell.is_closed() {
                    return;
                }
            }
        });
        Self { chain, blocks }
    }

    /// The chain.
    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }
}

#[async_trait]
impl Rpc for Inside {
    fn endpoint(&self) -> String {
        "the chain of this network".to_owned()
    }

    async fn request(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let answer = self.chain.request(method, params).await;
        answer.map_err(|error| RpcError::Refused {
            endpoint: self.endpoint(),
            code: error.code,
            message: error.message,
            data: error.data.as_ref().and_then(Value::as_str).map(str::to_owned),
        })
    }

    fn blocks(&self) -> Option<watch::Receiver<u64>> {
        Some(self.blocks.clone())
    }
}

#[async_trait]
impl broker::Tunnel for Inside {
    async fn answer(&self, request: Vec<u8>) -> Vec<u8> {
        self.chain.handle(&request).await
    }
}

impl Tunnelled {
    /// Ask through `gateway`.
    pub(crate) fn new(transport: Arc<dyn Transport>, gateway: PeerId) -> Self {
        Self { transport, gateway, next: AtomicU64::new(1) }
    }

    fn unreachable(&self, why: impl ToString) -> RpcError {
        RpcError::Unreachable { endpoint: self.endpoint(), why: why.to_string() }
    }
}

#[async_trait]
impl Rpc for Tunnelled {
    fn endpoint(&self) -> String {
        format!("the chain behind gateway {}", self.gateway)
    }

    async fn request(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let question = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let header = serde_json::to_vec(&ToGateway::Rpc).expect("plain data with string keys");
        let request = Message { header, body: Body::Bytes(question.to_string().into_bytes()) };
        let answer = self.transport.exchange(&self.gateway, request).await;
        let answer = answer.map_err(|error| self.unreachable(error))?;
        let bytes = answer.body.collect(LONGEST).await.map_err(|error| self.unreachable(error))?;
        let mut answer: Value =
            serde_json::from_slice(&bytes).map_err(|error| self.unreachable(error))?;
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
            return Err(RpcError::Refused {
                endpoint: self.endpoint(),
                code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
                message: text("message").unwrap_or_default(),
                data: text("data"),
            });
        }
        let result = answer.get_mut("result").map(Value::take);
        result.ok_or_else(|| self.unreachable("the answer has no result"))
    }
}
