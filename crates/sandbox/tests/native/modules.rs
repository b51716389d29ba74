//! WebAssembly modules: what they see, how they end, what they burn, and when they are compiled.

use std::{fs, os::unix::fs::symlink, path::PathBuf, time::Duration};

use primitives::{Bytes, Fuel, Seconds};
use sandbox::{Ending, Native, Outcome, Preparation, Root, Runtime, Shim, Spec, Wasm};

use crate::bench::{Bench, Done, until};

/// The module `text`, placed among the inputs, with `arguments`.
pub(crate) fn module(bench: &Bench, text: &str, arguments: &[&str]) -> Spec {
    bench.place(NAME, wat::parse_str(text).expect("a module"));
    Spec { root: Root::Wasm(Wasm::default()), ..Spec::host(NAME, arguments.iter().copied()) }
}

fn with(spec: Spec, wasm: Wasm) -> Spec {
    Spec { root: Root::Wasm(wasm), ..spec }
}

/// Six letters, on which [`OPENS`] relies.
const NAME: &str = "m.wasm";

/// Says hello and exits with 3.
const HELLO: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
    (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
        (call $exit (i32.const 3))))"#;

/// Copies the input `name` to `out/copy`; exits with the first error number.
const COPIES: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\00\01\00\00\40\00\00\00")
    (data (i32.const 32) "nameout/copy")
    (func $check (param i32) (if (local.get 0) (then (call $exit (local.get 0)))))
    (func (export "_start")
        (call $check (call $open (i32.const 3) (i32.const 1) (i32.const 32) (i32.const 4)
            (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))
        (call $check (call $read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 4)))
        (call $check (call $open (i32.const 4) (i32.const 1) (i32.const 36) (i32.const 8)
            (i32.const 9) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 16)))
        (call $check
            (call $write (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 20)))))"#;

/// Opens the path in its first argument, beneath the first folder, and exits with the error number.
const OPENS: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (drop (call $args (i32.const 16) (i32.const 64)))
        (call $exit (call $open (i32.const 3) (i32.const 1)
            (i32.const 71) (i32.sub (i32.load (i32.const 4)) (i32.const 8))
            (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)))))"#;

const LEADS_OUT: i32 = 63;
const NOT_THERE: i32 = 44;

/// Exits with the error number of asking for the name of the folder with the number 5.
const LOOKS_FOR_FOLDERS: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func $get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call $exit (call $get (i32.const 5) (i32.const 0)))))"#;

