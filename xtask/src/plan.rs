//! The plan of the house: the table "Rooms and arrows" of ARCHITECTURE.md, as values.
//!
//! In: the text of the page. Out: rooms with their floor, their sentence and the rooms they may
//! import. The table is the truth; `tidy` compares the manifests with it.

use std::collections::{BTreeMap, BTreeSet};

/// The page that holds the table.
pub(crate) const PAGE: &str = "ARCHITECTURE.md";

const HEADER: [&str; 5] = ["floor", "room", "what it does", "may import", "its tests also"];

/// The rooms by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) rooms: BTreeMap<String, Room>,
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// `None` stands beside the house: it may look into it, nobody may look at it.
    pub(crate) floor: Option<u8>,
    /// The first sentence of its `lib.rs` or `main.rs`.
    pub(crate) sentence: String,
    pub(crate) imports: BTreeSet<String>,
    /// Rooms that its tests import beside these.
    pub(crate) tests: BTreeSet<String>,
}

/// Read the table; the error says which row is malformed, and how.
pub(crate) fn parse(page: &str) -> Result<Plan, String> {
    let mut rows = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| cells(line))
        .skip_while(|cells| *cells != HEADER)
        .skip(2)
        .take_while(|cells| cells.len() == HEADER.len())
        .peekable();
    if rows.peek().is_none() {
        return Err(format!("has no table with the columns {}", HEADER.join(", ")));
    }
    let mut plan = Plan::default();
    for row in rows {
        let [floor, name, sentence, imports, tests] = row.as_slice() else { continue };
        let floor = match *floor {
            "beside" => None,
            number => Some(number.parse().map_err(|_| {
                format!("row {name}: floor {number} is neither a number nor beside")
            })?),
        };
        let room = Room {
            floor,
            sentence: (*sentence).to_owned(),
            imports: names(imports),
            tests: names(tests),
        };
        let name = name.trim_matches('`').to_owned();
        if plan.rooms.insert(name.clone(), room).is_some() {
            return Err(format!("names the room {name} twice"));
        }
    }
    Ok(plan)
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

fn names(cell: &str) -> BTreeSet<String> {
    cell.split([' ', ',', '`'])
        .filter(|it| !it.is_empty() && *it != "-")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
