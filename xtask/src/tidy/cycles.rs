//! No circle between the modules of a crate.
//!
//! A path from module `a::x` to module `b::y` is an arrow between `a` and `b` as well: it counts on
//! the lowest floor that holds both, between the two children that lead to them, or between a parent
//! itself and one of its children. So on each floor one can list the modules in an order in which
//! every one knows only those after it. Compilers break circles between crates alone; this check
//! breaks them inside one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Complaint;
use crate::modules::{Crate, Target};

/// Between two modules of one floor: the place of the first path that makes the arrow.
type Arrows = BTreeMap<usize, BTreeMap<usize, String>>;

pub(super) fn check(crate_: &Crate) -> Vec<Complaint> {
    let mut floors: BTreeMap<usize, Arrows> = BTreeMap::new();
    for (from, module) in crate_.modules.iter().enumerate() {
        for spoken in &module.spoken {
            let Target::Inside(to) = crate_.resolve(from, spoken) else { continue };
            if let Some((floor, from, to)) = meet(crate_, from, to) {
                let place = format!("{}:{}", module.file, spoken.line);
                floors
                    .entry(floor)
                    .or_default()
                    .entry(from)
                    .or_default()
                    .entry(to)
                    .or_insert(place);
            }
        }
    }
    floors.values().flat_map(circles).map(|it| complain(crate_, &it)).collect()
}

/// The lowest module that holds both, and its two children (or itself) that lead to them.
fn meet(crate_: &Crate, from: usize, to: usize) -> Option<(usize, usize, usize)> {
    let (ours, theirs) = (line(crate_, from), line(crate_, to));
    let shared = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let floor = *ours.get(shared.checked_sub(1)?)?;
    let below = |line: &[usize]| line.get(shared).copied().unwrap_or(floor);
    (from != to).then(|| (floor, below(&ours), below(&theirs)))
}

/// From the root down to `module`.
fn line(crate_: &Crate, module: usize) -> Vec<usize> {
    let mut line: Vec<usize> =
        std::iter::successors(Some(module), |it| crate_.modules[*it].parent).collect();
    line.reverse();
    line
}

/// The shortest circles, no module in two of them: each a list of (module, place of its arrow on).
fn circles(arrows: &Arrows) -> Vec<Vec<(usize, &str)>> {
    let mut found: Vec<_> = arrows.keys().filter_map(|start| circle(arrows, *start)).collect();
    found.sort_by_key(Vec::len);
    let mut seen = BTreeSet::new();
    found.retain(|circle| {
        let fresh = circle.iter().all(|(module, _)| !seen.contains(module));
        if fresh {
            seen.extend(circle.iter().map(|(module, _)| *module));
        }
        fresh
    });
    found
}

/// The shortest way from `start` back to itself.
fn circle(arrows: &Arrows, start: usize) -> Option<Vec<(usize, &str)>> {
    let mut came_from: BTreeMap<usize, (usize, &str)> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(here) = waiting.pop_front() {
        for (next, place) in arrows.get(&here).into_iter().flatten() {
            if !came_from.contains_key(next) {
                came_from.insert(*next, (here, place));
                waiting.push_back(*next);
            }
        }
    }
    let mut way = vec![*came_from.get(&start)?];
    while let Some((module, _)) = way.last()
        && *module != start
    {
        way.push(*came_from.get(module)?);
    }
    way.reverse();
    Some(way)
}

fn complain(crate_: &Crate, circle: &[(usize, &str)]) -> Complaint {
    let name = |module: usize| crate_.modules[module].name.as_str();
    let mut chain = String::new();
    for (module, place) in circle {
        chain += &format!("{} -({place})-> ", name(*module));
    }
    let first = circle.first().map_or(0, |(module, _)| *module);
    chain += name(first);
    let place = crate_.modules[first].file.as_str();
    Complaint::new("cycles", place, format!("modules import each other in a circle: {chain}"))
}
