//! What the items of one module say: the paths in its product code, the names its `use` lines bind,
//! and the modules it declares.
//!
//! Macro calls hold tokens, not paths; there every `a::b` chain counts as spoken, and in attributes
//! also the strings that begin with `crate::`, `self::` or `super::` (as in `serde(with = "…")`).

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{
    Attribute, ImplItem, Item, ItemMod, ItemUse, Macro, Meta, Path, Stmt, UseTree, VisRestricted,
    ext::IdentExt, punctuated::Punctuated, spanned::Spanned, visit::Visit,
};

/// One path as the code speaks it.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) path: Vec<String>,
    /// Written with a leading `::`, so certainly not of this crate.
    pub(crate) foreign: bool,
    pub(crate) line: usize,
}

#[derive(Default)]
pub(super) struct Speech<'a> {
    pub(super) spoken: Vec<Spoken>,
    pub(super) bindings: BTreeMap<String, Vec<String>>,
    pub(super) modules: Vec<&'a ItemMod>,
}

impl<'a> Speech<'a> {
    pub(super) fn of(items: &'a [Item]) -> Self {
        let mut it = Self::default();
        for item in items {
            it.visit_item(item);
        }
        it
    }

    fn bring_in(&mut self, tree: &UseTree, before: &[String], foreign: bool, line: usize) {
        match tree {
            UseTree::Path(it) => {
                let path = longer(before, it.ident.unraw().to_string());
                self.bring_in(&it.tree, &path, foreign, line);
            }
            UseTree::Group(it) => {
                for tree in &it.items {
                    self.bring_in(tree, before, foreign, line);
                }
            }
            UseTree::Glob(_) => {
                self.spoken.push(Spoken { path: before.to_vec(), foreign, line });
            }
            UseTree::Name(it) => self.bind(&it.ident, &it.ident, before, foreign, line),
            UseTree::Rename(it) => self.bind(&it.ident, &it.rename, before, foreign, line),
        }
    }

    fn bind(
        &mut self,
        name: &syn::Ident,
        known_as: &syn::Ident,
        before: &[String],
        foreign: bool,
        line: usize,
    ) {
        let (name, mut known_as) = (name.unraw().to_string(), known_as.unraw().to_string());
        let path = if name == "self" { before.to_vec() } else { longer(before, name) };
        if known_as == "self" {
            known_as = before.last().cloned().unwrap_or_default();
        }
        self.spoken.push(Spoken { path: path.clone(), foreign, line });
        self.bindings.insert(known_as, path);
    }

    fn listen(&mut self, tokens: TokenStream, strings_too: bool) {
        let mut tokens = tokens.into_iter().peekable();
        let mut chain: Vec<String> = Vec::new();
        let mut line = 0;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(it) => {
                    line = it.span().start().line;
                    chain.push(it.unraw().to_string());
                    if takes_separator(&mut tokens) {
                        continue;
                    }
                }
                TokenTree::Group(it) => {
                    self.listen(it.stream(), strings_too && it.delimiter() != Delimiter::None);
                }
                TokenTree::Literal(it) if strings_too => self.listen_to_string(&it),
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
            if chain.len() > 1 {
                self.spoken.push(Spoken { path: chain.clone(), foreign: false, line });
            }
            chain.clear();
        }
    }

    fn listen_to_string(&mut self, literal: &proc_macro2::Literal) {
        let text = literal.to_string();
        let text = text.trim_matches('"');
        if ["crate::", "self::", "super::"].iter().any(|it| text.starts_with(it)) {
            self.spoken.push(Spoken {
                path: text.split("::").map(str::to_owned).collect(),
                foreign: false,
                line: literal.span().start().line,
            });
        }
    }
}

impl<'a> Visit<'a> for Speech<'a> {
    fn visit_item(&mut self, item: &'a Item) {
        if !only_tests(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, it: &'a ItemMod) {
        self.modules.push(it);
    }

    fn visit_item_use(&mut self, it: &'a ItemUse) {
        let line = it.span().start().line;
        self.bring_in(&it.tree, &[], it.leading_colon.is_some(), line);
    }

    fn visit_impl_item(&mut self, it: &'a ImplItem) {
        let attributes = match it {
            ImplItem::Const(it) => &it.attrs,
            ImplItem::Fn(it) => &it.attrs,
            ImplItem::Type(it) => &it.attrs,
            ImplItem::Macro(it) => &it.attrs,
            _ => &Vec::new(),
        };
        if !only_tests(attributes) {
            syn::visit::visit_impl_item(self, it);
        }
    }

    fn visit_stmt(&mut self, it: &'a Stmt) {
        let tests = matches!(it, Stmt::Local(local) if only_tests(&local.attrs));
        if !tests {
            syn::visit::visit_stmt(self, it);
        }
    }

    fn visit_path(&mut self, it: &'a Path) {
        if it.segments.len() > 1 {
            self.spoken.push(Spoken {
                path: it.segments.iter().map(|part| part.ident.unraw().to_string()).collect(),
                foreign: it.leading_colon.is_some(),
                line: it.span().start().line,
            });
        }
        syn::visit::visit_path(self, it);
    }

    fn visit_macro(&mut self, it: &'a Macro) {
        self.visit_path(&it.path);
        self.listen(it.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, it: &'a Attribute) {
        if let Meta::List(list) = &it.meta {
            self.listen(list.tokens.clone(), true);
        }
    }

    // `pub(in crate::deal)` says who may look, it imports nothing.
    fn visit_vis_restricted(&mut self, _: &'a VisRestricted) {}
}

/// Whether these attributes leave the item out of every build but tests.
pub(crate) fn only_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|it| {
        it.path().is_ident("test")
            || it.path().is_ident("cfg")
                && it.parse_args::<Meta>().is_ok_and(|meta| holds_in_product(&meta) == Some(false))
    })
}

/// Whether a `cfg` predicate holds outside tests; `None` when that depends on the build.
fn holds_in_product(meta: &Meta) -> Option<bool> {
    let inner = || match meta {
        Meta::List(list) => list
            .parse_args_with(Punctuated::<Meta, syn::Token![,]>::parse_terminated)
            .map(|it| it.iter().map(holds_in_product).collect())
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    let path = meta.path();
    if path.is_ident("test") {
        return Some(false);
    }
    let inner = inner();
    if path.is_ident("not") {
        inner.first().copied().flatten().map(|it| !it)
    } else if path.is_ident("all") {
        if inner.contains(&Some(false)) { Some(false) } else { None }
    } else if path.is_ident("any") {
        inner.iter().all(|it| *it == Some(false)).then_some(false)
    } else {
        None
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::ExternCrate(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::ForeignMod(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::TraitAlias(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Union(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

fn longer(path: &[String], name: String) -> Vec<String> {
    path.iter().cloned().chain([name]).collect()
}

/// Step over `::` when an identifier follows it.
fn takes_separator(tokens: &mut std::iter::Peekable<proc_macro2::token_stream::IntoIter>) -> bool {
    let mut ahead = tokens.clone();
    for _ in 0..2 {
        if !matches!(ahead.next(), Some(TokenTree::Punct(it)) if it.as_char() == ':') {
            return false;
        }
    }
    if !matches!(ahead.next(), Some(TokenTree::Ident(_))) {
        return false;
    }
    tokens.nth(1);
    true
}
