//! What the contracts keep, as plain maps: the fake ledger's state.
//!
//! Upon a call: the same checks as the contracts, then the same effects, by the pure state table of
//! `market::escrow`. A refused call changes nothing.
//!
//! Invariant: for each token, what was minted is what wallets, balances, open deals and fees hold;
//! for each session, `used` is what its live deals hold and its settled ones have cost.

mod batch;

use std::collections::{BTreeMap, BTreeSet};

use market::{
    Domain, Receipt, SessionUse, Slot, State, Terms,
    document::{Consent, Intent, Purpose, Session, Signed, TokenDomain, deposit_nonce},
    escrow::{Revert, Split, Windows},
    fact::{Closing, Opening},
    session::Breach,
};
use primitives::{
    Address, Amount, B256, BasisPoints, DealId, Seconds, SessionId, Signature, UnixSeconds,
};

use crate::{
    authorisation::authorisation_digest,
    call::{Call, Cosigned, Skipped},
    refusal::{Reason, Refusal},
};

/// The longest pause of opens.
const LONGEST_PAUSE: Seconds = Seconds(7 * 86_400);

/// How a fake network is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The domain of terms and receipts.
    pub escrow: Domain,
    /// The domain of offers and orders.
    pub plaza: Domain,
    /// The domain of authorisations.
    pub providers: Domain,
    /// The escrow's windows.
    pub windows: Windows,
    /// The listed token.
    pub token: Address,
    /// What it calls itself.
    pub token_domain: TokenDomain,
    /// The network's fee.
    pub fee: BasisPoints,
    /// The highest fee it may ever set.
    pub highest_fee: BasisPoints,
    /// The owner of the root contract and of the test token; collected fees go to it.
    pub owner: Address,
}

/// Who calls, when, and in which transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) sender: Address,
    pub(crate) tx: B256,
    pub(crate) block: u64,
    pub(crate) at: UnixSeconds,
}

/// The state of all contracts after some block.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    setup: Setup,
    fee: BasisPoints,
    paused_until: UnixSeconds,
    listed: BTreeSet<Address>,
    minted: BTreeMap<Address, Amount>,
    wallets: BTreeMap<(Address, Address), Amount>,
    balances: BTreeMap<(Address, Address), Amount>,
    fees: BTreeMap<Address, Amount>,
    deals: BTreeMap<DealId, Deal>,
    sessions: BTreeMap<SessionId, SessionUse>,
    providers: BTreeMap<Address, Address>,
    /// Nonces of a token's authorisations, by token and account.
    spent: BTreeSet<(Address, Address, B256)>,
    /// Nonces of intents, by contract and account.
    nonces: BTreeSet<(Address, Address, u64)>,
}

#[derive(Clone, Debug)]
struct Deal {
    terms: Terms,
    slot: Slot,
    opening: Option<Opening>,
    closing: Option<Closing>,
}

impl Book {
    pub(crate) fn new(setup: Setup) -> Self {
        Self {
            fee: setup.fee,
            listed: BTreeSet::from([setup.token]),
            setup,
            paused_until: UnixSeconds(0),
            minted: BTreeMap::new(),
            wallets: BTreeMap::new(),
            balances: BTreeMap::new(),
            fees: BTreeMap::new(),
            deals: BTreeMap::new(),
            sessions: BTreeMap::new(),
            providers: BTreeMap::new(),
            spent: BTreeSet::new(),
            nonces: BTreeSet::new(),
        }
    }

    pub(crate) fn fee(&self) -> BasisPoints {
        self.fee
    }

    pub(crate) fn is_listed(&self, token: Address) -> bool {
        self.listed.contains(&token)
    }

    pub(crate) fn is_paused(&self, now: UnixSeconds) -> bool {
        now < self.paused_until
    }

    pub(crate) fn is_authorised(&self, provider: Address, key: Address) -> bool {
        self.providers.get(&key) == Some(&provider)
    }

