//! Open files of a module: two streams, the work folder, and what it opens beneath.

use std::{
    collections::BTreeMap,
    ffi::CStr,
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Dir, OFlags, SeekFrom, Timespec, Timestamps},
    io::Errno,
};

use super::{
    clock::timespec,
    guest::{Answer, Error, Exit, Fault, Memory},
    stat::{self, FOLDER, Looks},
};

/// Rights, as bits of WASI. The kernel decides what may be done; these only tell a library what it
/// may try.
mod rights {
    pub(super) const FD_READ: u64 = 1 << 1;
    pub(super) const FD_WRITE: u64 = 1 << 6;
    pub(super) const ALL: u64 = (1 << 30) - 1;
    /// What makes no sense on a plain file: everything about paths, and listing.
    pub(super) const OF_FOLDERS: u64 = 0b111 << 9 | 0xff << 12 | 1 << 20 | 0b111 << 24;
    /// What a folder is good for: the above, and asking and setting what it says of itself.
    pub(super) const FOLDER: u64 = OF_FOLDERS | 1 << 0 | 1 << 3 | 1 << 4 | 1 << 21 | 1 << 23;
}

/// Flags of an open file, as bits of WASI.
pub(super) const APPEND: u32 = 1;
const DSYNC: u32 = 2;
const NONBLOCK: u32 = 4;
const RSYNC: u32 = 8;
const SYNC: u32 = 16;

/// The names under which the work folder is preopened, from number 3 on. Libraries look for the
/// longest that fits, and take `/` for relative paths too.
const PREOPENED: [&str; 2] = ["/", "/work"];
const FIRST_PREOPENED: u32 = 3;

/// All open files by number.
pub(super) struct Files {
    open: BTreeMap<u32, Open>,
    pub(super) looks: Looks,
    is_told: fn() -> bool,
}

/// One open file.
struct Open {
    file: OwnedFd,
    kind: Kind,
}

enum Kind {
    /// Standard input, output or error.
    Stream {
        writes: bool,
    },
    File {
        reads: bool,
        writes: bool,
    },
    Folder {
        preopened: Option<&'static str>,
        listed: Vec<Listed>,
    },
}

/// An entry of a folder.
struct Listed {
    name: Vec<u8>,
    number: u64,
    kind: u8,
}

impl Files {
    pub(super) fn new(work: File, deterministic: bool, is_told: fn() -> bool) -> Self {
        let mut files = Self { open: BTreeMap::new(), looks: Looks::new(deterministic), is_told };
        let input = std::io::stdin().as_fd().try_clone_to_owned();
        let outputs = [
            std::io::stdout().as_fd().try_clone_to_owned(),
            std::io::stderr().as_fd().try_clone_to_owned(),
        ];
        let streams = [(input, false)].into_iter().chain(outputs.map(|it| (it, true)));
        for ((stream, writes), number) in streams.zip(0..) {
            if let Ok(file) = stream {
                files.open.insert(number, Open { file, kind: Kind::Stream { writes } });
            }
        }
        for (name, number) in PREOPENED.into_iter().zip(FIRST_PREOPENED..) {
            if let Ok(work) = work.try_clone() {
                let kind = Kind::Folder { preopened: Some(name), listed: Vec::new() };
                files.open.insert(number, Open { file: work.into(), kind });
            }
        }
        files
    }

    fn get(&self, fd: u32) -> Result<&Open, Error> {
        self.open.get(&fd).ok_or(Error::BADF)
    }

    fn get_mut(&mut self, fd: u32) -> Result<&mut Open, Error> {
        self.open.get_mut(&fd).ok_or(Error::BADF)
    }

