//! Purses: the keys that hold a renter's money, encrypted on disk.
//!
//! Upon use: the keystore is opened with its passphrase, and the key lives in this process only.
//! The demo purse needs none: its key lies open, is made for one local network, and is refused
//! anywhere else.

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader, IsTerminal as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use primitives::{Address, Key};
use rand_core::OsRng;
use serde_json::Value;

use crate::{
    command::PurseFlags,
    failure::{Doing as _, Failure, Result},
    folder::{self, Folder},
};

/// The name of the local network's play-money purse.
pub(crate) const DEMO: &str = "demo";
/// The name of the purse that is used when none is named.
pub(crate) const MAIN: &str = "main";

/// A purse as it lies in its folder.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) account: Address,
    pub(crate) path: PathBuf,
    pub(crate) encrypted: bool,
}

/// Open the purse that the flags name, or the usual one. `local` is whether the network is.
pub(crate) fn open(folder: &Folder, flags: &PurseFlags, local: bool) -> Result<Key> {
    let main = keystore(folder, MAIN).exists();
    let name = match &flags.wallet {
        Some(name) => name.as_str(),
        None if main => MAIN,
        None => DEMO,
    };
    if name == DEMO {
        return demo(folder, local);
    }
    let path = checked(folder, name)?;
    if !path.exists() {
        return Err(Failure::new(format!("opening wallet '{name}': there is none of this name"))
            .advise("see what there is: plaza wallet show; make one: plaza wallet create"));
    }
    let passphrase = passphrase(flags.passphrase_file.as_deref(), name)?;
    unlock(&path, &passphrase).map_err(|failure| failure.within(format!("opening wallet '{name}'")))
}

/// Put a key into an encrypted keystore.
pub(crate) fn keep(folder: &Folder, name: &str, key: &Key, passphrase: &str) -> Result<PathBuf> {
    let path = checked(folder, name)?;
    let what = || format!("writing wallet {}", path.display());
    if path.exists() {
        return Err(Failure::new(format!("there is a wallet '{name}' already, and it stays"))
            .advise("choose another name, or move the file away yourself"));
    }
    let place = folder.wallets();
    folder::make(&place)?;
    let fresh = format!("{name}.new");
    let wrote =
        eth_keystore::encrypt_key(&place, &mut OsRng, key.to_bytes(), passphrase, Some(&fresh));
    wrote.map_err(|error| Failure::new(what()).because(&error))?;
    let fresh = place.join(fresh);
    fs::set_permissions(&fresh, Permissions::from_mode(0o600)).doing(what)?;
    let text = fs::read_to_string(&fresh).doing(what)?;
    let mut json: Value = serde_json::from_str(&text).doing(what)?;
    json["address"] = Value::String(folder::hex(key.address().as_slice()));
    folder::write(&path, &json.to_string())?;
    fs::remove_file(&fresh).doing(what)?;
    Ok(path)
}

/// The key in a keystore file.
pub(crate) fn unlock(path: &Path, passphrase: &str) -> Result<Key> {
    let bytes = eth_keystore::decrypt_key(path, passphrase).map_err(|error| match error {
        eth_keystore::KeystoreError::MacMismatch => Failure::new("the passphrase is wrong"),
        error => Failure::new(format!("reading {}", path.display())).because(&error),
    })?;
    let bytes: [u8; 32] = bytes
        .try_into()
        .map_err(|_| Failure::new(format!("{} holds no key of 32 bytes", path.display())))?;
    Key::from_bytes(bytes).doing(|| format!("reading {}", path.display()))
}

/// The account of a purse, as far as it can be known without its passphrase.
pub(crate) fn account(folder: &Folder, flags: &PurseFlags) -> Result<Address> {
    let shown = list(folder)?;
    let find = |name: &str| shown.iter().find(|purse| purse.name == name);
    let found = match &flags.wallet {
        Some(name) => find(name),
        None => find(MAIN).or_else(|| find(DEMO)),
    };
    let name = flags.wallet.as_deref().unwrap_or(MAIN);
    found.map(|purse| purse.account).ok_or_else(|| {
        Failure::new(format!("there is no wallet '{name}'")).advise("make one: plaza wallet create")
    })
}

/// All purses, by name.
pub(crate) fn list(folder: &Folder) -> Result<Vec<Shown>> {
    let place = folder.wallets();
    folder::make(&place)?;
    let what = || format!("reading {}", place.display());
    let mut shown = Vec::new();
    for entry in fs::read_dir(&place).doing(what)? {
        let path = entry.doing(what)?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path == folder.demo_key() {
            let account = folder::key(&path)?.address();
            shown.push(Shown { name, account, path, encrypted: false });
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path).doing(|| format!("reading {}", path.display()))?;
            if let Some(account) = address(&text) {
                shown.push(Shown { name, account, path, encrypted: true });
            }
        }
    }
    shown.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(shown)
}