    pub(crate) fn wallet(&self, token: Address, account: Address) -> Amount {
        self.wallets.get(&(token, account)).copied().unwrap_or_default()
    }

    pub(crate) fn balance(&self, token: Address, account: Address) -> Amount {
        self.balances.get(&(token, account)).copied().unwrap_or_default()
    }

    pub(crate) fn fees(&self, token: Address) -> Amount {
        self.fees.get(&token).copied().unwrap_or_default()
    }

    pub(crate) fn slot(&self, deal: DealId) -> Slot {
        self.deals.get(&deal).map(|deal| deal.slot).unwrap_or_default()
    }

    pub(crate) fn opening(&self, deal: DealId) -> Option<Opening> {
        self.deals.get(&deal)?.opening
    }

    pub(crate) fn closing(&self, deal: DealId) -> Option<Closing> {
        self.deals.get(&deal)?.closing
    }

    pub(crate) fn session(&self, session: SessionId) -> SessionUse {
        self.sessions.get(&session).copied().unwrap_or_default()
    }

    /// For each session: what it counts as used, and what its deals hold and have cost.
    pub(crate) fn uses(&self) -> impl Iterator<Item = (SessionId, u128, u128)> {
        self.sessions.iter().map(|(id, kept)| {
            let cost = |deal: &Deal| {
                let out = match (deal.slot.state, &deal.closing) {
                    (State::None | State::Cancelled, _) => return 0,
                    (_, Some(closing)) => closing.split.charge(),
                    (_, None) => deal.slot.locked,
                };
                let Terms { open_fee, close_fee, .. } = &deal.terms;
                out.units() + open_fee.units() + close_fee.units()
            };
            let own = self.deals.values().filter(|deal| deal.terms.session() == Some(*id));
            (*id, kept.used, own.map(cost).sum())
        })
    }

    /// For each token: what was minted, and what all who hold some hold together.
    pub(crate) fn totals(&self) -> impl Iterator<Item = (Address, u128, u128)> {
        self.minted.iter().map(|(token, minted)| {
            let held = |map: &BTreeMap<(Address, Address), Amount>| -> u128 {
                map.iter().filter(|((of, _), _)| of == token).map(|(_, held)| held.units()).sum()
            };
            let kept = |deal: &Deal| match deal.slot.state {
                State::Open | State::Stopped | State::Claimed => {
                    deal.slot.locked.units() + deal.terms.close_fee.units()
                }
                State::None | State::Settled | State::Cancelled => 0,
            };
            let deals: u128 =
                self.deals.values().filter(|deal| deal.terms.token == *token).map(kept).sum();
            let found =
                held(&self.wallets) + held(&self.balances) + self.fees(*token).units() + deals;
            (*token, minted.units(), found)
        })
    }

    /// Carry out a call, or refuse it and change nothing. Tells which items of a batch were skipped.
    pub(crate) fn apply(&mut self, call: &Call, context: Context) -> Result<Vec<Skipped>, Refusal> {
        if !call.is_encodable() {
            return Err(Reason::Terms.into());
        }
        if call.intent().is_some_and(|intent| intent.document.fee != Amount::ZERO) {
            // A fee is taken last, and what the call itself gives back may pay it.
            let mut after = self.clone();
            let skipped = after.carry_out(call, context)?;
            *self = after;
            return Ok(skipped);
        }
        self.carry_out(call, context)
    }

