//! Exchanges with providers as typed questions, and answers to whoever asked at the wrong moment.

use std::time::Duration;

use market::message::{CommandAnswer, CountersignAnswer, Instruction, ReportAnswer, ToProvider};
use net::Message;
use primitives::PeerId;
use serde::de::DeserializeOwned;

use crate::{error::Error, line::Inbound, refusal::Refusal, world::World};

/// How long a provider may take to answer: longer than its disk's slowest write, shorter than
/// anyone's patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ask a provider and read its answer.
pub(crate) async fn provider<A: DeserializeOwned>(
    world: &World,
    peer: &PeerId,
    question: &ToProvider,
) -> Result<A, Error> {
    let header = serde_json::to_vec(question).expect("plain data with string keys serialises");
    let failed = |source| Error::Peer { peer: peer.clone(), source };
    let exchange = world.transport.exchange(peer, Message::new(header));
    let answer = match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(answer) => answer.map_err(failed)?,
        Err(_) => return Err(Error::Silent { peer: peer.clone() }),
    };
    serde_json::from_slice(&answer.header)
        .map_err(|source| Error::Answer { peer: peer.clone(), source })
}

/// Send a command.
pub(crate) async fn command(
    world: &World,
    peer: &PeerId,
    instruction: Instruction,
) -> Result<CommandAnswer, Error> {
    provider(world, peer, &ToProvider::Command(Box::new(instruction))).await
}

/// Tell whoever asked that this is not the moment.
pub(crate) fn answer_later(message: Inbound) {
    match message {
        Inbound::Consent(_, asker) => {
            let refusal = Refusal::TooLate("the deal's terms are signed already".into());
            drop(asker.send(Err(refusal)));
        }
        Inbound::Countersign(_, asker) => drop(asker.send(CountersignAnswer::NotYet)),
        Inbound::Report(_, asker) => drop(asker.send(ReportAnswer::NotYet)),
        // Asked before, or too late to matter.
        Inbound::Stop(_, asker) => {
            let _ = asker.send(());
        }
        Inbound::Progress(_) => {}
    }
}
