//! What a file says of itself.

use std::{collections::BTreeMap, os::fd::AsFd};

use rustix::fs::{AtFlags, FileType, StatxFlags, StatxTimestamp, statx};

use super::guest::{Error, Memory};

/// The kinds of files as WASI numbers them.
pub(super) const UNKNOWN: u8 = 0;
pub(super) const CHARACTER_DEVICE: u8 = 2;
pub(super) const FOLDER: u8 = 3;
pub(super) const FILE: u8 = 4;
pub(super) const LINK: u8 = 7;

/// What tells one file of the disk from all others, past ones included: device, number, birth.
type Identity = (u32, u32, u64, i64, u32);

/// Whether the disk shows: in deterministic runs it does not, and files are numbered as they are first
/// seen.
pub(super) enum Looks {
    Real,
    Numbered(BTreeMap<Identity, u64>),
}

/// What is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stat {
    device: u64,
    number: u64,
    kind: u8,
    links: u64,
    pub(super) size: u64,
    accessed: u64,
    modified: u64,
    changed: u64,
}

impl Looks {
    pub(super) fn new(deterministic: bool) -> Self {
        if deterministic { Self::Numbered(BTreeMap::new()) } else { Self::Real }
    }

    pub(super) fn is_numbered(&self) -> bool {
        matches!(self, Self::Numbered(_))
    }

    /// Look at an open file.
    pub(super) fn look(&mut self, file: impl AsFd) -> Result<Stat, Error> {
        let asked = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let it = statx(file, "", AtFlags::EMPTY_PATH, asked)?;
        let kind = kind(FileType::from_raw_mode(it.stx_mode.into()));
        let device = (it.stx_dev_major, it.stx_dev_minor);
        Ok(match self {
            Self::Real => Stat {
                device: u64::from(device.0) << 32 | u64::from(device.1),
                number: it.stx_ino,
                kind,
                links: it.stx_nlink.into(),
                size: it.stx_size,
                accessed: nanoseconds(it.stx_atime),
                modified: nanoseconds(it.stx_mtime),
                changed: nanoseconds(it.stx_ctime),
            },
            Self::Numbered(seen) => {
                let (born, moment) = (it.stx_btime.tv_sec, it.stx_btime.tv_nsec);
                let next = seen.len() as u64 + 1;
                let number =
                    *seen.entry((device.0, device.1, it.stx_ino, born, moment)).or_insert(next);
                // How large a folder is, and how often it is linked, is up to the file system.
                let (links, size) =
                    if kind == FOLDER { (1, 0) } else { (it.stx_nlink.into(), it.stx_size) };
                Stat { number, kind, links, size, ..Stat::default() }
            }
        })
    }
}

impl Stat {
    /// Put it into the memory of a module.
    pub(super) fn put(&self, memory: &mut Memory<'_>, at: u32) -> Result<(), Error> {
        let words = [
            self.device,
            self.number,
            self.kind.into(),
            self.links,
            self.size,
            self.accessed,
            self.modified,
            self.changed,
        ];
        let mut bytes = [0; 64];
        for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        memory.put(at, &bytes)
    }
}

/// A kind of file as WASI numbers it.
pub(super) fn kind(file: FileType) -> u8 {
    match file {
        FileType::Directory => FOLDER,
        FileType::RegularFile => FILE,
        FileType::Symlink => LINK,
        FileType::CharacterDevice => CHARACTER_DEVICE,
        _ => UNKNOWN,
    }
}

fn nanoseconds(time: StatxTimestamp) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.into())
}