    fn carry_out(&mut self, call: &Call, context: Context) -> Result<Vec<Skipped>, Refusal> {
        let Context { sender, at: now, .. } = context;
        match call {
            Call::OpenBatch { .. } | Call::SettleBatch { .. } => return self.batch(call, context),
            Call::Open { terms, bid, consent } => self.open(terms, bid, consent, context),
            Call::Cancel { terms, intent } => self.cancel(terms, intent.as_ref(), context),
            Call::TopUp { .. } => self.top_up(call, context),
            Call::Present { terms, proof } => self.present(terms, proof, now),
            Call::Stop { terms, intent } => self.stop(terms, intent.as_ref(), context),
            Call::Claim { terms, proof, extra } => {
                self.claim(terms, proof.as_ref(), *extra, sender, now)
            }
            Call::Settle { terms, proof } => self.settle(terms, proof, context),
            Call::Contest { terms, intent } => self.contest(terms, intent.as_ref(), context),
            Call::Finalize { terms } => {
                let ended = self.slot(self.id(terms)).finalize(terms, now)?;
                self.end(terms, ended, context);
                Ok(())
            }
            Call::Expire { terms } => {
                let ended = self.slot(self.id(terms)).expire(terms, &self.setup.windows, now)?;
                self.end(terms, ended, context);
                Ok(())
            }
            Call::Deposit { token, account, amount } => {
                take(&mut self.wallets, *token, sender, *amount)?;
                give(&mut self.balances, *token, *account, *amount);
                Ok(())
            }
            Call::DepositWithAuthorization { .. } => self.deposit_authorized(call, now),
            Call::Withdraw { token, to, amount } => self.withdraw(*token, *to, *amount, sender),
            Call::WithdrawFor { .. } => self.withdraw_for(call, context),
            Call::RevokeSession { session, intent } => {
                self.revoke_session(session, intent.as_ref(), context)
            }
            Call::Collect { token } => {
                let fees = self.fees.remove(token).unwrap_or_default();
                give(&mut self.wallets, *token, self.setup.owner, fees);
                Ok(())
            }
            Call::Register { provider_key, consent } => {
                self.register(*provider_key, consent, sender)
            }
            Call::RegisterFor { .. } => self.register_for(call, context),
            Call::Revoke { provider_key } => {
                require(self.is_authorised(sender, *provider_key), Reason::ProviderKey)?;
                self.providers.remove(provider_key);
                Ok(())
            }
            Call::Mint { .. }
            | Call::PauseOpens { .. }
            | Call::ResumeOpens
            | Call::SetFee { .. }
            | Call::List { .. } => self.govern(call, sender, now),
        }?;
        Ok(Vec::new())
    }

    fn id(&self, terms: &Terms) -> DealId {
        terms.id(&self.setup.escrow)
    }

    fn open(
        &mut self,
        terms: &Terms,
        bid: &Signature,
        consent: &Consent,
        context: Context,
    ) -> Result<(), Refusal> {
        let id = self.id(terms);
        let consented = match consent {
            Consent::Terms { signature } => signature.is_by(terms.renter, id.0),
            Consent::Session { signature, .. } => signature.is_by(terms.renter_key, id.0),
            // Its signature is checked by the token.
            Consent::Authorization { .. } => true,
        };
        let in_session = matches!(consent, Consent::Session { .. });
        require(in_session || terms.session().is_none(), Reason::Terms)?;
        require(consented, Reason::RenterConsent)?;
        let slot = self.openable(terms, context.at)?;
        require(bid.is_by(terms.provider_key, id.0), Reason::ProviderConsent)?;
        self.admitted(terms, context.at)?;
        match consent {
            Consent::Terms { .. } => {
                let due = terms.escrowed().ok_or(Reason::Funds)?;
                take(&mut self.balances, terms.token, terms.renter, due)?;
            }
            Consent::Authorization { signature } => {
                let due = terms.escrowed().ok_or(Reason::Funds)?;
                let digest = terms.authorization(&self.setup.escrow, &self.setup.token_domain);
                let digest = digest.ok_or(Reason::Funds)?;
                self.pull(terms.token, terms.renter, due, id.0, digest, signature)?;
            }
            Consent::Session { grant, .. } => {
                let mut kept = self.session(grant.document.id(&self.setup.escrow));
                if grant.is_granted(&self.setup.escrow) {
                    kept = kept.granted();
                }
                self.use_session(terms, &grant.document, kept, context.at)?;
            }
        }
        self.lock(terms, slot, context);
        Ok(())
    }

