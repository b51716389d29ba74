//! WebAssembly: a module in the place of a program, inside the same jail.
//!
//! Upon `compile`, in a jail of its own: the module is checked (a WASI command, preview 1) and turned
//! into machine code; the provider keeps that code by the module's digest. Upon `execute`, in the
//! jail of a run: the code is loaded (now the run is ready), and runs with the work folder as the
//! only folder there is. Each slice of fuel: what was burnt so far is put on the [`Account`], a page of memory
//! that the shim reads. Upon TERM: the module ends at once. Upon the end: the account says how, and
//! the process exits with the status that a shell would show.
//!
//! Invariant: the provider itself never looks into a module; what a module does is counted, whatever
//! it does; two deterministic runs on the same inputs cannot tell each other apart, on whatever
//! machines: no clock but its own fuel, no randomness but a fixed stream, no trace
//! of the disk in what files say of themselves, one bit pattern for what is not a number.
//!
//! Not here: threads, sockets, components; the walls (`jail`), the store of compiled modules
//! (`native`). How deep calls may nest depends on the processor's kind, so running out of stack is the
//! one end that may differ.

mod compile;
mod execute;

mod wasi;

mod bounds;

mod account;
mod engine;

pub(crate) use account::Account;
pub(crate) use compile::compile;
pub(crate) use engine::fingerprint;
pub(crate) use execute::{Order, execute};
