//! How much memory a module may have, its memories and tables together.

use std::io;

use primitives::Bytes;
use wasmtime::ResourceLimiter;

use super::account::Account;

/// What an element of a table takes at most, in bytes.
const ELEMENT: usize = 16;

/// The memory granted so far, and the most that ever will be.
pub(super) struct Bounds {
    most: Bytes,
    used: Bytes,
    account: &'static Account,
}

impl Bounds {
    pub(super) fn new(most: Bytes, account: &'static Account) -> Self {
        Self { most, used: Bytes(0), account }
    }

    /// Whether memory was ever asked for in vain.
    pub(super) fn is_refused(&self) -> bool {
        self.account.refused().is_some()
    }

    /// Grant the growth of something from `current` to `desired`, both in bytes.
    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = Bytes(self.used.0.saturating_add(desired.saturating_sub(current) as u64));
        if used > self.most {
            self.account.refuse(used);
            return false;
        }
        self.used = used;
        true
    }

    /// What was granted could not be had: the kernel refuses where each process has its own bound.
    fn fail(&self, error: &wasmtime::Error) {
        if error.is::<io::Error>() {
            self.account.refuse(self.used);
        }
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Growth beyond what the module itself allows is no matter of ours.
        Ok(maximum.is_none_or(|most| desired <= most) && self.grow(current, desired))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.fail(&error);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let [current_bytes, bytes] = [current, desired].map(|it| it.saturating_mul(ELEMENT));
        Ok(maximum.is_none_or(|most| desired <= most) && self.grow(current_bytes, bytes))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.fail(&error);
        Ok(())
    }
}
