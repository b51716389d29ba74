//! Tests of job sheets: what they mean, and how what is wrong with them is told.

use super::*;

fn read_well(text: &str) -> Sheet {
    read(text, Path::new("/sheets"), &Rules::default(), 6)
        .unwrap_or_else(|wrong| panic!("{wrong}:\n{text}"))
}

fn refused(text: &str) -> String {
    let read = read(text, Path::new("/sheets"), &Rules::default(), 6);
    read.expect_err(text).to_string()
}

fn sweep(array: &str) -> String {
    format!("command: [sim, '{{a}}', '{{b}}']\narray:\n{array}")
}

/// The values of the parameters of each task, in the order of their names.
fn points(text: &str) -> Vec<String> {
    let array = read_well(text).work.array.expect("an array");
    let words = |point: &BTreeMap<String, String>| {
        let words: Vec<_> = point.values().map(String::as_str).collect();
        words.join(" ")
    };
    array.points.iter().map(words).collect()
}

#[test]
fn a_sheet_with_every_field_is_understood() {
    let sheet = read_well(
        "command: [sh, -c, 'sim {r}']
env: {LC_ALL: C, SEED: 007}
inputs: [model.awk, ../shared]
resources: {cpus: 0.5, memory: 64M, disk: 100M, gpus: 0}
time_limit: 2m
output_limit: 1M
max_price: 0.20
budget: 1.50
array:
  sweep:
    r: [2.80, 3]
  deals: 2
  at_once: 4
  deal_time_limit: 10m
",
    );
    let Sheet { work, inputs, deal_time_limit, max_rate, budget } = sheet;
    assert_eq!(work.command, ["sh", "-c", "sim {r}"]);
    assert_eq!(work.env["SEED"], "007", "values are taken as they are written");
    assert_eq!(inputs, [Path::new("/sheets/model.awk"), Path::new("/sheets/../shared")]);
    let resources = work.wish.resources;
    assert_eq!((resources.cpu.0, resources.memory, resources.gpus), (500, Bytes::mebi(64), 0));
    assert_eq!((work.time_limit, work.output_limit), (Seconds(120), Bytes::mebi(1)));
    assert_eq!(deal_time_limit, Seconds(600));
    assert_eq!(max_rate.map(Rate::units_per_hour), Some(200_000));
    assert_eq!(budget.map(Amount::units), Some(1_500_000));
    let array = work.array.expect("an array");
    assert_eq!((array.deals, array.at_once), (2, 4));
    assert_eq!(array.points[0]["r"], "2.80");
}

#[test]
fn a_sheet_needs_no_more_than_a_command() {
    let sheet = read_well("command: [hostname]\n");
    let rules = Rules::default();
    assert_eq!((sheet.work.tasks(), &sheet.work.array), (1, &None));
    assert_eq!(
        (sheet.work.time_limit, sheet.deal_time_limit),
        (rules.time_limit, rules.time_limit)
    );
    assert_eq!(sheet.work.wish.resources, resources(&WrittenResources::default()).expect("usual"));
}

#[test]
fn a_sweep_is_every_combination_and_its_first_parameter_changes_slowest() {
    let text = sweep("  sweep:\n    b: [x, y]\n    a: {from: 0, to: 1, steps: 3}\n");
    assert_eq!(points(&text), ["0.0 x", "0.5 x", "1.0 x", "0.0 y", "0.5 y", "1.0 y"]);
    let text = sweep("  sweep:\n    a: {from: 0.1, to: 0.4, step: 0.1}\n");
    assert_eq!(points(&text), ["0.1", "0.2", "0.3", "0.4"]);
}

#[test]
fn points_and_counts_are_taken_as_they_are() {
    let text = sweep("  points:\n    - {a: 1, b: x}\n    - {a: 2.50, b: 'y z'}\n");
    assert_eq!(points(&text), ["1 x", "2.50 y z"]);
    assert_eq!(read_well(&sweep("  count: 12\n")).work.tasks(), 12);
}