    /// Pay for a deal in a session whose slot is `kept` by now.
    fn use_session(
        &mut self,
        terms: &Terms,
        session: &Session,
        kept: SessionUse,
        now: UnixSeconds,
    ) -> Result<(), Refusal> {
        let id = session.id(&self.setup.escrow);
        let kept = kept.open(session, id, terms, now)?;
        let due = terms.escrowed().ok_or(Reason::Funds)?;
        take(&mut self.balances, terms.token, terms.renter, due)?;
        self.sessions.insert(id, kept);
        Ok(())
    }

    /// The slot after the deal is opened, if its terms can be opened now.
    fn openable(&self, terms: &Terms, now: UnixSeconds) -> Result<Slot, Refusal> {
        let keyless = terms.renter_key == Address::ZERO || terms.provider_key == Address::ZERO;
        match self.slot(self.id(terms)) {
            Slot { state: State::None, .. } if keyless => Err(Reason::Terms.into()),
            slot => Ok(slot.open(terms, &self.setup.windows, now)?),
        }
    }

    /// Whether the network lets such a deal be opened at present.
    fn admitted(&self, terms: &Terms, now: UnixSeconds) -> Result<(), Refusal> {
        require(!self.is_paused(now), Reason::Paused)?;
        require(self.is_listed(terms.token), Reason::Token)?;
        require(terms.fee == self.fee, Reason::Fee)?;
        require(self.is_authorised(terms.provider, terms.provider_key), Reason::ProviderKey)
    }

    fn lock(&mut self, terms: &Terms, slot: Slot, context: Context) {
        give(&mut self.balances, terms.token, context.sender, terms.open_fee);
        let Context { tx, block, at, .. } = context;
        let opening = Some(Opening { tx, block, at });
        self.deals
            .insert(self.id(terms), Deal { terms: terms.clone(), slot, opening, closing: None });
    }

    fn cancel(
        &mut self,
        terms: &Terms,
        intent: Option<&Signed<Intent>>,
        context: Context,
    ) -> Result<(), Refusal> {
        let deal = self.id(terms);
        let signer = self.author(&Purpose::Cancel { deal }, intent, context)?;
        let missing = if intent.is_some() { Reason::RenterConsent } else { Reason::Sender };
        require(is_spender(terms, signer), missing)?;
        let slot = self.slot(deal).cancel()?;
        let cancelled = Deal { terms: terms.clone(), slot, opening: None, closing: None };
        self.deals.insert(deal, cancelled);
        self.pay_fee_of(terms, signer, intent, context)
    }

    fn top_up(&mut self, call: &Call, context: Context) -> Result<(), Refusal> {
        let Call::TopUp { terms, more, session, intent } = call else {
            return Err(Reason::Other.into());
        };
        let (deal, now) = (self.id(terms), context.at);
        let purpose = Purpose::TopUp { deal, amount: *more };
        let signer = self.author(&purpose, intent.as_ref(), context)?;
        if let Some(intent) = intent {
            self.unused(self.setup.escrow, signer, &intent.document)?;
        }
        if session.is_none() && intent.is_none() {
            require(signer == terms.renter, Reason::Sender)?;
        }
        require(is_spender(terms, signer), Reason::RenterConsent)?;
        let kept = match terms.session() {
            None => None,
            Some(id) if signer == terms.renter => {
                Some((id, self.session(id).top_up_by_renter(*more)?))
            }
            Some(id) => {
                let named = session.as_ref().filter(|it| it.id(&self.setup.escrow) == id);
                let session = named.ok_or(Breach::Other)?;
                Some((id, self.session(id).top_up_by_key(session, *more, now)?))
            }
        };
        let slot = self.slot(deal).top_up(terms, *more, now)?;
        require(!self.is_paused(now), Reason::Paused)?;
        take(&mut self.balances, terms.token, terms.renter, *more)?;
        self.sessions.extend(kept);
        self.put(terms, slot);
        if let Some(intent) = intent {
            self.use_nonce(self.setup.escrow, signer, &intent.document);
        }
        self.pay_fee_of(terms, signer, intent.as_ref(), context)
    }

