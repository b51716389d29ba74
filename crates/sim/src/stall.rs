//! What a simulated provider sells: an offer of one machine, bids that follow the rules, receipts
//! with its key's signature.

use std::sync::Arc;

use market::{
    Domain, Machine, Offer, Receipt, Rules, Signed, Terms,
    document::terms_spec,
    message::{Bid, BidRequest},
    task::{Ending, Reported, TaskResult},
};
use primitives::{
    Address, Amount, B256, BasisPoints, Bytes, Clock as _, Digest, Key, Millicores, PeerId, Rate,
    Resources, Seconds,
};

use crate::{clock::SimulatedClock, town::Town};

/// A provider's keys and its offer.
pub struct Stall {
    /// The account that is paid.
    pub account: Address,
    /// The provider key.
    pub key: Key,
    /// What is for sale.
    pub offer: Signed<Offer>,
    plaza: Domain,
    escrow: Domain,
    rules: Rules,
    fee: BasisPoints,
    clock: Arc<SimulatedClock>,
}

/// The machine that everybody sells: four cores, divisible, on Linux.
pub fn machine() -> Machine {
    Machine {
        resources: Resources {
            cpu: Millicores::cores(4),
            memory: Bytes::gibi(8),
            disk: Bytes::gibi(64),
            gpus: 0,
        },
        divisible: true,
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        cpu_model: None,
        gpu_models: None,
        host_root: true,
        wasm: true,
        isolation: Default::default(),
    }
}

impl Stall {
    /// The provider key is registered, and the whole machine costs `rate`.
    pub async fn open(town: &Town, account: Address, key: Key, peer: &PeerId, rate: Rate) -> Self {
        town.register(account, &key).await;
        let document = Offer {
            provider: account,
            provider_key: key.address(),
            peer: peer.clone(),
            machine: machine(),
            rate,
            token: town.setup.token,
            sla: B256::ZERO,
            region: String::new(),
            sequence: 1,
            valid_until: town.clock.now().plus(Seconds(30 * 86_400)),
        };
        let signature = key.sign(document.digest(&town.plaza()));
        Self {
            account,
            key,
            offer: Signed { document, signature },
            plaza: town.plaza(),
            escrow: town.escrow(),
            rules: town.profile.market.clone(),
            fee: town.setup.fee,
            clock: town.clock.clone(),
        }
    }

    /// Terms for a request, as the rules have them; `None` when it wishes for more than there is.
    pub fn terms(&self, request: &BidRequest) -> Option<Terms> {
        let (order, rules, offer) = (&request.order.document, &self.rules, &self.offer.document);
        let resources = request.wish.resources;
        let rate = market::quote::bundle_rate(offer.rate, &offer.machine, &resources)?;
        let accept_by = self.clock.now().plus(rules.bid_lead);
        let order_id = order.id(&self.plaza);
        Some(Terms {
            renter: order.renter,
            provider: self.account,
            renter_key: order.renter_key,
            provider_key: self.key.address(),
            session: order.session,
            token: order.token,
            cap: rate.hold_up(order.time_limit, rules.hold_buffer).unwrap_or(Amount::ZERO),
            rate,
            fee: self.fee,
            kind: order.kind,
            accept_by,
            expiry: accept_by.plus(rules.preparation).plus(order.time_limit),
            grace: rules.grace,
            gateway: order.gateway,
            open_fee: request.open_fee,
            close_fee: request.close_fee,
            nonce: order.nonce,
            spec: terms_spec(request.deal_salt, order_id, &resources, self.digest(), B256::ZERO),
        })
    }

    /// A bid of these terms, signed by `signer`.
    pub fn bid(&self, terms: Terms, request: &BidRequest, signer: &Key) -> Bid {
        let signature = signer.sign(terms.id(&self.escrow).0);
        Bid {
            terms: Signed { document: terms, signature },
            offer: self.digest(),
            salt: request.deal_salt,
            resources: request.wish.resources,
        }
    }

    /// A receipt with the provider key's signature.
    pub fn signed(&self, document: Receipt) -> Signed<Receipt> {
        Signed { signature: self.key.sign(document.digest(&self.escrow)), document }
    }

    fn digest(&self) -> Digest {
        Digest(self.offer.document.digest(&self.plaza).0)
    }
}

/// A result as it is reported, with nothing to say about its end.
pub(crate) fn reported(result: TaskResult) -> Reported {
    let ending = Ending { code: "exited".into(), cause: String::new(), action: String::new() };
    Reported { result, ending }
}
