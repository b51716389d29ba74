//! The sessions that wallets here granted, as they are kept.
//!
//! Invariant: a session is written down before anybody hears of it, so that it can be revoked
//! whatever happens next.

use std::fs;

use market::{Domain, Session, Signed};
use primitives::{Key, SessionId};
use serde::{Deserialize, Serialize};

use crate::{
    daemon::Reached,
    failure::{Doing as _, Failure, Result},
    folder::{self, Folder},
};

/// A session as it lies in its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Granted {
    /// The escrow it is for.
    pub(crate) escrow: Domain,
    /// The session and the renter's signature.
    pub(crate) session: Signed<Session>,
}

impl Granted {
    /// How it is named here and on the chain.
    pub(crate) fn id(&self) -> SessionId {
        self.session.document.id(&self.escrow)
    }
}

/// The session of this network that the renter calls so; its own, for this gateway.
pub(crate) fn named(
    folder: &Folder,
    reached: &Reached,
    key: &Key,
    name: &str,
) -> Result<Signed<Session>> {
    let found = find(folder, reached, name)?.session;
    let renter = found.document.renter;
    if renter != key.address() {
        return Err(Failure::new(format!("the session {name} was granted by {renter}"))
            .advise("choose its wallet with --wallet NAME"));
    }
    if found.document.key != reached.network.signer {
        let ours = reached.network.signer;
        return Err(Failure::new(format!("the session {name} is not for this gateway, {ours}"))
            .advise("grant one: plaza wallet session"));
    }
    Ok(found)
}

/// Write a session down.
pub(crate) fn keep(folder: &Folder, granted: &Granted) -> Result<()> {
    let place = folder.sessions();
    folder::make(&place)?;
    let path = place.join(format!("{}.json", granted.id()));
    let text = serde_json::to_string(granted).doing(|| "writing a session".to_owned())?;
    folder::write(&path, &text)
}

/// The sessions of this network that were granted here.
pub(crate) fn all(folder: &Folder, reached: &Reached) -> Result<Vec<Granted>> {
    let place = folder.sessions();
    if !place.exists() {
        return Ok(Vec::new());
    }
    let what = || format!("reading {}", place.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(&place).doing(what)? {
        let path = entry.doing(what)?.path();
        if path.extension().is_some_and(|it| it == "json") {
            let text = fs::read_to_string(&path).doing(what)?;
            let granted: Granted =
                serde_json::from_str(&text).doing(|| format!("reading {}", path.display()))?;
            found.push(granted);
        }
    }
    let escrow = reached.network.descriptor.escrow_domain();
    found.retain(|granted| granted.escrow == escrow);
    found.sort_by_key(|granted| granted.session.document.expiry);
    Ok(found)
}

/// The one whose id begins so.
pub(crate) fn find(folder: &Folder, reached: &Reached, name: &str) -> Result<Granted> {
    let digits = name.strip_prefix("0x").unwrap_or(name);
    let mut found = all(folder, reached)?;
    found.retain(|granted| folder::hex(granted.id().0.as_slice()).starts_with(digits));
    match (found.len(), found.pop()) {
        (1, Some(granted)) => Ok(granted),
        (0, _) => Err(Failure::new(format!("no session begins with '{name}'"))
            .advise("see what there is: plaza wallet session list")),
        _ => Err(Failure::new(format!("several sessions begin with '{name}'"))
            .advise("give more digits: plaza wallet session list")),
    }
}
