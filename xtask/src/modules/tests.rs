//! Paths lead where the compiler would lead them.

use super::{Crate, Sources, Target};

fn gather(files: &[(&str, &str)]) -> Crate {
    let sources: Sources = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), syn::parse_file(text).unwrap()))
        .collect();
    let (crate_, lost) = Crate::gather(&sources, "src/lib.rs");
    assert_eq!(lost, Vec::<String>::new());
    crate_
}

/// The modules that `name` speaks of, and the paths that leave the crate.
fn spoken(crate_: &Crate, name: &str) -> (Vec<String>, Vec<String>) {
    let from = crate_.modules.iter().position(|it| it.name == name).unwrap();
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for spoken in &crate_.modules[from].spoken {
        match crate_.resolve(from, spoken) {
            Target::Inside(to) => inside.push(crate_.modules[to].name.clone()),
            Target::Outside(path) => outside.push(path.join("::")),
        }
    }
    (inside, outside)
}

#[test]
fn a_name_that_the_root_exports_leads_to_the_module_that_defines_it() {
    let crate_ = gather(&[
        ("src/lib.rs", "mod a; mod b; pub use b::Thing;"),
        ("src/a.rs", "use crate::Thing; fn f(x: Thing) {}"),
        ("src/b.rs", "pub struct Thing;"),
    ]);
    assert_eq!(spoken(&crate_, "crate::a").0, ["crate::b"]);
}

#[test]
fn a_module_brought_in_by_name_is_followed() {
    let crate_ = gather(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "use crate::b::deep as d; fn f() { d::g(); self::own(); super::b::h(); }"),
        ("src/b.rs", "pub mod deep; pub fn h() {}"),
        ("src/b/deep.rs", "pub fn g() {}"),
    ]);
    let expected = ["crate::b::deep", "crate::b::deep", "crate::a", "crate::b"];
    assert_eq!(spoken(&crate_, "crate::a").0, expected);
}

#[test]
fn paths_inside_macro_calls_and_attribute_strings_count() {
    let crate_ = gather(&[
        ("src/lib.rs", "mod a; mod b;"),
        (
            "src/a.rs",
            "#[serde(with = \"crate::b::text\")] struct S;
             fn f() { println!(\"{}\", vec![crate::b::g()].len()); }",
        ),
        ("src/b.rs", ""),
    ]);
    assert_eq!(spoken(&crate_, "crate::a").0, ["crate::b", "crate::b"]);
}

#[test]
fn what_only_tests_compile_is_silent() {
    let crate_ = gather(&[
        ("src/lib.rs", "mod a; mod b;"),
        (
            "src/a.rs",
            "#[cfg(test)] use crate::b::X;
             #[cfg(all(test, unix))] fn f() { crate::b::g() }
             struct S;
             impl S { #[cfg(test)] fn g() { crate::b::g() } }
             #[cfg(test)] mod tests;",
        ),
        (
            "src/b.rs",
            "#[cfg(any(test, feature = \"fakes\"))] use crate::a::S; #[cfg(not(test))] use crate::a::S;",
        ),
    ]);
    assert_eq!(spoken(&crate_, "crate::a"), (vec![], vec![]));
    assert_eq!(spoken(&crate_, "crate::b").0, ["crate::a", "crate::a"]);
}

#[test]
fn foreign_paths_are_spelled_out_in_full() {
    let crate_ = gather(&[(
        "src/lib.rs",
        "use std::{process, time::Instant as Now}; use tokio;
         pub(crate) fn f() { process::Command::new(\"x\"); Now::now(); tokio::spawn(g()); ::std::fs::read(\"x\"); }",
    )]);
    let expected = [
        "std::process",
        "std::time::Instant",
        "tokio",
        "std::process::Command::new",
        "std::time::Instant::now",
        "tokio::spawn",
        "std::fs::read",
    ];
    assert_eq!(spoken(&crate_, "crate").1, expected);
}

#[test]
fn a_block_module_is_a_module_and_a_missing_file_is_named() {
    let sources: Sources = [("src/lib.rs", "mod gone; mod inner { use super::super_thing; }")]
        .into_iter()
        .map(|(path, text)| (path.to_owned(), syn::parse_file(text).unwrap()))
        .collect();
    let (crate_, lost) = Crate::gather(&sources, "src/lib.rs");
    assert_eq!(lost, ["src/gone.rs"]);
    assert_eq!(spoken(&crate_, "crate::inner").0, ["crate"]);
}

#[test]
fn a_module_with_a_file_for_another_system_is_read_from_there() {
    let crate_ = gather(&[
        (
            "src/lib.rs",
            "#[cfg(unix)] mod a; #[cfg(not(unix))] #[path = \"other.rs\"] mod a; mod b;",
        ),
        ("src/a.rs", ""),
        ("src/other.rs", "use crate::b;"),
        ("src/b.rs", "use crate::a::X;"),
    ]);
    let files: Vec<_> = crate_.modules.iter().map(|it| it.file.as_str()).collect();
    assert_eq!(files, ["src/lib.rs", "src/a.rs", "src/other.rs", "src/b.rs"]);
    assert_eq!(crate_.resolve(3, &crate_.modules[3].spoken[0]), Target::Inside(1));
}
