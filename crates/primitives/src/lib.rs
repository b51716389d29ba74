//! Ids, amounts, resources, times, digests and signatures: the words every room speaks.
//!
//! In: plain values. Out: plain values that cannot be mixed up (an amount is never a rate, a second
//! never an hour).
//!
//! Invariant: nothing here does I/O, reads a clock, draws a random number or logs; money is integer
//! arithmetic and every rounding names its direction.
//!
//! Not here: what offers and deals are (`market`), where bytes are kept (`store`).

mod amount;
mod digest;
mod id;
mod key;
mod merkle;
mod resources;
mod text;
mod time;

pub use alloy_primitives::{Address, B256, keccak256};
pub use amount::{Amount, BasisPoints, Rate};
pub use digest::{Digest, Hasher};
pub use id::{DealId, Epoch, JobId, PeerId, SessionId, TaskIndex};
pub use key::{Key, KeyError, Signature};
pub use merkle::{Root, merkle_join, merkle_leaf, merkle_root};
pub use resources::{Bytes, Fuel, Millicores, Resources, Sample, Usage};
pub use text::{ParseError, format_bytes, format_seconds, parse_bytes, parse_seconds};
pub use time::{Clock, Seconds, UnixSeconds};