    fn present(
        &mut self,
        terms: &Terms,
        proof: &Cosigned,
        now: UnixSeconds,
    ) -> Result<(), Refusal> {
        let slot = self.slot(self.id(terms));
        let raised = slot.present(terms, &self.setup.windows, &proof.receipt, now);
        let raised = self.about(terms, &proof.receipt, raised)?;
        let digest = proof.receipt.digest(&self.setup.escrow);
        require(signed(proof.renter, terms.renter_key, digest), Reason::RenterConsent)?;
        require(signed(proof.provider, terms.provider_key, digest), Reason::ProviderConsent)?;
        self.put(terms, raised);
        Ok(())
    }

    fn stop(
        &mut self,
        terms: &Terms,
        intent: Option<&Signed<Intent>>,
        context: Context,
    ) -> Result<(), Refusal> {
        let deal = self.id(terms);
        let signer = self.author(&Purpose::Stop { deal }, intent, context)?;
        let slot = self.slot(deal).stop(&self.setup.windows, context.at)?;
        require(is_renter(terms, signer), Reason::RenterConsent)?;
        self.put(terms, slot);
        self.pay_fee_of(terms, signer, intent, context)
    }

    fn claim(
        &mut self,
        terms: &Terms,
        proof: Option<&Cosigned>,
        extra: Seconds,
        sender: Address,
        now: UnixSeconds,
    ) -> Result<(), Refusal> {
        let provider = [terms.provider, terms.provider_key];
        require(provider.contains(&sender), Reason::Sender)?;
        let receipt = proof.map(|proof| &proof.receipt);
        let slot = self.slot(self.id(terms));
        let mut claimed = slot.claim(terms, &self.setup.windows, receipt, extra, now);
        if let Some(proof) = proof {
            claimed = self.about(terms, &proof.receipt, claimed);
        }
        let claimed = claimed?;
        if let Some(proof) = proof {
            let digest = proof.receipt.digest(&self.setup.escrow);
            require(signed(proof.renter, terms.renter_key, digest), Reason::RenterConsent)?;
            let agreed = agrees(sender, provider, proof.provider.as_ref(), digest);
            require(agreed, Reason::ProviderConsent)?;
        }
        self.put(terms, claimed);
        Ok(())
    }

    fn settle(&mut self, terms: &Terms, proof: &Cosigned, context: Context) -> Result<(), Refusal> {
        let ended = self.settled(terms, &proof.receipt, context.at)?;
        let digest = proof.receipt.digest(&self.setup.escrow);
        let (sender, renter) = (context.sender, [terms.renter, terms.renter_key]);
        let provider = [terms.provider, terms.provider_key];
        let renter_agrees = agrees(sender, renter, proof.renter.as_ref(), digest);
        let provider_agrees = agrees(sender, provider, proof.provider.as_ref(), digest);
        require(renter_agrees, Reason::RenterConsent)?;
        require(provider_agrees, Reason::ProviderConsent)?;
        self.end(terms, ended, context);
        Ok(())
    }

    /// The slot after the deal is settled at a terminal receipt, if it can be.
    fn settled(
        &self,
        terms: &Terms,
        receipt: &Receipt,
        now: UnixSeconds,
    ) -> Result<(Slot, Split), Revert> {
        let slot = self.slot(self.id(terms));
        self.about(terms, receipt, slot.settle(terms, &self.setup.windows, receipt, now))
    }

