//! ARCHITECTURE.md is short, and every path it names exists.

use super::Complaint;
use crate::plan::PAGE;

/// The longest map a newcomer reads to the end.
const LINES: usize = 250;

pub(super) fn check(page: &str, paths: &[String]) -> Vec<Complaint> {
    let mut complaints: Vec<Complaint> = page
        .lines()
        .enumerate()
        .flat_map(|(at, line)| line.split('`').skip(1).step_by(2).map(move |it| (at + 1, it)))
        .filter(|(_, named)| is_path(named) && !exists(named, paths))
        .map(|(line, named)| {
            let says = format!("names the path {named}, which does not exist");
            Complaint::new("page", format!("{PAGE}:{line}"), says)
        })
        .collect();
    let lines = page.lines().count();
    if lines > LINES {
        let says = format!("has {lines} lines, more than {LINES}");
        complaints.push(Complaint::new("page", PAGE, says));
    }
    complaints
}

/// Words with a slash, and no spaces, stars or placeholders, are paths.
fn is_path(named: &str) -> bool {
    named.contains('/')
        && !named.starts_with('/')
        && named.chars().all(|it| it.is_alphanumeric() || "/._-".contains(it))
}

/// Paths are named from the root, or from `crates`: `broker/src/deal.rs`.
fn exists(named: &str, paths: &[String]) -> bool {
    let named = named.trim_end_matches('/');
    paths.iter().any(|path| path == named || path.strip_prefix("crates/") == Some(named))
}
