//! No floating point where money is counted: a sum that rounds on its own is no sum.

use syn::{Ident, Item, LitFloat, visit::Visit};

use super::Complaint;
use crate::modules::{Sources, only_tests};

/// The rooms in which amounts and rates are added, multiplied and signed.
const ROOMS: [&str; 3] = ["crates/primitives/src/", "crates/market/src/", "crates/settlement/src/"];

pub(super) fn check(sources: &Sources) -> Vec<Complaint> {
    let counted = sources.iter().filter(|(path, _)| {
        ROOMS.iter().any(|room| path.starts_with(room)) && !path.ends_with("/tests.rs")
    });
    let mut complaints = Vec::new();
    for (path, file) in counted {
        let mut floats = Floats(Vec::new());
        floats.visit_file(file);
        floats.0.dedup();
        complaints.extend(floats.0.into_iter().map(|line| {
            let says = "uses floating point in a room that counts money".to_owned();
            Complaint::new("floats", format!("{path}:{line}"), says)
        }));
    }
    complaints
}

struct Floats(Vec<usize>);

impl Visit<'_> for Floats {
    fn visit_item(&mut self, it: &Item) {
        let tests = matches!(it, Item::Mod(module) if only_tests(&module.attrs));
        if !tests {
            syn::visit::visit_item(self, it);
        }
    }

    fn visit_ident(&mut self, it: &Ident) {
        if it == "f32" || it == "f64" {
            self.0.push(it.span().start().line);
        }
    }

    fn visit_lit_float(&mut self, it: &LitFloat) {
        self.0.push(it.span().start().line);
    }
}
