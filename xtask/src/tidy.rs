//! Compare the working tree with the rules that ARCHITECTURE.md states, and list what breaks them.
//!
//! In: a [`Tree`]. Out: complaints, each with its place and what to do about it. Every check is a
//! pure function; an empty list means the house is in order.

mod abi;
mod absences;
mod arrows;
mod cycles;
mod exports;
mod floats;
mod manifests;
mod names;
mod openings;
mod page;
mod unfinished;

mod complaint;

pub(crate) use complaint::Complaint;

use crate::{
    modules::{Crate, Sources},
    plan,
    tree::Tree,
};

/// All complaints about `tree`, sorted by rule and place.
pub(crate) fn check(tree: &Tree) -> Vec<Complaint> {
    let (sources, mut complaints) = parse(tree);
    let page = tree.files.get(plan::PAGE).map_or("", String::as_str);
    let plan = plan::parse(page).unwrap_or_else(|why| {
        complaints.push(Complaint::new("plan", plan::PAGE, why));
        plan::Plan::default()
    });
    let (crates, lost) = gather(tree, &sources);
    complaints.extend(lost);
    complaints.extend(page::check(page, &tree.paths));
    complaints.extend(arrows::check(&plan, tree));
    for (_, modules) in &crates {
        complaints.extend(cycles::check(modules));
    }
    complaints.extend(absences::check(&plan, tree, &crates));
    complaints.extend(openings::check(tree));
    complaints.extend(exports::check(&sources));
    complaints.extend(floats::check(&sources));
    complaints.extend(manifests::check(tree));
    complaints.extend(names::check(tree, &sources));
    complaints.extend(unfinished::check(tree));
    complaints.extend(abi::check(tree));
    complaints.sort();
    complaints
}

fn parse(tree: &Tree) -> (Sources, Vec<Complaint>) {
    let mut complaints = Vec::new();
    let sources = tree
        .files
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .filter_map(|(path, text)| match syn::parse_file(text) {
            Ok(file) => Some((path.clone(), file)),
            Err(why) => {
                let place = format!("{path}:{}", why.span().start().line);
                complaints.push(Complaint::new("rust", place, format!("is not Rust: {why}")));
                None
            }
        })
        .collect();
    (sources, complaints)
}

/// The libraries and binaries of every package, by package name.
fn gather<'a>(tree: &'a Tree, sources: &Sources) -> (Vec<(&'a str, Crate)>, Vec<Complaint>) {
    let mut complaints = Vec::new();
    let mut crates = Vec::new();
    for package in &tree.packages {
        for root in &package.roots {
            let (modules, lost) = Crate::gather(sources, root);
            crates.push((package.name.as_str(), modules));
            complaints.extend(lost.into_iter().map(|file| {
                let says = "is declared as a module, but there is no such file".to_owned();
                Complaint::new("rust", file, says)
            }));
        }
    }
    (crates, complaints)
}

#[cfg(test)]
mod tests;