/// Writes down what it can find out about where it runs: randomness, time before and after an hour's
/// sleep, what its input says of itself, what lies in the folder, and the bits of 0/0.
const CURIOUS: &str = r#"(module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_filestat_get"
        (func $stat (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_readdir"
        (func $list (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\00\04\00\00\00\04\00\00")
    (data (i32.const 16) "name")
    (global $zero (mut f64) (f64.const 0))
    (func $check (param i32) (if (local.get 0) (then unreachable)))
    (func (export "_start")
        (call $check (call $random (i32.const 1024) (i32.const 32)))
        (call $check (call $time (i32.const 0) (i64.const 1) (i32.const 1056)))
        (call $check (call $time (i32.const 1) (i64.const 1) (i32.const 1064)))
        (i64.store (i32.const 152) (i64.const SLEEP))
        (i32.store (i32.const 144) (i32.const 1))
        (call $check (call $poll (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 320)))
        (call $check (call $time (i32.const 1) (i64.const 1) (i32.const 1072)))
        (call $check (call $stat (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 4) (i32.const 1088)))
        (call $check (call $list (i32.const 3) (i32.const 1216) (i32.const 512) (i64.const 0)
            (i32.const 1080)))
        (f64.store (i32.const 1160)
            (f64.neg (f64.div (global.get $zero) (global.get $zero))))
        (call $check (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))))"#;

/// A module that makes calls on paths, one after the other, and exits with the number of the first
/// whose answer is not the error number expected, counted from 1.
fn filing(calls: &[(&str, &str, &str, i32)]) -> String {
    let mut body = String::new();
    let mut data = String::new();
    let mut end = 1_024;
    for (number, (call, path, other, expected)) in calls.iter().enumerate() {
        let mut place = |text: &str| {
            let at = end;
            data.push_str(&format!("(data (i32.const {at}) \"{text}\")"));
            end += text.len();
            format!("(i32.const {at}) (i32.const {})", text.len())
        };
        let (path, other) = (place(path), place(other));
        let three = "(i32.const 3)";
        let zero = "(i32.const 0)";
        let arguments = match *call {
            "path_open" => format!(
                "{three} {zero} {path} (i32.const 9) (i64.const 64) (i64.const 0) {zero} {zero}"
            ),
            "path_filestat_get" => format!("{three} (i32.const 1) {path} (i32.const 64)"),
            "path_filestat_set_times" => {
                format!("{three} {zero} {path} (i64.const 5) (i64.const 6) (i32.const 5)")
            }
            "path_link" => format!("{three} {zero} {path} {three} {other}"),
            "path_rename" => format!("{three} {path} {three} {other}"),
            "path_symlink" => format!("{path} {three} {other}"),
            "path_readlink" => {
                format!("{three} {path} (i32.const 128) (i32.const 64) (i32.const 32)")
            }
            _ => format!("{three} {path}"),
        };
        body.push_str(&format!(
            "(if (i32.ne (call ${call} {arguments}) (i32.const {expected}))
                (then (call $exit (i32.const {}))))",
            number + 1
        ));
    }
    let imports: String = [
        ("path_create_directory", "i32 i32 i32"),
        ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
        ("path_filestat_get", "i32 i32 i32 i32 i32"),
        ("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32"),
        ("path_link", "i32 i32 i32 i32 i32 i32 i32"),
        ("path_symlink", "i32 i32 i32 i32 i32"),
        ("path_readlink", "i32 i32 i32 i32 i32 i32"),
        ("path_rename", "i32 i32 i32 i32 i32 i32"),
        ("path_unlink_file", "i32 i32 i32"),
        ("path_remove_directory", "i32 i32 i32"),
    ]
    .map(|(name, kinds)| {
        format!(
            "(import \"wasi_snapshot_preview1\" \"{name}\"
                (func ${name} (param {kinds}) (result i32)))"
        )
    })
    .concat();
    format!(
        "(module {imports}
            (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
            (memory (export \"memory\") 1) {data} (func (export \"_start\") {body}))"
    )
}

/// Says `on`, leaves `42` in `out/answer`, exits with 3.
pub(crate) const SHORT: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\03\00\00\00\13\00\00\00\03\00\00\00on\n42\nout/answer")
    (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const 22) (i32.const 10)
            (i32.const 9) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 68)))
        (drop (call $write (i32.load (i32.const 68)) (i32.const 8) (i32.const 1) (i32.const 64)))
        (call $exit (i32.const 3))))"#;

/// Says `on` and goes on for ever.
pub(crate) const LONG: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\03\00\00\00")
    (data (i32.const 16) "on\n")
    (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
        (loop $on (br $on))))"#;

const ENDLESS: &str = r#"(module (func (export "_start") (loop $on (br $on))))"#;

/// Takes memory until it gets none, then gives up.
const GREEDY: &str = r#"(module (memory 1) (func (export "_start")
    (loop $on
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (i32.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4)) (i32.const 1))
        (br $on))))"#;

const TRAPS: &str = r#"(module (func $deep unreachable) (func (export "_start") (call $deep)))"#;

fn check(done: &Done, outcome: Outcome, words: &str) {
    let ending = &done.exit.ending;
    assert_eq!(ending.outcome, outcome, "{done:?}");
    assert!(ending.cause.contains(words), "{ending}");
    assert!(!ending.next.is_empty(), "{ending}");
}

/// The walls hold and the limits bite, whoever we are.
pub(crate) async fn work(bench: &Bench) {
    let done = bench.run(&module(bench, HELLO, &[])).await;
    assert_eq!((done.stdout.as_str(), done.exit.exit_code), ("hello\n", Some(3)), "{done:?}");
    let mut spec = module(bench, GREEDY, &[]);
    spec.limits.resources.memory = Bytes::mebi(64);
    check(&bench.run(&spec).await, Outcome::OutOfMemory, "in vain");
    let done = bench.run(&module(bench, OPENS, &["../code"])).await;
    assert_eq!(done.exit.exit_code, Some(LEADS_OUT), "{done:?}");
}

