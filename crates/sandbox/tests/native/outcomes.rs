//! Each way to end is told apart, with its cause and what to do next.

use sandbox::Outcome;

use crate::bench::{Bench, shell};

#[tokio::test]
async fn a_program_that_succeeds() {
    let bench = Bench::new();
    bench.place("name", "world");
    let done = bench.run(&shell("echo hello $(cat name); pwd; id -un; echo oops >&2")).await;
    assert_eq!(done.exit.ending.outcome, Outcome::Completed, "{done:?}");
    assert_eq!(done.stdout, "hello world\n/work\njob\n");
    assert_eq!(done.stderr, "oops\n");
    assert_eq!((done.exit.exit_code, done.exit.signal), (Some(0), None));
    assert!(done.exit.started && done.exit.samples >= 2);
}
