//! What a wallet's own key does on the chain: the gateway only passes it on.

use std::sync::Arc;

use primitives::{Amount, Key};
use settlement::{Call, Evm, Http, Mined, Network, Pace, Sent, Settlement as _};

use crate::{
    daemon::Reached,
    failure::{Doing as _, Failure, Result},
};

/// The network's contracts, as this key sees and calls them.
pub(crate) async fn open(reached: &Reached, key: Key, doing: &str) -> Result<Evm> {
    let doing = || format!("{doing} on the chain");
    let rpc = Http::new(&reached.client.rpc_url()).doing(doing)?;
    let descriptor = &reached.network.descriptor;
    let (network, pace) = (Network::of(descriptor), Pace::of(descriptor.profile.depth));
    Evm::open(Arc::new(rpc), network, key, pace).await.doing(doing)
}

/// Make one call, and wait until it is final.
pub(crate) async fn send(reached: &Reached, key: Key, call: Call, doing: &str) -> Result<Mined> {
    let chain = open(reached, key, doing).await?;
    let doing = || format!("{doing} on the chain");
    match chain.send(call).await.doing(doing)? {
        Sent::Done(mined) => Ok(mined),
        Sent::Refused(refusal) => Err(Failure::new(doing()).because(&refusal)),
    }
}

/// An amount of money as typed, in dollars.
pub(crate) fn parse_amount(text: &str, decimals: u8) -> Result<Amount> {
    let amount = Amount::from_coins(text, decimals).doing(|| "reading the amount".to_owned())?;
    if amount == Amount::ZERO { Err(Failure::new("the amount is zero")) } else { Ok(amount) }
}
