//! Intents: what an account signs and anyone sends, for a fee or for nothing.

use market::document::{Intent, Purpose, Signed};
use primitives::{Amount, Seconds, UnixSeconds};
use settlement::{Call, Reason, Settlement, authorisation_digest};

use crate::{
    deal::{amount, session},
    pair::{GRANT, Pair},
    people::Who,
};

const FEE: Amount = amount(250);

/// An intent with a fee, an hour to live and this nonce.
fn paid(pair: &Pair, nonce: u64) -> Intent {
    Intent { nonce, deadline: pair.now().plus(Seconds(3_600)), fee: FEE }
}

fn signed(pair: &Pair, purpose: Purpose, intent: Intent, by: Who) -> Signed<Intent> {
    purpose.signed(&pair.place.escrow, intent, &by.key())
}

async fn inside(pair: &Pair, who: Who) -> Amount {
    let token = pair.place.token;
    pair.real(who).balances(token, who.address()).await.unwrap().escrow
}

#[tokio::test]
async fn the_renter_s_intents_do_what_the_renter_could_and_pay_the_sender() {
    let pair = Pair::new().await;
    let before = inside(&pair, Who::Stranger).await;

    let never = pair.terms();
    let deal = pair.place.id(&never);
    let intent = signed(&pair, Purpose::Cancel { deal }, paid(&pair, 1), Who::Renter);
    pair.done(Who::Stranger, Call::Cancel { terms: never, intent: Some(intent) }).await;

    let terms = pair.terms();
    let deal = pair.place.id(&terms);
    pair.done(Who::Owner, pair.place.open(&terms)).await;
    let purpose = Purpose::TopUp { deal, amount: amount(900) };
    let intent = Some(signed(&pair, purpose, paid(&pair, 2), Who::Renter));
    let call = Call::TopUp { terms: terms.clone(), more: amount(900), session: None, intent };
    pair.done(Who::Stranger, call.clone()).await;
    pair.refused(Who::Stranger, call, Reason::Intent).await;

    let proof = Some(pair.place.running(&terms, 15));
    let claim = Call::Claim { terms: terms.clone(), proof, extra: Seconds(5) };
    pair.done(Who::ProviderKey, claim).await;
    let intent = signed(&pair, Purpose::Contest { deal }, paid(&pair, 3), Who::Renter);
    pair.done(Who::Stranger, Call::Contest { terms, intent: Some(intent) }).await;

    let terms = pair.terms();
    let deal = pair.place.id(&terms);
    pair.done(Who::Owner, pair.place.open(&terms)).await;
    let intent = signed(&pair, Purpose::Stop { deal }, paid(&pair, 4), Who::Renter);
    pair.done(Who::Stranger, Call::Stop { terms, intent: Some(intent) }).await;

    let it = session(&pair.place, 1, 5, pair.now());
    let purpose = Purpose::Revoke { session: it.id(&pair.place.escrow) };
    let intent = Some(signed(&pair, purpose, paid(&pair, 5), Who::Renter));
    pair.done(Who::Stranger, Call::RevokeSession { session: it, intent }).await;

    // Five fees, and the closeFee of the deal that its contest settled.
    let earned = inside(&pair, Who::Stranger).await.minus(before);
    assert_eq!(earned, Some(amount(5 * FEE.units() + 11)));
}

#[tokio::test]
async fn the_renter_s_key_stops_and_contests_for_nothing_and_makes_nobody_pay() {
    let pair = Pair::new().await;
    let terms = pair.terms();
    let deal = pair.place.id(&terms);
    pair.done(Who::Stranger, pair.place.open(&terms)).await;
    let stop = |intent| Call::Stop { terms: terms.clone(), intent: Some(intent) };
    let purpose = Purpose::Stop { deal };
    let costly = signed(&pair, purpose, paid(&pair, 1), Who::RenterKey);
    pair.refused(Who::Stranger, stop(costly), Reason::Intent).await;
    let foreign = signed(&pair, purpose, Intent::FREE, Who::Provider);
    pair.refused(Who::Stranger, stop(foreign), Reason::RenterConsent).await;
    let of_another = signed(&pair, Purpose::Contest { deal }, Intent::FREE, Who::RenterKey);
    pair.refused(Who::Stranger, stop(of_another), Reason::RenterConsent).await;
    let late = Intent { deadline: pair.now().minus(Seconds(1)), ..Intent::FREE };
    let late = signed(&pair, purpose, late, Who::RenterKey);
    pair.refused(Who::Stranger, stop(late), Reason::Intent).await;
    let now = Intent { deadline: pair.now(), ..Intent::FREE };
    pair.done(Who::Stranger, stop(signed(&pair, purpose, now, Who::RenterKey))).await;
    // Outside a session the key spends nothing and keeps nothing from opening.
    let fresh = pair.terms();
    let deal = pair.place.id(&fresh);
    let cancel = signed(&pair, Purpose::Cancel { deal }, Intent::FREE, Who::RenterKey);
    let call = Call::Cancel { terms: fresh, intent: Some(cancel) };
    pair.refused(Who::Stranger, call, Reason::RenterConsent).await;
}

