//! The table is read cell by cell, and a malformed one is refused by name.

use super::parse;

const TABLE: &str = "
Words before.

| floor | room | what it does | may import | its tests also |
| --- | --- | --- | --- | --- |
| 2 | `doors` | Open. | `walls` | chain |
| 0 | `walls` | Stand. | - | - |
| beside | `wind` | Blow. | doors walls | - |

| word | meaning |
| --- | --- |
| Deal | One agreement. |
";

#[test]
fn rooms_have_floor_sentence_and_arrows() {
    let plan = parse(TABLE).unwrap();
    assert_eq!(plan.rooms.keys().collect::<Vec<_>>(), ["doors", "walls", "wind"]);
    let doors = &plan.rooms["doors"];
    assert_eq!(doors.floor, Some(2));
    assert_eq!(doors.sentence, "Open.");
    assert!(doors.imports.contains("walls") && doors.tests.contains("chain"));
    assert!(plan.rooms["walls"].imports.is_empty());
    assert_eq!(plan.rooms["wind"].floor, None);
    assert_eq!(plan.rooms["wind"].imports.len(), 2);
}

#[test]
fn a_page_without_the_table_is_refused() {
    assert!(parse("# Nothing\n").unwrap_err().contains("has no table"));
}

#[test]
fn a_floor_that_is_no_number_is_refused_by_row() {
    let page = TABLE.replace("| 2 |", "| attic |");
    assert!(parse(&page).unwrap_err().contains("doors"));
}

#[test]
fn a_room_named_twice_is_refused() {
    let page = TABLE.replace("`walls` |", "`doors` |");
    assert!(parse(&page).unwrap_err().contains("doors twice"));
}
