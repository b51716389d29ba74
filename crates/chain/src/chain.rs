//! The chain as other rooms hold it: open, ask, send, listen.
//!
//! Upon `eth_sendRawTransaction`: the answer comes when the transaction is on the disk; on an instant
//! chain a ready one is then in a block. Upon any other method: it is answered from one snapshot.
//!
//! In: JSON-RPC 2.0 requests as bytes, single or in batches; or a method with parameters. Out: the
//! response; a stream of new blocks.
//!
//! Invariant: a request that was begun is finished even if nobody waits for its answer.

use std::sync::Arc;

use alloy_consensus::{Header, Sealed};
use alloy_primitives::{B256, Bytes};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, broadcast};

use crate::{
    block::{Block, NewBlock},
    error::Error,
    genesis::Config,
    node::Node,
    rpc::{Filters, Params, RpcError, answer, receipt_by_hash},
    seal::Sealing,
    sealer::Sealer,
    store::Store,
};

/// Requests that one batch may hold.
const BATCH: usize = 1_000;

/// Requests that read the database or run the EVM at once; more wait their turn.
const READERS: usize = 16;

/// One EVM chain in this process. Clones share it; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Chain(Arc<Shared>);

struct Shared {
    // First, so that the thread ends before the store closes.
    sealer: Sealer,
    node: Arc<Node>,
    filters: Filters,
    sealing: Sealing,
    /// Bounds the threads that read at once.
    readers: Semaphore,
}

impl Chain {
    /// Opens the chain, creating it from its genesis where there is none yet.
    ///
    /// # Errors
    /// [`Error::Store`] where the file cannot be opened or is in use, [`Error::OtherChain`] where it
    /// holds a chain with another genesis, [`Error::Damaged`] where it cannot be read.
    pub fn open(config: Config) -> Result<Self, Error> {
        Self::over(&config, Store::open(&config.place)?)
    }

    /// Opens the chain over a store of the caller's choice.
    pub(crate) fn over(config: &Config, store: Store) -> Result<Self, Error> {
        let node = Arc::new(Node::open(config, store)?);
        let sealer = Sealer::start(node.clone(), config.sealing)?;
        let filters = Filters::default();
        let readers = Semaphore::new(READERS);
        Ok(Self(Arc::new(Shared { sealer, node, filters, sealing: config.sealing, readers })))
    }

    /// The chain id.
    pub fn chain_id(&self) -> u64 {
        self.0.node.rules.chain_id
    }

    /// The hash of block 0, which names the chain.
    ///
    /// # Errors
    /// [`Error::Store`] where the file cannot be read.
    pub fn genesis_hash(&self) -> Result<B256, Error> {
        self.0.node.snapshot()?.hash(0)?.ok_or_else(|| Error::damaged("block 0 is missing"))
    }

    /// The newest block's header and hash.
    ///
    /// # Errors
    /// [`Error::Store`] where the file cannot be read.
    pub fn head(&self) -> Result<Sealed<Header>, Error> {
        self.0.node.snapshot()?.head()?.ok_or_else(|| Error::damaged("there is no head"))
    }

    /// Answers JSON-RPC 2.0: one request or a batch, as bytes. The answer is empty if the requests
    /// were notifications only. Needs a tokio runtime.
    pub async fn handle(&self, request: &[u8]) -> Vec<u8> {
        let answer = match serde_json::from_slice(request) {
            Ok(Value::Array(batch)) if batch.is_empty() => {
                Some(failed(Value::Null, RpcError::new(RpcError::REQUEST, "empty batch")))
            }
            Ok(Value::Array(batch)) if batch.len() > BATCH => {
                let message = format!("a batch holds at most {BATCH} requests");
                Some(failed(Value::Null, RpcError::new(RpcError::REQUEST, message)))
            }
            Ok(Value::Array(batch)) => {
                // Together, so that the transactions among them share a block.
                let answers = join_all(batch.into_iter().map(|one| self.handle_one(one))).await;
                let answers: Vec<_> = answers.into_iter().flatten().collect();
                (!answers.is_empty()).then_some(Value::Array(answers))
            }
            Ok(one) => self.handle_one(one).await,
            Err(error) => {
                let message = format!("parse error: {error}");
                Some(failed(Value::Null, RpcError::new(RpcError::PARSE, message)))
            }
        };
        answer.map(|answer| answer.to_string().into_bytes()).unwrap_or_default()
    }