    fn contest(
        &mut self,
        terms: &Terms,
        intent: Option<&Signed<Intent>>,
        context: Context,
    ) -> Result<(), Refusal> {
        let deal = self.id(terms);
        let signer = self.author(&Purpose::Contest { deal }, intent, context)?;
        let ended = self.slot(deal).contest(terms, context.at)?;
        require(is_renter(terms, signer), Reason::RenterConsent)?;
        self.end(terms, ended, context);
        self.pay_fee_of(terms, signer, intent, context)
    }

    /// What the table says of a receipt, unless it is another deal's; that counts once the state
    /// takes receipts at all.
    fn about<T>(
        &self,
        terms: &Terms,
        receipt: &Receipt,
        outcome: Result<T, Revert>,
    ) -> Result<T, Revert> {
        match outcome {
            Err(Revert::WrongState | Revert::WrongTime) => outcome,
            _ if receipt.deal != self.id(terms) => Err(Revert::WrongReceipt),
            _ => outcome,
        }
    }

    fn put(&mut self, terms: &Terms, slot: Slot) {
        if let Some(deal) = self.deals.get_mut(&terms.id(&self.setup.escrow)) {
            deal.slot = slot;
        }
    }

    fn end(&mut self, terms: &Terms, (slot, split): (Slot, Split), context: Context) {
        give(&mut self.balances, terms.token, terms.provider, split.paid);
        give(&mut self.balances, terms.token, terms.renter, split.refund);
        give(&mut self.balances, terms.token, context.sender, terms.close_fee);
        let fees = self.fees.entry(terms.token).or_default();
        *fees = sum(*fees, split.fee);
        if let Some(session) = terms.session() {
            let kept = self.session(session).give_back(split.refund);
            self.sessions.insert(session, kept);
        }
        self.put(terms, slot);
        let Context { tx, block, .. } = context;
        if let Some(deal) = self.deals.get_mut(&terms.id(&self.setup.escrow)) {
            deal.closing = Some(Closing { tx, block, split });
        }
    }

    fn deposit_authorized(&mut self, call: &Call, now: UnixSeconds) -> Result<(), Refusal> {
        let Call::DepositWithAuthorization {
            token,
            account,
            amount,
            valid_before,
            salt,
            signature,
        } = call
        else {
            return Err(Reason::Other.into());
        };
        require(now < *valid_before, Reason::Authorization)?;
        let Setup { escrow, token_domain, .. } = &self.setup;
        let digest = token_domain.deposit(escrow, *token, *account, *amount, *valid_before, *salt);
        self.pull(*token, *account, *amount, deposit_nonce(*salt), digest, signature)?;
        give(&mut self.balances, *token, *account, *amount);
        Ok(())
    }

    fn pull(
        &mut self,
        token: Address,
        from: Address,
        amount: Amount,
        nonce: B256,
        digest: B256,
        signature: &Signature,
    ) -> Result<(), Refusal> {
        require(signature.is_by(from, digest), Reason::Authorization)?;
        require(!self.spent.contains(&(token, from, nonce)), Reason::Authorization)?;
        take(&mut self.wallets, token, from, amount)?;
        self.spent.insert((token, from, nonce));
        Ok(())
    }

    fn withdraw(
        &mut self,
        token: Address,
        to: Address,
        amount: Amount,
        account: Address,
    ) -> Result<(), Refusal> {
        let lost = to == self.setup.escrow.contract || to == Address::ZERO;
        require(!lost, Reason::Receiver)?;
        take(&mut self.balances, token, account, amount)?;
        give(&mut self.wallets, token, to, amount);
        Ok(())
    }