#[test]
fn a_deal_may_run_as_long_as_its_share_of_the_tasks() {
    let limit = |array: &str| {
        let text = format!("command: [sim]\ntime_limit: 1m\narray: {{{array}}}\n");
        read_well(&text).deal_time_limit
    };
    assert_eq!(limit("count: 64"), Seconds(64 * 60));
    assert_eq!(limit("count: 64, deals: 2, at_once: 5"), Seconds(7 * 60), "ceil(32 / 5) rounds");
    assert_eq!(limit("count: 2, deals: 9, at_once: 9"), Seconds(60));
    let longest = Rules::default().longest_deal;
    let text = format!("command: [sim]\ntime_limit: {}s\narray: {{count: 9}}\n", longest.0 / 2);
    assert_eq!(read_well(&text).deal_time_limit, longest);
}

#[test]
fn what_is_wrong_is_told_with_line_column_field_and_what_is_right() {
    let range = |range: &str| sweep(&format!("  sweep:\n    a: {range}\n"));
    let mut others = Vec::new();
    for (text, place, words) in [
        ("cpus: 1\n".to_owned(), "line 1, column 1, ", "command"),
        ("command: [a]\ncpu: 3\n".to_owned(), "line 2, column 1, ", "unknown field `cpu`"),
        ("command: sim\n".to_owned(), "line 1, column 10, field 'command'", "a list"),
        ("command: []\n".to_owned(), "line 1, column 10, field 'command'", "names no program"),
        (
            "command: [a]\ntime_limit: soon\n".to_owned(),
            "line 2, column 13, field 'time_limit'",
            "expected a number before the unit",
        ),
        (
            "command: [a]\nresources:\n  memory: much\n".to_owned(),
            "line 3, column 11, field 'resources.memory'",
            "MiB",
        ),
        (
            "command: [a]\nresources: {cpus: none}\n".to_owned(),
            "line 2, column 19, field 'resources.cpus'",
            "such as 2 or 0.5",
        ),
        (
            "command: [a]\nbudget: 5 dollars\n".to_owned(),
            "line 2, column 9, field 'budget'",
            "0.05",
        ),
        (sweep("  deals: 2\n"), "line 3, column 3, field 'array'", "'sweep'"),
        (sweep("  count: 3\n  points: []\n"), "line 3, column 3, field 'array'", "exactly one"),
        (sweep("  points: 7\n"), "line 3, column 11, field 'array.points'", "a list"),
        (sweep("  count: 5000\n"), "line 3, column 10, field 'array.count'", "at most 4096"),
        (sweep("  count: 3\n  deals: 0\n"), "line 4, column 10, field 'array.deals'", "between 1"),
        (
            sweep("  count: 3\n  deal_time_limit: 1s\n"),
            "line 4, column 20, field 'array.deal_time_limit'",
            "below the time limit of one task",
        ),
        (
            sweep(
                "  sweep:\n    a: {from: 1, to: 100, step: 1}\n    b: {from: 1, to: 100, step: 1}\n",
            ),
            "line 4, column 5, field 'array.sweep'",
            "makes 10000 tasks",
        ),
        (range("7"), "line 4, column 5, field 'array.sweep.a'", "a list of values"),
        (range("[]"), "line 4, column 8, field 'array.sweep.a'", "has no value"),
        (
            range("{from: 1, till: 2}"),
            "line 4, column 18, field 'array.sweep.a.till'",
            "unknown field `till`",
        ),
        (
            range("{from: one, to: 2, steps: 2}"),
            "line 4, column 15, field 'array.sweep.a.from'",
            "2.5",
        ),
        (range("{from: 1, to: 2}"), "line 4, column 8, field 'array.sweep.a'", "'steps'"),
        (
            range("{from: 2.8, to: 4, steps: 64}"),
            "line 4, column 34, field 'array.sweep.a.steps'",
            "with 61 or 65 it does",
        ),
        (
            range("{from: 1, to: 2, step: -1}"),
            "line 4, column 31, field 'array.sweep.a.step'",
            "leads nowhere",
        ),
        (
            sweep("  sweep: {A-B: [1]}\n"),
            "line 3, column 10, field 'array'",
            "letters, digits and '_'",
        ),
        ("command: [a\nbudget: 1\n".to_owned(), "line 2, ", "':'"),
        (
            "command: [a]\nbudget: 1\nbudget: 2\n".to_owned(),
            "line 3, column 1, ",
            "'budget' stands twice",
        ),
    ] {
        let said = refused(&text);
        if !said.starts_with(place) || !said.contains(words) {
            others.push(format!("expected {place:?} and {words:?} of:\n{text}got: {said}\n"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}