/// Ask for a passphrase, twice where a new one is chosen, or read it from a file.
pub(crate) fn new_passphrase(file: Option<&Path>, name: &str) -> Result<String> {
    let chosen = passphrase(file, name)?;
    if chosen.is_empty() {
        return Err(Failure::new("the passphrase is empty: it alone protects the wallet"));
    }
    if file.is_none() && ask("The same again: ")? != chosen {
        return Err(Failure::new("the two passphrases differ"));
    }
    Ok(chosen)
}

fn passphrase(file: Option<&Path>, name: &str) -> Result<String> {
    let Some(path) = file else { return ask(&format!("Passphrase of wallet '{name}': ")) };
    let what = || format!("reading passphrase file {}", path.display());
    let mut line = String::new();
    let file = fs::File::open(path).doing(what)?;
    BufReader::new(file).read_line(&mut line).doing(what)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

fn ask(words: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("asking for the passphrase: there is no terminal")
            .advise("give a file whose first line it is: --passphrase-file FILE"));
    }
    rpassword::prompt_password(words).doing(|| "asking for the passphrase".to_owned())
}

fn demo(folder: &Folder, local: bool) -> Result<Key> {
    if !local {
        return Err(Failure::new(
            "the demo wallet is refused: this network is not local, its money is real",
        )
        .advise("make a wallet: plaza wallet create"));
    }
    let path = folder.demo_key();
    match folder::line(&path)? {
        Some(text) => folder::read_key(&text),
        None => {
            Err(Failure::new("there is no demo wallet: this data folder has no network of its own")
                .advise("make a wallet: plaza wallet create"))
        }
    }
}

fn address(text: &str) -> Option<Address> {
    let json: Value = serde_json::from_str(text).ok()?;
    let digits = json.get("address")?.as_str()?;
    format!("0x{}", digits.strip_prefix("0x").unwrap_or(digits)).parse().ok()
}

fn checked(folder: &Folder, name: &str) -> Result<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name == DEMO {
        return Err(Failure::new("the name 'demo' belongs to the local network's own wallet"));
    }
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(Failure::new(format!("'{name}' cannot name a wallet"))
            .advise("use up to 64 letters, digits, '-' and '_'"));
    }
    Ok(keystore(folder, name))
}

fn keystore(folder: &Folder, name: &str) -> PathBuf {
    folder.wallets().join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    fn flags(name: &str, scratch: &Path, passphrase: &str) -> PurseFlags {
        let file = scratch.join("passphrase");
        fs::write(&file, format!("{passphrase}\n")).expect("it can be written");
        PurseFlags { wallet: Some(name.to_owned()), passphrase_file: Some(file) }
    }

    #[test]
    fn a_kept_key_comes_back_with_its_passphrase_only() {
        let scratch = tempfile::tempdir().expect("a folder for scratch");
        let folder = Folder::open(&scratch.path().join("plaza"), None).expect("a folder");
        let key = random::key();
        let path = keep(&folder, "mine", &key, "open sesame").expect("it is kept");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);

        let opened = open(&folder, &flags("mine", scratch.path(), "open sesame"), false);
        assert_eq!(opened.expect("the passphrase is right").address(), key.address());
        let refused = open(&folder, &flags("mine", scratch.path(), "open"), false);
        assert!(refused.expect_err("the passphrase is wrong").sentence().contains("passphrase"));
        assert!(
            keep(&folder, "mine", &random::key(), "other").is_err(),
            "no wallet is overwritten"
        );
        let shown = list(&folder).expect("it can be read");
        assert_eq!(shown.iter().map(|purse| purse.account).collect::<Vec<_>>(), [key.address()]);
    }

    #[test]
    fn the_demo_purse_is_refused_where_money_is_real() {
        let scratch = tempfile::tempdir().expect("a folder for scratch");
        let folder = Folder::open(&scratch.path().join("plaza"), None).expect("a folder");
        folder::make(&folder.wallets()).expect("a folder");
        let key = folder::key(&folder.demo_key()).expect("a key");
        let opened = open(&folder, &PurseFlags::default(), true).expect("the network is local");
        assert_eq!(opened.address(), key.address());
        let refused = open(&folder, &PurseFlags::default(), false).expect_err("money is real");
        assert!(refused.sentence().contains("refused"));
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        let scratch = tempfile::tempdir().expect("a folder for scratch");
        let folder = Folder::open(&scratch.path().join("plaza"), None).expect("a folder");
        for name in ["", "../x", "a/b", "demo", "a b"] {
            assert!(keep(&folder, name, &random::key(), "x").is_err(), "{name:?}");
        }
    }
}
