//! Ways to a chain's JSON-RPC besides HTTP: the chain in this process, and the tunnel through a
//! gateway; and what a gateway passes on to a chain that is somebody else's.

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
use settlement::{Rpc, RpcError, read_answer};
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

/// A chain that is somebody else's, as this network's own people may ask it.
///
/// Upon a method that only reads, or hands over what is signed: it is passed on. Upon any other:
/// refused, since the node and whatever keys it holds are its owner's.
pub(crate) struct Outside(Arc<dyn Rpc>);

/// Methods that are passed on, beside everything that begins with `eth_get`.
const PASSED: [&str; 10] = [
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_maxPriorityFeePerGas",
    "eth_sendRawTransaction",
    "net_version",
    "web3_clientVersion",
];

/// JSON-RPC's codes for what is no request, for a method that is not there, and (EIP-1474) for an
/// answer that may come later.
const INVALID: i64 = -32_600;
const NO_METHOD: i64 = -32_601;
const LATER: i64 = -32_002;

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
        let answer = serde_json::from_slice(&bytes).map_err(|error| self.unreachable(error))?;
        read_answer(&self.endpoint(), answer)
    }
}

impl Outside {
    /// Pass on to `rpc`.
    pub(crate) fn new(rpc: Arc<dyn Rpc>) -> Self {
        Self(rpc)
    }

    async fn pass(&self, request: &Value) -> Value {
        let id = request.get("id").cloned().unwrap_or_default();
        let outcome = match request.get("method").and_then(Value::as_str) {
            None => Err(json!({ "code": INVALID, "message": "this is no JSON-RPC request" })),
            Some(method) if method.starts_with("eth_get") || PASSED.contains(&method) => {
                let params = request.get("params").cloned().unwrap_or_else(|| json!([]));
                self.0.request(method, params).await.map_err(|error| told(&error))
            }
            Some(method) => {
                let message = format!("the method {method} is not passed on to this chain");
                Err(json!({ "code": NO_METHOD, "message": message }))
            }
        };
        match outcome {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
        }
    }
}

/// An error as JSON-RPC writes it, in the node's own words where it said some.
fn told(error: &RpcError) -> Value {
    match error {
        RpcError::Unreachable { .. } => json!({ "code": LATER, "message": error.to_string() }),
        RpcError::Refused { code, message, data: None, .. } => {
            json!({ "code": code, "message": message })
        }
        RpcError::Refused { code, message, data: Some(data), .. } => {
            json!({ "code": code, "message": message, "data": data })
        }
    }
}

#[async_trait]
impl broker::Tunnel for Outside {
    async fn answer(&self, request: Vec<u8>) -> Vec<u8> {
        let request = serde_json::from_slice(&request).unwrap_or_default();
        let answer = match &request {
            Value::Array(requests) => {
                futures::future::join_all(requests.iter().map(|it| self.pass(it))).await.into()
            }
            one => self.pass(one).await,
        };
        answer.to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use broker::Tunnel as _;

    use super::*;

    /// A node that says what it was asked.
    struct Echo;

    #[async_trait]
    impl Rpc for Echo {
        fn endpoint(&self) -> String {
            "an echo".to_owned()
        }

        async fn request(&self, method: &str, params: Value) -> Result<Value, RpcError> {
            let (endpoint, why) = (self.endpoint(), "nobody is there".to_owned());
            match method {
                "eth_chainId" => Err(RpcError::Unreachable { endpoint, why }),
                _ => Ok(json!([method, params])),
            }
        }
    }

    async fn answer(request: Value) -> Value {
        let answer = Outside::new(Arc::new(Echo)).answer(request.to_string().into_bytes()).await;
        serde_json::from_slice(&answer).expect("JSON")
    }

    fn ask(method: &str) -> Value {
        json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": ["0x1"] })
    }

    #[tokio::test]
    async fn what_reads_or_is_signed_is_passed_on_alone_or_with_others() {
        for method in ["eth_getLogs", "eth_call", "eth_sendRawTransaction"] {
            let expected = json!({ "jsonrpc": "2.0", "id": 7, "result": [method, ["0x1"]] });
            assert_eq!(answer(ask(method)).await, expected);
        }
        let both = answer(json!([ask("eth_call"), ask("eth_blockNumber")])).await;
        assert_eq!(both[1]["result"][0], "eth_blockNumber", "{both}");
    }

    #[tokio::test]
    async fn what_belongs_to_the_node_s_owner_is_refused() {
        for method in ["eth_sendTransaction", "eth_sign", "anvil_setBalance", "debug_traceCall"] {
            assert_eq!(answer(ask(method)).await["error"]["code"], NO_METHOD, "{method}");
        }
        assert_eq!(answer(json!("nonsense")).await["error"]["code"], INVALID);
    }

    #[tokio::test]
    async fn a_node_that_is_away_is_worth_asking_again() {
        let error = read_answer("a gateway", answer(ask("eth_chainId")).await);
        assert!(error.is_err_and(|error| error.is_passing()));
    }
}
