//! The data folder: everything `plaza` keeps on this machine, readable by its owner only.
//!
//! ```text
//! DATA/
//!   start.lock              held while a network is being started in the background
//!   token                   the bearer token of this machine's API
//!   sessions/ID.json        sessions that wallets here granted
//!   wallets/NAME.json       encrypted keystores; demo.key is the local network's play-money key
//!   gateway/                a network of this machine ('plaza up')
//!     lock, running.json    who runs it, and where it answers
//!     network.json          the signed descriptor, by which others join
//!     chain.redb            the chain, where it is our own
//!     chain.url             where its JSON-RPC is, where it is somebody else's
//!     chain.first           the block from which on there may be something of this network
//!     facts.db blobs/ outputs/
//!     chain.id profile.json api.port peer.address
//!     owner.key account.key signer.key peer.key
//!     plaza.log             what the background process reports
//!   provider/               a provider of this machine
//!     lock, running.json
//!     network.json          the descriptor of the network it joined
//!     facts.db blobs/ runs/
//!     account.key provider.key peer.key policy.toml
//! ```
//!
//! Invariant: folders are 0700 and files 0600; a secret is durable before it is used.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use net::TransportKey;
use primitives::Key;

use crate::{
    failure::{Doing as _, Failure, Result},
    random,
};

/// A data folder that exists.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    shown: String,
}

impl Folder {
    /// The folder at `path`, made if it is not there; shown to people as below `home`, if it is.
    pub(crate) fn open(path: &Path, home: Option<&Path>) -> Result<Self> {
        let absolute =
            std::path::absolute(path).doing(|| format!("naming folder {}", path.display()))?;
        make(&absolute)?;
        let below = home.and_then(|home| absolute.strip_prefix(home).ok());
        let shown = match below {
            Some(below) => format!("~/{}", below.display()),
            None => absolute.display().to_string(),
        };
        Ok(Self { path: absolute, shown })
    }

    /// Where it is, for people.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The part of a network of this machine.
    pub(crate) fn gateway(&self) -> PathBuf {
        self.path.join("gateway")
    }

    /// The part of a provider of this machine.
    pub(crate) fn provider(&self) -> PathBuf {
        self.path.join("provider")
    }

    /// The part of the wallets.
    pub(crate) fn wallets(&self) -> PathBuf {
        self.path.join("wallets")
    }

    /// The part of the sessions that were granted here.
    pub(crate) fn sessions(&self) -> PathBuf {
        self.path.join("sessions")
    }

    /// The descriptor of the network of this machine.
    pub(crate) fn descriptor(&self) -> PathBuf {
        self.gateway().join("network.json")
    }

    /// Where the JSON-RPC of the network's chain is, if that is not our own.
    pub(crate) fn chain_url(&self) -> Result<Option<String>> {
        line(&self.gateway().join("chain.url"))
    }

    /// What the background process reports.
    pub(crate) fn log(&self) -> PathBuf {
        self.gateway().join("plaza.log")
    }

    /// The play-money key of the local network.
    pub(crate) fn demo_key(&self) -> PathBuf {
        self.wallets().join("demo.key")
    }

    /// The bearer token of this machine's API, made if there is none.
    pub(crate) fn token(&self) -> Result<String> {
        let token = secret(&self.path.join("token"), || hex(&random::word().0))?;
        Ok(token)
    }
}

/// Make a folder and those above it that are missing, and keep others out of it.
pub(crate) fn make(path: &Path) -> Result<()> {
    let what = || format!("making folder {}", path.display());
    DirBuilder::new().recursive(true).mode(0o700).create(path).doing(what)?;
    let mode = fs::metadata(path).doing(what)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).doing(what)?;
    }
    Ok(())
}

/// Keep others from a file that a library made.
pub(crate) fn close(path: &Path) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))
        .doing(|| format!("closing {} to others", path.display()))
}

/// The one line of text in a file; `None` when there is no such file.
pub(crate) fn line(path: &Path) -> Result<Option<String>> {
    let mut text = String::new();
    match File::open(path).and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(format!("reading {}", path.display())).because(&error)),
    }
}

/// Write a file whole or not at all, durably, 0600.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let what = || format!("writing {}", path.display());
    let fresh = beside(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .doing(what)?;
    let whole = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
    file.write_all(whole.as_bytes()).and_then(|()| file.sync_all()).doing(what)?;
    fs::rename(&fresh, path).doing(what)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).doing(what)
}

/// A fresh name in the same folder.
fn beside(path: &Path) -> PathBuf {
    path.with_extension(format!("new-{}", hex(&random::word().0[..8])))
}

/// The line of text in a file that is made once; two who make it at once get the same.
pub(crate) fn secret(path: &Path, fresh: impl FnOnce() -> String) -> Result<String> {
    if let Some(known) = line(path)? {
        return Ok(known);
    }
    let what = || format!("writing {}", path.display());
    let mine = beside(path);
    write(&mine, &fresh())?;
    let linked = fs::hard_link(&mine, path);
    fs::remove_file(&mine).doing(what)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error).doing(what),
        _ => line(path)?.ok_or_else(|| Failure::new(what())),
    }
}

/// The signing key in a file, made if there is none.
pub(crate) fn key(path: &Path) -> Result<Key> {
    let text = secret(path, || hex(&random::key().to_bytes()))?;
    read_key(&text).map_err(|failure| failure.within(format!("reading {}", path.display())))
}

/// The transport key in a file, made if there is none.
pub(crate) fn transport_key(path: &Path) -> Result<TransportKey> {
    let what = || format!("reading {}", path.display());
    let fresh = TransportKey::generate().to_bytes().doing(what)?;
    let text = secret(path, || hex(&fresh))?;
    let bytes = unhex(&text).ok_or_else(|| Failure::new(what()))?;
    TransportKey::from_bytes(&bytes).doing(what)
}

/// A private key in hexadecimal digits.
pub(crate) fn read_key(text: &str) -> Result<Key> {
    // A key has the form of a digest, and hexadecimal digits are read there.
    let word: primitives::Digest = text
        .strip_prefix("0x")
        .unwrap_or(text)
        .parse()
        .map_err(|_| Failure::new("a private key is 64 hexadecimal digits"))?;
    Key::from_bytes(word.0).doing(|| "reading a private key".to_owned())
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if digits.len().is_multiple_of(2) { digits.chunks(2).map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder for scratch")
    }

    #[test]
    fn folders_and_secrets_are_their_owners_only() {
        let scratch = scratch();
        let folder = Folder::open(&scratch.path().join("a/b"), None).expect("a folder");
        folder.token().expect("a token");
        let mode =
            |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.path().join("token")), 0o600);
    }

    #[test]
    fn a_secret_is_made_once() {
        let scratch = scratch();
        let path = scratch.path().join("a.key");
        let first = key(&path).expect("a key");
        assert_eq!(key(&path).expect("the key").address(), first.address());
        assert_eq!(
            fs::read_dir(scratch.path()).expect("a folder").count(),
            1,
            "nothing is left over"
        );
    }

    #[test]
    fn two_who_make_a_secret_at_once_get_the_same() {
        let scratch = scratch();
        let path = scratch.path().join("a.key");
        let makers: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || key(&path).expect("a key").address())
            })
            .collect();
        let made: std::collections::BTreeSet<_> =
            makers.into_iter().map(|maker| maker.join().expect("no maker panics")).collect();
        assert_eq!(made.len(), 1);
    }
}