    fn withdraw_for(&mut self, call: &Call, context: Context) -> Result<(), Refusal> {
        let Call::WithdrawFor { account, token, to, amount, intent } = call else {
            return Err(Reason::Other.into());
        };
        let (account, token, to, amount) = (*account, *token, *to, *amount);
        let escrow = self.setup.escrow;
        let purpose = Purpose::Withdraw { account, token, amount, to };
        self.signed_by_account(account, &purpose, escrow, intent)?;
        require(context.at <= intent.document.deadline, Reason::Intent)?;
        self.unused(escrow, account, &intent.document)?;
        self.pay_fee(token, account, intent.document.fee, context.sender)?;
        self.withdraw(token, to, amount, account)?;
        self.use_nonce(escrow, account, &intent.document);
        Ok(())
    }

    fn revoke_session(
        &mut self,
        session: &Session,
        intent: Option<&Signed<Intent>>,
        context: Context,
    ) -> Result<(), Refusal> {
        let id = session.id(&self.setup.escrow);
        match intent {
            None => require(context.sender == session.renter, Reason::Sender)?,
            Some(intent) => {
                let purpose = Purpose::Revoke { session: id };
                let escrow = self.setup.escrow;
                self.signed_by_account(session.renter, &purpose, escrow, intent)?;
                require(context.at <= intent.document.deadline, Reason::Intent)?;
            }
        }
        let kept = self.session(id).revoke()?;
        self.sessions.insert(id, kept);
        let fee = intent.map_or(Amount::ZERO, |intent| intent.document.fee);
        self.pay_fee(session.token, session.renter, fee, context.sender)
    }

    fn register(
        &mut self,
        key: Address,
        consent: &Signature,
        provider: Address,
    ) -> Result<(), Refusal> {
        let serves = self.providers.get(&key);
        require(serves.is_none_or(|served| *served == provider), Reason::ProviderKey)?;
        let digest = authorisation_digest(&self.setup.providers, provider, key);
        require(consent.is_by(key, digest), Reason::ProviderConsent)?;
        self.providers.insert(key, provider);
        Ok(())
    }

    fn register_for(&mut self, call: &Call, context: Context) -> Result<(), Refusal> {
        let Call::RegisterFor { provider, provider_key, consent, token, intent, fee } = call else {
            return Err(Reason::Other.into());
        };
        let (provider, key, token) = (*provider, *provider_key, *token);
        let providers = self.setup.providers;
        let purpose = Purpose::Register { provider, key, token };
        self.signed_by_account(provider, &purpose, providers, intent)?;
        let Signed { document: intent, .. } = intent;
        require(context.at <= intent.deadline, Reason::Intent)?;
        self.unused(providers, provider, intent)?;
        self.register(key, consent, provider)?;
        self.use_nonce(providers, provider, intent);
        if intent.fee == Amount::ZERO {
            return Ok(());
        }
        let nonce = purpose.digest(&providers, intent);
        let digest = self.setup.token_domain.relay(&providers, token, provider, intent, nonce);
        let signature = fee.as_ref().ok_or(Reason::Authorization)?;
        self.pull(token, provider, intent.fee, nonce, digest, signature)?;
        give(&mut self.wallets, token, context.sender, intent.fee);
        Ok(())
    }

    /// Whose act it is: that of whoever signed an intent that may still be sent, or the sender's.
    fn author(
        &self,
        purpose: &Purpose,
        intent: Option<&Signed<Intent>>,
        context: Context,
    ) -> Result<Address, Refusal> {
        let Some(intent) = intent else { return Ok(context.sender) };
        require(context.at <= intent.document.deadline, Reason::Intent)?;
        let digest = purpose.digest(&self.setup.escrow, &intent.document);
        Ok(intent.signature.signer(digest).unwrap_or(Address::ZERO))
    }

    fn signed_by_account(
        &self,
        account: Address,
        purpose: &Purpose,
        contract: Domain,
        intent: &Signed<Intent>,
    ) -> Result<(), Refusal> {
        let digest = purpose.digest(&contract, &intent.document);
        require(intent.signature.is_by(account, digest), Reason::AccountConsent)
    }

    fn unused(&self, contract: Domain, account: Address, intent: &Intent) -> Result<(), Refusal> {
        let used = self.nonces.contains(&(contract.contract, account, intent.nonce));
        require(!used, Reason::Intent)
    }

