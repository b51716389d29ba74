//! Quotes: which offers serve a wish, what each costs in all, and why the others do not.

use std::collections::BTreeMap;

use primitives::{Address, Amount, Digest, Rate, Resources, Seconds, UnixSeconds};
use serde::{Deserialize, Serialize};

use crate::{
    document::Offer,
    machine::{Dimension, Machine, Wish},
    rules::Rules,
};

/// What a renter asks the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inquiry {
    /// The machine wished.
    pub wish: Wish,
    /// How long it is wanted.
    pub time_limit: Seconds,
    /// The most to pay per hour, if limited.
    pub max_rate: Option<Rate>,
    /// The token to pay in.
    pub token: Address,
}

/// The answer to an inquiry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The offers that serve, cheapest first; equal prices in the order of their digests.
    pub ranked: Vec<Quoted>,
    /// How many offers fail in each dimension; one offer may count in several.
    pub rejected: BTreeMap<Dimension, usize>,
    /// How many offers were looked at.
    pub considered: usize,
}

/// One offer's price for an inquiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quoted {
    /// The offer.
    pub offer: Digest,
    /// The account behind it.
    pub provider: Address,
    /// What is reserved.
    pub resources: Resources,
    /// All-in price of the reserved bundle: the network's fee is inside, transfer and storage of
    /// inputs and outputs cost nothing extra (MKT-3).
    pub rate: Rate,
    /// What running until the limit costs.
    pub full_price: Amount,
    /// What is put aside at the start, the unused part of which comes back.
    pub hold: Amount,
}

/// The price of `bundle` on `machine` when the whole costs `whole`: the largest share the bundle
/// takes of any dimension, rounded up. `None` where the machine has none of something wished.
pub fn bundle_rate(whole: Rate, machine: &Machine, bundle: &Resources) -> Option<Rate> {
    let has = &machine.resources;
    let shares = [
        (bundle.cpu.0, has.cpu.0),
        (bundle.memory.0, has.memory.0),
        (bundle.disk.0, has.disk.0),
        (u64::from(bundle.gpus), u64::from(has.gpus)),
    ];
    shares
        .into_iter()
        .filter(|(part, _)| *part > 0)
        .map(|(part, all)| whole.scaled_up(part, all))
        .try_fold(Rate::ZERO, |most, rate| Some(most.max(rate?)))
}

/// Answer an inquiry from the book of valid signed offers.
pub fn quote<'a>(
    offers: impl IntoIterator<Item = (Digest, &'a Offer)>,
    inquiry: &Inquiry,
    rules: &Rules,
    now: UnixSeconds,
) -> Quote {
    let mut answer = Quote::default();
    for (digest, offer) in offers {
        answer.considered += 1;
        match assess(digest, offer, inquiry, rules, now) {
            Ok(quoted) => answer.ranked.push(quoted),
            Err(unmet) => {
                for dimension in unmet {
                    *answer.rejected.entry(dimension).or_default() += 1;
                }
            }
        }
    }
    answer.ranked.sort_by_key(|quoted| (quoted.rate, quoted.offer));
    answer
}

fn assess(
    digest: Digest,
    offer: &Offer,
    inquiry: &Inquiry,
    rules: &Rules,
    now: UnixSeconds,
) -> Result<Quoted, Vec<Dimension>> {
    let mut unmet = inquiry.wish.unmet_by(offer.provider, &offer.machine, &offer.region);
    if offer.token != inquiry.token {
        unmet.push(Dimension::Token);
    }
    if now >= offer.valid_until {
        unmet.push(Dimension::Expired);
    }
    if !unmet.is_empty() {
        return Err(unmet);
    }
    let resources = inquiry.wish.bundle_on(&offer.machine);
    let price = || vec![Dimension::Price];
    let rate = bundle_rate(offer.rate, &offer.machine, &resources).ok_or_else(price)?;
    if inquiry.max_rate.is_some_and(|most| rate > most) {
        return Err(price());
    }
    let hold = rate.hold_up(inquiry.time_limit, rules.hold_buffer).ok_or_else(price)?;
    Ok(Quoted {
        offer: digest,
        provider: offer.provider,
        resources,
        rate,
        full_price: rate.charge_down(inquiry.time_limit),
        hold,
    })
}

#[cfg(test)]
mod tests;
