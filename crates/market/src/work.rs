//! What a renter wants done: a program, its surroundings and its limits; once, or at every point of
//! an array.
//!
//! An array is one program over many points. Task `i` runs the command with `{name}` replaced by
//! the value of parameter `name` at point `i`; it finds its index and its parameters in its
//! environment, too. Work without an array is one task.

use std::collections::{BTreeMap, BTreeSet};

use primitives::{B256, Bytes, Digest, Seconds, TaskIndex, keccak256};
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
    /// The machine that one task needs.
    pub wish: Wish,
    /// Running time after which one task is ended.
    pub time_limit: Seconds,
    /// The most bytes that one task may leave in `./out` and print, together.
    pub output_limit: Bytes,
    /// The points at which it is to be done; without, it is done once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array: Option<Array>,
}

/// The same work at many points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Array {
    /// The parameters of each task, by name.
    pub points: Vec<BTreeMap<String, String>>,
    /// The most deals that carry it at the same time.
    pub deals: u16,
    /// How many tasks run at the same time in one deal, which reserves that many times the wish.
    pub at_once: u16,
}

/// One task, spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables beyond the standard ones.
    pub env: BTreeMap<String, String>,
}

/// The variable in which a task of an array finds its index.
pub const TASK_VARIABLE: &str = "PLAZA_TASK";

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

/// The most tasks of one job, and the most bytes all its points may have together: the work travels
/// whole in the header of one message.
pub const MOST_TASKS: usize = 4_096;
const MOST_POINT_BYTES: usize = 512 * 1_024;

/// The most deals of one job at the same time, and the most tasks at the same time in one deal.
const MOST_AT_ONCE: u16 = 256;

impl Work {
    /// The digest an order carries: salted, so that nobody can guess common commands from it.
    pub fn digest(&self, salt: B256) -> B256 {
        salted(salt, self)
    }

    /// How many tasks it is made of.
    pub fn tasks(&self) -> u32 {
        let count = self.array.as_ref().map_or(1, |array| array.points.len());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// How many of them may run at the same time in one deal.
    pub fn at_once(&self) -> u16 {
        self.array.as_ref().map_or(1, |array| array.at_once)
    }

    /// How many deals may carry it at the same time.
    pub fn deals(&self) -> u16 {
        self.array.as_ref().map_or(1, |array| array.deals)
    }

    /// The machine that one deal reserves: as many times the wish as tasks run at the same time;
    /// `None` on overflow.
    pub fn bundle(&self) -> Option<Wish> {
        let resources = self.wish.resources.times(self.at_once())?;
        Some(Wish { resources, ..self.wish.clone() })
    }

    /// A task spelled out; `None` when there is no such task.
    pub fn piece(&self, task: TaskIndex) -> Option<Piece> {
        let Some(array) = &self.array else {
            let whole = Piece { command: self.command.clone(), env: self.env.clone() };
            return (task == TaskIndex(0)).then_some(whole);
        };
        let point = array.points.get(usize::try_from(task.0).ok()?)?;
        let mut env = self.env.clone();
        env.extend(point.clone());
        env.insert(TASK_VARIABLE.into(), task.0.to_string());
        Some(Piece { command: self.command.iter().map(|word| filled(word, point)).collect(), env })
    }

    /// The first thing wrong with it, if any.
    pub fn flaw(&self, longest: Seconds) -> Option<Flaw> {
        self.flaw_of_one(longest).or_else(|| self.array.as_ref()?.flaw(&self.env))
    }

    fn flaw_of_one(&self, longest: Seconds) -> Option<Flaw> {
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

impl Array {
    fn flaw(&self, env: &BTreeMap<String, String>) -> Option<Flaw> {
        let flaw = |field: &str, why: String| Some(Flaw { field: format!("array.{field}"), why });
        if self.points.is_empty() || self.points.len() > MOST_TASKS {
            let count = self.points.len();
            return flaw("points", format!("are {count}; between 1 and {MOST_TASKS} are possible"));
        }
        let at_once = [("deals", self.deals), ("at_once", self.at_once)];
        for (field, count) in at_once {
            if !(1..=MOST_AT_ONCE).contains(&count) {
                let why = format!("is {count}; between 1 and {MOST_AT_ONCE} are possible");
                return flaw(field, why);
            }
        }
        let names: BTreeSet<&String> = self.points.iter().flat_map(BTreeMap::keys).collect();
        if let Some(name) = names.iter().find(|name| !is_name(name)) {
            let why = format!("have a parameter {name:?}; names are letters, digits and '_'");
            return flaw("points", why);
        }
        if let Some(name) =
            names.into_iter().find(|name| env.contains_key(*name) || *name == TASK_VARIABLE)
        {
            return flaw("points", format!("have a parameter {name:?} that is also a variable"));
        }
        let strings = || self.points.iter().flatten().flat_map(|(name, value)| [name, value]);
        if strings().any(|text| text.contains('\0')) {
            return flaw("points", "hold a zero byte".into());
        }
        if strings().map(String::len).sum::<usize>() > MOST_POINT_BYTES {
            return flaw("points", format!("have more than {MOST_POINT_BYTES} bytes together"));
        }
        None
    }
}

/// Whether a parameter can be a variable of a shell.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
}

/// A word of the command with `{name}` replaced wherever `name` is a parameter; braces around
/// anything else stay as they are. What was put in is not looked at again.
fn filled(word: &str, point: &BTreeMap<String, String>) -> String {
    let (mut filled, mut rest) = (String::with_capacity(word.len()), word);
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        filled.push_str(before);
        let inside = from[1..].split_once('}');
        match inside.and_then(|(name, after)| Some((point.get(name)?, after))) {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// `keccak256(salt || canonical JSON)` of a value: how anything off the chain enters a document.
///
/// JSON with struct fields in declaration order and maps sorted by key is canonical here, because
/// one implementation writes it and the reader hashes what it received, field by field.
pub fn salted(salt: B256, value: &impl Serialize) -> B256 {
    let json = serde_json::to_vec(value).expect("plain data with string keys serialises");
    keccak256([salt.as_slice(), &json].concat())
}

#[cfg(test)]
mod tests;
