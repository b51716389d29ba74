//! Deals of the tests: terms, bids, consents and receipts with real signatures.

use market::{
    Consent, Domain, Kind, Outcome, Receipt, Session, Signed, Terms,
    document::{Intent, Purpose, TokenDomain},
    escrow::{LONGEST, Windows},
};
use primitives::{
    Address, Amount, B256, BasisPoints, DealId, Rate, Seconds, Signature, UnixSeconds,
};
use settlement::{Call, Cosigned};

use crate::people::Who;

pub(crate) const WINDOWS: Windows = Windows { dispute: Seconds(600), accept: Seconds(120) };
pub(crate) const FEE: BasisPoints = BasisPoints(300);
pub(crate) const CAP: Amount = amount(1_000_000);

/// 1,000 units a second.
pub(crate) const RATE: Rate = match Rate::per_hour(3_600_000) {
    Some(rate) => rate,
    None => panic!("it fits"),
};

pub(crate) const fn amount(units: u128) -> Amount {
    match Amount::new(units) {
        Some(amount) => amount,
        None => panic!("the tests use small sums"),
    }
}

/// What a deal's calls are made for.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) escrow: Domain,
    pub(crate) token: Address,
    pub(crate) token_domain: TokenDomain,
}

/// Terms that the escrow takes at `now`.
pub(crate) fn terms(place: &Place, nonce: u64, now: UnixSeconds) -> Terms {
    let accept_by = now.plus(Seconds(30));
    Terms {
        renter: Who::Renter.address(),
        provider: Who::Provider.address(),
        renter_key: Who::RenterKey.address(),
        provider_key: Who::ProviderKey.address(),
        session: B256::ZERO,
        token: place.token,
        cap: CAP,
        rate: RATE,
        fee: FEE,
        kind: Kind::Lease,
        accept_by,
        expiry: accept_by.plus(Seconds(1_500)),
        grace: Seconds(60),
        gateway: Who::Stranger.address(),
        open_fee: amount(7),
        close_fee: amount(11),
        nonce,
        spec: B256::repeat_byte(9),
    }
}

/// A session of the renter's key that lasts well beyond the deals of the tests.
pub(crate) fn session(place: &Place, salt: u8, cap: u128, now: UnixSeconds) -> Session {
    Session {
        renter: Who::Renter.address(),
        key: Who::RenterKey.address(),
        token: place.token,
        cap: amount(cap),
        max_rate: RATE,
        expiry: now.plus(Seconds(86_400)),
        salt: B256::repeat_byte(salt),
    }
}

/// The longest expiry the escrow takes.
pub(crate) fn longest_expiry(terms: &Terms) -> UnixSeconds {
    terms.accept_by.plus(LONGEST)
}

impl Place {
    pub(crate) fn id(&self, terms: &Terms) -> DealId {
        terms.id(&self.escrow)
    }

    pub(crate) fn by(&self, who: Who, terms: &Terms) -> Signature {
        who.key().sign(self.id(terms).0)
    }

    pub(crate) fn open(&self, terms: &Terms) -> Call {
        let signature = self.by(Who::Renter, terms);
        let consent = Consent::Terms { signature };
        Call::Open { terms: terms.clone(), bid: self.by(Who::ProviderKey, terms), consent }
    }

    /// These terms within a session.
    pub(crate) fn within(&self, session: &Session, terms: Terms) -> Terms {
        Terms { session: session.id(&self.escrow).0, ..terms }
    }

    pub(crate) fn granted(&self, session: &Session, by: Who) -> Signed<Session> {
        session.clone().signed(&self.escrow, &by.key())
    }

    /// Opens in a session: granted by the renter, signed by its key.
    pub(crate) fn open_in(&self, session: &Session, terms: &Terms) -> Call {
        self.open_in_by(session, terms, Who::Renter, Who::RenterKey)
    }

    pub(crate) fn open_in_by(&self, it: &Session, terms: &Terms, grants: Who, signs: Who) -> Call {
        let grant = Box::new(self.granted(it, grants));
        let consent = Consent::Session { grant, signature: self.by(signs, terms) };
        Call::Open { terms: terms.clone(), bid: self.by(Who::ProviderKey, terms), consent }
    }

    /// An intent that costs nothing and holds for ever.
    pub(crate) fn intent(&self, by: Who, purpose: Purpose) -> Signed<Intent> {
        purpose.signed(&self.escrow, Intent::FREE, &by.key())
    }

    pub(crate) fn open_by_authorization(&self, terms: &Terms, signer: Who) -> Call {
        let digest = terms.authorization(&self.escrow, &self.token_domain).unwrap();
        let consent = Consent::Authorization { signature: signer.key().sign(digest) };
        Call::Open { terms: terms.clone(), bid: self.by(Who::ProviderKey, terms), consent }
    }

    /// A receipt for so many seconds at the full rate.
    pub(crate) fn receipt(&self, terms: &Terms, seconds: u64, outcome: Outcome) -> Receipt {
        Receipt {
            deal: self.id(terms),
            amount: terms.rate.charge_down(Seconds(seconds)),
            seconds: Seconds(seconds),
            outcome,
            result: B256::repeat_byte(2),
            meter: B256::repeat_byte(3),
        }
    }

    /// A receipt that both keys signed.
    pub(crate) fn cosigned(&self, receipt: Receipt) -> Cosigned {
        self.signed_by(receipt, Some(Who::RenterKey), Some(Who::ProviderKey))
    }

    pub(crate) fn signed_by(
        &self,
        receipt: Receipt,
        renter: Option<Who>,
        provider: Option<Who>,
    ) -> Cosigned {
        let digest = receipt.digest(&self.escrow);
        let sign = |who: Option<Who>| who.map(|who| who.key().sign(digest));
        Cosigned { renter: sign(renter), provider: sign(provider), receipt }
    }

    pub(crate) fn running(&self, terms: &Terms, seconds: u64) -> Cosigned {
        self.cosigned(self.receipt(terms, seconds, Outcome::Running))
    }

    pub(crate) fn completed(&self, terms: &Terms, seconds: u64) -> Cosigned {
        self.cosigned(self.receipt(terms, seconds, Outcome::Completed))
    }
}
