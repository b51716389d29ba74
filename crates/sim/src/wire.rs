//! How simulated parties speak: words as JSON, and answers that may never come.

use std::time::Duration;

use net::{Message, Simulated, Transport as _};
use primitives::PeerId;
use serde::{Serialize, de::DeserializeOwned};

/// After which an answer is not waited for any more.
const PATIENCE: Duration = Duration::from_secs(10);

/// A message that says this.
pub fn message(words: &impl Serialize) -> Message {
    Message::new(serde_json::to_vec(words).expect("plain data with string keys serialises"))
}

/// Ask and give the answer; `None` when none comes, or one that is not understood.
pub async fn ask<A: DeserializeOwned>(wire: &Simulated, to: &PeerId, said: Message) -> Option<A> {
    let answer = tokio::time::timeout(PATIENCE, wire.exchange(to, said)).await;
    serde_json::from_slice(&answer.ok()?.ok()?.header).ok()
}