async fn refusal(bench: &Bench, spec: &Spec) -> Ending {
    match bench.runtime.prepare(spec, &bench.folder()).await.expect("prepared") {
        Preparation::Refused(ending) => ending,
        Preparation::Ready(_) => panic!("{spec:?} is ready"),
    }
}

#[tokio::test]
async fn a_module_speaks_and_exits_and_its_fuel_is_counted() {
    let bench = Bench::new();
    let done = bench.run(&module(&bench, HELLO, &[])).await;
    check(&done, Outcome::NonZeroExit, "exited with 3");
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("hello\n", ""));
    assert_eq!((done.exit.exit_code, done.exit.exit_status()), (Some(3), 3));
    assert!(done.exit.started && done.exit.samples >= 2);
    assert!((1..100).contains(&done.exit.fuel.0), "{done:?}");
}

#[tokio::test]
async fn a_module_reads_its_inputs_and_leaves_outputs_under_either_name_of_its_folder() {
    let bench = Bench::new();
    bench.place("name", "world");
    let spec = module(&bench, COPIES, &[]);
    let run = bench.start(&spec).await;
    until(&*run, |progress| progress.exit().is_some()).await;
    let copy = run.read_output("copy", 0, 100).await;
    let done = bench.finish(&*run).await;
    check(&done, Outcome::Completed, "exited with 0");
    assert_eq!(copy.expect("an output"), b"world");
}

#[tokio::test]
async fn a_module_sees_nothing_outside_its_folder() {
    let bench = Bench::new();
    bench.place("inner/file", "");
    let work = bench.folder().join("work");
    symlink("inner/file", work.join("within")).expect("linked");
    symlink("../../etc/passwd", work.join("above")).expect("linked");
    symlink("/etc/passwd", work.join("absolute")).expect("linked");
    symlink("..", work.join("inner/up")).expect("linked");
    for (path, code) in [
        ("inner/file", 0),
        ("inner/up/within", 0),
        ("inner/../within", 0),
        ("etc/passwd", NOT_THERE),
        ("/etc/passwd", LEADS_OUT),
        ("../code", LEADS_OUT),
        ("..", LEADS_OUT),
        ("inner/../../proc/self/status", LEADS_OUT),
        ("inner/up/../etc", LEADS_OUT),
        ("above", LEADS_OUT),
        ("absolute", LEADS_OUT),
        ("nothing", NOT_THERE),
    ] {
        let done = bench.run_again(&module(&bench, OPENS, &[path])).await;
        assert_eq!(done.exit.exit_code, Some(code), "{path}: {done:?}");
    }
    let done = bench.run(&module(&bench, LOOKS_FOR_FOLDERS, &[])).await;
    assert_eq!(done.exit.exit_code, Some(8), "there is no third folder: {done:?}");
}

#[tokio::test]
async fn a_module_makes_moves_links_and_removes_files_and_is_told_what_cannot_be() {
    const DONE: i32 = 0;
    const EXISTS: i32 = 20;
    const INVALID: i32 = 28;
    const IS_FOLDER: i32 = 31;
    const NO_FOLDER: i32 = 54;
    const NOT_EMPTY: i32 = 55;
    let calls = [
        ("path_create_directory", "dir", "", DONE),
        ("path_create_directory", "dir", "", EXISTS),
        ("path_create_directory", "no/dir", "", NOT_THERE),
        ("path_create_directory", "../dir", "", LEADS_OUT),
        ("path_open", "dir/file", "", DONE),
        ("path_open", "dir/up/../file", "", NOT_THERE),
        ("path_filestat_get", "dir/file", "", DONE),
        ("path_filestat_get", "dir/nothing", "", NOT_THERE),
        ("path_filestat_get", "dir/file/", "", NO_FOLDER),
        ("path_link", "dir/file", "dir/hard", DONE),
        ("path_symlink", "file", "dir/soft", DONE),
        ("path_symlink", "/etc", "dir/abs", LEADS_OUT),
        ("path_symlink", "../../etc", "dir/out", DONE),
        ("path_filestat_get", "dir/out", "", LEADS_OUT),
        ("path_readlink", "dir/soft", "", DONE),
        ("path_readlink", "dir/file", "", INVALID),
        ("path_rename", "dir/hard", "dir/name", DONE),
        ("path_rename", "dir/hard", "dir/name", NOT_THERE),
        ("path_rename", "dir/name", "../name", LEADS_OUT),
        ("path_rename", "dir/name/", "dir/other", NO_FOLDER),
        ("path_unlink_file", "dir", "", IS_FOLDER),
        ("path_unlink_file", "dir/soft/", "", NO_FOLDER),
        ("path_remove_directory", "dir", "", NOT_EMPTY),
        ("path_remove_directory", "dir/file", "", NO_FOLDER),
        ("path_unlink_file", "dir/file", "", DONE),
        ("path_unlink_file", "dir/soft", "", DONE),
        ("path_unlink_file", "dir/out", "", DONE),
        ("path_unlink_file", "dir/name", "", DONE),
        ("path_filestat_set_times", "dir", "", DONE),
        ("path_remove_directory", "dir/.", "", INVALID),
        ("path_remove_directory", "dir/", "", DONE),
        ("path_filestat_get", "dir", "", NOT_THERE),
    ];
    let bench = Bench::new();
    let done = bench.run(&module(&bench, &filing(&calls), &[])).await;
    let failed = done.exit.exit_code.and_then(|code| usize::try_from(code).ok()?.checked_sub(1));
    assert_eq!(failed.map(|number| calls[number]), None, "{done:?}");
    check(&done, Outcome::Completed, "exited with 0");
}

