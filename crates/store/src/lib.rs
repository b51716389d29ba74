//! Keep bytes by digest, facts in order, and tables to query (the only room that speaks SQL).
//!
//! Four seams, each with one implementation that survives the machine and one in memory that can
//! be made to fail: [`Log`] (facts in order), [`Blobs`] (bytes by digest), [`Outputs`] (what jobs
//! print), [`Documents`] (tables to query). A [`Tree`] names a whole folder by one digest.
//!
//! In: bytes and JSON. Out: the same bytes and JSON, later, also after a crash.
//!
//! Invariant: what has been acknowledged is durable; what is half-written is never seen; files are
//! readable by their owner alone (0600, folders 0700).
//!
//! Not here: what the facts mean (`market`), which blob travels when (`broker`, `provider`).

mod documents;
mod outputs;
mod tree;

mod blobs;
mod log;

mod beneath;
mod database;
mod place;

mod error;

pub use blobs::disk::DiskBlobs;
pub use blobs::memory::MemoryBlobs;
pub use blobs::{Blob, Blobs, Expect, Reader};
pub use documents::memory::MemoryDocuments;
pub use documents::sqlite::{Durability, SqliteDocuments};
pub use documents::{Document, Documents, Stored};
pub use error::Error;
pub use log::memory::{Crash, MemoryLog};
pub use log::sqlite::SqliteLog;
pub use log::{Append, Appended, Batch, Cursor, Entry, Log, Position, StreamHead};
pub use outputs::disk::DiskOutputs;
pub use outputs::memory::MemoryOutputs;
pub use outputs::{OutputName, Outputs, Written};
pub use tree::pack::{Source, pack};
pub use tree::path::TreePath;
pub use tree::unpack::{Existing, unpack};
pub use tree::{Tree, TreeEntry, TreeKind, TreeLimits, load_tree, store_tree};
