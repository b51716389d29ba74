//! Names that say nothing are not used for files, modules and types.

use syn::{Ident, ItemEnum, ItemMod, ItemStruct, ItemTrait, ItemType, ItemUnion, visit::Visit};

use super::Complaint;
use crate::{modules::Sources, tree::Tree};

const RULE: &str = "names";

/// They fit everything, so they tell nothing.
const BANNED: [&str; 9] =
    ["manager", "helper", "util", "common", "misc", "base", "data", "info", "processor"];

/// Terms of the field that hold a banned word: the fee of EIP-1559, and a token's smallest unit.
const ALLOWED: [[&str; 2]; 2] = [["base", "fee"], ["base", "unit"]];

pub(super) fn check(tree: &Tree, sources: &Sources) -> Vec<Complaint> {
    let files = tree
        .files
        .keys()
        .filter(|path| [".rs", ".sol", ".ts", ".tsx", ".mjs"].iter().any(|it| path.ends_with(it)))
        .flat_map(|path| {
            path.split('/')
                .filter_map(move |part| Some((path.clone(), banned(part)?, part.to_owned())))
        });
    let types = sources.iter().flat_map(|(path, file)| {
        let mut named = Named(Vec::new());
        named.visit_file(file);
        named
            .0
            .into_iter()
            .filter_map(move |(name, line)| Some((format!("{path}:{line}"), banned(&name)?, name)))
    });
    files
        .chain(types)
        .map(|(place, word, name)| {
            Complaint::new(RULE, place, format!("the name {name} says nothing with \"{word}\""))
        })
        .collect()
}

/// The first banned word in `name`, whichever way its words are joined.
fn banned(name: &str) -> Option<&'static str> {
    let words = words(name);
    words.iter().enumerate().find_map(|(at, word)| {
        let found = BANNED.into_iter().find(|it| it == word)?;
        let next = words.get(at + 1).map_or("", String::as_str);
        (!ALLOWED.contains(&[found, next])).then_some(found)
    })
}

/// `JobDataSets` and `job_data_sets` both as job, data, set: lower case, singular.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before_is_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || letter.is_uppercase() && before_is_lower {
            words.push(String::new());
        }
        before_is_lower = letter.is_lowercase() || letter.is_numeric();
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    for word in &mut words {
        if word.ends_with('s') {
            word.pop();
        }
    }
    words
}

/// The names that a file gives to modules and types, with their lines.
struct Named(Vec<(String, usize)>);

impl Named {
    fn note(&mut self, name: &Ident) {
        self.0.push((name.to_string(), name.span().start().line));
    }
}

impl Visit<'_> for Named {
    fn visit_item_enum(&mut self, it: &ItemEnum) {
        self.note(&it.ident);
    }

    fn visit_item_mod(&mut self, it: &ItemMod) {
        self.note(&it.ident);
        syn::visit::visit_item_mod(self, it);
    }

    fn visit_item_struct(&mut self, it: &ItemStruct) {
        self.note(&it.ident);
    }

    fn visit_item_trait(&mut self, it: &ItemTrait) {
        self.note(&it.ident);
    }

    fn visit_item_type(&mut self, it: &ItemType) {
        self.note(&it.ident);
    }

    fn visit_item_union(&mut self, it: &ItemUnion) {
        self.note(&it.ident);
    }
}
