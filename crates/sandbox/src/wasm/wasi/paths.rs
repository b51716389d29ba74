//! Calls that name files by path.

use rustix::fs::{
    AtFlags, Mode, OFlags, linkat, mkdirat, readlinkat, renameat, symlinkat, unlinkat, utimensat,
};

use super::{
    beneath::{Entry, look, open},
    files::{APPEND, Files, times},
    guest::{Answer, Error, Memory},
};

/// Whether a link at the end of a path is followed.
const FOLLOW: u32 = 1;

/// Flags of opening, as bits of WASI.
const CREATE: u32 = 1;
const DIRECTORY: u32 = 2;
const EXCLUSIVE: u32 = 4;
const TRUNCATE: u32 = 8;

/// Rights that say for what a file is opened.
const READS: u64 = 1 << 1 | 1 << 14;
const WRITES: u64 = 1 << 6 | 1 << 8 | 1 << 22;

impl Files {
    pub(super) fn path_create_directory(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Answer {
        let path = memory.path(path, path_len)?;
        let entry = Entry::find(self.folder(fd)?, &path)?;
        Ok(mkdirat(&entry.folder, entry.name, Mode::from_raw_mode(0o777))?)
    }

    pub(super) fn path_filestat_get(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        flags: u32,
        path: u32,
        path_len: u32,
        stat: u32,
    ) -> Answer {
        let path = memory.path(path, path_len)?;
        let file = look(self.folder(fd)?, &path, flags & FOLLOW != 0)?;
        Ok(self.looks.look(file)?.put(memory, stat)?)
    }

    #[expect(clippy::too_many_arguments, reason = "as WASI has it")]
    pub(super) fn path_filestat_set_times(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        flags: u32,
        path: u32,
        path_len: u32,
        atim: u64,
        mtim: u64,
        fst_flags: u32,
    ) -> Answer {
        let path = memory.path(path, path_len)?;
        let times = times(atim, mtim, fst_flags)?;
        let file = look(self.folder(fd)?, &path, flags & FOLLOW != 0)?;
        Ok(utimensat(file, "", &times, AtFlags::EMPTY_PATH)?)
    }

    #[expect(clippy::too_many_arguments, reason = "as WASI has it")]
    pub(super) fn path_link(
        &mut self,
        memory: &mut Memory<'_>,
        old_fd: u32,
        flags: u32,
        old_path: u32,
        old_len: u32,
        new_fd: u32,
        new_path: u32,
        new_len: u32,
    ) -> Answer {
        if flags & FOLLOW != 0 {
            return Err(Error::INVAL.into());
        }
        let (old, new) = (memory.path(old_path, old_len)?, memory.path(new_path, new_len)?);
        let old = Entry::find_plain(self.folder(old_fd)?, &old)?;
        let new = Entry::find_plain(self.folder(new_fd)?, &new)?;
        Ok(linkat(&old.folder, old.name, &new.folder, new.name, AtFlags::empty())?)
    }

    #[expect(clippy::too_many_arguments, reason = "as WASI has it")]
    pub(super) fn path_open(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        dirflags: u32,
        path: u32,
        path_len: u32,
        oflags: u32,
        base: u64,
        _inheriting: u64,
        fdflags: u32,
        opened: u32,
    ) -> Answer {
        let path = memory.path(path, path_len)?;
        let (reads, writes) = (base & READS != 0, base & WRITES != 0);
        let mut flags = match (reads, writes || oflags & TRUNCATE != 0) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            (_, false) => OFlags::RDONLY,
        };
        // A folder is opened to look beneath it, whatever rights came along.
        if oflags & DIRECTORY != 0 {
            flags = OFlags::RDONLY;
        }
        flags.set(OFlags::CREATE, oflags & CREATE != 0);
        flags.set(OFlags::DIRECTORY, oflags & DIRECTORY != 0);
        flags.set(OFlags::EXCL, oflags & EXCLUSIVE != 0);
        flags.set(OFlags::TRUNC, oflags & TRUNCATE != 0);
        flags.set(OFlags::APPEND, fdflags & APPEND != 0);
        flags.set(OFlags::NOFOLLOW, dirflags & FOLLOW == 0);
        // The kernel takes a mode only for what is to be made (openat2(2)).
        let mode = if oflags & CREATE != 0 { 0o666 } else { 0 };
        let file = open(self.folder(fd)?, &path, flags, Mode::from_raw_mode(mode))?;
        let number = self.insert(file, reads, writes)?;
        Ok(memory.put_u32(opened, number)?)
    }

    #[expect(clippy::too_many_arguments, reason = "as WASI has it")]
    pub(super) fn path_readlink(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        path: u32,
        path_len: u32,
        buf: u32,
        buf_len: u32,
        size: u32,
    ) -> Answer {
        let path = memory.path(path, path_len)?;
        let link = look(self.folder(fd)?, &path, false)?;
        let target = readlinkat(link, "", Vec::new()).map_err(|errno| match errno {
            // The kernel's word for an open file that is no link.
            rustix::io::Errno::NOENT => Error::INVAL,
            other => other.into(),
        })?;
        let room = memory.slice(buf, buf_len)?;
        let length = target.to_bytes().len().min(room.len());
        room[..length].copy_from_slice(&target.to_bytes()[..length]);
        Ok(memory.put_length(size, length)?)
    }

    pub(super) fn path_remove_directory(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Answer {
        let path = memory.path(path, path_len)?;
        let entry = Entry::find(self.folder(fd)?, &path)?;
        Ok(unlinkat(&entry.folder, entry.name, AtFlags::REMOVEDIR)?)
    }

    #[expect(clippy::too_many_arguments, reason = "as WASI has it")]
    pub(super) fn path_rename(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        path: u32,
        path_len: u32,
        new_fd: u32,
        new_path: u32,
        new_len: u32,
    ) -> Answer {
        let (old_path, new) = (memory.path(path, path_len)?, memory.path(new_path, new_len)?);
        let old = Entry::find(self.folder(fd)?, &old_path)?;
        let new = Entry::find(self.folder(new_fd)?, &new)?;
        if old.is_folder || new.is_folder {
            // What is called a folder must be one.
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            open(self.folder(fd)?, old_path.trim_end_matches('/'), flags, Mode::empty())?;
        }
        Ok(renameat(&old.folder, old.name, &new.folder, new.name)?)
    }

    /// A link may say what it likes; it is followed beneath the work folder or not at all. One that
    /// starts at the root says nothing here.
    pub(super) fn path_symlink(
        &mut self,
        memory: &mut Memory<'_>,
        target: u32,
        target_len: u32,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Answer {
        let (target, path) = (memory.path(target, target_len)?, memory.path(path, path_len)?);
        if target.starts_with('/') {
            return Err(Error::PERM.into());
        }
        let entry = Entry::find_plain(self.folder(fd)?, &path)?;
        Ok(symlinkat(target, &entry.folder, entry.name)?)
    }

    pub(super) fn path_unlink_file(
        &mut self,
        memory: &mut Memory<'_>,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Answer {
        let path = memory.path(path, path_len)?;
        let entry = Entry::find_plain(self.folder(fd)?, &path)?;
        Ok(unlinkat(&entry.folder, entry.name, AtFlags::empty())?)
    }
}
