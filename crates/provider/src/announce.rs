//! Joins the network, and keeps the offer in the gateway's book.
//!
//! Upon the start: the provider key is authorised on the chain, if it is not. Upon a connection to
//! the gateway, and again before the offer runs out: a newer offer is signed and announced. Upon
//! draining: nothing is announced any more, and the standing offer runs out.

use std::time::Duration;

use market::{
    Offer, Signed,
    message::{Listed, ToGateway},
};
use net::Body;
use primitives::Seconds;
use settlement::{Call, Sent, authorisation_digest};
use tokio::time::sleep;

use crate::{
    error::{Error, story},
    gateway::PROMPT,
    offer::compose,
    world::{AGAIN, Workshop},
};

/// How long an offer is valid; a newer one replaces it at half of that.
const VALID: Seconds = Seconds(3_600);
/// How long to wait after a refusal that somebody has to do something about.
const REFUSED: Duration = Duration::from_secs(10);

/// Join, then keep the offer listed until the owner drains the machine.
pub(crate) async fn keep_listed(shop: &Workshop) {
    loop {
        match join(shop).await {
            Ok(()) => break,
            Err(error) => {
                shop.floor.trouble(story(&error));
                sleep(if matches!(error, Error::Chain { .. }) { AGAIN } else { REFUSED }).await;
            }
        }
    }
    let mut sequence = 0;
    while !shop.floor.is_draining() {
        shop.gateway.connected().await;
        match announce(shop, &mut sequence).await {
            Ok(()) => lasts(shop).await,
            Err(error) => {
                shop.floor.trouble(story(&error));
                sleep(if matches!(error, Error::Denied { .. }) { REFUSED } else { AGAIN }).await;
            }
        }
    }
}

/// Have the provider key authorised to sign for the account that is paid.
async fn join(shop: &Workshop) -> Result<(), Error> {
    const OPERATION: &str = "authorising the provider key";
    let (settlement, config) = (&shop.world.settlement, &shop.config);
    let failed = |source| Error::Chain { operation: OPERATION, source };
    let key = config.key.address();
    if settlement.is_authorised(config.account, key).await.map_err(failed)? {
        return Ok(());
    }
    let digest = authorisation_digest(&settlement.providers(), config.account, key);
    let call = Call::Register { provider_key: key, consent: config.key.sign(digest) };
    match settlement.send(call).await.map_err(failed)? {
        // Registering makes the sender the provider; who sends as another account has not joined.
        Sent::Done(_) if settlement.sender() == config.account => Ok(()),
        Sent::Done(_) => Err(Error::Offer {
            why: format!("the account {} has to authorise the provider key {key}", config.account),
        }),
        Sent::Refused(source) => Err(Error::Refused { operation: OPERATION, source }),
    }
}

/// Sign a newer offer and put it into the gateway's book.
async fn announce(shop: &Workshop, sequence: &mut u64) -> Result<(), Error> {
    const OPERATION: &str = "announcing the offer";
    let time = shop.time().await?;
    *sequence = time.0.max(*sequence + 1);
    let peer = shop.world.transport.local();
    let offer = compose(&shop.config, peer, *sequence, time.plus(VALID))?;
    // Orders may come as soon as it is listed, so we stand on it before.
    shop.floor.stand_on(offer.clone(), false);
    let question = ToGateway::Announce(Box::new(signed(shop, offer.clone())));
    match shop.gateway.ask(OPERATION, &question, Body::Empty, PROMPT).await? {
        Listed::Listed => {
            shop.floor.stand_on(offer, true);
            Ok(())
        }
        Listed::Refused { why } => Err(Error::Denied { operation: OPERATION, why }),
    }
}

fn signed(shop: &Workshop, offer: Offer) -> Signed<Offer> {
    let digest = offer.digest(&shop.world.settlement.plaza());
    Signed { signature: shop.config.key.sign(digest), document: offer }
}

/// Wait until the offer has to be announced again: it is half run out, or the connection was new.
async fn lasts(shop: &Workshop) {
    let mut peers = shop.gateway.peers();
    let lost = async {
        while shop.gateway.is_connected() {
            if peers.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        biased;
        () = lost => {}
        () = sleep(Duration::from_secs(VALID.0 / 2)) => {}
    }
}
