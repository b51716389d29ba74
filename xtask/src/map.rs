//! A mirror to look into: rooms with floors and sizes, arrows, and the longest files and functions.
//!
//! In: a tree. Out: text. Nothing here is a limit.

use std::{collections::BTreeSet, fmt::Write};

use syn::{
    ImplItemFn, ItemFn, ItemMod, TraitItemFn,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{
    modules::only_tests,
    plan::{self, Plan},
    tree::{Package, Tree},
};

/// How many of the longest files and functions to name.
const LONGEST: usize = 10;

/// Lines by what they are for; blank ones count nowhere.
#[derive(Clone, Copy, Default)]
struct Lines {
    code: usize,
    tests: usize,
    words: usize,
}

/// A function of the product, with its length.
struct Length {
    lines: usize,
    place: String,
}

/// The whole picture, or why the plan cannot be read.
pub(crate) fn draw(tree: &Tree) -> Result<String, String> {
    let plan = plan::parse(tree.files.get(plan::PAGE).map_or("", String::as_str))?;
    let mut files = Vec::new();
    let mut functions = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".rs")) {
        let (lines, found) = measure(path, text);
        files.push((path.as_str(), lines));
        functions.extend(found);
    }
    let mut out = String::new();
    rooms(&mut out, &plan, tree, &files);
    arrows(&mut out, &plan, tree);
    let mut long: Vec<Length> = files
        .iter()
        .map(|(path, lines)| Length { lines: lines.code, place: (*path).to_owned() })
        .collect();
    longest(&mut out, "Longest files (code)", &mut long);
    longest(&mut out, "Longest functions", &mut functions);
    Ok(out)
}

fn rooms(out: &mut String, plan: &Plan, tree: &Tree, files: &[(&str, Lines)]) {
    line(
        out,
        format_args!(
            "{:<13} {:>6} {:>7} {:>7} {:>7} {:>6}",
            "Room", "floor", "code", "tests", "words", "files"
        ),
    );
    let mut whole = Lines::default();
    for package in by_floor(plan, tree) {
        let folder = format!("{}/", package.folder);
        let ours: Vec<Lines> =
            files.iter().filter(|(path, _)| path.starts_with(&folder)).map(|(_, it)| *it).collect();
        let sum = ours.iter().copied().fold(Lines::default(), Lines::plus);
        whole = whole.plus(sum);
        let floor = floor(plan, &package.name).map_or_else(|| "-".to_owned(), |it| it.to_string());
        line(
            out,
            format_args!(
                "{:<13} {floor:>6} {:>7} {:>7} {:>7} {:>6}",
                package.name,
                sum.code,
                sum.tests,
                sum.words,
                ours.len()
            ),
        );
    }
    line(
        out,
        format_args!(
            "{:<13} {:>6} {:>7} {:>7} {:>7} {:>6}",
            "whole",
            "",
            whole.code,
            whole.tests,
            whole.words,
            files.len()
        ),
    );
}

fn arrows(out: &mut String, plan: &Plan, tree: &Tree) {
    line(out, format_args!("\nArrows (in brackets: allowed by the plan, not drawn)"));
    for package in by_floor(plan, tree) {
        let drawn: BTreeSet<&str> =
            package.depends(false).filter(|it| plan.rooms.contains_key(*it)).collect();
        let allowed = plan.rooms.get(&package.name).map(|room| &room.imports);
        let open = allowed
            .into_iter()
            .flatten()
            .filter(|it| !drawn.contains(it.as_str()))
            .map(|it| format!("[{it}]"));
        let all: Vec<String> = drawn.iter().map(|it| (*it).to_owned()).chain(open).collect();
        let all = if all.is_empty() { "-".to_owned() } else { all.join(" ") };
        line(out, format_args!("{:<13} -> {all}", package.name));
    }
}

fn longest(out: &mut String, title: &str, all: &mut [Length]) {
    all.sort_by(|a, b| b.lines.cmp(&a.lines).then_with(|| a.place.cmp(&b.place)));
    line(out, format_args!("\n{title}"));
    for it in all.iter().take(LONGEST) {
        line(out, format_args!("{:>6}  {}", it.lines, it.place));
    }
}

fn by_floor<'a>(plan: &Plan, tree: &'a Tree) -> Vec<&'a Package> {
    let mut packages: Vec<&Package> = tree.packages.iter().collect();
    packages.sort_by_key(|it| std::cmp::Reverse(floor(plan, &it.name)));
    packages
}

fn floor(plan: &Plan, room: &str) -> Option<u8> {
    plan.rooms.get(room).and_then(|it| it.floor)
}

impl Lines {
    fn plus(self, more: Self) -> Self {
        Self {
            code: self.code + more.code,
            tests: self.tests + more.tests,
            words: self.words + more.words,
        }
    }
}

/// Count the lines of one file; name the functions of its product part.
fn measure(path: &str, text: &str) -> (Lines, Vec<Length>) {
    let all_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
    let mut parts = Parts::default();
    if let Ok(file) = syn::parse_file(text) {
        parts.visit_file(&file);
    }
    let mut lines = Lines::default();
    for (at, line) in text.lines().enumerate() {
        let tests =
            all_tests || parts.tests.iter().any(|(from, to)| (*from..=*to).contains(&(at + 1)));
        match line.trim_start() {
            "" => {}
            it if it.starts_with("//") => lines.words += 1,
            _ if tests => lines.tests += 1,
            _ => lines.code += 1,
        }
    }
    let functions = parts
        .functions
        .into_iter()
        .filter(|_| !all_tests)
        .map(|(name, from, to)| Length {
            lines: to - from + 1,
            place: format!("{path}:{from} {name}"),
        })
        .collect();
    (lines, functions)
}

/// The test modules and the product's functions of one file, with first and last line.
#[derive(Default)]
struct Parts {
    tests: Vec<(usize, usize)>,
    functions: Vec<(String, usize, usize)>,
}

impl Parts {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (from, to) = (signature.span().start().line, block.span().end().line);
        self.functions.push((signature.ident.to_string(), from, to));
    }
}

impl Visit<'_> for Parts {
    fn visit_item_mod(&mut self, it: &ItemMod) {
        if only_tests(&it.attrs) {
            self.tests.push((it.span().start().line, it.span().end().line));
        } else {
            visit::visit_item_mod(self, it);
        }
    }

    fn visit_item_fn(&mut self, it: &ItemFn) {
        self.function(&it.sig, &it.block);
        visit::visit_item_fn(self, it);
    }

    fn visit_impl_item_fn(&mut self, it: &ImplItemFn) {
        self.function(&it.sig, &it.block);
        visit::visit_impl_item_fn(self, it);
    }

    fn visit_trait_item_fn(&mut self, it: &TraitItemFn) {
        if let Some(block) = &it.default {
            self.function(&it.sig, block);
        }
    }
}

fn line(out: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{words}");
}

#[cfg(test)]
mod tests;
