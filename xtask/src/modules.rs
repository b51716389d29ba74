//! The modules of one crate, and every path its product code speaks.
//!
//! In: parsed files, and the root file of a library or binary. Out: a tree of modules, each with the
//! paths spoken in it; [`Crate::resolve`] says where a path leads, through `use`, `pub use`, `self`,
//! `super` and `crate`. What only tests compile (`#[cfg(test)]`) is left out.
//!
//! Not here: whether a path is welcome (`tidy::cycles`, `tidy::absences`).

mod speech;

use std::collections::BTreeMap;

use speech::Speech;
pub(crate) use speech::{Spoken, only_tests};

/// The parsed Rust files by path from the root of the tree.
pub(crate) type Sources = BTreeMap<String, syn::File>;

/// How often a name may stand for another before it is taken for a circle.
const RENAMINGS: usize = 16;

/// The modules of one library or binary; the first is the root.
pub(crate) struct Crate {
    pub(crate) modules: Vec<Module>,
}

/// One module: a file, or a block inside a file.
pub(crate) struct Module {
    /// Its path as written inside the crate: `crate::deal::open`.
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) parent: Option<usize>,
    pub(crate) spoken: Vec<Spoken>,
    children: BTreeMap<String, usize>,
    /// Names brought in by `use`, with the path each stands for.
    bindings: BTreeMap<String, Vec<String>>,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To a module of this crate, or to an item in it.
    Inside(usize),
    /// To another crate (or to a name of this very module), spelled out in full.
    Outside(Vec<String>),
}

impl Crate {
    /// Gather the modules that hang on `root`; the second value names module files not found.
    pub(crate) fn gather(sources: &Sources, root: &str) -> (Self, Vec<String>) {
        let mut it = Self { modules: Vec::new() };
        let mut lost = Vec::new();
        match sources.get(root) {
            Some(file) => {
                let folder = parent(root).to_owned();
                let seat = Seat { name: "crate".to_owned(), file: root.to_owned(), parent: None };
                it.add(sources, seat, &folder, &file.items, &mut lost);
            }
            None => lost.push(root.to_owned()),
        }
        (it, lost)
    }

    fn add(
        &mut self,
        sources: &Sources,
        seat: Seat,
        folder: &str,
        items: &[syn::Item],
        lost: &mut Vec<String>,
    ) -> usize {
        let speech = Speech::of(items);
        let index = self.modules.len();
        self.modules.push(Module {
            name: seat.name.clone(),
            file: seat.file.clone(),
            parent: seat.parent,
            spoken: speech.spoken,
            children: BTreeMap::new(),
            bindings: speech.bindings,
        });
        for module in speech.modules {
            let word = module.ident.to_string();
            let name = format!("{}::{word}", seat.name);
            let below = format!("{folder}/{word}");
            let child = if let Some((_, items)) = &module.content {
                let seat = Seat { name, file: seat.file.clone(), parent: Some(index) };
                self.add(sources, seat, &below, items, lost)
            } else {
                let places = match elsewhere(&module.attrs) {
                    Some(file) => vec![format!("{}/{file}", parent(&seat.file))],
                    None => vec![format!("{below}.rs"), format!("{below}/mod.rs")],
                };
                let Some((file, parsed)) = places
                    .iter()
                    .find_map(|file| sources.get(file).map(|parsed| (file.clone(), parsed)))
                else {
                    lost.extend(places.into_iter().take(1));
                    continue;
                };
                let seat = Seat { name, file, parent: Some(index) };
                self.add(sources, seat, &below, &parsed.items, lost)
            };
            // Of two that stand for each other on two systems, the name leads to the first.
            self.modules[index].children.entry(word).or_insert(child);
        }
        index
    }

    /// Where `path`, spoken in module `from`, leads.
    pub(crate) fn resolve(&self, from: usize, spoken: &Spoken) -> Target {
        if spoken.foreign {
            return Target::Outside(spoken.path.clone());
        }
        self.lead(from, &spoken.path, RENAMINGS)
    }

    fn lead(&self, from: usize, path: &[String], renamings: usize) -> Target {
        let Some((first, rest)) = path.split_first() else { return Target::Inside(from) };
        match first.as_str() {
            "crate" => self.descend(0, rest, renamings),
            "self" => self.descend(from, rest, renamings),
            "super" => self.descend(self.above(from), rest, renamings),
            name if self.modules[from].children.contains_key(name)
                || self.stands_for(from, path, renamings).is_some() =>
            {
                self.descend(from, path, renamings)
            }
            _ => Target::Outside(path.to_vec()),
        }
    }

    fn descend(&self, mut module: usize, path: &[String], renamings: usize) -> Target {
        let mut rest = path;
        while let Some((first, below)) = rest.split_first() {
            if first == "super" {
                module = self.above(module);
            } else if let Some(child) = self.modules[module].children.get(first) {
                module = *child;
            } else if let Some(full) = self.stands_for(module, rest, renamings) {
                return self.lead(module, &full, renamings - 1);
            } else {
                return Target::Inside(module);
            }
            rest = below;
        }
        Target::Inside(module)
    }

    /// The path that `path` stands for in `module` when a `use` there renames its first name.
    fn stands_for(&self, module: usize, path: &[String], renamings: usize) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let full = self.modules[module].bindings.get(first)?;
        // `use tokio;` binds a name to itself: it leads nowhere but outside.
        let itself = full.len() == 1 && full.first() == Some(first);
        (renamings > 0 && !itself && !full.starts_with(path))
            .then(|| full.iter().chain(rest).cloned().collect())
    }

    fn above(&self, module: usize) -> usize {
        self.modules[module].parent.unwrap_or(0)
    }
}

struct Seat {
    name: String,
    file: String,
    parent: Option<usize>,
}

/// The file that a `path` attribute names for a module.
fn elsewhere(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().find_map(|it| match &it.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(file), .. }) => Some(file.value()),
            _ => None,
        },
        _ => None,
    })
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests;