    fn use_nonce(&mut self, contract: Domain, account: Address, intent: &Intent) {
        self.nonces.insert((contract.contract, account, intent.nonce));
    }

    /// The renter pays what it signed for itself; its key cannot make it pay.
    fn pay_fee_of(
        &mut self,
        terms: &Terms,
        signer: Address,
        intent: Option<&Signed<Intent>>,
        context: Context,
    ) -> Result<(), Refusal> {
        let fee = intent.map_or(Amount::ZERO, |intent| intent.document.fee);
        require(fee == Amount::ZERO || signer == terms.renter, Reason::Intent)?;
        self.pay_fee(terms.token, terms.renter, fee, context.sender)
    }

    fn pay_fee(
        &mut self,
        token: Address,
        account: Address,
        fee: Amount,
        sender: Address,
    ) -> Result<(), Refusal> {
        take(&mut self.balances, token, account, fee)?;
        give(&mut self.balances, token, sender, fee);
        Ok(())
    }

    fn govern(&mut self, call: &Call, sender: Address, now: UnixSeconds) -> Result<(), Refusal> {
        require(sender == self.setup.owner, Reason::Sender)?;
        match call {
            Call::Mint { token, to, amount } => {
                let minted = self.minted.get(token).copied().unwrap_or_default();
                let minted = minted.plus(*amount).ok_or(Reason::Other)?;
                self.minted.insert(*token, minted);
                give(&mut self.wallets, *token, *to, *amount);
            }
            Call::PauseOpens { span } => {
                let until = now.plus(*span);
                require(*span <= LONGEST_PAUSE && until >= self.paused_until, Reason::Other)?;
                self.paused_until = until;
            }
            Call::ResumeOpens => self.paused_until = now,
            Call::SetFee { fee } => {
                require(*fee <= self.setup.highest_fee, Reason::Other)?;
                self.fee = *fee;
            }
            Call::List { token, listed: true } => drop(self.listed.insert(*token)),
            Call::List { token, listed: false } => drop(self.listed.remove(token)),
            _ => return Err(Reason::Other.into()),
        }
        Ok(())
    }
}

fn require(holds: bool, reason: Reason) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(reason.into()) }
}

/// Whether an account is the renter or its key.
fn is_renter(terms: &Terms, account: Address) -> bool {
    account == terms.renter || account == terms.renter_key
}

/// Whether an account may spend the renter's balance on the deal, and keep it from being opened.
fn is_spender(terms: &Terms, account: Address) -> bool {
    account == terms.renter || (terms.session().is_some() && account == terms.renter_key)
}

/// Whether a side agrees: its account or key is the sender, or its key has signed.
fn agrees(
    sender: Address,
    [account, key]: [Address; 2],
    signature: Option<&Signature>,
    digest: B256,
) -> bool {
    match signature {
        None => sender == account || sender == key,
        Some(signature) => signature.is_by(key, digest),
    }
}

fn signed(signature: Option<Signature>, key: Address, digest: B256) -> bool {
    signature.is_some_and(|signature| signature.is_by(key, digest))
}

/// Sums never overflow: no account holds more than was minted, which fits.
fn sum(held: Amount, more: Amount) -> Amount {
    held.plus(more).unwrap_or(Amount::MAX)
}

fn give(
    to: &mut BTreeMap<(Address, Address), Amount>,
    token: Address,
    account: Address,
    amount: Amount,
) {
    let held = to.entry((token, account)).or_default();
    *held = sum(*held, amount);
}

fn take(
    from: &mut BTreeMap<(Address, Address), Amount>,
    token: Address,
    account: Address,
    amount: Amount,
) -> Result<(), Refusal> {
    let held = from.entry((token, account)).or_default();
    *held = held.minus(amount).ok_or(Reason::Funds)?;
    Ok(())
}
