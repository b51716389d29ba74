//! Whether to bid for an order, and on what terms: a pure decision (MKT-27).
//!
//! Upon an order: whatever makes it none of ours is a refusal with its reason; what does not fit
//! now is `Busy`; anything else becomes terms, and capacity is put aside under the deal's id.
//!
//! In: the request, what the provider stands on, the calendar. Out: terms, unsigned. The same
//! request at the same time on the same calendar gives the same terms.
//!
//! Invariant: no terms without a reservation (SCH-8).
//!
//! Not here: signing and writing down (`desk`).

use market::{
    Domain, Offer, Rules, Terms,
    document::{Kind, terms_spec},
    machine::Dimension,
    message::BidRequest,
    quote::bundle_rate,
    work::salted,
};
use primitives::{
    Address, Amount, B256, BasisPoints, DealId, Digest, JobId, Rate, Resources, UnixSeconds,
};
use scheduler::{Busy, Calendar, Reservation};

use crate::{policy::Policy, root::served};

/// What a provider stands on when it bids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing<'a> {
    /// The domain of orders.
    pub(crate) plaza: &'a Domain,
    /// The domain of terms.
    pub(crate) escrow: &'a Domain,
    /// The offer that is in the book.
    pub(crate) offer: &'a Offer,
    /// What it sells, to whom, for how much.
    pub(crate) policy: &'a Policy,
    /// The network's rules.
    pub(crate) rules: &'a Rules,
    /// The network's present fee.
    pub(crate) fee: BasisPoints,
    /// The gateway's account.
    pub(crate) gateway: Address,
    /// The later of the latest block's time and the own clock.
    pub(crate) time: UnixSeconds,
    /// What the renter has in the order's token, in its wallet and inside the escrow.
    pub(crate) funds: [Amount; 2],
    /// Firm bids that this renter has not answered.
    pub(crate) unanswered: u32,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// These terms, with capacity put aside for them until they lapse.
    Bid(Box<Proposal>),
    /// No capacity free now; ask again then.
    Busy {
        /// When some is expected.
        until: UnixSeconds,
    },
    /// Not for this order.
    Refused {
        /// For people.
        why: String,
    },
}

/// Terms that wait for the provider key's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// Their digest.
    pub(crate) deal: DealId,
    /// The order's digest.
    pub(crate) job: JobId,
    /// What is proposed.
    pub(crate) terms: Terms,
    /// The offer it stands on.
    pub(crate) offer: Digest,
    /// What is put aside.
    pub(crate) resources: Resources,
}

/// How an offer is named: by what its provider key signs.
pub fn offer_digest(offer: &Offer, plaza: &Domain) -> Digest {
    Digest(offer.digest(plaza).0)
}

/// Decide on a request for a price.
pub(crate) fn decide(
    request: &BidRequest,
    standing: &Standing<'_>,
    calendar: &mut Calendar<DealId>,
) -> Decision {
    let order = &request.order.document;
    let job = order.id(standing.plaza);
    if let Some(why) = objection(request, standing, job) {
        return Decision::Refused { why };
    }
    let resources = request.wish.bundle_on(&standing.offer.machine);
    let proposal = match price(&resources, standing) {
        Some(rate) if rate <= order.max_rate => propose(request, standing, job, resources, rate),
        Some(rate) => {
            let why = format!("the price is {rate} an hour, the order allows {}", order.max_rate);
            return Decision::Refused { why };
        }
        None => None,
    };
    let Some(proposal) = proposal else {
        return Decision::Refused { why: "the price is beyond what a deal can hold".into() };
    };
    if let Some(why) = unfunded(request, standing, &proposal.terms) {
        return Decision::Refused { why };
    }
    let full = u64::try_from(calendar.count(standing.time)).unwrap_or(u64::MAX);
    if full >= u64::from(standing.policy.leases) {
        return Decision::Busy { until: standing.time.plus(standing.rules.bid_lead) };
    }
    let reservation = Reservation { resources, until: held_until(&proposal.terms, standing.rules) };
    match calendar.reserve(proposal.deal, reservation, standing.time) {
        Ok(()) => Decision::Bid(Box::new(proposal)),
        Err(Busy::Until(until)) if until < UnixSeconds(u64::MAX) => Decision::Busy { until },
        Err(Busy::Until(_)) => {
            Decision::Busy { until: standing.time.plus(standing.rules.bid_lead) }
        }
        Err(Busy::Never) => {
            Decision::Refused { why: "the machine is smaller than what is wished".into() }
        }
    }
}

/// Until when an unopened bid holds its capacity: an opening at the last moment needs as long
/// again to be seen at the network's depth.
pub(crate) fn held_until(terms: &Terms, rules: &Rules) -> UnixSeconds {
    terms.accept_by.plus(rules.bid_lead)
}

