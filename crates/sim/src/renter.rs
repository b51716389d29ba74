//! A renter of the simulation: orders work, consents to fair terms, and does not give up.

use broker::{JobView, Refusal};
use market::{
    Kind, Session, Signed, Wish, Work,
    document::{Consent, Order},
    fact::Submission,
    work::{Array, salted},
};
use primitives::{
    Address, Amount, B256, Bytes, Clock as _, JobId, Key, Millicores, Rate, Resources, Seconds,
};

use crate::{gateway::Gateway, town::Town};

/// What a renter's wallet holds at first, in base units.
pub const WALLET: Amount = Amount::new(100_000_000).expect("small");

/// A renter's wallet.
pub struct Renter {
    /// Its key.
    pub key: Key,
}

/// What a renter wants done.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The program; what it does is the provider's script's business.
    pub command: Vec<String>,
    /// After which a task is ended, and a deal that carries a lone one.
    pub time_limit: Seconds,
    /// The points at which it is to be done; once without.
    pub array: Option<Array>,
    /// The most to pay per hour.
    pub max_rate: Rate,
    /// How long a provider may be looked for.
    pub patience: Seconds,
    /// Tells apart orders that are otherwise equal.
    pub nonce: u64,
}

impl Wanted {
    /// Ten minutes of one core at any price.
    pub fn plain(nonce: u64) -> Self {
        Self {
            command: vec!["work".to_owned()],
            time_limit: Seconds(600),
            array: None,
            max_rate: Rate::per_hour(1_000_000_000).expect("small"),
            patience: Seconds(600),
            nonce,
        }
    }
}

impl Renter {
    /// The account.
    pub fn account(&self) -> Address {
        self.key.address()
    }

    /// The signed order for what is wanted, with its content.
    pub fn submission(&self, town: &Town, gateway: &Gateway, wanted: &Wanted) -> Submission {
        let wish = Wish::of(Resources {
            cpu: Millicores::cores(1),
            memory: Bytes::gibi(1),
            disk: Bytes::gibi(1),
            gpus: 0,
        });
        let work = Work {
            command: wanted.command.clone(),
            env: Default::default(),
            inputs: None,
            wish,
            time_limit: wanted.time_limit,
            output_limit: Bytes::mebi(16),
            array: wanted.array.clone(),
        };
        let bundle = work.bundle().expect("a small machine");
        let salt = B256::with_last_byte(7);
        let document = Order {
            renter: self.account(),
            renter_key: gateway.signer(),
            session: B256::ZERO,
            token: town.setup.token,
            kind: Kind::Lease,
            resources: salted(salt, &bundle),
            max_rate: wanted.max_rate,
            // A deal that carries many tasks lasts longer than one of them.
            time_limit: match work.array {
                None => work.time_limit,
                Some(_) => town.profile.market.time_limit,
            },
            output_limit: work.output_limit.0,
            spec: work.digest(salt),
            gateway: gateway.account,
            nonce: wanted.nonce,
            expiry: town.clock.now().plus(wanted.patience),
        };
        let signature = self.key.sign(document.id(&town.plaza()).0);
        Submission { order: Signed { document, signature }, work, salt, session: None }
    }

    /// Leave for a gateway to spend up to `cap` of the renter's escrow balance, for a day.
    pub fn grant(&self, town: &Town, gateway: &Gateway, cap: Amount) -> Signed<Session> {
        let session = Session {
            renter: self.account(),
            key: gateway.signer(),
            token: town.setup.token,
            cap,
            max_rate: Wanted::plain(0).max_rate,
            expiry: town.clock.now().plus(Seconds(86_400)),
            salt: B256::repeat_byte(11),
        };
        session.signed(&town.escrow(), &self.key)
    }

    /// The same order, given in a session.
    pub fn in_session(&self, town: &Town, it: Submission, session: &Signed<Session>) -> Submission {
        let mut document = it.order.document;
        document.session = session.document.id(&town.escrow()).0;
        let signature = self.key.sign(document.id(&town.plaza()).0);
        let order = Signed { document, signature };
        Submission { order, session: Some(session.clone()), ..it }
    }

    /// Send the order, again if need be; gives the job.
    ///
    /// # Errors
    /// What is wrong with the order.
    pub async fn order(&self, gateway: &Gateway, it: &Submission) -> Result<JobId, Refusal> {
        gateway.broker().submit(it.clone()).await
    }

    /// Consent to the terms of every deal that waits for it, paying from the wallet.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn consent(
        &self,
        town: &Town,
        gateway: &Gateway,
        job: &JobView,
    ) -> Result<(), Refusal> {
        for deal in job.deals.iter().filter(|deal| deal.state == "chosen") {
            let terms = &deal.agreement.terms.document;
            let digest = terms
                .authorization(&town.escrow(), &town.setup.token_domain)
                .ok_or_else(|| Refusal::TooLate("the terms are too large".to_owned()))?;
            let consent = Consent::Authorization { signature: self.key.sign(digest) };
            gateway.broker().consent(deal.agreement.deal, consent).await?;
        }
        Ok(())
    }
}
