//! Paths within a tree, and what a link may lead to.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::error::Error;

/// A clean relative path in UTF-8: names with `/` between them, none empty, `.` or `..`, none with
/// a zero byte or longer than 255 bytes, at most 64 of them, 4,000 bytes in all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(String);

const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 4_000;
const DEEPEST: usize = 64;

impl TreePath {
    /// The path, if it is one.
    ///
    /// # Errors
    /// [`Error::Entry`] saying what is wrong.
    pub fn new(path: impl Into<String>) -> Result<Self, Error> {
        let path = path.into();
        match fault(&path) {
            Some(why) => {
                let why = why.to_owned();
                let path = path.chars().take(200).collect();
                Err(Error::Entry { operation: "reading tree entry", path, why })
            }
            None => Ok(Self(path)),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names from the top down.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The path of the folder that contains this, unless that is the top.
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// The last name.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }
}

fn fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("it is empty")
    } else if path.starts_with('/') {
        Some("it is absolute")
    } else if path.contains('\0') {
        Some("it contains a zero byte")
    } else if path.len() > LONGEST_PATH {
        Some("it is longer than 4,000 bytes")
    } else if path.split('/').count() > DEEPEST {
        Some("it is deeper than 64 folders")
    } else if path.split('/').any(|name| name == "..") {
        Some("it leads upwards")
    } else if path.split('/').any(|name| name.is_empty() || name == ".") {
        Some("it has an empty name or a dot for a name")
    } else if path.split('/').any(|name| name.len() > LONGEST_NAME) {
        Some("a name is longer than 255 bytes")
    } else {
        None
    }
}

/// Check that a link at `path` with this target leads to a place inside the tree.
pub(crate) fn check_target(path: &TreePath, target: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("as a link to {target:?}, {why}"));
    if target.is_empty() || target.contains('\0') || target.len() > LONGEST_PATH {
        return refuse("its target is empty, too long or contains a zero byte");
    }
    if target.starts_with('/') {
        return refuse("it leads to an absolute path");
    }
    let names: Vec<&str> =
        target.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    let ups = names.iter().take_while(|name| **name == "..").count();
    if names[ups..].contains(&"..") {
        return refuse("it leads upwards after a name");
    }
    if ups >= path.names().count() {
        return refuse("it leads outside");
    }
    Ok(())
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for TreePath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TreePath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(from)?).map_err(D::Error::custom)
    }
}
