//! Tests of work: what a task of an array is, and what cannot be ordered.

use primitives::{Millicores, Resources};

use super::*;
use crate::machine::Root;

fn point(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn sweep(command: &[&str], points: Vec<BTreeMap<String, String>>) -> Work {
    let resources =
        Resources { cpu: Millicores::cores(2), memory: Bytes::gibi(1), ..Resources::default() };
    Work {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        env: point(&[("MODE", "fast")]),
        inputs: None,
        wish: Wish {
            resources,
            os: None,
            arch: None,
            gpu_model: None,
            region: None,
            exclude: BTreeSet::new(),
            root: Root::Host,
        },
        time_limit: Seconds(60),
        output_limit: Bytes::mebi(1),
        array: Some(Array { points, deals: 2, at_once: 3 }),
    }
}

fn flaw(work: &Work) -> String {
    work.flaw(Seconds(3_600)).expect("something is wrong with it").to_string()
}

#[test]
fn a_task_has_the_parameters_of_its_point_in_its_command_and_its_environment() {
    let work = sweep(
        &["sim", "--heat={t}", "{t}{x}"],
        vec![point(&[("t", "10"), ("x", "a")]), point(&[("t", "20"), ("x", "b")])],
    );
    assert_eq!((work.tasks(), work.flaw(Seconds(3_600))), (2, None));
    let piece = work.piece(TaskIndex(1)).expect("the second task");
    assert_eq!(piece.command, ["sim", "--heat=20", "20b"]);
    assert_eq!(piece.env, point(&[("MODE", "fast"), ("t", "20"), ("x", "b"), ("PLAZA_TASK", "1")]));
    assert_eq!(work.piece(TaskIndex(2)), None);
}

#[test]
fn braces_around_anything_but_a_parameter_stay_and_values_are_not_filled_again() {
    let work =
        sweep(&["awk", "{print $1}", "{", "}{t", "{{t}}", "${t}"], vec![point(&[("t", "{t}")])]);
    let piece = work.piece(TaskIndex(0)).expect("the task");
    assert_eq!(piece.command, ["awk", "{print $1}", "{", "}{t", "{{t}}", "${t}"]);
}

#[test]
fn work_without_an_array_is_one_task_as_it_stands() {
    let work = Work { array: None, ..sweep(&["echo", "{t}"], Vec::new()) };
    let piece = work.piece(TaskIndex(0)).expect("the task");
    assert_eq!((work.tasks(), piece.command), (1, work.command.clone()));
    assert_eq!(piece.env, work.env);
    assert_eq!(work.bundle().as_ref(), Some(&work.wish));
}

#[test]
fn a_deal_reserves_the_wish_as_often_as_tasks_run_at_once() {
    let bundle = sweep(&["true"], vec![point(&[])]).bundle().expect("no overflow").resources;
    assert_eq!((bundle.cpu, bundle.memory), (Millicores::cores(6), Bytes::gibi(3)));
}

#[test]
fn an_array_that_cannot_be_run_names_the_field_and_what_would_be_right() {
    let good = sweep(&["true"], vec![point(&[("t", "1")])]);
    let with = |array: Array| Work { array: Some(array), ..good.clone() };
    let array = good.array.clone().expect("an array");
    let points = |points| with(Array { points, ..array.clone() });
    assert!(flaw(&points(Vec::new())).contains("'array.points': are 0"));
    assert!(flaw(&points(vec![point(&[]); MOST_TASKS + 1])).contains("between 1 and 4096"));
    assert!(flaw(&points(vec![point(&[("a b", "1")])])).contains("\"a b\""));
    assert!(flaw(&points(vec![point(&[("1a", "1")])])).contains("\"1a\""));
    assert!(flaw(&points(vec![point(&[("MODE", "1")])])).contains("also a variable"));
    assert!(flaw(&points(vec![point(&[("PLAZA_TASK", "1")])])).contains("also a variable"));
    assert!(flaw(&points(vec![point(&[("a", "x\0y")])])).contains("zero byte"));
    let long = "x".repeat(MOST_POINT_BYTES);
    assert!(flaw(&points(vec![point(&[("a", &long)])])).contains("bytes together"));
    assert!(flaw(&with(Array { deals: 0, ..array.clone() })).contains("'array.deals': is 0"));
    assert!(flaw(&with(Array { at_once: 257, ..array })).contains("'array.at_once': is 257"));
}