    /// Answers one method.
    ///
    /// # Errors
    /// The JSON-RPC error that a client would see.
    pub async fn request(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let params = Params::new(params)?;
        match method {
            "eth_sendRawTransaction" => {
                let raw: Bytes = params.required(0, "transaction")?;
                self.send(&raw).await.map(|hash| json!(hash))
            }
            "eth_sendRawTransactionSync" => {
                let raw: Bytes = params.required(0, "transaction")?;
                let hash = self.send(&raw).await?;
                self.beside(move |shared| receipt_by_hash(&shared.node, hash)).await
            }
            _ => {
                let method = method.to_owned();
                self.beside(move |shared| answer(&shared.node, &shared.filters, &method, &params))
                    .await
            }
        }
    }

    /// Sends a signed transaction (EIP-2718 bytes). When this returns it is on the disk: in a block
    /// if the chain is instant and the transaction ready, else among those that wait.
    ///
    /// # Errors
    /// -32003 with the reason where it is refused; -32602 where it cannot be decoded.
    pub async fn send(&self, raw: &[u8]) -> Result<B256, RpcError> {
        let submitted = self.0.node.submit(raw)?;
        let (hash, ready) = submitted.map_err(|refusal| RpcError::refused(&refusal))?;
        if ready && self.0.sealing == Sealing::Instant {
            let dropped =
                self.0.sealer.drain().await.map_err(|error| RpcError::internal(&error))?;
            if let Some(refusal) = dropped.get(&hash) {
                return Err(RpcError::refused(refusal));
            }
        } else {
            self.0.sealer.keep(hash).await.map_err(|error| RpcError::internal(&error))?;
        }
        Ok(hash)
    }

    /// Seals one block now, also an empty one.
    ///
    /// # Errors
    /// What stopped the block from being made or written.
    pub async fn seal(&self) -> Result<NewBlock, Arc<Error>> {
        self.0.sealer.seal().await
    }

    /// Executes a block made elsewhere and makes it the head. Blocks the calling thread.
    ///
    /// # Errors
    /// [`Error::InvalidBlock`] where it does not follow from the head by the rules.
    pub fn import(&self, block: Block) -> Result<NewBlock, Error> {
        self.0.node.import(block)
    }

    /// New blocks from now on, with their receipts and logs. A listener that falls 1,024 blocks
    /// behind misses some and is told how many.
    pub fn subscribe(&self) -> broadcast::Receiver<NewBlock> {
        self.0.node.subscribe()
    }

    /// What lies under the surface, for tests of it.
    #[cfg(test)]
    pub(crate) fn node(&self) -> &Node {
        &self.0.node
    }

    /// Runs what reads the database or the EVM on a thread that may block.
    async fn beside(
        &self,
        work: impl FnOnce(&Shared) -> Result<Value, RpcError> + Send + 'static,
    ) -> Result<Value, RpcError> {
        // It is never closed; without a permit there would only be more threads.
        let _permit = self.0.readers.acquire().await.ok();
        let shared = self.0.clone();
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(answer) => answer,
            Err(error) => Err(RpcError::failed(format!("the request was abandoned: {error}"))),
        }
    }

    async fn handle_one(&self, request: Value) -> Option<Value> {
        let Value::Object(mut request) = request else {
            let error = RpcError::new(RpcError::REQUEST, "a request is an object");
            return Some(failed(Value::Null, error));
        };
        let id = request.remove("id");
        let Some(Value::String(method)) = request.remove("method") else {
            let error = RpcError::new(RpcError::REQUEST, "a request names its method");
            return Some(failed(id.unwrap_or(Value::Null), error));
        };
        let params = request.remove("params").unwrap_or(Value::Null);
        let answer = self.request(&method, params).await;
        // Without an id it is a notification: nobody wants to know.
        let id = id?;
        Some(match answer {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(error) => failed(id, error),
        })
    }
}

fn failed(id: Value, error: RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

#[cfg(test)]
mod tests;
