//! Every file opens with a sentence that says what it is.

use super::Complaint;
use crate::tree::Tree;

/// Fewer words than this say nothing.
const WORDS: usize = 3;

pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    tree.files
        .iter()
        .filter_map(|(path, text)| {
            let (opening, wanted) = match path.rsplit_once('.')?.1 {
                "rs" => (rust(text), "a `//!` sentence"),
                "sol" => (solidity(text), "a comment after licence, pragma and imports"),
                "js" | "mjs" | "ts" | "tsx" => (script(text), "a comment"),
                _ => return None,
            };
            let says_something = opening
                .is_some_and(|it| it.split_whitespace().filter(|it| !is_mark(it)).count() >= WORDS);
            (!says_something).then(|| {
                let says = format!(
                    "must open with {wanted} that says what the file is, in {WORDS} words at least"
                );
                Complaint::new("openings", format!("{path}:1"), says)
            })
        })
        .collect()
}

fn rust(text: &str) -> Option<String> {
    text.lines().next()?.strip_prefix("//! ").map(str::to_owned)
}

/// After licence, pragma and imports, which Solidity wants first.
fn solidity(text: &str) -> Option<String> {
    let mut in_import = false;
    let skipped = text.lines().position(|line| {
        let line = line.trim();
        let preamble = in_import
            || line.is_empty()
            || line.contains("SPDX-License-Identifier")
            || line.starts_with("pragma ")
            || line.starts_with("import ");
        in_import = (in_import || line.starts_with("import ")) && !line.ends_with(';');
        !preamble
    })?;
    comment(rest_after(text, skipped)?)
}

fn script(text: &str) -> Option<String> {
    let skipped = usize::from(text.starts_with("#!"));
    comment(rest_after(text, skipped)?)
}

/// The words of the comment that `text` starts with: one block, or lines up to the first other.
fn comment(text: &str) -> Option<String> {
    let text = text.trim_start();
    match text.strip_prefix("/*") {
        Some(block) => block.split("*/").next().map(str::to_owned),
        None => Some(text.lines().map_while(|line| line.strip_prefix("//")).collect()),
    }
}

fn rest_after(text: &str, lines: usize) -> Option<&str> {
    (0..lines).try_fold(text, |rest, _| rest.split_once('\n').map(|(_, rest)| rest))
}

/// Stars, slashes and NatSpec tags are no words.
fn is_mark(word: &str) -> bool {
    word.starts_with('@') || word.chars().all(|it| !it.is_alphanumeric())
}
