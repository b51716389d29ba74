//! Balances: in, out, fees, test money; and which key serves which provider.

use market::document::TokenDomain;
use primitives::{Address, B256, Seconds, UnixSeconds};
use settlement::{Call, Reason, Settlement};

use crate::{
    deal::amount,
    pair::{GRANT, Pair},
    people::Who,
};

#[tokio::test]
async fn money_goes_in_by_transaction_and_comes_out_to_any_receiver() {
    let pair = Pair::new().await;
    let token = pair.place.token;
    let deposit =
        |units| Call::Deposit { token, account: Who::Stranger.address(), amount: amount(units) };
    pair.done(Who::Renter, deposit(1_000)).await;
    pair.refused(Who::Renter, deposit(GRANT.units()), Reason::Funds).await;
    pair.refused(Who::Provider, deposit(1), Reason::Funds).await;

    let withdraw = |to, units| Call::Withdraw { token, to, amount: amount(units) };
    let provider = Who::Provider.address();
    pair.refused(Who::Stranger, withdraw(provider, 1_001), Reason::Funds).await;
    pair.refused(Who::Stranger, withdraw(pair.place.escrow.contract, 1), Reason::Receiver).await;
    pair.refused(Who::Stranger, withdraw(Address::ZERO, 1), Reason::Receiver).await;
    pair.done(Who::Stranger, withdraw(provider, 1_000)).await;
    let balances = pair.real(Who::Owner).balances(token, provider).await.unwrap();
    assert_eq!(balances.wallet, amount(1_000));
}

#[tokio::test]
async fn a_deposit_by_signature_counts_once_and_in_time() {
    let pair = Pair::new().await;
    let (token, account) = (pair.place.token, Who::Renter.address());
    let valid_before = pair.now().plus(Seconds(100));
    let signed = |domain: &TokenDomain, salt: u8, signer: Who, valid_before: UnixSeconds| {
        let (amount, salt) = (amount(500), B256::repeat_byte(salt));
        let escrow = &pair.place.escrow;
        let digest = domain.deposit(escrow, token, account, amount, valid_before, salt);
        let signature = signer.key().sign(digest);
        Call::DepositWithAuthorization { token, account, amount, valid_before, salt, signature }
    };
    let domain = &pair.place.token_domain;
    let forged = signed(domain, 1, Who::RenterKey, valid_before);
    pair.refused(Who::Stranger, forged, Reason::Authorization).await;
    let good = signed(domain, 1, Who::Renter, valid_before);
    pair.done(Who::Stranger, good.clone()).await;
    pair.refused(Who::Stranger, good, Reason::Authorization).await;
    let late = signed(domain, 2, Who::Renter, pair.now());
    pair.refused(Who::Stranger, late, Reason::Authorization).await;
}

#[tokio::test]
async fn consent_by_authorization_pays_from_the_wallet_and_no_deposit_can_use_it_up() {
    let pair = Pair::new().await;
    let terms = pair.terms();
    let (token, account) = (pair.place.token, Who::Renter.address());
    // Whoever sees the consent tries to use it as a deposit with the deal's id for a salt.
    let settlement::Call::Open { consent, .. } =
        pair.place.open_by_authorization(&terms, Who::Renter)
    else {
        unreachable!("it is an open")
    };
    let market::Consent::Authorization { signature } = consent else {
        unreachable!("it is an authorization")
    };
    let theft = Call::DepositWithAuthorization {
        token,
        account,
        amount: terms.escrowed().unwrap(),
        valid_before: terms.accept_by.plus(Seconds(1)),
        salt: pair.place.id(&terms).0,
        signature,
    };
    pair.refused(Who::Stranger, theft, Reason::Authorization).await;
    let before = pair.real(Who::Renter).balances(token, account).await.unwrap();
    pair.done(Who::Stranger, pair.place.open_by_authorization(&terms, Who::Renter)).await;
    let after = pair.real(Who::Renter).balances(token, account).await.unwrap();
    assert_eq!(before.escrow, after.escrow);
    assert_eq!(before.wallet.minus(after.wallet), terms.escrowed());
}

