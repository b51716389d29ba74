//! One page of memory that a shim shares with the executor inside its jail: what was burnt, and how
//! it ended.
//!
//! The executor writes, the shim reads. Whoever broke out of the executor into the jail could write
//! nonsense here, and would be paid for it no more than the limits of the lease allow.

use std::{
    io,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU64, Ordering},
};

use primitives::{Bytes, Fuel};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use wasmtime::Trap;

use crate::judge::Told;

/// What lies on the page; all zero at first.
struct Page {
    fuel: AtomicU64,
    /// The most memory that was asked for and refused.
    refused: AtomicU64,
    /// One of the numbers below, or [`TRAPPED`] and the number of the trap.
    end: AtomicU64,
}

const EXITED: u64 = 1;
const OUT_OF_FUEL: u64 = 2;
const BROKEN: u64 = 3;
const TOLD: u64 = 4;
const TRAPPED: u64 = 0x100;

/// The shared page.
pub(crate) struct Account(NonNull<Page>);

// SAFETY: nothing but atomics lies there, and it stays mapped for as long as its owner lives.
unsafe impl Send for Account {}
// SAFETY: as above.
unsafe impl Sync for Account {}

/// How a module ended, as its executor saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Exited,
    /// Its fuel was burnt.
    OutOfFuel,
    /// It did what no module may.
    Trapped(Trap),
    /// The executor failed.
    Broken,
    /// It was told to.
    Told,
}

impl Account {
    /// A fresh page, which children that are forked from here on share.
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: a new mapping at a place of the kernel's choice touches nothing of ours.
        let page = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                size_of::<Page>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
            )
        }?;
        NonNull::new(page.cast()).map(Self).ok_or_else(|| io::Error::other("no page"))
    }

    fn page(&self) -> &Page {
        // SAFETY: mapped above, aligned to a page, zeroed by the kernel, and unmapped only on drop.
        unsafe { self.0.as_ref() }
    }

    /// What was burnt so far.
    pub(crate) fn fuel(&self) -> Fuel {
        Fuel(self.page().fuel.load(Ordering::Relaxed))
    }

    /// What the executor says of the end; `None` while it has said nothing.
    pub(crate) fn told(&self) -> Option<Told> {
        let refused = self.refused();
        match self.page().end.load(Ordering::Acquire) {
            EXITED => Some(Told::Exited { refused }),
            OUT_OF_FUEL => Some(Told::OutOfFuel { burnt: self.fuel() }),
            BROKEN => Some(Told::Broken),
            TOLD => Some(Told::Obeyed),
            end => {
                let trap = Trap::from_u8(u8::try_from(end.checked_sub(TRAPPED)?).ok()?)?;
                Some(Told::Trapped { words: trap.to_string(), refused })
            }
        }
    }

    /// The most memory that was asked for in vain.
    pub(super) fn refused(&self) -> Option<Bytes> {
        let refused = self.page().refused.load(Ordering::Relaxed);
        (refused > 0).then_some(Bytes(refused))
    }

    pub(super) fn burn(&self, fuel: Fuel) {
        self.page().fuel.store(fuel.0, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self, asked: Bytes) {
        self.page().refused.fetch_max(asked.0, Ordering::Relaxed);
    }

    pub(super) fn end(&self, end: End) {
        let number = match end {
            End::Exited => EXITED,
            End::OutOfFuel => OUT_OF_FUEL,
            End::Broken => BROKEN,
            End::Told => TOLD,
            End::Trapped(trap) => TRAPPED + u64::from(trap as u8),
        };
        self.page().end.store(number, Ordering::Release);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // SAFETY: mapped in `open` with this length, and nobody else has the address. It cannot fail
        // for a mapping that exists.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), size_of::<Page>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_executor_writes_is_what_the_shim_reads() {
        let account = Account::open().expect("a page");
        assert_eq!((account.fuel(), account.told()), (Fuel(0), None));
        account.burn(Fuel(7));
        account.refuse(Bytes(9));
        account.refuse(Bytes(5));
        assert_eq!((account.fuel(), account.told()), (Fuel(7), None));
        let refused = Some(Bytes(9));
        let words = "wasm trap: integer divide by zero".to_owned();
        for (end, told) in [
            (End::Exited, Told::Exited { refused }),
            (End::OutOfFuel, Told::OutOfFuel { burnt: Fuel(7) }),
            (End::Broken, Told::Broken),
            (End::Told, Told::Obeyed),
            (End::Trapped(Trap::IntegerDivisionByZero), Told::Trapped { words, refused }),
        ] {
            account.end(end);
            assert_eq!(account.told(), Some(told));
        }
    }
}