    /// A file that has a position.
    fn file(&self, fd: u32) -> Result<BorrowedFd<'_>, Error> {
        match self.get(fd)? {
            Open { file, kind: Kind::File { .. } } => Ok(file.as_fd()),
            Open { kind: Kind::Stream { .. }, .. } => Err(Error::SPIPE),
            Open { kind: Kind::Folder { .. }, .. } => Err(Error::BADF),
        }
    }

    /// A folder that paths start from.
    pub(super) fn folder(&self, fd: u32) -> Result<BorrowedFd<'_>, Error> {
        match self.get(fd)? {
            Open { file, kind: Kind::Folder { .. } } => Ok(file.as_fd()),
            _ => Err(Error::NOTDIR),
        }
    }

    /// Keep what was opened under the lowest number that is free.
    pub(super) fn insert(
        &mut self,
        file: OwnedFd,
        reads: bool,
        writes: bool,
    ) -> Result<u32, Error> {
        let kind = match stat::kind(file_type(&file)?) {
            FOLDER => Kind::Folder { preopened: None, listed: Vec::new() },
            _ => Kind::File { reads, writes },
        };
        let taken = self.open.keys().zip(0..).take_while(|(number, place)| *number == place);
        let free = u32::try_from(taken.count()).map_err(|_| Error::OVERFLOW)?;
        self.open.insert(free, Open { file, kind });
        Ok(free)
    }

    /// Bytes that can be read from it; 0 where nobody can tell.
    pub(super) fn available(&self, fd: u32) -> Result<u64, Error> {
        let Open { file, kind: Kind::File { .. } } = self.get(fd)? else { return Ok(0) };
        let position = rustix::fs::tell(file)?;
        Ok(length(file)?.saturating_sub(position))
    }

    /// Do it again when a signal came between, unless that says to end.
    fn patiently<T>(&self, mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Fault> {
        loop {
            match call() {
                Err(Errno::INTR) if (self.is_told)() => return Err(Exit::Told.into()),
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    pub(super) fn fd_advise(
        &mut self,
        _memory: &mut Memory<'_>,
        fd: u32,
        _offset: u64,
        _len: u64,
        advice: u32,
    ) -> Answer {
        self.file(fd)?;
        if advice > 5 { Err(Error::INVAL.into()) } else { Ok(()) }
    }

    /// Whether room can be put aside depends on the disk, so nobody may rely on it.
    pub(super) fn fd_allocate(
        &mut self,
        _memory: &mut Memory<'_>,
        fd: u32,
        _offset: u64,
        _len: u64,
    ) -> Answer {
        self.file(fd)?;
        Err(Error::NOTSUP.into())
    }

    pub(super) fn fd_close(&mut self, _memory: &mut Memory<'_>, fd: u32) -> Answer {
        self.open.remove(&fd).map(drop).ok_or(Error::BADF.into())
    }

    pub(super) fn fd_datasync(&mut self, memory: &mut Memory<'_>, fd: u32) -> Answer {
        self.fd_sync(memory, fd)
    }

    pub(super) fn fd_sync(&mut self, _memory: &mut Memory<'_>, fd: u32) -> Answer {
        match self.get(fd)? {
            Open { kind: Kind::Stream { .. }, .. } => Ok(()),
            Open { file, .. } => Ok(rustix::fs::fdatasync(file)?),
        }
    }

    pub(super) fn fd_fdstat_get(&mut self, memory: &mut Memory<'_>, fd: u32, stat: u32) -> Answer {
        let open = self.get(fd)?;
        let without = |has: bool, right: u64| if has { 0 } else { right };
        let (kind, own, inheriting) = match open.kind {
            Kind::Stream { writes } => {
                let right = if writes { rights::FD_WRITE } else { rights::FD_READ };
                (stat::kind(file_type(&open.file)?), right, 0)
            }
            Kind::File { reads, writes } => {
                let lacks = without(reads, rights::FD_READ) | without(writes, rights::FD_WRITE);
                (stat::FILE, rights::ALL & !rights::OF_FOLDERS & !lacks, 0)
            }
            Kind::Folder { .. } => (FOLDER, rights::FOLDER, rights::ALL),
        };
        let mut flags = 0u16;
        if let Kind::File { .. } = open.kind {
            let set = rustix::fs::fcntl_getfl(&open.file)?;
            flags |= if set.contains(OFlags::APPEND) { 1 } else { 0 };
        }
        let mut bytes = [0; 24];
        bytes[0] = kind;
        bytes[2..4].copy_from_slice(&flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&own.to_le_bytes());
        bytes[16..].copy_from_slice(&inheriting.to_le_bytes());
        Ok(memory.put(stat, &bytes)?)
    }

    /// Only whether writes go to the end can be changed; the others ask for what always holds.
    pub(super) fn fd_fdstat_set_flags(
        &mut self,
        _memory: &mut Memory<'_>,
        fd: u32,
        flags: u32,
    ) -> Answer {
        if flags & !(APPEND | NONBLOCK) & (DSYNC | RSYNC | SYNC) != 0 {
            return Err(Error::NOTSUP.into());
        }
        if let Open { file, kind: Kind::File { .. } } = self.get(fd)? {
            let mut set = rustix::fs::fcntl_getfl(file)?;
            set.set(OFlags::APPEND, flags & APPEND != 0);
            rustix::fs::fcntl_setfl(file, set)?;
        }
        Ok(())
    }

    pub(super) fn fd_fdstat_set_rights(
        &mut self,
        _memory: &mut Memory<'_>,
        fd: u32,
        _base: u64,
        _inheriting: u64,
    ) -> Answer {
        self.get(fd)?;
        Err(Error::NOTSUP.into())
    }

    pub(super) fn fd_filestat_get(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        stat: u32,
    ) -> Answer {
        let Some(open) = self.open.get(&fd) else { return Err(Error::BADF.into()) };
        Ok(self.looks.look(&open.file)?.put(memory, stat)?)
    }

    pub(super) fn fd_filestat_set_size(
        &mut self,
        _memory: &mut Memory<'_>,
        fd: u32,
        size: u64,
    ) -> Answer {
        Ok(rustix::fs::ftruncate(self.file(fd)?, size)?)
    }

    pub(super) fn fd_filestat_set_times(
        &mut self,
        _memory: &mut Memory<'_>,
        fd: u32,
        atim: u64,
        mtim: u64,
        flags: u32,
    ) -> Answer {
        let times = times(atim, mtim, flags)?;
        match self.get(fd)? {
            Open { kind: Kind::Stream { .. }, .. } => Err(Error::BADF.into()),
            Open { file, .. } => Ok(rustix::fs::futimens(file, &times)?),
        }
    }

    pub(super) fn fd_prestat_get(&mut self, memory: &mut Memory<'_>, fd: u32, stat: u32) -> Answer {
        let name = self.preopened(fd)?;
        memory.put_u32(stat, 0)?;
        Ok(memory.put_length(stat.checked_add(4).ok_or(Error::FAULT)?, name.len())?)
    }

    pub(super) fn fd_prestat_dir_name(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Answer {
        let name = self.preopened(fd)?;
        let room = memory.slice(path, path_len)?;
        let room = room.get_mut(..name.len()).ok_or(Error::NAMETOOLONG)?;
        room.copy_from_slice(name.as_bytes());
        Ok(())
    }

    fn preopened(&self, fd: u32) -> Result<&'static str, Error> {
        match self.get(fd)?.kind {
            Kind::Folder { preopened: Some(name), .. } => Ok(name),
            _ => Err(Error::BADF),
        }
    }

    pub(super) fn fd_read(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        size: u32,
    ) -> Answer {
        let open = self.get(fd)?;
        if let Kind::Folder { .. } = open.kind {
            return Err(Error::BADF.into());
        }
        self.read(memory, (iovs, iovs_len), size, |room, _| rustix::io::read(&open.file, room))
    }

    pub(super) fn fd_pread(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        offset: u64,
        size: u32,
    ) -> Answer {
        let file = self.file(fd)?;
        self.read(memory, (iovs, iovs_len), size, |room, done| {
            rustix::io::pread(file, room, offset.saturating_add(done))
        })
    }

    /// Fill the listed pieces, until one cannot be filled.
    fn read(
        &self,
        memory: &mut Memory<'_>,
        (iovs, iovs_len): (u32, u32),
        size: u32,
        read: impl Fn(&mut [u8], u64) -> Result<usize, Errno>,
    ) -> Answer {
        let mut done = 0;
        for (at, length) in memory.pieces(iovs, iovs_len)? {
            let room = memory.slice(at, length)?;
            let (wanted, got) = (room.len(), self.patiently(|| read(room, done)));
            match got {
                Ok(got) => {
                    done += got as u64;
                    if got < wanted {
                        break;
                    }
                }
                Err(Fault::Error(_)) if done > 0 => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(memory.put_length(size, usize::try_from(done).map_err(|_| Error::OVERFLOW)?)?)
    }

    pub(super) fn fd_write(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        size: u32,
    ) -> Answer {
        let open = self.get(fd)?;
        if let Kind::Folder { .. } | Kind::Stream { writes: false } = open.kind {
            return Err(Error::BADF.into());
        }
        self.write(memory, (iovs, iovs_len), size, |bytes, _| rustix::io::write(&open.file, bytes))
    }

    pub(super) fn fd_pwrite(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        offset: u64,
        size: u32,
    ) -> Answer {
        let file = self.file(fd)?;
        self.write(memory, (iovs, iovs_len), size, |bytes, done| {
            rustix::io::pwrite(file, bytes, offset.saturating_add(done))
        })
    }

    /// Write the listed pieces out to the last byte, or to the first error: how much a pipe takes at
    /// once must not show.
    fn write(
        &self,
        memory: &mut Memory<'_>,
        (iovs, iovs_len): (u32, u32),
        size: u32,
        write: impl Fn(&[u8], u64) -> Result<usize, Errno>,
    ) -> Answer {
        let mut done = 0;
        'all: for (at, length) in memory.pieces(iovs, iovs_len)? {
            let mut bytes = &*memory.slice(at, length)?;
            while !bytes.is_empty() {
                match self.patiently(|| write(bytes, done)) {
                    Ok(written) => {
                        done += written as u64;
                        bytes = &bytes[written..];
                    }
                    Err(Fault::Error(_)) if done > 0 => break 'all,
                    Err(fault) => return Err(fault),
                }
            }
        }
        Ok(memory.put_length(size, usize::try_from(done).map_err(|_| Error::OVERFLOW)?)?)
    }

    pub(super) fn fd_seek(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        offset: i64,
        whence: u32,
        position: u32,
    ) -> Answer {
        let file = self.file(fd)?;
        let to = match whence {
            0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Error::INVAL)?),
            1 => SeekFrom::Current(offset),
            2 => SeekFrom::End(offset),
            _ => return Err(Error::INVAL.into()),
        };
        Ok(memory.put_u64(position, rustix::fs::seek(file, to)?)?)
    }

    pub(super) fn fd_tell(&mut self, memory: &mut Memory<'_>, fd: u32, position: u32) -> Answer {
        Ok(memory.put_u64(position, rustix::fs::tell(self.file(fd)?)?)?)
    }

    pub(super) fn fd_renumber(&mut self, _memory: &mut Memory<'_>, fd: u32, to: u32) -> Answer {
        self.get(to)?;
        let open = self.open.remove(&fd).ok_or(Error::BADF)?;
        self.open.insert(to, open);
        Ok(())
    }

    /// Entries in order of name; a cookie is a place in the list that was made at cookie 0.
    pub(super) fn fd_readdir(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        buf: u32,
        buf_len: u32,
        cookie: u64,
        size: u32,
    ) -> Answer {
        let is_numbered = self.looks.is_numbered();
        let Open { file, kind: Kind::Folder { listed, .. } } = self.get_mut(fd)? else {
            return Err(Error::NOTDIR.into());
        };
        if cookie == 0 {
            *listed = list(file.as_fd(), is_numbered)?;
        }
        let first = usize::try_from(cookie).unwrap_or(usize::MAX);
        let room = memory.slice(buf, buf_len)?;
        let mut used = 0;
        for (entry, next) in listed.iter().skip(first).zip(cookie.saturating_add(1)..) {
            let mut bytes = [0; 24];
            bytes[..8].copy_from_slice(&next.to_le_bytes());
            bytes[8..16].copy_from_slice(&entry.number.to_le_bytes());
            let length = u32::try_from(entry.name.len()).map_err(|_| Error::OVERFLOW)?;
            bytes[16..20].copy_from_slice(&length.to_le_bytes());
            bytes[20] = entry.kind;
            // The last entry is cut off where the room ends: a full room says that there is more.
            for byte in bytes.iter().chain(&entry.name).take(room.len() - used) {
                room[used] = *byte;
                used += 1;
            }
            if used == room.len() {
                break;
            }
        }
        Ok(memory.put_length(size, used)?)
    }

    pub(super) fn sock_accept(
        &mut self,
        _memory: &mut Memory<'_>,
        fd: u32,
        _flags: u32,
        _opened: u32,
    ) -> Answer {
        self.no_socket(fd)
    }

    #[expect(clippy::too_many_arguments, reason = "as WASI has it")]
    pub(super) fn sock_recv(
        &mut self,
        _memory: &mut Memory<'_>,
        fd: u32,
        _iovs: u32,
        _iovs_len: u32,
        _flags: u32,
        _size: u32,
        _got: u32,
    ) -> Answer {
        self.no_socket(fd)
    }

    pub(super) fn sock_send(
        &mut self,
        _memory: &mut Memory<'_>,
        fd: u32,
        _iovs: u32,
        _iovs_len: u32,
        _flags: u32,
        _size: u32,
    ) -> Answer {
        self.no_socket(fd)
    }

    pub(super) fn sock_shutdown(&mut self, _memory: &mut Memory<'_>, fd: u32, _how: u32) -> Answer {
        self.no_socket(fd)
    }

    fn no_socket(&self, fd: u32) -> Answer {
        self.get(fd)?;
        Err(Error::NOTSOCK.into())
    }
}

/// What is to become of the times of a file.
pub(super) fn times(atim: u64, mtim: u64, flags: u32) -> Result<Timestamps, Error> {
    let one = |given: u64, set: u32, now: u32| match (flags & set != 0, flags & now != 0) {
        (true, true) => Err(Error::INVAL),
        (true, false) => Ok(timespec(given)),
        (false, true) => Ok(Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW }),
        (false, false) => Ok(Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT }),
    };
    Ok(Timestamps { last_access: one(atim, 1, 2)?, last_modification: one(mtim, 4, 8)? })
}

fn list(folder: BorrowedFd<'_>, is_numbered: bool) -> Result<Vec<Listed>, Error> {
    let mut listed = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let is_above = entry.file_name() == c"..";
        listed.push(Listed {
            name: CStr::to_bytes(entry.file_name()).to_vec(),
            // Zero stands for a number that is not told.
            number: if is_numbered || is_above { 0 } else { entry.ino() },
            kind: stat::kind(entry.file_type()),
        });
    }
    listed.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(listed)
}

fn file_type(file: impl AsFd) -> Result<rustix::fs::FileType, Error> {
    Ok(rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode))
}

fn length(file: impl AsFd) -> Result<u64, Error> {
    u64::try_from(rustix::fs::fstat(file)?.st_size).map_err(|_| Error::OVERFLOW)
}
