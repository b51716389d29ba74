//! Who is up in a simulated network, who is linked with whom, and what divides them.

use std::collections::{BTreeMap, BTreeSet};

use primitives::PeerId;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::exchange::Incoming;

/// Peers and links. Invariant, restored by `settle` after every change: a link carries a
/// connection exactly while both its ends are up and nothing divides them.
#[derive(Default)]
pub(crate) struct Map {
    up: BTreeMap<PeerId, Up>,
    links: BTreeMap<(PeerId, PeerId), Link>,
}

struct Up {
    hear: mpsc::Sender<Incoming>,
    peers: BTreeSet<PeerId>,
    /// One channel for each who watches: who shares one is woken in an order that chance decides.
    watchers: Vec<watch::Sender<BTreeSet<PeerId>>>,
    down: CancellationToken,
}

#[derive(Default)]
struct Link {
    kept: bool,
    divided: bool,
    connection: Option<CancellationToken>,
}

impl Map {
    pub(crate) fn join(
        &mut self,
        peer: &PeerId,
        hear: mpsc::Sender<Incoming>,
    ) -> CancellationToken {
        self.crash(peer);
        let down = CancellationToken::new();
        let (peers, watchers) = (BTreeSet::new(), Vec::new());
        self.up.insert(peer.clone(), Up { hear, peers, watchers, down: down.clone() });
        self.settle();
        down
    }

    /// Who is connected to a peer, from now on; nobody, for ever, when it is down.
    pub(crate) fn watch(&mut self, peer: &PeerId) -> watch::Receiver<BTreeSet<PeerId>> {
        let Some(up) = self.up.get_mut(peer) else { return watch::channel(BTreeSet::new()).1 };
        let (sender, receiver) = watch::channel(up.peers.clone());
        up.watchers.retain(|watcher| !watcher.is_closed());
        up.watchers.push(sender);
        receiver
    }

    pub(crate) fn crash(&mut self, peer: &PeerId) {
        if let Some(gone) = self.up.remove(peer) {
            gone.down.cancel();
            for watcher in gone.watchers {
                watcher.send_replace(BTreeSet::new());
            }
        }
        self.settle();
    }

    pub(crate) fn link(&mut self, one: &PeerId, other: &PeerId) {
        self.links.entry(pair(one, other)).or_default().kept = true;
        self.settle();
    }

    pub(crate) fn set_divided(&mut self, one: &PeerId, other: &PeerId, divided: bool) {
        self.links.entry(pair(one, other)).or_default().divided = divided;
        self.settle();
    }

    /// Where `to` hears requests, and what cuts the connection; `None` when there is none.
    pub(crate) fn connection(
        &self,
        from: &PeerId,
        to: &PeerId,
    ) -> Option<(mpsc::Sender<Incoming>, CancellationToken)> {
        let cut = self.links.get(&pair(from, to))?.connection.clone()?;
        Some((self.up.get(to)?.hear.clone(), cut))
    }

    fn settle(&mut self) {
        for ((one, other), link) in &mut self.links {
            let both_up = self.up.contains_key(one) && self.up.contains_key(other);
            match (both_up && link.kept && !link.divided, &link.connection) {
                (true, None) => link.connection = Some(CancellationToken::new()),
                (false, Some(cut)) => {
                    cut.cancel();
                    link.connection = None;
                }
                _ => {}
            }
        }
        for (peer, up) in &mut self.up {
            let present = connected_to(&self.links, peer);
            if up.peers != present {
                for watcher in &up.watchers {
                    watcher.send_replace(present.clone());
                }
                up.peers = present;
            }
        }
    }
}

fn connected_to(links: &BTreeMap<(PeerId, PeerId), Link>, peer: &PeerId) -> BTreeSet<PeerId> {
    let alive = links.iter().filter(|(_, link)| link.connection.is_some());
    let others = alive.filter_map(|((one, other), _)| match peer {
        _ if peer == one => Some(other.clone()),
        _ if peer == other => Some(one.clone()),
        _ => None,
    });
    others.collect()
}

fn pair(one: &PeerId, other: &PeerId) -> (PeerId, PeerId) {
    let (low, high) = if one < other { (one, other) } else { (other, one) };
    (low.clone(), high.clone())
}