#[tokio::test]
async fn a_session_key_tops_up_by_intent_without_a_fee() {
    let pair = Pair::new().await;
    let it = session(&pair.place, 1, 3_000_000, pair.now());
    let terms = pair.place.within(&it, pair.terms());
    pair.done(Who::Stranger, pair.place.open_in(&it, &terms)).await;
    let purpose = Purpose::TopUp { deal: pair.place.id(&terms), amount: amount(77) };
    let call = |intent| Call::TopUp {
        terms: terms.clone(),
        more: amount(77),
        session: Some(it.clone()),
        intent: Some(intent),
    };
    let costly = signed(&pair, purpose, paid(&pair, 1), Who::RenterKey);
    pair.refused(Who::Stranger, call(costly), Reason::Intent).await;
    let free = Intent { fee: Amount::ZERO, ..paid(&pair, 1) };
    let free = signed(&pair, purpose, free, Who::RenterKey);
    pair.done(Who::Stranger, call(free.clone())).await;
    pair.refused(Who::Stranger, call(free), Reason::Intent).await;
}

#[tokio::test]
async fn a_withdrawal_is_relayed_once_and_to_the_account_that_was_named() {
    let pair = Pair::new().await;
    let (account, token) = (Who::Renter.address(), pair.place.token);
    let to = Who::Provider.address();
    let withdraw = |intent: Intent, by: Who, units: u128| {
        let amount = amount(units);
        let intent = signed(&pair, Purpose::Withdraw { account, token, amount, to }, intent, by);
        Call::WithdrawFor { account, token, to, amount, intent }
    };
    let forged = withdraw(paid(&pair, 1), Who::RenterKey, 1_000);
    pair.refused(Who::Stranger, forged, Reason::AccountConsent).await;
    let half = GRANT.units() / 2;
    let all = withdraw(paid(&pair, 1), Who::Renter, half);
    pair.refused(Who::Stranger, all, Reason::Funds).await;
    let good = withdraw(paid(&pair, 1), Who::Renter, half - FEE.units());
    let Call::WithdrawFor { intent, .. } = good.clone() else { unreachable!("it is one") };
    let amount = amount(half - FEE.units());
    let elsewhere =
        Call::WithdrawFor { account, token, to: Who::Stranger.address(), amount, intent };
    pair.refused(Who::Stranger, elsewhere, Reason::AccountConsent).await;
    pair.done(Who::Stranger, good.clone()).await;
    pair.refused(Who::Stranger, good, Reason::Intent).await;
    let spent = inside(&pair, Who::Renter).await;
    assert_eq!((spent, inside(&pair, Who::Stranger).await), (Amount::ZERO, FEE));
}

#[tokio::test]
async fn a_provider_registers_without_sending_and_pays_from_its_wallet() {
    let pair = Pair::new().await;
    let providers = pair.real(Who::Owner).providers();
    let (token, provider) = (pair.place.token, Who::Renter.address());
    let key = Who::Stranger.address();
    let purpose = Purpose::Register { provider, key, token };
    let call = |intent: Intent, fee: bool| {
        let consent = Who::Stranger.key().sign(authorisation_digest(&providers, provider, key));
        let register = purpose.digest(&providers, &intent);
        let domain = &pair.place.token_domain;
        let pull = domain.relay(&providers, token, provider, &intent, register);
        Call::RegisterFor {
            provider,
            provider_key: key,
            consent,
            token,
            intent: purpose.signed(&providers, intent, &Who::Renter.key()),
            fee: fee.then(|| Who::Renter.key().sign(pull)),
        }
    };
    pair.refused(Who::Owner, call(paid(&pair, 1), false), Reason::Authorization).await;
    let wallet = async || {
        let renter = pair.real(Who::Renter);
        renter.balances(token, provider).await.unwrap().wallet
    };
    let before = wallet().await;
    pair.done(Who::Owner, call(paid(&pair, 1), true)).await;
    assert_eq!(before.minus(wallet().await), Some(FEE));
    assert!(pair.real(Who::Owner).is_authorised(provider, key).await.unwrap());
    assert!(pair.fake(Who::Owner).is_authorised(provider, key).await.unwrap());
    pair.refused(Who::Owner, call(paid(&pair, 1), true), Reason::Intent).await;
    let free = Intent { nonce: 2, deadline: UnixSeconds(pair.now().0), fee: Amount::ZERO };
    pair.done(Who::Owner, call(free, false)).await;
}
