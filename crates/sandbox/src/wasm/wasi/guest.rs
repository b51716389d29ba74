//! The memory of a module as seen from outside, and the numbers it understands as errors.

use rustix::io::Errno;

/// An error as the module understands it: a number of the enumeration `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Error(pub(super) u16);

impl Error {
    pub(super) const BADF: Self = Self(8);
    pub(super) const FAULT: Self = Self(21);
    pub(super) const ILSEQ: Self = Self(25);
    pub(super) const INVAL: Self = Self(28);
    pub(super) const IO: Self = Self(29);
    pub(super) const NAMETOOLONG: Self = Self(37);
    pub(super) const NOENT: Self = Self(44);
    pub(super) const NOTDIR: Self = Self(54);
    pub(super) const NOTSOCK: Self = Self(57);
    pub(super) const NOTSUP: Self = Self(58);
    pub(super) const OVERFLOW: Self = Self(61);
    pub(super) const PERM: Self = Self(63);
    pub(super) const SPIPE: Self = Self(70);
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self(match errno {
            Errno::TOOBIG => 1,
            Errno::ACCESS => 2,
            Errno::AGAIN => 6,
            Errno::BADF => 8,
            Errno::BUSY => 10,
            Errno::DQUOT => 19,
            Errno::EXIST => 20,
            Errno::FAULT => 21,
            Errno::FBIG => 22,
            Errno::ILSEQ => 25,
            Errno::INTR => 27,
            Errno::INVAL => 28,
            Errno::ISDIR => 31,
            Errno::LOOP => 32,
            Errno::MFILE => 33,
            Errno::MLINK => 34,
            Errno::NAMETOOLONG => 37,
            Errno::NFILE => 41,
            Errno::NODEV => 43,
            Errno::NOENT => 44,
            Errno::NOMEM => 48,
            Errno::NOSPC => 51,
            Errno::NOSYS => 52,
            Errno::NOTDIR => 54,
            Errno::NOTEMPTY => 55,
            Errno::NOTSUP => 58,
            Errno::NXIO => 60,
            Errno::OVERFLOW => 61,
            // The kernel's word for a path that leads out of where it starts.
            Errno::PERM | Errno::XDEV => 63,
            Errno::PIPE => 64,
            Errno::RANGE => 68,
            Errno::ROFS => 69,
            Errno::SPIPE => 70,
            Errno::TXTBSY => 74,
            _ => return Self::IO,
        })
    }
}

/// What a call answers.
pub(super) type Answer = Result<(), Fault>;

/// Why a call does not do what was asked.
#[derive(Debug)]
pub(super) enum Fault {
    /// The module is told this number and goes on.
    Error(Error),
    /// The module ends here.
    Exit(Exit),
}

/// Why a module ends inside a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::wasm) enum Exit {
    /// By itself, with this code.
    #[error("exit with {0}")]
    With(u8),
    /// It was told to.
    #[error("told to end")]
    Told,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self::Error(errno.into())
    }
}

impl From<Exit> for Fault {
    fn from(exit: Exit) -> Self {
        Self::Exit(exit)
    }
}

/// The memory of a module; whatever lies outside it is a [`Error::FAULT`].
pub(super) struct Memory<'a>(pub(super) &'a mut [u8]);

impl Memory<'_> {
    /// `length` bytes from `at` on.
    pub(super) fn slice(&mut self, at: u32, length: u32) -> Result<&mut [u8], Error> {
        let (at, length) = (place(at)?, place(length)?);
        let end = at.checked_add(length).ok_or(Error::FAULT)?;
        self.0.get_mut(at..end).ok_or(Error::FAULT)
    }

    fn read<const N: usize>(&self, at: u32) -> Result<[u8; N], Error> {
        let rest = self.0.get(place(at)?..).ok_or(Error::FAULT)?;
        rest.first_chunk().copied().ok_or(Error::FAULT)
    }

    /// The byte at `at`.
    pub(super) fn u8(&self, at: u32) -> Result<u8, Error> {
        Ok(self.read::<1>(at)?[0])
    }

    /// The number of two bytes at `at`.
    pub(super) fn u16(&self, at: u32) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.read(at)?))
    }

    /// The number of four bytes at `at`.
    pub(super) fn u32(&self, at: u32) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.read(at)?))
    }

    /// The number of eight bytes at `at`.
    pub(super) fn u64(&self, at: u32) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.read(at)?))
    }

    /// Put `bytes` at `at`.
    pub(super) fn put(&mut self, at: u32, bytes: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(bytes.len()).map_err(|_| Error::OVERFLOW)?;
        self.slice(at, length)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Put a number of four bytes at `at`.
    pub(super) fn put_u32(&mut self, at: u32, number: u32) -> Result<(), Error> {
        self.put(at, &number.to_le_bytes())
    }

    /// Put a number of eight bytes at `at`.
    pub(super) fn put_u64(&mut self, at: u32, number: u64) -> Result<(), Error> {
        self.put(at, &number.to_le_bytes())
    }

    /// A length that the module asked for.
    pub(super) fn put_length(&mut self, at: u32, length: usize) -> Result<(), Error> {
        self.put_u32(at, u32::try_from(length).map_err(|_| Error::OVERFLOW)?)
    }

    /// The pieces of memory named by the list of `count` pairs (place, length) at `list`.
    pub(super) fn pieces(&self, list: u32, count: u32) -> Result<Vec<(u32, u32)>, Error> {
        // More than the kernel takes at once is cut off: reads and writes may be short.
        (0..count.min(MOST_PIECES))
            .map(|number| {
                let at = list.checked_add(number * 8).ok_or(Error::FAULT)?;
                Ok((self.u32(at)?, self.u32(at.checked_add(4).ok_or(Error::FAULT)?)?))
            })
            .collect()
    }

    /// A path: UTF-8 without a zero byte, and not empty.
    pub(super) fn path(&mut self, at: u32, length: u32) -> Result<String, Error> {
        let bytes = self.slice(at, length)?;
        if bytes.len() > LONGEST_PATH {
            return Err(Error::NAMETOOLONG);
        }
        let path = std::str::from_utf8(bytes).map_err(|_| Error::ILSEQ)?;
        match path {
            "" => Err(Error::NOENT),
            _ if path.contains('\0') => Err(Error::INVAL),
            _ => Ok(path.to_owned()),
        }
    }
}

const MOST_PIECES: u32 = 1_024;
const LONGEST_PATH: usize = 4_095;

fn place(number: u32) -> Result<usize, Error> {
    usize::try_from(number).map_err(|_| Error::FAULT)
}
