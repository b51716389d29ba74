//! The door: who is served at once, and who waits.
//!
//! Upon an exchange: it is served by a task of its own. A peer has a few places at the desk; its
//! further exchanges wait for them, and those beyond that are cut, which its side takes for a line
//! that failed. So a peer that asks much holds up itself.
//!
//! Invariant: exchanges under way are bounded, per peer and in all.

use std::{collections::BTreeMap, sync::Arc};

use net::Incoming;
use primitives::PeerId;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::desk::Desk;

/// Exchanges of one peer that are served at once.
const SERVED: usize = 8;
/// Exchanges of one peer that are served or wait.
const ADMITTED: usize = 32;
/// Exchanges of all peers that are served or wait; each may hold a header of a mebibyte.
const ADMITTED_IN_ALL: usize = 512;

/// The places of each peer that has exchanges under way.
#[derive(Default)]
struct Places(BTreeMap<PeerId, Arc<Semaphore>>);

/// Serve exchanges for as long as the transport is open; whoever drops this ends them all.
pub(crate) async fn keep(desk: Arc<Desk>) {
    let (mut places, mut exchanges) = (Places::default(), JoinSet::new());
    while let Some(incoming) = desk.world.transport.accept().await {
        while exchanges.try_join_next().is_some() {}
        while exchanges.len() >= ADMITTED_IN_ALL {
            exchanges.join_next().await;
        }
        match places.admit(&incoming.peer) {
            Some(peers) => drop(exchanges.spawn(serve(desk.clone(), peers, incoming))),
            None => tracing::debug!(peer = %incoming.peer, "it asks too much at once"),
        }
    }
}

async fn serve(desk: Arc<Desk>, places: Arc<Semaphore>, incoming: Incoming) {
    // The semaphore is never closed.
    let place = places.acquire().await;
    desk.answer(incoming).await;
    drop(place);
}

impl Places {
    /// The places of a peer, unless it has too many exchanges under way.
    fn admit(&mut self, peer: &PeerId) -> Option<Arc<Semaphore>> {
        // Every exchange under way holds its peer's places once, and so does the map.
        self.0.retain(|_, places| Arc::strong_count(places) > 1);
        let places = self.0.entry(peer.clone()).or_insert_with(|| Arc::new(Semaphore::new(SERVED)));
        (Arc::strong_count(places) <= ADMITTED).then(|| places.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_its_places_whatever_others_hold() {
        let (mut places, one, other) =
            (Places::default(), PeerId("one".into()), PeerId("other".into()));
        let mut held: Vec<_> = (0..ADMITTED).map(|_| places.admit(&one)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(places.admit(&one).is_none());
        assert!(places.admit(&other).is_some());
        held.pop();
        assert!(places.admit(&one).is_some());
    }

    #[test]
    fn a_peer_that_asks_nothing_is_forgotten() {
        let mut places = Places::default();
        drop(places.admit(&PeerId("gone".into())));
        let _held = places.admit(&PeerId("here".into()));
        assert_eq!(places.0.len(), 1);
    }
}
