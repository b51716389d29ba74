//! The disk that holds a folder.

use std::path::Path;

use primitives::Bytes;
use serde::{Deserialize, Serialize};

/// A disk, as the file system on it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its size.
    pub total: Bytes,
    /// What users other than root may still take.
    pub free: Bytes,
}

/// Ask about the disk under `folder`, or under the nearest folder above that exists.
pub(crate) fn ask(folder: &Path) -> Option<Disk> {
    let asked = folder.ancestors().find_map(|it| rustix::fs::statvfs(it).ok())?;
    let bytes = |blocks: u64| Bytes(blocks.saturating_mul(asked.f_frsize));
    Some(Disk { total: bytes(asked.f_blocks), free: bytes(asked.f_bavail) })
}
