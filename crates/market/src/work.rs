//! What a renter wants done: a program, its surroundings and its limits.

use std::collections::BTreeMap;

use primitives::{B256, Bytes, Digest, Seconds, keccak256};
use serde::{Deserialize, Serialize};

use crate::machine::Wish;

/// The content behind an order's `spec` and `resources` digests. Parties get it over the
/// authenticated stream; the chain sees salted digests only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Program and arguments; the program is looked up in the root's `PATH`.
    pub command: Vec<String>,
    /// Variables beyond the standard ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The tree placed into the working folder before the start, by the digest of its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Digest>,
    /// The machine it needs.
    pub wish: Wish,
    /// Running time after which it is ended.
    pub time_limit: Seconds,
    /// The most bytes it may leave in `./out` and print, together.
    pub output_limit: Bytes,
}

/// Why work cannot be ordered: which field is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("field '{field}': {why}")]
pub struct Flaw {
    /// The field, by its path in the document.
    pub field: String,
    /// What is wrong with it.
    pub why: String,
}

/// The most arguments and variables one command may have, and the longest of them: what `execve`
/// takes on Linux is 2 MiB in all with the default stack.
const MOST_STRINGS: usize = 4_096;
const LONGEST_STRING: usize = 128 * 1_024 - 1;

impl Work {
    /// The digest an order carries: salted, so that nobody can guess common commands from it.
    pub fn digest(&self, salt: B256) -> B256 {
        salted(salt, self)
    }

    /// The first thing wrong with it, if any.
    pub fn flaw(&self, longest: Seconds) -> Option<Flaw> {
        let flaw = |field: &str, why: &str| Some(Flaw { field: field.into(), why: why.into() });
        let strings = self.command.iter().chain(self.env.values()).chain(self.env.keys());
        if self.command.first().is_none_or(String::is_empty) {
            return flaw("command", "names no program");
        }
        if self.command.len() + self.env.len() > MOST_STRINGS {
            return flaw("command", "has more than 4096 arguments and variables");
        }
        for text in strings {
            if text.contains('\0') {
                return flaw("command", "holds a zero byte");
            }
            if text.len() > LONGEST_STRING {
                return flaw("command", "has an argument or variable longer than 128 KiB");
            }
        }
        if self.env.keys().any(|name| name.is_empty() || name.contains('=')) {
            return flaw("env", "has a variable whose name is empty or contains '='");
        }
        if self.time_limit.0 == 0 {
            return flaw("time_limit", "is zero");
        }
        if self.time_limit > longest {
            return flaw("time_limit", &format!("is above the network's longest deal, {longest}"));
        }
        if self.wish.resources.cpu.0 == 0 {
            return flaw("wish.resources.cpu", "is zero");
        }
        if self.wish.resources.memory.0 == 0 {
            return flaw("wish.resources.memory", "is zero");
        }
        None
    }
}

/// `keccak256(salt || canonical JSON)` of a value: how anything off the chain enters a document.
///
/// JSON with struct fields in declaration order and maps sorted by key is canonical here, because
/// one implementation writes it and the reader hashes what it received, field by field.
pub fn salted(salt: B256, value: &impl Serialize) -> B256 {
    let json = serde_json::to_vec(value).expect("plain data with string keys serialises");
    keccak256([salt.as_slice(), &json].concat())
}