#[tokio::test]
async fn an_endless_module_ends_with_its_fuel_to_the_unit() {
    let bench = Bench::new();
    let fuel = Some(Fuel(1_000_000));
    let spec = with(module(&bench, ENDLESS, &[]), Wasm { fuel, deterministic: false });
    let done = bench.run(&spec).await;
    check(&done, Outcome::OutOfFuel, "1000000 units");
    assert_eq!((done.exit.fuel, done.exit.exit_code), (Fuel(1_000_000), None));
    assert_eq!(done.exit.exit_status(), 124);
}

#[tokio::test]
async fn an_endless_module_ends_with_its_time_and_its_fuel_grows_from_sample_to_sample() {
    let bench = Bench::new();
    let mut spec = module(&bench, ENDLESS, &[]);
    spec.limits.time = Seconds(2);
    let run = bench.start(&spec).await;
    until(&*run, |progress| progress.exit().is_some()).await;
    let beats = run.samples(0).await.expect("unbroken");
    let done = bench.finish(&*run).await;
    check(&done, Outcome::TimedOut, "2s");
    assert_eq!((done.exit.elapsed_ms, done.exit.exit_code), (2_000, None));
    assert!(beats.is_sorted_by(|one, next| one.sample.fuel < next.sample.fuel), "{beats:?}");
    assert_eq!(beats.last().map(|beat| beat.sample.fuel), Some(done.exit.fuel));
}

#[tokio::test]
async fn a_stop_ends_a_module_at_once_even_while_it_sleeps() {
    let bench = Bench::new();
    let hour = Duration::from_secs(3_600).as_nanos().to_string();
    for text in [ENDLESS.to_owned(), CURIOUS.replace("SLEEP", &hour)] {
        let run = bench.start(&module(&bench, &text, &[])).await;
        until(&*run, |progress| progress.elapsed > Duration::ZERO).await;
        // Killed after this, so an executor that does not listen fails the test by its patience.
        run.stop(Duration::from_secs(3_600)).await.expect("told");
        let done = bench.finish(&*run).await;
        check(&done, Outcome::Stopped, "as asked");
    }
}

#[tokio::test]
async fn a_greedy_module_is_refused_memory_by_its_executor_and_says_so() {
    let bench = Bench::new();
    let mut spec = module(&bench, GREEDY, &[]);
    spec.limits.resources.memory = Bytes::mebi(64);
    let done = bench.run(&spec).await;
    check(&done, Outcome::OutOfMemory, "asked for 48 MiB");
    assert!(done.exit.peak > Bytes::mebi(1), "{done:?}");
}

