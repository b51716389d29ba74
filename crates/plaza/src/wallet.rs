//! `plaza wallet`: create and use wallets.
//!
//! Deposits and withdrawals are transactions that the wallet's own key signs here; the gateway only
//! passes them on to the chain.

mod session;

use std::path::Path;

use primitives::{Address, Amount, Clock as _, Key, Seconds};
use serde_json::json;
use settlement::{Call, Mined};

use crate::{
    clock::SystemClock,
    command::{PurseFlags, WalletCommand},
    config::Config,
    daemon::{self, Reached},
    failure::{Doing as _, Failure, Result},
    folder,
    onchain::{parse_amount, send},
    purse, random,
    run::dollars,
    voice::table,
};

/// How long a deposit's authorisation holds.
const VALID: Seconds = Seconds(600);

pub(crate) async fn wallet(config: &Config, command: &WalletCommand) -> Result<()> {
    match command {
        WalletCommand::Create { name, passphrase_file } => {
            keep(config, name, &random::key(), passphrase_file.as_deref())
        }
        WalletCommand::Import { name, key_file, passphrase_file } => {
            let key = read(key_file, name)?;
            keep(config, name, &key, passphrase_file.as_deref())
        }
        WalletCommand::Show => show(config),
        WalletCommand::Balance { account, purse } => {
            let account = match account {
                Some(account) => parse_account(account)?,
                None => purse::account(&config.folder, purse)?,
            };
            balance(config, account).await
        }
        WalletCommand::Session(flags) => session::session(config, flags).await,
        WalletCommand::Deposit { amount, purse } => deposit(config, amount, purse).await,
        WalletCommand::Withdraw { amount, to, purse } => {
            withdraw(config, amount.as_deref(), to.as_deref(), purse).await
        }
    }
}

/// An account as typed.
pub(crate) fn parse_account(text: &str) -> Result<Address> {
    text.parse().map_err(|_| {
        Failure::new(format!("'{text}' is no account: expected 0x and 40 hexadecimal digits"))
    })
}

fn keep(config: &Config, name: &str, key: &Key, passphrase_file: Option<&Path>) -> Result<()> {
    let passphrase = purse::new_passphrase(passphrase_file, name)?;
    let path = purse::keep(&config.folder, name, key, &passphrase)?;
    let account = key.address();
    config.voice.answer(&json!({ "name": name, "account": account, "path": path }), || {
        format!("wallet '{name}' has account {account}\nits keystore is {}", path.display())
    });
    Ok(())
}

fn read(path: &Path, name: &str) -> Result<Key> {
    let what = || format!("reading {}", path.display());
    let text = std::fs::read_to_string(path).doing(what)?;
    if text.trim_start().starts_with('{') {
        let words = format!("Present passphrase of the keystore for '{name}': ");
        let passphrase = rpassword::prompt_password(words).doing(what)?;
        return purse::unlock(path, &passphrase);
    }
    folder::read_key(text.trim()).map_err(|failure| failure.within(what()))
}

fn show(config: &Config) -> Result<()> {
    let shown = purse::list(&config.folder)?;
    let wallets: Vec<_> = shown
        .iter()
        .map(|it| {
            json!({ "name": it.name, "account": it.account, "encrypted": it.encrypted, "path": it.path })
        })
        .collect();
    config.voice.answer(&json!({ "wallets": wallets }), || {
        let word = |encrypted| if encrypted { "encrypted" } else { "play money, open" };
        let row = |it: &purse::Shown| {
            vec![it.name.clone(), it.account.to_string(), word(it.encrypted).to_owned()]
        };
        table(&["WALLET", "ACCOUNT", "KEY"], &shown.iter().map(row).collect::<Vec<_>>())
    });
    Ok(())
}

async fn balance(config: &Config, account: Address) -> Result<()> {
    let reached = daemon::expect(config).await?;
    let has = reached.client.balance(account).await?;
    let decimals = reached.network.descriptor.contracts.token_decimals;
    config.voice.answer(&has, || {
        let (wallet, escrow) = (dollars(has.wallet, decimals), dollars(has.escrow, decimals));
        format!("account  {account}\nwallet   {wallet}\nescrow   {escrow}")
    });
    Ok(())
}

async fn deposit(config: &Config, amount: &str, flags: &PurseFlags) -> Result<()> {
    let reached = daemon::expect(config).await?;
    let contracts = &reached.network.descriptor.contracts;
    let amount = parse_amount(amount, contracts.token_decimals)?;
    let key = purse::open(&config.folder, flags, reached.network.local)?;
    let (salt, account) = (random::word(), key.address());
    let valid_before = SystemClock::new().now().plus(VALID);
    let escrow = reached.network.descriptor.escrow_domain();
    let digest = contracts.token_domain.deposit(
        &escrow,
        contracts.token,
        account,
        amount,
        valid_before,
        salt,
    );
    let signature = key.sign(digest);
    let token = contracts.token;
    let call =
        Call::DepositWithAuthorization { token, account, amount, valid_before, salt, signature };
    let mined = send(&reached, key, call, "depositing").await?;
    told(config, &reached, "deposited", amount, mined);
    Ok(())
}

async fn withdraw(
    config: &Config,
    amount: Option<&str>,
    to: Option<&str>,
    flags: &PurseFlags,
) -> Result<()> {
    let reached = daemon::expect(config).await?;
    let contracts = &reached.network.descriptor.contracts;
    let key = purse::open(&config.folder, flags, reached.network.local)?;
    let to = to.map_or(Ok(key.address()), parse_account)?;
    let amount = match amount {
        Some(amount) => parse_amount(amount, contracts.token_decimals)?,
        None => reached.client.balance(key.address()).await?.escrow,
    };
    let call = Call::Withdraw { token: contracts.token, to, amount };
    let mined = send(&reached, key, call, "withdrawing").await?;
    told(config, &reached, "withdrawn", amount, mined);
    Ok(())
}

fn told(config: &Config, reached: &Reached, word: &str, amount: Amount, mined: Mined) {
    let decimals = reached.network.descriptor.contracts.token_decimals;
    config.voice.answer(&json!({ word: amount, "tx": mined.tx, "block": mined.block }), || {
        format!("{} {word} in transaction {}", dollars(amount, decimals), mined.tx)
    });
}
