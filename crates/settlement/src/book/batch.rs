//! Many deals in one call: each side consents once to all, and an item that fails harms no other.

use market::{
    Receipt, Terms,
    document::{Session, Signed, batch},
};
use primitives::{Address, B256, Signature};

use super::{Book, Context};
use crate::{
    call::{Call, MAX_BATCH, Skipped},
    refusal::{Reason, Refusal},
};

/// Who agreed to all items of a batch.
#[derive(Clone, Copy)]
struct Sides {
    renter: Side,
    provider: Side,
}

/// The signer or, where there is no signature, the sender, who may then be the account as well as
/// the key.
#[derive(Clone, Copy)]
struct Side {
    account: Address,
    sent: bool,
}

impl Side {
    fn of(
        signature: Option<&Signature>,
        digest: B256,
        sender: Address,
        missing: Reason,
    ) -> Result<Self, Refusal> {
        match signature {
            None => Ok(Self { account: sender, sent: true }),
            Some(signature) => {
                let account = signature.signer(digest).ok_or(missing)?;
                Ok(Self { account, sent: false })
            }
        }
    }

    fn agrees(self, account: Address, key: Address) -> bool {
        self.account == key || (self.sent && self.account == account)
    }
}

impl Sides {
    fn renter_agrees(self, terms: &Terms) -> Result<(), Refusal> {
        let agrees = self.renter.agrees(terms.renter, terms.renter_key);
        if agrees { Ok(()) } else { Err(Reason::RenterConsent.into()) }
    }

    fn provider_agrees(self, terms: &Terms) -> Result<(), Refusal> {
        let agrees = self.provider.agrees(terms.provider, terms.provider_key);
        if agrees { Ok(()) } else { Err(Reason::ProviderConsent.into()) }
    }
}

impl Book {
    pub(super) fn batch(&mut self, call: &Call, context: Context) -> Result<Vec<Skipped>, Refusal> {
        match call {
            Call::OpenBatch { openings, grants, renter, provider } => {
                let ids = openings.iter().map(|(terms, _)| self.id(terms).0).collect();
                let sides = self.sides(ids, [renter.as_ref(), provider.as_ref()], context)?;
                Ok(self.open_all(openings, grants, sides, context))
            }
            Call::SettleBatch { closings, renter, provider } => {
                let digest = |(_, receipt): &(Terms, Receipt)| receipt.digest(&self.setup.escrow);
                let digests = closings.iter().map(digest).collect();
                let sides = self.sides(digests, [renter.as_ref(), provider.as_ref()], context)?;
                Ok(self.settle_all(closings, sides, context))
            }
            _ => Err(Reason::Other.into()),
        }
    }

    fn sides(
        &self,
        documents: Vec<B256>,
        [renter, provider]: [Option<&Signature>; 2],
        context: Context,
    ) -> Result<Sides, Refusal> {
        if documents.is_empty() || documents.len() > MAX_BATCH {
            return Err(Reason::BatchSize.into());
        }
        let digest = batch(documents, &self.setup.escrow);
        let sender = context.sender;
        Ok(Sides {
            renter: Side::of(renter, digest, sender, Reason::RenterConsent)?,
            provider: Side::of(provider, digest, sender, Reason::ProviderConsent)?,
        })
    }

    fn open_all(
        &mut self,
        openings: &[(Terms, usize)],
        grants: &[Signed<Session>],
        sides: Sides,
        context: Context,
    ) -> Vec<Skipped> {
        // What was granted stays so, whatever becomes of the items.
        for grant in grants.iter().filter(|grant| grant.is_granted(&self.setup.escrow)) {
            let id = grant.document.id(&self.setup.escrow);
            let kept = self.session(id).granted();
            self.sessions.insert(id, kept);
        }
        let mut skipped = Vec::new();
        for (terms, grant) in openings {
            let opened = match grants.get(*grant) {
                Some(grant) => self.open_item(terms, &grant.document, sides, context),
                None => Err(Reason::Terms.into()),
            };
            skipped.extend(opened.err().map(|refusal| Skipped { deal: self.id(terms), refusal }));
        }
        skipped
    }

    fn open_item(
        &mut self,
        terms: &Terms,
        session: &Session,
        sides: Sides,
        context: Context,
    ) -> Result<(), Refusal> {
        sides.renter_agrees(terms)?;
        let slot = self.openable(terms, context.at)?;
        sides.provider_agrees(terms)?;
        self.admitted(terms, context.at)?;
        let kept = self.session(session.id(&self.setup.escrow));
        self.use_session(terms, session, kept, context.at)?;
        self.lock(terms, slot, context);
        Ok(())
    }

    fn settle_all(
        &mut self,
        closings: &[(Terms, Receipt)],
        sides: Sides,
        context: Context,
    ) -> Vec<Skipped> {
        let mut skipped = Vec::new();
        for (terms, receipt) in closings {
            let settled = self.settle_item(terms, receipt, sides, context);
            skipped.extend(settled.err().map(|refusal| Skipped { deal: self.id(terms), refusal }));
        }
        skipped
    }

    fn settle_item(
        &mut self,
        terms: &Terms,
        receipt: &Receipt,
        sides: Sides,
        context: Context,
    ) -> Result<(), Refusal> {
        let ended = self.settled(terms, receipt, context.at)?;
        sides.renter_agrees(terms)?;
        sides.provider_agrees(terms)?;
        self.end(terms, ended, context);
        Ok(())
    }
}
