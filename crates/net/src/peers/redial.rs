//! When to dial the peers that we keep a connection to.
//!
//! Upon a miss: wait twice as long as before, from 100 milliseconds up to 5 seconds. Upon a
//! connection: start over. While connected: never.

use std::{future::pending, time::Duration};

use libp2p::{Multiaddr, PeerId};
use tokio::time::{Instant, sleep_until};

use super::roster::Roster;
use crate::{address::Address, error::Error};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A peer to keep a connection to.
pub(crate) struct Redial {
    pub(crate) peer: PeerId,
    pub(crate) place: Multiaddr,
    wait: Duration,
    state: State,
}

enum State {
    /// Dial from this moment on, unless connected.
    Due(Instant),
    /// An attempt is on its way.
    Dialling,
}

impl Redial {
    pub(crate) fn new(to: &Address) -> Result<Self, Error> {
        let peer = to.peer_key().ok_or_else(|| Error::Address {
            text: to.to_string(),
            why: "it names no peer to dial: expected /p2p/ID at its end".to_owned(),
        })?;
        let state = State::Due(Instant::now());
        Ok(Self { peer, place: to.place(), wait: FIRST_WAIT, state })
    }

    /// The attempt failed.
    pub(crate) fn miss(&mut self) {
        self.state = State::Due(Instant::now() + self.wait);
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }
}

/// The peer answered.
pub(crate) fn reached(standing: &mut [Redial], peer: PeerId) {
    for target in standing.iter_mut().filter(|target| target.peer == peer) {
        target.wait = FIRST_WAIT;
        target.state = State::Due(Instant::now() + FIRST_WAIT);
    }
}

/// An attempt to reach the peer failed.
pub(crate) fn missed(standing: &mut [Redial], peer: PeerId) {
    standing.iter_mut().filter(|target| target.peer == peer).for_each(Redial::miss);
}

/// The moment of the next attempt among the peers that are not connected.
pub(crate) fn next(standing: &[Redial], roster: &Roster) -> Option<Instant> {
    let waiting = standing.iter().filter(|target| !roster.has(target.peer));
    let moments = waiting.filter_map(|target| match target.state {
        State::Due(moment) => Some(moment),
        State::Dialling => None,
    });
    moments.min()
}

/// Wait for `moment`, or for ever when there is none.
pub(crate) async fn wait(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// The peers to dial now; each counts as being dialled from here on.
pub(crate) fn due<'a>(standing: &'a mut [Redial], roster: &Roster) -> Vec<&'a mut Redial> {
    let now = Instant::now();
    let mut due = Vec::new();
    for target in standing {
        if matches!(target.state, State::Due(moment) if moment <= now) && !roster.has(target.peer) {
            target.state = State::Dialling;
            due.push(target);
        }
    }
    due
}
