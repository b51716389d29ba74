//! What the contracts keep, as plain maps: the fake ledger's state.
//!
//! Upon a call: the same checks as the contracts, then the same effects, by the pure state table of
//! `market::escrow`. A refused call changes nothing.
//!
//! Invariant: for each token, what was minted is what wallets, balances, open deals and fees hold.

use std::collections::{BTreeMap, BTreeSet};

use market::{
    Domain, Slot, State, Terms,
    document::{Consent, TokenDomain, deposit_nonce},
    escrow::{Revert, Split, Windows},
    fact::{Closing, Opening},
};
use primitives::{Address, Amount, B256, BasisPoints, DealId, Seconds, Signature, UnixSeconds};

use crate::{
    call::{Call, Cosigned, Mined},
    intent::{authorisation_digest, contest_digest, stop_digest},
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
    pub(crate) mined: Mined,
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
    providers: BTreeMap<Address, Address>,
    spent: BTreeSet<(Address, Address, B256)>,
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
            providers: BTreeMap::new(),
            spent: BTreeSet::new(),
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

    /// Carry out a call, or refuse it and change nothing.
    pub(crate) fn apply(&mut self, call: &Call, context: Context) -> Result<(), Refusal> {
        if !call.is_encodable() {
            return Err(Reason::Terms.into());
        }
        let (sender, now) = (context.sender, context.mined.at);
        match call {
            Call::Open { terms, bid, consent } => self.open(terms, bid, consent, context),
            Call::Cancel { terms } => self.cancel(terms, sender),
            Call::TopUp { terms, more } => self.top_up(terms, *more, sender, now),
            Call::Present { terms, proof } => self.present(terms, proof, now),
            Call::Stop { terms, signature } => self.stop(terms, signature.as_ref(), sender, now),
            Call::Claim { terms, proof, extra } => {
                self.claim(terms, proof.as_ref(), *extra, sender, now)
            }
            Call::Settle { terms, proof } => self.settle(terms, proof, context),
            Call::Contest { terms, signature } => self.contest(terms, signature.as_ref(), context),
            Call::Finalize { terms } => {
                let ended = self.slot(self.id(terms)).finalize(terms, now)?;
                self.end(terms, ended, context)
            }
            Call::Expire { terms } => {
                let ended = self.slot(self.id(terms)).expire(terms, &self.setup.windows, now)?;
                self.end(terms, ended, context)
            }
            Call::Deposit { token, account, amount } => {
                take(&mut self.wallets, *token, sender, *amount)?;
                give(&mut self.balances, *token, *account, *amount);
                Ok(())
            }
            Call::DepositWithAuthorization { .. } => self.deposit_authorized(call, now),
            Call::Withdraw { token, to, amount } => self.withdraw(*token, *to, *amount, sender),
            Call::Collect { token } => {
                let fees = self.fees.remove(token).unwrap_or_default();
                give(&mut self.wallets, *token, self.setup.owner, fees);
                Ok(())
            }
            Call::Register { provider_key, consent } => {
                self.register(*provider_key, consent, sender)
            }
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
        }
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
        if let Consent::Terms { signature } = consent {
            require(signature.is_by(terms.renter, id.0), Reason::RenterConsent)?;
        }
        let never = terms.session != B256::ZERO
            || terms.renter_key == Address::ZERO
            || terms.provider_key == Address::ZERO;
        let slot = match self.slot(id) {
            Slot { state: State::None, .. } if never => return Err(Reason::Terms.into()),
            slot => slot.open(terms, &self.setup.windows, context.mined.at)?,
        };
        require(bid.is_by(terms.provider_key, id.0), Reason::ProviderConsent)?;
        require(!self.is_paused(context.mined.at), Reason::Paused)?;
        require(self.is_listed(terms.token), Reason::Token)?;
        require(terms.fee == self.fee, Reason::Fee)?;
        require(self.is_authorised(terms.provider, terms.provider_key), Reason::ProviderKey)?;
        let due = terms.escrowed().ok_or(Reason::Funds)?;
        match consent {
            Consent::Terms { .. } => take(&mut self.balances, terms.token, terms.renter, due)?,
            Consent::Authorization { signature } => {
                let digest = terms.authorization(&self.setup.escrow, &self.setup.token_domain);
                let digest = digest.ok_or(Reason::Funds)?;
                self.pull(terms.token, terms.renter, due, id.0, digest, signature)?;
            }
        }
        give(&mut self.balances, terms.token, context.sender, terms.open_fee);
        let Mined { tx, block, at } = context.mined;
        let opening = Some(Opening { tx, block, at });
        self.deals.insert(id, Deal { terms: terms.clone(), slot, opening, closing: None });
        Ok(())
    }

    fn cancel(&mut self, terms: &Terms, sender: Address) -> Result<(), Refusal> {
        require(sender == terms.renter, Reason::Sender)?;
        let slot = self.slot(self.id(terms)).cancel()?;
        let deal = Deal { terms: terms.clone(), slot, opening: None, closing: None };
        self.deals.insert(self.id(terms), deal);
        Ok(())
    }

    fn top_up(
        &mut self,
        terms: &Terms,
        more: Amount,
        sender: Address,
        now: UnixSeconds,
    ) -> Result<(), Refusal> {
        require(sender == terms.renter, Reason::Sender)?;
        let slot = self.slot(self.id(terms)).top_up(terms, more, now)?;
        require(!self.is_paused(now), Reason::Paused)?;
        take(&mut self.balances, terms.token, terms.renter, more)?;
        self.put(terms, slot);
        Ok(())
    }

    fn present(
        &mut self,
        terms: &Terms,
        proof: &Cosigned,
        now: UnixSeconds,
    ) -> Result<(), Refusal> {
        let slot = self.slot(self.id(terms));
        let raised = slot.present(terms, &self.setup.windows, &proof.receipt, now)?;
        let digest = self.receipt_digest(terms, proof)?;
        require(signed(proof.renter, terms.renter_key, digest), Reason::RenterConsent)?;
        require(signed(proof.provider, terms.provider_key, digest), Reason::ProviderConsent)?;
        self.put(terms, raised);
        Ok(())
    }

    fn stop(
        &mut self,
        terms: &Terms,
        signature: Option<&Signature>,
        sender: Address,
        now: UnixSeconds,
    ) -> Result<(), Refusal> {
        let id = self.id(terms);
        let slot = self.slot(id).stop(&self.setup.windows, now)?;
        let digest = stop_digest(&self.setup.escrow, id);
        require(renter_says(terms, sender, signature, digest), Reason::RenterConsent)?;
        self.put(terms, slot);
        Ok(())
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
        let claimed = slot.claim(terms, &self.setup.windows, receipt, extra, now)?;
        if let Some(proof) = proof {
            let digest = self.receipt_digest(terms, proof)?;
            require(signed(proof.renter, terms.renter_key, digest), Reason::RenterConsent)?;
            let agreed = agrees(sender, provider, proof.provider.as_ref(), digest);
            require(agreed, Reason::ProviderConsent)?;
        }
        self.put(terms, claimed);
        Ok(())
    }

    fn settle(&mut self, terms: &Terms, proof: &Cosigned, context: Context) -> Result<(), Refusal> {
        let slot = self.slot(self.id(terms));
        let ended = slot.settle(terms, &self.setup.windows, &proof.receipt, context.mined.at)?;
        let digest = self.receipt_digest(terms, proof)?;
        let (sender, renter) = (context.sender, [terms.renter, terms.renter_key]);
        let provider = [terms.provider, terms.provider_key];
        let renter_agrees = agrees(sender, renter, proof.renter.as_ref(), digest);
        let provider_agrees = agrees(sender, provider, proof.provider.as_ref(), digest);
        require(renter_agrees, Reason::RenterConsent)?;
        require(provider_agrees, Reason::ProviderConsent)?;
        self.end(terms, ended, context)
    }

    fn contest(
        &mut self,
        terms: &Terms,
        signature: Option<&Signature>,
        context: Context,
    ) -> Result<(), Refusal> {
        let id = self.id(terms);
        let ended = self.slot(id).contest(terms, context.mined.at)?;
        let digest = contest_digest(&self.setup.escrow, id);
        let agreed = renter_says(terms, context.sender, signature, digest);
        require(agreed, Reason::RenterConsent)?;
        self.end(terms, ended, context)
    }

    fn receipt_digest(&self, terms: &Terms, proof: &Cosigned) -> Result<B256, Refusal> {
        if proof.receipt.deal != self.id(terms) {
            return Err(Revert::WrongReceipt.into());
        }
        Ok(proof.receipt.digest(&self.setup.escrow))
    }

    fn put(&mut self, terms: &Terms, slot: Slot) {
        if let Some(deal) = self.deals.get_mut(&terms.id(&self.setup.escrow)) {
            deal.slot = slot;
        }
    }

    fn end(
        &mut self,
        terms: &Terms,
        (slot, split): (Slot, Split),
        context: Context,
    ) -> Result<(), Refusal> {
        give(&mut self.balances, terms.token, terms.provider, split.paid);
        give(&mut self.balances, terms.token, terms.renter, split.refund);
        give(&mut self.balances, terms.token, context.sender, terms.close_fee);
        let fees = self.fees.entry(terms.token).or_default();
        *fees = sum(*fees, split.fee);
        self.put(terms, slot);
        let Mined { tx, block, .. } = context.mined;
        if let Some(deal) = self.deals.get_mut(&terms.id(&self.setup.escrow)) {
            deal.closing = Some(Closing { tx, block, split });
        }
        Ok(())
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
        sender: Address,
    ) -> Result<(), Refusal> {
        let lost = to == self.setup.escrow.contract || to == Address::ZERO;
        require(!lost, Reason::Receiver)?;
        take(&mut self.balances, token, sender, amount)?;
        give(&mut self.wallets, token, to, amount);
        Ok(())
    }

    fn register(
        &mut self,
        key: Address,
        consent: &Signature,
        sender: Address,
    ) -> Result<(), Refusal> {
        let serves = self.providers.get(&key);
        require(serves.is_none_or(|provider| *provider == sender), Reason::ProviderKey)?;
        let digest = authorisation_digest(&self.setup.providers, sender, key);
        require(consent.is_by(key, digest), Reason::ProviderConsent)?;
        self.providers.insert(key, sender);
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

/// An intent is the renter's own or its key's.
fn renter_says(
    terms: &Terms,
    sender: Address,
    signature: Option<&Signature>,
    digest: B256,
) -> bool {
    [terms.renter, terms.renter_key].into_iter().any(|account| match signature {
        None => sender == account,
        Some(signature) => signature.is_by(account, digest),
    })
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
