//! Consent: the renter's side of a deal.
//!
//! Upon terms that a provider has bid and the gateway has chosen: check them against the order that
//! this key signed, then agree: from the balance inside the escrow where that is enough, also for the
//! job's other deals that are not open yet, else by a token authorisation that lets the escrow pull
//! exactly what is to be put aside. Upon a deal that would put aside more than the job's budget has
//! left: no answer, so that the bid lapses.

use api::Network;
use market::{
    document::Consent,
    fact::{Agreement, Submission},
    message::{Bid, BidRequest, check_bid, within_rules},
};
use primitives::{Amount, JobId, Key, UnixSeconds};

use crate::{
    client::Client,
    failure::{Failure, Result},
};

/// What a job may put aside, all its deals together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// The most; without, as much as its deals ask for.
    pub(crate) most: Option<Amount>,
    /// What its other deals have put aside, will put aside, or cost.
    pub(crate) bound: Amount,
    /// What those of them that are not open yet will take.
    pub(crate) unopened: Amount,
}

/// What became of a deal that wants consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The renter agreed.
    Given,
    /// The deal is more than the budget has left.
    Withheld,
}

/// Agree to a deal, if its terms are what was ordered and the budget allows it.
pub(crate) async fn give(
    client: &Client,
    network: &Network,
    submission: &Submission,
    agreement: &Agreement,
    budget: Budget,
    key: &Key,
    now: UnixSeconds,
) -> Result<Answer> {
    let domain = network.descriptor.plaza_domain();
    let order = submission.order.document.id(&domain);
    check(network, submission, agreement, order, now)
        .map_err(|why| Failure::new(format!("the deal offered is not what was ordered: {why}")))?;
    if !budget.allows(agreement.terms.document.cap) {
        return Ok(Answer::Withheld);
    }
    let consent = sign(client, network, agreement, budget.unopened, key).await?;
    client.consent(agreement.deal, &consent).await.map(|()| Answer::Given)
}

impl Budget {
    fn allows(self, cap: Amount) -> bool {
        let Some(most) = self.most else { return true };
        self.bound.plus(cap).is_some_and(|together| together <= most)
    }
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
    let wish = submission.work.bundle().ok_or("it reserves more than can be counted")?;
    let request = BidRequest {
        order: submission.order.clone(),
        wish,
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
    unopened: Amount,
    key: &Key,
) -> Result<Consent> {
    let terms = &agreement.terms.document;
    let escrow = network.descriptor.escrow_domain();
    let token = &network.descriptor.contracts.token_domain;
    let too_much = || Failure::new("the deal's hold is larger than an escrow can keep");
    let needed = terms.escrowed().ok_or_else(too_much)?;
    let together = needed.plus(unopened).ok_or_else(too_much)?;
    if client.balance(key.address()).await?.escrow >= together {
        return Ok(Consent::Terms { signature: key.sign(agreement.deal.0) });
    }
    let digest = terms.authorization(&escrow, token).ok_or_else(too_much)?;
    Ok(Consent::Authorization { signature: key.sign(digest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_allows_what_it_has_left_and_not_a_unit_more() {
        let amount = |units| Amount::new(units).expect("small");
        let (most, bound) = (Some(amount(100)), amount(60));
        let budget = Budget { most, bound, unopened: Amount::ZERO };
        assert!(budget.allows(amount(40)));
        assert!(!budget.allows(amount(41)));
        assert!(!budget.allows(Amount::MAX), "an overflow is above every budget");
        assert!(Budget { most: None, ..budget }.allows(Amount::MAX));
    }
}
