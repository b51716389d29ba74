//! Lines are counted for what they are, and functions by their span.

use super::measure;

#[test]
fn lines_are_sorted_into_code_tests_and_words() {
    let text = "//! A file.\n\n/// A number.\nfn f() -> u8 {\n    // Why one.\n    1\n}\n\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\n";
    let (lines, functions) = measure("crates/a/src/lib.rs", text);
    assert_eq!((lines.code, lines.tests, lines.words), (3, 4, 3));
    let lengths: Vec<_> = functions.iter().map(|it| (it.lines, it.place.as_str())).collect();
    assert_eq!(lengths, [(4, "crates/a/src/lib.rs:4 f")]);
}

#[test]
fn a_file_of_tests_holds_tests_alone() {
    let (lines, functions) = measure("crates/a/src/f/tests.rs", "fn t() {\n}\n");
    assert_eq!((lines.code, lines.tests, functions.len()), (0, 2, 0));
}
