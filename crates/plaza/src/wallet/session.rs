//! `plaza wallet session`: leave for the gateway to spend, up to a cap, while the wallet is away.
//!
//! Upon granting: the session is kept and told; it costs nothing and reaches the chain with the
//! first deal in it. Upon revoking: a transaction of the wallet's own; from then on nothing opens in
//! the session.

use market::{Session, SessionUse};
use primitives::{Amount, Clock as _, Rate, UnixSeconds};
use serde_json::json;
use settlement::{Call, Settlement as _};

use crate::{
    clock::SystemClock,
    command::{PurseFlags, SessionCommand, SessionFlags},
    config::Config,
    daemon,
    failure::{Doing as _, Failure, Result},
    onchain::{self, parse_amount},
    purse, random,
    run::{dollars, hourly},
    session::{Granted, all, find, keep},
    voice::table,
};

pub(crate) async fn session(config: &Config, flags: &SessionFlags) -> Result<()> {
    match &flags.command {
        None => grant(config, flags).await,
        Some(SessionCommand::List) => list(config).await,
        Some(SessionCommand::Revoke { id, purse }) => revoke(config, id, purse).await,
    }
}

async fn grant(config: &Config, flags: &SessionFlags) -> Result<()> {
    let reached = daemon::expect(config).await?;
    let contracts = &reached.network.descriptor.contracts;
    let decimals = contracts.token_decimals;
    let key = purse::open(&config.folder, &flags.purse, reached.network.local)?;
    let has = reached.client.balance(key.address()).await?.escrow;
    let cap = match &flags.cap {
        Some(typed) => parse_amount(typed, decimals)?,
        None if has == Amount::ZERO => {
            return Err(Failure::new("there is nothing inside the escrow for a session to spend")
                .advise("first: plaza wallet deposit AMOUNT; or name a cap with --cap"));
        }
        None => has,
    };
    let max_rate = match &flags.rate {
        Some(typed) => Rate::per_hour(parse_amount(typed, decimals)?.units()).unwrap_or(Rate::MAX),
        None => Rate::MAX,
    };
    let session = Session {
        renter: key.address(),
        key: reached.network.signer,
        token: contracts.token,
        cap,
        max_rate,
        expiry: SystemClock::new().now().plus(flags.span),
        salt: random::word(),
    };
    let escrow = reached.network.descriptor.escrow_domain();
    let granted = Granted { escrow, session: session.signed(&escrow, &key) };
    keep(&config.folder, &granted)?;
    let id = granted.id();
    let answer = json!({ "session": id, "escrow_balance": has, "document": granted.session });
    config.voice.answer(&answer, || {
        let cap_words = dollars(cap, decimals);
        let short = has < cap;
        let lacks = format!(
            "\nthe escrow holds {} of it: plaza wallet deposit AMOUNT",
            dollars(has, decimals)
        );
        format!(
            "session {id}\nit lets gateway {} spend up to {cap_words} for {}; end it: plaza wallet \
             session revoke {}\nyou can lose at most {cap_words} if gateway and provider \
             collude{}",
            reached.network.account,
            flags.span,
            id.short(),
            if short { lacks.as_str() } else { "" },
        )
    });
    Ok(())
}

async fn list(config: &Config) -> Result<()> {
    let reached = daemon::expect(config).await?;
    let decimals = reached.network.descriptor.contracts.token_decimals;
    let chain = onchain::open(&reached, random::key(), "reading sessions").await?;
    let now = SystemClock::new().now();
    let (mut rows, mut answers) = (Vec::new(), Vec::new());
    for granted in all(&config.folder, &reached)? {
        let id = granted.id();
        let kept = chain.session(id).await.doing(|| format!("reading session {id}"))?;
        let document = &granted.session.document;
        let (left, state) = (kept.left(document, now), state(&kept, document, now));
        answers.push(json!({ "session": id, "document": document, "use": kept, "left": left, "state": state }));
        rows.push(vec![
            id.short(),
            document.renter.to_string(),
            dollars(document.cap, decimals),
            dollars(left, decimals),
            rate(document.max_rate, decimals),
            state.to_owned(),
        ]);
    }
    config.voice.answer(&json!({ "sessions": answers }), || {
        table(&["SESSION", "WALLET", "CAP", "LEFT", "AT MOST", "STATE"], &rows)
    });
    Ok(())
}

fn rate(most: Rate, decimals: u8) -> String {
    if most == Rate::MAX { "any price".to_owned() } else { hourly(most, decimals) }
}

fn state(kept: &SessionUse, session: &Session, now: UnixSeconds) -> &'static str {
    match kept {
        _ if kept.revoked => "revoked",
        _ if now >= session.expiry => "expired",
        _ if kept.granted => "in use",
        _ => "unused",
    }
}

async fn revoke(config: &Config, name: &str, flags: &PurseFlags) -> Result<()> {
    let reached = daemon::expect(config).await?;
    let granted = find(&config.folder, &reached, name)?;
    let key = purse::open(&config.folder, flags, reached.network.local)?;
    let id = granted.id();
    let call = Call::RevokeSession { session: granted.session.document, intent: None };
    let mined = onchain::send(&reached, key, call, "revoking the session").await?;
    config.voice.answer(&json!({ "session": id, "tx": mined.tx, "block": mined.block }), || {
        format!(
            "nothing opens in session {} any more; deals that are open end as agreed",
            id.short()
        )
    });
    Ok(())
}
