//! Nothing in the sources is put off: what is not built is not there, what is there is whole.

use super::Complaint;
use crate::tree::Tree;

/// Split here, so that this file does not complain about itself.
const MARKS: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
];

const SOURCES: [&str; 7] = [".rs", ".sol", ".ts", ".tsx", ".js", ".mjs", ".css"];

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    tree.files
        .iter()
        .filter(|(path, _)| SOURCES.iter().any(|it| path.ends_with(it)))
        .flat_map(|(path, text)| {
            text.lines().enumerate().filter_map(move |(at, line)| {
                let mark = MARKS.into_iter().find(|mark| holds(line, mark))?;
                let says = format!("holds \"{mark}\": finish it or leave it out");
                Some(Complaint::new("unfinished", format!("{path}:{}", at + 1), says))
            })
        })
        .collect()
}

/// Whether `mark` stands in `line` as a word of its own.
fn holds(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let joins = |it: Option<char>| it.is_some_and(|it| it.is_alphanumeric() || it == '_');
        !joins(line[..at].chars().next_back())
            && (mark.ends_with('(') || !joins(line[at + mark.len()..].chars().next()))
    })
}
