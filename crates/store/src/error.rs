//! What can go wrong with what is kept, naming the operation and the object.

use std::{io, path::PathBuf};

use primitives::{Bytes, Digest};

/// A failure of this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused an operation on a file or folder.
    #[error("{operation} {}", path.display())]
    Path {
        /// What was tried, as a verb: "writing", "opening".
        operation: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk is full.
    #[error("writing {}: the disk has no room for {need} more", path.display())]
    DiskFull {
        /// The folder that the bytes were for.
        path: PathBuf,
        /// How many bytes were to be written next, at least.
        need: Bytes,
    },
    /// A folder of ours has reached the size that its owner allows.
    #[error("writing {}: {need} more would exceed its limit of {limit}", path.display())]
    LimitReached {
        /// The folder.
        path: PathBuf,
        /// How many bytes were to be written next, at least.
        need: Bytes,
        /// The most that the folder may hold.
        limit: Bytes,
    },
    /// Content is longer than its receiver allows.
    #[error("storing {what}: it is larger than the {limit} allowed")]
    TooLarge {
        /// Which content.
        what: String,
        /// The most allowed.
        limit: Bytes,
    },
    /// Content could not be read from where it comes.
    #[error("reading the content of {what}")]
    Content {
        /// Which content.
        what: String,
        /// What its reader reported.
        #[source]
        source: io::Error,
    },
    /// Content is not what its digest promised.
    #[error("storing blob {expected}: the content received has digest {found}")]
    Mismatch {
        /// The digest promised.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// No such blob is kept here.
    #[error("reading blob {digest}: it is not kept here")]
    Absent {
        /// The blob wanted.
        digest: Digest,
    },
    /// An entry of a tree, or a file on its way into or out of one, is refused.
    #[error("{operation} {path:?}: {why}")]
    Entry {
        /// "packing", "unpacking" or "reading tree entry".
        operation: &'static str,
        /// The entry's path within the tree, or the file's path outside.
        path: String,
        /// Why it is refused.
        why: String,
    },
    /// A manifest cannot be read as a tree.
    #[error("reading a tree: {why}")]
    Manifest {
        /// What is wrong with it.
        why: String,
    },
    /// A name of an output is not one that can be kept.
    #[error("naming an output {name:?}: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The database refused an operation.
    #[error("{operation} in {}", path.display())]
    Database {
        /// What was tried, as a verb with its object: "appending facts".
        operation: &'static str,
        /// The database's file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The store has been closed, or its process is meant to have crashed in a simulation.
    #[error("{operation}: the store is down")]
    Down {
        /// What was tried.
        operation: &'static str,
    },
}

impl Error {
    /// An operation on `path` failed; a full disk keeps its own words.
    pub(crate) fn path(
        operation: &'static str,
        path: impl Into<PathBuf>,
        need: Bytes,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, need }
            }
            _ => Self::Path { operation, path, source },
        }
    }
}
