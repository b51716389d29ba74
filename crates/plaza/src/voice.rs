//! The voice: everything `plaza` says, answers on standard output, all else on standard error.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;

/// How to talk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice {
    /// Answers are JSON.
    pub(crate) json: bool,
}

impl Voice {
    /// Give the answer of a command: `value` in JSON, or `words` for people.
    pub(crate) fn answer(self, value: &impl Serialize, words: impl FnOnce() -> String) {
        if self.json {
            let text =
                serde_json::to_string(value).expect("answers are plain data with string keys");
            print(text.as_bytes(), true);
        } else {
            print(words().as_bytes(), true);
        }
    }

    /// Bytes for standard output as they are.
    pub(crate) fn pass(self, bytes: &[u8]) {
        print(bytes, false);
    }

    /// A remark on the way, for people.
    pub(crate) fn remark(self, words: &str) {
        complain(&format!("plaza: {words}\n"));
    }

    /// Why a command ended.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            let document = json!({ "error": failure.sentence(), "action": failure.advice() });
            complain(&format!("{document}\n"));
        } else {
            complain(&format!("plaza: {failure}\n"));
        }
    }

    /// Whether a person watches standard error.
    pub(crate) fn is_watched(self) -> bool {
        io::stderr().is_terminal()
    }
}

/// Bytes for standard error as they are.
pub(crate) fn pass_error(bytes: &[u8]) {
    let mut to = io::stderr().lock();
    // Nobody is left to be told when standard error is gone.
    let _ = to.write_all(bytes).and_then(|()| to.flush());
}

fn complain(words: &str) {
    pass_error(words.as_bytes());
}

fn print(bytes: &[u8], line: bool) {
    let mut to = io::stdout().lock();
    let end: &[u8] = if line && !bytes.ends_with(b"\n") { b"\n" } else { b"" };
    let written = to.write_all(bytes).and_then(|()| to.write_all(end)).and_then(|()| to.flush());
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        // Whoever read us has gone, as `head` does: nothing is left to say.
        std::process::exit(0);
    }
}

/// Rows of cells as a table with aligned columns.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = line(head.to_vec());
    let rows = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".into(), "long cell".into()], vec!["bbb".into(), "c".into()]];
        assert_eq!(table(&["x", "y"], &rows), "x    y\na    long cell\nbbb  c");
    }
}
