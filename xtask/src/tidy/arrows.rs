//! The arrows between rooms: what manifests import against what the plan allows.
//!
//! Upon an import that the plan does not allow: a forbidden arrow. Upon a crate without a row, a row
//! without a crate, or a row that names a room nobody built: an unknown room. Upon a row that points
//! up, or at something beside the house: the plan itself is wrong. Imports of tests have a column of
//! their own; nothing but that column excuses them from going down.

use std::collections::BTreeSet;

use super::Complaint;
use crate::{
    plan::{PAGE, Plan, Room},
    tree::{Package, Tree},
};

const RULE: &str = "arrows";

pub(super) fn check(plan: &Plan, tree: &Tree) -> Vec<Complaint> {
    let built: BTreeSet<&str> = tree.packages.iter().map(|it| it.name.as_str()).collect();
    let mut complaints = rows(plan, &built);
    for package in &tree.packages {
        let place = format!("{}/Cargo.toml", package.folder);
        if package.folder.rsplit('/').next() != Some(&package.name) {
            let says = format!("the room {} lives in a folder of another name", package.name);
            complaints.push(Complaint::new(RULE, place.as_str(), says));
        }
        let Some(room) = plan.rooms.get(&package.name) else {
            let says = format!("the room {} has no row in the table of {PAGE}", package.name);
            complaints.push(Complaint::new(RULE, place, says));
            continue;
        };
        complaints.extend(imports(package, room, &built, &place));
        complaints.extend(sentence(package, room, tree));
    }
    complaints
}

/// Mistakes of the table itself.
fn rows(plan: &Plan, built: &BTreeSet<&str>) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (name, room) in &plan.rooms {
        if !built.contains(name.as_str()) {
            let says = format!("the table has a room {name} that is no member of the workspace");
            complaints.push(Complaint::new(RULE, PAGE, says));
        }
        for import in room.imports.union(&room.tests) {
            let says = match plan.rooms.get(import) {
                None => format!("{name} -> {import}: there is no room {import} in the table"),
                Some(Room { floor: None, .. }) => {
                    format!(
                        "{name} -> {import}: {import} stands beside the house, nobody imports it"
                    )
                }
                Some(Room { floor: Some(theirs), .. })
                    if room.imports.contains(import)
                        && room.floor.is_some_and(|ours| ours < *theirs) =>
                {
                    format!("{name} -> {import}: the arrow goes up to floor {theirs}")
                }
                Some(_) => continue,
            };
            complaints.push(Complaint::new(RULE, PAGE, says));
        }
    }
    complaints
}

/// Imports that the row of the room does not allow.
fn imports(package: &Package, room: &Room, built: &BTreeSet<&str>, place: &str) -> Vec<Complaint> {
    let name = &package.name;
    let product = package
        .depends(false)
        .filter(|to| built.contains(to) && !room.imports.contains(*to))
        .map(|to| {
            let says = if room.tests.contains(to) {
                format!("forbidden arrow {name} -> {to}: the plan allows it to tests alone")
            } else {
                format!("forbidden arrow {name} -> {to}: the plan does not allow it")
            };
            Complaint::new(RULE, place, says)
        });
    let tests = package
        .depends(true)
        .filter(|to| built.contains(to) && *to != name)
        .filter(|to| !room.imports.contains(*to) && !room.tests.contains(*to))
        .map(|to| {
            let says =
                format!("forbidden arrow {name} -> {to} of tests: the plan does not allow it");
            Complaint::new(RULE, place, says)
        });
    product.chain(tests).collect()
}

/// The row and the first file of the room say the same sentence.
fn sentence(package: &Package, room: &Room, tree: &Tree) -> Option<Complaint> {
    let root = package.roots.iter().min_by_key(|root| !root.ends_with("lib.rs"))?;
    let opening: Vec<&str> = tree
        .files
        .get(root)?
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let opening = opening.join(" ");
    (!opening.starts_with(&room.sentence)).then(|| {
        let says = format!("says \"{opening}\", but the table says \"{}\"", room.sentence);
        Complaint::new(RULE, root.as_str(), says)
    })
}
