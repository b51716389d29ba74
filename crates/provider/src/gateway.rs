//! Questions to the gateway, and whether it can be asked at all.
//!
//! Upon a question: one exchange, with an end to waiting. Whoever asks decides what to do when no
//! answer comes; every question may be asked again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use market::message::{BlobAnswer, Done, Phase, ToGateway};
use net::{Body, Message, Reader, Transport};
use primitives::{DealId, Digest, PeerId};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::error::Error;

/// How long a gateway may take for an answer that needs no verdict: longer than its disk's slowest
/// write.
pub(crate) const PROMPT: Duration = Duration::from_secs(10);

/// The gateway this provider serves.
#[derive(Clone)]
pub(crate) struct Gateway {
    transport: Arc<dyn Transport>,
    peer: PeerId,
}

impl Gateway {
    pub(crate) fn new(transport: Arc<dyn Transport>, peer: PeerId) -> Self {
        Self { transport, peer }
    }

    pub(crate) fn is(&self, peer: &PeerId) -> bool {
        *peer == self.peer
    }

    /// Ask, and read the answer's header. A refusal where none is expected is an error, `Denied`.
    pub(crate) async fn ask<A: DeserializeOwned>(
        &self,
        operation: &'static str,
        question: &ToGateway,
        body: Body,
        within: Duration,
    ) -> Result<A, Error> {
        let answer = self.exchange(operation, question, body, within).await?;
        match serde_json::from_slice(&answer.header) {
            Ok(answer) => Ok(answer),
            Err(source) => match serde_json::from_slice(&answer.header) {
                Ok(Done::Refused { why }) => Err(Error::Denied { operation, why }),
                _ => Err(Error::Answer { operation, source }),
            },
        }
    }

    /// Ask for an input's bytes.
    pub(crate) async fn fetch(&self, deal: DealId, blob: Digest) -> Result<Reader, Error> {
        const OPERATION: &str = "fetching an input";
        let question = ToGateway::GetBlob { deal, blob };
        let answer = self.exchange(OPERATION, &question, Body::Empty, PROMPT).await?;
        let header = serde_json::from_slice(&answer.header);
        match header.map_err(|source| Error::Answer { operation: OPERATION, source })? {
            BlobAnswer::Follows => Ok(answer.body.into_reader()),
            BlobAnswer::Refused { why } => Err(Error::Denied { operation: OPERATION, why }),
        }
    }

    /// Say what happens before readiness, for the renter to see; nobody waits for it.
    pub(crate) fn tell(&self, deal: DealId, phase: Phase) {
        let gateway = self.clone();
        tokio::spawn(async move {
            let question = ToGateway::Progress { deal, phase };
            let told: Result<Done, Error> =
                gateway.ask("saying what is done", &question, Body::Empty, PROMPT).await;
            if let Err(error) = told {
                tracing::debug!(%deal, error = &error as &dyn std::error::Error, "not told");
            }
        });
    }

    /// Do something long, and say so every now and then, so that it is not taken for silence.
    pub(crate) async fn while_saying<T>(
        &self,
        deal: DealId,
        phase: Phase,
        every: Duration,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(every) => self.tell(deal, phase),
            }
        }
    }

    /// Whether a connection exists now.
    pub(crate) fn is_connected(&self) -> bool {
        self.transport.watch_peers().borrow().contains(&self.peer)
    }

    /// Who is connected, to wait for a change.
    pub(crate) fn peers(&self) -> watch::Receiver<BTreeSet<PeerId>> {
        self.transport.watch_peers()
    }

    /// Wait until a connection exists.
    pub(crate) async fn connected(&self) {
        let mut peers = self.peers();
        if peers.wait_for(|peers| peers.contains(&self.peer)).await.is_err() {
            // This side is closed: nobody will ever be connected again.
            std::future::pending::<()>().await;
        }
    }

    /// Wait until a connection exists, but no longer than `most`.
    pub(crate) async fn connected_within(&self, most: Duration) {
        // Whoever waits looks again in either case.
        drop(tokio::time::timeout(most, self.connected()).await);
    }

    async fn exchange(
        &self,
        operation: &'static str,
        question: &ToGateway,
        body: Body,
        within: Duration,
    ) -> Result<Message, Error> {
        let header = serde_json::to_vec(question).expect("plain data with string keys serialises");
        let request = Message { header, body };
        let answer = tokio::time::timeout(within, self.transport.exchange(&self.peer, request));
        match answer.await {
            Ok(answer) => answer.map_err(|source| Error::Gateway { operation, source }),
            Err(_) => Err(Error::Silent { operation }),
        }
    }
}
