//! Who takes part, a clock that stands until it is set, and a chain behind a wire with faults.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{Bytes, U64, keccak256};
use async_trait::async_trait;
use chain::Chain;
use primitives::{Address, Clock, Key, UnixSeconds};
use serde_json::{Value, json};
use settlement::{Rpc, RpcError};
use tokio::sync::watch;

/// The parties of every test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Owner,
    Renter,
    RenterKey,
    Provider,
    ProviderKey,
    Stranger,
}

impl Who {
    pub(crate) const ALL: [Self; 6] = [
        Self::Owner,
        Self::Renter,
        Self::RenterKey,
        Self::Provider,
        Self::ProviderKey,
        Self::Stranger,
    ];

    pub(crate) fn key(self) -> Key {
        Key::from_bytes([self as u8 + 1; 32]).unwrap()
    }

    pub(crate) fn address(self) -> Address {
        self.key().address()
    }

    pub(crate) fn is_renter_side(self) -> bool {
        matches!(self, Self::Renter | Self::RenterKey)
    }

    pub(crate) fn is_provider_side(self) -> bool {
        matches!(self, Self::Provider | Self::ProviderKey)
    }
}

/// A clock that stands until it is set.
pub(crate) struct Hand(AtomicU64);

impl Hand {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1_800_000_000)))
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, to: UnixSeconds) {
        self.0.fetch_max(to.0, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.now().0)
    }
}

/// A wire to a chain that can be cut, that can lose transactions, and that can lead elsewhere.
pub(crate) struct Wire {
    chain: Mutex<Chain>,
    pub(crate) gone: AtomicBool,
    /// So many transactions are swallowed with a friendly answer.
    pub(crate) lose: AtomicU32,
    /// After so many more transactions the wire is cut at the next one.
    pub(crate) cut_after: AtomicU32,
    /// Every transaction that was handed over.
    pub(crate) handed: Mutex<Vec<Bytes>>,
    /// Questions for events are answered with none, as by a node that has yet to index its blocks.
    pub(crate) deaf: AtomicBool,
    /// The most blocks of which events are told at once.
    pub(crate) widest: AtomicU64,
    /// Every range of blocks of which events were told.
    pub(crate) ranges: Mutex<Vec<(u64, u64)>>,
    announced: Option<watch::Receiver<u64>>,
}

impl Wire {
    pub(crate) fn to(chain: &Chain) -> Arc<Self> {
        Arc::new(Self {
            chain: Mutex::new(chain.clone()),
            gone: AtomicBool::new(false),
            lose: AtomicU32::new(0),
            cut_after: AtomicU32::new(u32::MAX),
            handed: Mutex::default(),
            deaf: AtomicBool::new(false),
            widest: AtomicU64::new(u64::MAX),
            ranges: Mutex::default(),
            announced: None,
        })
    }

    /// A wire that says when there is a block.
    pub(crate) fn announcing(chain: &Chain) -> Arc<Self> {
        let (said, announced) = watch::channel(0);
        let mut blocks = chain.subscribe();
        tokio::spawn(async move {
            while let Ok(block) = blocks.recv().await {
                said.send_replace(block.header.number);
            }
        });
        let wire = Self::to(chain);
        let mut wire = Arc::into_inner(wire).expect("nobody else has it yet");
        wire.announced = Some(announced);
        Arc::new(wire)
    }

    pub(crate) fn lead_to(&self, chain: &Chain) {
        *self.chain.lock().unwrap() = chain.clone();
    }

    fn cut(&self) -> RpcError {
        RpcError::Unreachable { endpoint: self.endpoint(), why: "the wire is cut".into() }
    }
}

#[async_trait]
impl Rpc for Wire {
    fn endpoint(&self) -> String {
        "the test's wire".into()
    }

    fn blocks(&self) -> Option<watch::Receiver<u64>> {
        self.announced.clone()
    }

    async fn request(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        if self.gone.load(Ordering::SeqCst) {
            return Err(self.cut());
        }
        if method == "eth_sendRawTransaction" {
            let raw: Bytes = serde_json::from_value(params[0].clone()).unwrap();
            let hash = keccak256(&raw);
            self.handed.lock().unwrap().push(raw);
            if self.cut_after.load(Ordering::SeqCst) == 0 {
                self.gone.store(true, Ordering::SeqCst);
                return Err(self.cut());
            }
            self.cut_after.fetch_sub(1, Ordering::SeqCst);
            let lost = self.lose.load(Ordering::SeqCst);
            if lost > 0 {
                self.lose.store(lost - 1, Ordering::SeqCst);
                return Ok(json!(hash));
            }
        }
        if method == "eth_getLogs" {
            let at = |name: &str| serde_json::from_value::<U64>(params[0][name].clone()).unwrap();
            let range = (at("fromBlock").to::<u64>(), at("toBlock").to::<u64>());
            if range.1 - range.0 >= self.widest.load(Ordering::SeqCst) {
                return Err(RpcError::Refused {
                    endpoint: self.endpoint(),
                    code: -32_005,
                    message: "query returns more than 10000 results".into(),
                    data: None,
                });
            }
            self.ranges.lock().unwrap().push(range);
            if self.deaf.load(Ordering::SeqCst) {
                return Ok(json!([]));
            }
        }
        let chain = self.chain.lock().unwrap().clone();
        chain.request(method, params).await.map_err(|error| RpcError::Refused {
            endpoint: self.endpoint(),
            code: error.code,
            message: error.message,
            data: error.data.and_then(|data| data.as_str().map(str::to_owned)),
        })
    }
}

/// Wait for a condition, with a deadline.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
