//! Consent: the renter's side of a deal.
//!
//! Upon terms that a provider has bid and the gateway has chosen: check them against the order that
//! this key signed, then agree: from the balance inside the escrow where that is enough, else by a
//! token authorisation that lets the escrow pull exactly what is to be put aside.

use api::Network;
use market::{
    document::Consent,
    fact::{Agreement, Submission},
    message::{Bid, BidRequest, check_bid, within_rules},
};
use primitives::{JobId, Key, UnixSeconds};

use crate::{
    client::Client,
    failure::{Failure, Result},
};

/// Agree to a deal, if its terms are what was ordered.
pub(crate) async fn give(
    client: &Client,
    network: &Network,
    submission: &Submission,
    agreement: &Agreement,
    key: &Key,
    now: UnixSeconds,
) -> Result<()> {
    let domain = network.descriptor.plaza_domain();
    let order = submission.order.document.id(&domain);
    check(network, submission, agreement, order, now)
        .map_err(|why| Failure::new(format!("the deal offered is not what was ordered: {why}")))?;
    let consent = sign(client, network, agreement, key).await?;
    client.consent(agreement.deal, &consent).await
}

/// Everything that must hold before this key signs.
fn check(
    network: &Network,
    submission: &Submission,
    agreement: &Agreement,
    order: JobId,
    now: UnixSeconds,
) -> std::result::Result<(), String> {
    let descriptor = &network.descriptor;
    let request = BidRequest {
        order: submission.order.clone(),
        wish: submission.work.wish.clone(),
        salt: submission.salt,
        deal_salt: agreement.salt,
        open_fee: descriptor.profile.open_fee,
        close_fee: descriptor.profile.close_fee,
    };
    let bid = Bid {
        terms: agreement.terms.clone(),
        offer: agreement.offer,
        salt: agreement.salt,
        resources: agreement.resources,
    };
    let escrow = descriptor.escrow_domain();
    let longest = now.plus(descriptor.windows().accept);
    check_bid(&request, &bid, &escrow, order, descriptor.profile.fee, longest)?;
    let terms = &agreement.terms.document;
    within_rules(terms, &submission.order.document, &descriptor.profile.market)?;
    let checks = [
        ("another job", agreement.job == order),
        ("another digest than its terms'", terms.id(&escrow) == agreement.deal),
    ];
    match checks.into_iter().find(|(_, right)| !right) {
        Some((what, _)) => Err(format!("it has {what}")),
        None => Ok(()),
    }
}

async fn sign(
    client: &Client,
    network: &Network,
    agreement: &Agreement,
    key: &Key,
) -> Result<Consent> {
    let terms = &agreement.terms.document;
    let escrow = network.descriptor.escrow_domain();
    let token = &network.descriptor.contracts.token_domain;
    let too_much = || Failure::new("the deal's hold is larger than an escrow can keep");
    let needed = terms.escrowed().ok_or_else(too_much)?;
    if client.balance(key.address()).await?.escrow >= needed {
        return Ok(Consent::Terms { signature: key.sign(agreement.deal.0) });
    }
    let digest = terms.authorization(&escrow, token).ok_or_else(too_much)?;
    Ok(Consent::Authorization { signature: key.sign(digest) })
}