#[tokio::test]
async fn fees_accrue_inside_and_go_to_the_network_s_receiver() {
    let pair = Pair::new().await;
    let terms = pair.terms();
    pair.done(Who::Stranger, pair.place.open(&terms)).await;
    let proof = pair.place.completed(&terms, 50);
    pair.done(Who::Stranger, Call::Settle { terms, proof }).await;
    let token = pair.place.token;
    assert_eq!(pair.ledger.fees(token), amount(1_500), "3 % of 50,000");
    pair.done(Who::Stranger, Call::Collect { token }).await;
    let owner = pair.real(Who::Owner).balances(token, Who::Owner.address()).await.unwrap();
    assert_eq!(owner.wallet, amount(1_500));
    // The opener and the closer had their fees, the provider the rest.
    let stranger = pair.real(Who::Owner).balances(token, Who::Stranger.address()).await.unwrap();
    assert_eq!(stranger.escrow, amount(7 + 11));
    let provider = pair.real(Who::Owner).balances(token, Who::Provider.address()).await.unwrap();
    assert_eq!(provider.escrow, amount(48_500));
}

#[tokio::test]
async fn test_money_is_made_by_the_owner_alone() {
    let pair = Pair::new().await;
    let mint =
        Call::Mint { token: pair.place.token, to: Who::Stranger.address(), amount: amount(5) };
    pair.refused(Who::Stranger, mint.clone(), Reason::Sender).await;
    pair.done(Who::Owner, mint).await;
}

#[tokio::test]
async fn a_key_serves_one_provider_by_its_own_consent() {
    let pair = Pair::new().await;
    let (provider, key) = (Who::Provider.address(), Who::ProviderKey.address());
    let serves = async |provider, key| {
        let real = pair.real(Who::Owner).is_authorised(provider, key).await.unwrap();
        assert_eq!(real, pair.fake(Who::Owner).is_authorised(provider, key).await.unwrap());
        real
    };
    assert!(serves(provider, key).await);
    assert!(!serves(Who::Stranger.address(), key).await);
    // Another cannot take it, nor name a key that has not consented to it.
    let taken = pair.register(Who::Stranger, Who::ProviderKey);
    pair.refused(Who::Stranger, taken, Reason::ProviderKey).await;
    let consent_to_another = pair.register(Who::Provider, Who::RenterKey);
    pair.refused(Who::Stranger, consent_to_another, Reason::ProviderConsent).await;
    pair.refused(Who::Stranger, Call::Revoke { provider_key: key }, Reason::ProviderKey).await;
    // Registering again changes nothing; revoking stops opens and leaves open deals as they are.
    pair.done(Who::Provider, pair.register(Who::Provider, Who::ProviderKey)).await;
    let terms = pair.terms();
    pair.done(Who::Stranger, pair.place.open(&terms)).await;
    pair.done(Who::Provider, Call::Revoke { provider_key: key }).await;
    assert!(!serves(provider, key).await);
    pair.refused(Who::Stranger, pair.place.open(&pair.terms()), Reason::ProviderKey).await;
    let proof = pair.place.completed(&terms, 9);
    pair.done(Who::Stranger, Call::Settle { terms, proof }).await;
}

#[tokio::test]
async fn the_contract_gives_terms_the_id_that_we_give_them() {
    let pair = Pair::new().await;
    let mut terms = pair.terms();
    for spec in 0..4 {
        terms.spec = B256::repeat_byte(spec);
        terms.nonce = u64::MAX - u64::from(spec);
        terms.cap = primitives::Amount::MAX;
        let id = pair.real(Who::Renter).deal_id(&terms).await.unwrap();
        assert_eq!(id, pair.place.id(&terms));
    }
}