/// The first reason why the order is none of ours, for people.
fn objection(request: &BidRequest, standing: &Standing<'_>, job: JobId) -> Option<String> {
    let order = &request.order.document;
    let Standing { offer, policy, rules, .. } = standing;
    let longest = policy.longest.min(rules.longest_deal);
    let checks = [
        (
            "the order is not signed by its renter",
            request.order.signature.is_by(order.renter, job.0),
        ),
        ("the order has expired", standing.time < order.expiry),
        ("the order names another gateway", order.gateway == standing.gateway),
        (
            "the wish is not the one that was ordered",
            salted(request.salt, &request.wish) == order.resources,
        ),
        ("the order is to be paid in another token", order.token == offer.token),
        ("the order is not for a lease", order.kind == Kind::Lease),
        ("this provider runs no images", served(&request.wish.root).is_some()),
        ("the order names no key for receipts", order.renter_key != Address::ZERO),
        ("this provider does not serve this renter", policy.serves(order.renter)),
        ("the time limit is zero", order.time_limit.0 > 0),
        ("the time limit is longer than this provider takes", order.time_limit <= longest),
        ("this renter holds too many unanswered bids", standing.unanswered < rules.bids_per_renter),
    ];
    let unmet = request.wish.unmet_by(offer.provider, &offer.machine, &offer.region);
    let failed = checks.into_iter().find(|(_, holds)| !holds).map(|(why, _)| why.to_owned());
    failed.or_else(|| unmet.first().map(unmet_words))
}

fn unmet_words(dimension: &Dimension) -> String {
    let what = match dimension {
        Dimension::Provider => return "the renter excludes this provider".to_owned(),
        Dimension::Cpu => "fewer processor cores than wished",
        Dimension::Memory => "less memory than wished",
        Dimension::Disk => "less disk than wished",
        Dimension::Gpu => "fewer graphics processors than wished",
        Dimension::GpuModel => "another graphics processor than wished",
        Dimension::Os => "another operating system than wished",
        Dimension::Architecture => "another architecture than wished",
        Dimension::Region => "another region than wished",
        Dimension::Root => "not the file tree wished",
        Dimension::Price | Dimension::Token | Dimension::Expired => "no valid offer",
    };
    format!("the machine has {what}")
}

fn price(resources: &Resources, standing: &Standing<'_>) -> Option<Rate> {
    let share = bundle_rate(standing.offer.rate, &standing.offer.machine, resources)?;
    Some(share.max(standing.policy.floor))
}

fn propose(
    request: &BidRequest,
    standing: &Standing<'_>,
    job: JobId,
    resources: Resources,
    rate: Rate,
) -> Option<Proposal> {
    let order = &request.order.document;
    let Standing { offer, rules, .. } = standing;
    let accept_by = standing.time.plus(rules.bid_lead);
    let digest = offer_digest(offer, standing.plaza);
    let terms = Terms {
        renter: order.renter,
        provider: offer.provider,
        renter_key: order.renter_key,
        provider_key: offer.provider_key,
        session: order.session,
        token: order.token,
        cap: rate.hold_up(order.time_limit, rules.hold_buffer)?,
        rate,
        fee: standing.fee,
        kind: order.kind,
        accept_by,
        expiry: accept_by.plus(rules.preparation).plus(order.time_limit),
        grace: rules.grace,
        gateway: order.gateway,
        open_fee: request.open_fee,
        close_fee: request.close_fee,
        nonce: nonce(request.deal_salt),
        spec: terms_spec(request.deal_salt, job, &resources, digest, offer.sla),
    };
    let deal = terms.id(standing.escrow);
    Some(Proposal { deal, job, terms, offer: digest, resources })
}

/// The nonce of a deal's terms: the first eight bytes of its salt.
fn nonce(salt: B256) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = salt.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A firm bid is only for who can pay: the deal opens from the escrow's balance or, outside a
/// session, straight from the wallet by authorisation.
fn unfunded(request: &BidRequest, standing: &Standing<'_>, terms: &Terms) -> Option<String> {
    let [wallet, escrow] = standing.funds;
    let (held, places) = match terms.session() {
        None => (wallet.max(escrow), "neither in its wallet nor in the escrow"),
        Some(_) => (escrow, "in the escrow, which alone pays in a session"),
    };
    let needed = terms.escrowed();
    needed.is_none_or(|needed| needed > held).then(|| {
        let needed = needed.map_or_else(|| "too much".to_owned(), |needed| needed.to_string());
        let renter = request.order.document.renter;
        format!("the renter {renter} has not the {needed} units to be put aside, {places}")
    })
}

#[cfg(test)]
mod tests;
