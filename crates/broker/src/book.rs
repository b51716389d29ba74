//! The book: the offers of the providers that made themselves known to this gateway.
//!
//! Kept in memory only: providers announce themselves again whenever they connect, so a gateway
//! that starts anew has its book back within seconds, without a word that is out of date.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use market::{
    Offer, Signed,
    quote::{Inquiry, Quote, quote},
};
use primitives::{Address, Digest, PeerId, UnixSeconds};
use tokio::sync::{Notify, futures::Notified};

use crate::{view::Listing, world::World};

pub(crate) struct Book {
    offers: Mutex<Offers>,
    changed: Notify,
}

/// The newest offer of each provider and key, with its digest.
type Offers = BTreeMap<(Address, Address), (Digest, Signed<Offer>)>;

impl Book {
    pub(crate) fn new() -> Self {
        Self { offers: Mutex::default(), changed: Notify::new() }
    }

    /// Take an offer that `peer` announced, or say why not.
    pub(crate) async fn announce(
        &self,
        world: &World,
        peer: &PeerId,
        signed: Signed<Offer>,
    ) -> Result<(), String> {
        let offer = &signed.document;
        let digest = offer.digest(&world.plaza());
        if !signed.signature.is_by(offer.provider_key, digest) {
            return Err("the offer is not signed by its provider key".to_owned());
        }
        if offer.peer != *peer {
            return Err(format!("the offer names peer {}, it came from {peer}", offer.peer));
        }
        if world.clock.now() >= offer.valid_until {
            return Err("the offer is no longer valid".to_owned());
        }
        if offer.token != world.token {
            return Err(format!("the offer asks for token {}, which is not listed", offer.token));
        }
        match is_authorised(world, offer).await {
            Ok(true) => {}
            Ok(false) => {
                return Err(format!(
                    "key {} is not authorised for provider {}",
                    offer.provider_key, offer.provider
                ));
            }
            Err(error) => return Err(format!("the chain cannot be asked now: {error}")),
        }
        let name = (offer.provider, offer.provider_key);
        let mut offers = self.offers();
        let newer =
            offers.get(&name).is_none_or(|(_, known)| known.document.sequence <= offer.sequence);
        if !newer {
            return Err("a later offer of the same provider is in the book".to_owned());
        }
        offers.insert(name, (Digest(digest.0), signed));
        drop(offers);
        self.changed.notify_waiters();
        Ok(())
    }

    /// The offer of this digest.
    pub(crate) fn offer(&self, digest: Digest) -> Option<Offer> {
        let offers = self.offers();
        let found = offers.values().find(|(is, _)| *is == digest);
        found.map(|(_, signed)| signed.document.clone())
    }

    /// Every offer, and whether its provider is connected now.
    pub(crate) fn listings(&self, connected: &BTreeSet<PeerId>) -> Vec<Listing> {
        self.offers()
            .values()
            .map(|(digest, offer)| Listing {
                digest: *digest,
                connected: connected.contains(&offer.document.peer),
                offer: offer.clone(),
            })
            .collect()
    }

    /// Answer an inquiry from the offers whose providers are connected now.
    pub(crate) fn quote(
        &self,
        world: &World,
        inquiry: &Inquiry,
        connected: &BTreeSet<PeerId>,
        now: UnixSeconds,
    ) -> Quote {
        let offers = self.offers();
        let reachable = offers
            .values()
            .filter(|(_, offer)| connected.contains(&offer.document.peer))
            .map(|(digest, offer)| (*digest, &offer.document));
        quote(reachable, inquiry, &world.rules, now)
    }

    /// Over when the next offer after this call has come in; who waited longest goes first.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn offers(&self) -> MutexGuard<'_, Offers> {
        // Every critical section leaves the map whole, so a panic elsewhere spoils nothing.
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the chain knows the offer's key as its provider's, by now: newcomers come straight from
/// there, and may have seen a block that we have not.
async fn is_authorised(world: &World, offer: &Offer) -> Result<bool, settlement::Error> {
    world.settlement.head().await?;
    world.settlement.is_authorised(offer.provider, offer.provider_key).await
}
