//! What jobs print: named byte sequences that grow at their end and can be read while they grow.
//!
//! Upon `write` of bytes at an offset: what is already there is skipped, what follows is added, a
//! gap is refused; so a sender that does not know whether it was heard simply sends again. Upon
//! `watch`: the present length, so that readers wait instead of polling.
//!
//! Not here: durability byte by byte. A chunk survives the process at once and the machine after
//! `sync`; its sender keeps it until then.

pub(crate) mod disk;
pub(crate) mod memory;

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use primitives::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tokio::sync::watch;

use crate::error::Error;

/// The name of an output: up to eight parts of letters, digits, `.`, `_` and `-`, with `/` between
/// them, none beginning with a dot; for example `JOB/0/1/stdout`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputName(String);

/// What became of written bytes.
#[must_use = "a gap or a full output means that not everything was kept"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Everything up to this length is kept.
    Until(u64),
    /// The bytes begin after the end, which is here; nothing was kept.
    Gap(u64),
    /// The output has reached its limit, which is this length; what was beyond is dropped.
    Full(u64),
}

/// Keeps what jobs print.
#[async_trait]
pub trait Outputs: Send + Sync {
    /// Keep `bytes`, which begin at `offset`, in an output of at most `limit`.
    ///
    /// # Errors
    /// [`Error::DiskFull`] and [`Error::Path`]; then nothing after the former length is kept.
    async fn write(
        &self,
        name: &OutputName,
        offset: u64,
        bytes: &[u8],
        limit: Bytes,
    ) -> Result<Written, Error>;

    /// At most `most` bytes from `offset` on; none at or after the end, or when nothing was ever
    /// written under this name.
    ///
    /// # Errors
    /// [`Error::Path`].
    async fn read(&self, name: &OutputName, offset: u64, most: usize) -> Result<Vec<u8>, Error>;

    /// The length of an output as it grows; 0 when nothing was ever written under this name.
    ///
    /// # Errors
    /// [`Error::Path`].
    async fn watch(&self, name: &OutputName) -> Result<watch::Receiver<u64>, Error>;

    /// Make everything that is kept of an output durable.
    ///
    /// # Errors
    /// [`Error::DiskFull`] and [`Error::Path`].
    async fn sync(&self, name: &OutputName) -> Result<(), Error>;

    /// Forget an output; whether it was there.
    ///
    /// # Errors
    /// [`Error::Path`].
    async fn remove(&self, name: &OutputName) -> Result<bool, Error>;
}

impl OutputName {
    /// The name, if it is one.
    ///
    /// # Errors
    /// [`Error::Name`] saying what is wrong.
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        let name = name.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let why = if name.len() > 512 || name.split('/').count() > 8 {
            Some("it has more than 512 letters or eight parts")
        } else if name.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
            Some("a part is empty or begins with a dot")
        } else if name.split('/').any(|part| part.len() > 200 || !part.chars().all(allowed)) {
            Some("a part is longer than 200 letters or has others than a-z A-Z 0-9 . _ -")
        } else {
            None
        };
        match why {
            Some(why) => Err(Error::Name { name: name.chars().take(80).collect(), why }),
            None => Ok(Self(name)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for OutputName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl Serialize for OutputName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for OutputName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// Which of `bytes`, that begin at `offset`, are to be added to an output of length `end`, and
/// what is said afterwards.
pub(crate) fn plan(end: u64, offset: u64, bytes: &[u8], limit: Bytes) -> (&[u8], Written) {
    if offset > end {
        return (&[], Written::Gap(end));
    }
    let known = usize::try_from(end - offset).unwrap_or(usize::MAX).min(bytes.len());
    let new = &bytes[known..];
    let room = usize::try_from(limit.0.saturating_sub(end)).unwrap_or(usize::MAX);
    let kept = &new[..room.min(new.len())];
    let length = end + kept.len() as u64;
    if kept.len() < new.len() {
        (kept, Written::Full(length))
    } else {
        (kept, Written::Until(length))
    }
}