#[tokio::test]
async fn a_module_that_needs_more_memory_than_there_is_to_begin_with() {
    let bench = Bench::new();
    let mut spec = module(&bench, r#"(module (memory 1024) (func (export "_start")))"#, &[]);
    spec.limits.resources.memory = Bytes::mebi(64);
    check(&bench.run(&spec).await, Outcome::OutOfMemory, "asked for 64 MiB");
}

#[tokio::test]
async fn a_trap_is_named_and_its_place_stands_on_stderr() {
    let bench = Bench::new();
    let done = bench.run(&module(&bench, TRAPS, &[])).await;
    check(&done, Outcome::Trapped, "unreachable");
    assert_eq!((done.exit.exit_code, done.exit.signal), (None, None));
    assert_eq!(done.exit.exit_status(), 134);
    assert!(done.stderr.contains("unreachable") && done.stderr.contains("deep"), "{done:?}");
}

#[tokio::test]
async fn what_the_processor_notices_is_a_trap_too() {
    let bench = Bench::new();
    for (body, words) in [
        ("(drop (i32.load (i32.const 65536)))", "out of bounds memory"),
        ("(drop (i32.div_u (i32.const 1) (i32.load (i32.const 0))))", "divide by zero"),
        ("(call 0)", "call stack exhausted"),
    ] {
        let text = format!(r#"(module (memory 1) (func (export "_start") {body}))"#);
        let done = bench.run_again(&module(&bench, &text, &[])).await;
        check(&done, Outcome::Trapped, words);
    }
}

/// Numbers at their limits must not harm the executor: a call answers with an error or does nothing.
#[tokio::test]
async fn calls_with_absurd_arguments_are_answered() {
    let bench = Bench::new();
    let most = "(i32.const -1)";
    let calls = [
        ("args_get", vec!["i32"; 2]),
        ("args_sizes_get", vec!["i32"; 2]),
        ("clock_time_get", vec!["i32", "i64", "i32"]),
        ("fd_pread", vec!["i32", "i32", "i32", "i64", "i32"]),
        ("fd_readdir", vec!["i32", "i32", "i32", "i64", "i32"]),
        ("fd_seek", vec!["i32", "i64", "i32", "i32"]),
        ("fd_write", vec!["i32"; 4]),
        ("path_readlink", vec!["i32"; 6]),
        ("poll_oneoff", vec!["i32"; 4]),
        ("random_get", vec!["i32"; 2]),
    ];
    for first in ["(i32.const 1)", "(i32.const 3)", most] {
        for (name, kinds) in &calls {
            let rest = kinds[1..].iter().map(|kind| format!("({kind}.const -1)"));
            let arguments =
                [first.to_owned()].into_iter().chain(rest).collect::<Vec<_>>().join(" ");
            let text = format!(
                r#"(module
                    (import "wasi_snapshot_preview1" "{name}" (func $call (param {}) (result i32)))
                    (memory (export "memory") 1)
                    (func (export "_start") (if (i32.eqz (call $call {arguments})) (then unreachable))))"#,
                kinds.join(" ")
            );
            let done = bench.run_again(&module(&bench, &text, &[])).await;
            assert_eq!(done.exit.ending.outcome, Outcome::Completed, "{name} {first}: {done:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_command_is_refused_before_anything_is_billed() {
    let bench = Bench::new();
    let import = |name: &str| {
        format!(
            r#"(module (import "{name}" "x" (func)) (memory (export "memory") 1) (func (export "_start")))"#
        )
    };
    let cases = [
        (b"no module".to_vec(), "magic"),
        (wat::parse_str("(module)").expect("a module"), "_start"),
        (wat::parse_str(import("elsewhere")).expect("a module"), "elsewhere"),
        (wat::parse_str(HELLO.replace("(export \"memory\")", "")).expect("a module"), "memory"),
        (
            wat::parse_str("(module (memory 1 1 shared) (func (export \"_start\")))").expect("one"),
            "threads",
        ),
    ];
    for (bytes, words) in cases {
        let spec = module(&bench, "(module)", &[]);
        bench.place(NAME, bytes);
        let ending = refusal(&bench, &spec).await;
        assert_eq!(ending.outcome, Outcome::NotExecutable, "{ending}");
        assert!(ending.cause.contains(words), "{words}: {ending}");
    }
    assert!(bench.runtime.adopt(&bench.folder()).await.expect("looked").is_none());
    let spec = Spec { program: "absent.wasm".to_owned(), ..module(&bench, HELLO, &[]) };
    assert_eq!(refusal(&bench, &spec).await.outcome, Outcome::MissingProgram);
    bench.place("outside.wasm", "");
    fs::remove_file(bench.folder().join("work/outside.wasm")).expect("removed");
    symlink("/etc/passwd", bench.folder().join("work/outside.wasm")).expect("linked");
    let spec = Spec { program: "outside.wasm".to_owned(), ..spec };
    assert_eq!(refusal(&bench, &spec).await.outcome, Outcome::MissingProgram);
}

/// The curious module run in a fresh folder.
async fn found_out(deterministic: bool) -> Done {
    let bench = Bench::new();
    // In another order each time, so that the disk has other numbers for the same names.
    for name in if deterministic { ["name", "other"] } else { ["other", "name"] } {
        bench.place(name, "same");
    }
    let sleep = if deterministic { 3_600_000_000_000u64 } else { 1 };
    let text = CURIOUS.replace("SLEEP", &sleep.to_string());
    bench.run(&with(module(&bench, &text, &[]), Wasm { fuel: None, deterministic })).await
}

#[tokio::test]
async fn two_deterministic_runs_come_to_the_same_bytes_and_the_same_fuel() {
    let (one, other) = (found_out(true).await, found_out(true).await);
    check(&one, Outcome::Completed, "exited with 0");
    assert!(one.stdout.len() > 512 && one.stdout.contains("name"), "{one:?}");
    assert_eq!(one.stdout, other.stdout);
    assert_eq!(one.exit.fuel, other.exit.fuel);
}

#[tokio::test]
async fn a_run_that_need_not_be_deterministic_sees_real_time_and_randomness() {
    let (one, other) = (found_out(false).await, found_out(false).await);
    assert_ne!(one.stdout, other.stdout);
}

/// A runtime over the same compiled modules that cannot start any shim.
fn idle(bench: &Bench) -> Native {
    let shim = Shim { program: PathBuf::from("/bin/false"), arguments: Vec::new() };
    Native::new(shim, bench.modules())
}

#[tokio::test]
async fn a_module_is_compiled_once_for_each_way_to_execute_it() {
    let bench = Bench::new();
    let idle = idle(&bench);
    let spec = module(&bench, HELLO, &[]);
    let ready = async |spec: &Spec| {
        matches!(idle.prepare(spec, &bench.folder()).await, Ok(Preparation::Ready(_)))
    };
    assert!(!ready(&spec).await, "it must be compiled first");
    bench.run_again(&spec).await;
    let fuel = Some(Fuel(1_000));
    assert!(ready(&with(spec.clone(), Wasm { fuel, deterministic: false })).await);
    let deterministic = with(spec.clone(), Wasm { fuel: None, deterministic: true });
    assert!(!ready(&deterministic).await, "other machine code");
    bench.run_again(&deterministic).await;
    assert!(ready(&deterministic).await && ready(&spec).await);
    bench.place(NAME, wat::parse_str(ENDLESS).expect("a module"));
    assert!(!ready(&spec).await, "another module under the same name");
}

#[tokio::test]
async fn compiled_code_that_was_tampered_with_is_compiled_again() {
    let bench = Bench::new();
    let spec = module(&bench, HELLO, &[]);
    bench.run_again(&spec).await;
    let modules = bench.modules();
    let entries = || -> Vec<PathBuf> {
        fs::read_dir(&modules).expect("modules").map(|it| it.expect("one").path()).collect()
    };
    let [entry] = &entries()[..] else { panic!("{:?}", entries()) };
    let mut code = fs::read(entry).expect("code");
    let middle = code.len() / 2;
    code[middle] ^= 1;
    fs::remove_file(entry).expect("removed");
    fs::write(entry, &code).expect("tampered with");
    assert!(idle(&bench).prepare(&spec, &bench.folder()).await.is_err(), "it counts as none");
    let done = bench.run(&spec).await;
    check(&done, Outcome::NonZeroExit, "exited with 3");
    code[middle] ^= 1;
    assert_eq!(fs::read(entry).expect("code"), code, "compiled to the same");
}

#[tokio::test]
async fn a_compilation_that_was_cut_short_is_begun_again() {
    let bench = Bench::new();
    let spec = module(&bench, HELLO, &[]);
    let making = bench.folder().join("making");
    fs::create_dir_all(making.join("work/out")).expect("made");
    fs::write(making.join("work/out/code"), "half of it").expect("left");
    fs::write(making.join("state.json"), "{\"watch\":null,\"limit\":{\"secs\":0,\"nanos\":0}}")
        .expect("left");
    check(&bench.run(&spec).await, Outcome::NonZeroExit, "exited with 3");
}
