//! How a lease's time is told from its runs and from the time between looks.

use super::*;

const ONE: TaskIndex = TaskIndex(1);
const TWO: TaskIndex = TaskIndex(2);

fn span(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn used(cpu_ms: u64, memory: u64) -> Option<Sample> {
    Some(Sample { cpu_ms, memory: Bytes(memory), peak: Bytes(memory), ..Sample::default() })
}

fn live(elapsed: u64) -> Seen {
    Seen { live: true, elapsed: span(elapsed), used: used(elapsed, 10) }
}

fn ended(elapsed: u64) -> Seen {
    Seen { live: false, elapsed: span(elapsed), used: used(elapsed, 0) }
}

/// A look at `at` that finds these runs.
fn look(clock: &mut Clock, at: u64, runs: &[(TaskIndex, Seen)]) -> u64 {
    let runs = runs.iter().copied().collect();
    clock.advance(Look { at: span(at), held: false, over: false, runs: &runs });
    milliseconds(clock.elapsed())
}

fn held(clock: &mut Clock, at: u64, runs: &[(TaskIndex, Seen)]) -> u64 {
    let runs = runs.iter().copied().collect();
    clock.advance(Look { at: span(at), held: true, over: false, runs: &runs });
    milliseconds(clock.elapsed())
}

fn over(clock: &mut Clock, at: u64, runs: &[(TaskIndex, Seen)]) -> u64 {
    let runs = runs.iter().copied().collect();
    clock.advance(Look { at: span(at), held: false, over: true, runs: &runs });
    milliseconds(clock.elapsed())
}

#[test]
fn a_run_alone_is_timed_by_itself_to_the_millisecond() {
    let mut clock = Clock::default();
    assert_eq!(look(&mut clock, 5_000, &[(ONE, live(3))]), 3);
    assert_eq!(look(&mut clock, 6_007, &[(ONE, live(1_004))]), 1_004);
    assert_eq!(over(&mut clock, 6_900, &[(ONE, ended(1_500))]), 1_500, "and ends with it");
    assert_eq!(over(&mut clock, 9_999, &[(ONE, ended(1_500))]), 1_500);
}

#[test]
fn time_between_tasks_counts_until_the_release() {
    let mut clock = Clock::default();
    look(&mut clock, 0, &[(ONE, live(0))]);
    assert_eq!(look(&mut clock, 2_000, &[(ONE, ended(1_000))]), 2_000);
    assert_eq!(look(&mut clock, 3_000, &[]), 3_000);
    assert_eq!(look(&mut clock, 4_000, &[(TWO, live(400))]), 4_000);
    assert_eq!(over(&mut clock, 5_000, &[(TWO, ended(900))]), 4_500);
}

#[test]
fn runs_side_by_side_are_one_time() {
    let mut clock = Clock::default();
    look(&mut clock, 0, &[(ONE, live(0))]);
    look(&mut clock, 1_000, &[(ONE, live(1_000)), (TWO, live(500))]);
    assert_eq!(look(&mut clock, 2_000, &[(ONE, live(2_004)), (TWO, live(1_493))]), 2_000);
}

#[test]
fn while_the_work_is_held_only_what_ran_counts() {
    let mut clock = Clock::default();
    look(&mut clock, 0, &[(ONE, live(0)), (TWO, live(0))]);
    look(&mut clock, 1_000, &[(ONE, live(1_000)), (TWO, live(1_000))]);
    assert_eq!(held(&mut clock, 2_000, &[(ONE, live(1_020)), (TWO, live(1_010))]), 1_020);
    assert_eq!(held(&mut clock, 9_000, &[(ONE, live(1_020)), (TWO, live(1_010))]), 1_020);
    assert_eq!(look(&mut clock, 9_500, &[(ONE, live(1_500)), (TWO, live(1_490))]), 1_500);
    assert_eq!(look(&mut clock, 10_500, &[(ONE, live(2_500)), (TWO, live(2_490))]), 2_500);
}

#[test]
fn a_gap_is_bridged_by_what_ran_through_it_and_by_nothing_else() {
    let mut clock = Clock::default();
    look(&mut clock, 0, &[(ONE, live(0)), (TWO, live(0))]);
    look(&mut clock, 4_000, &[(ONE, live(4_000)), (TWO, live(4_000))]);
    let metered = clock.reading(|_| false);
    assert_eq!(metered.runs, [(ONE, 4_000), (TWO, 4_000)]);
    let marks = [(ONE, span(4_000)), (TWO, span(4_000))];
    let marks = marks.map(|(task, elapsed)| {
        (task, Mark { elapsed, cpu_ms: 4_000, memory: Bytes(10), ..Mark::default() })
    });
    let mut clock = Clock::resume(&metered, BTreeMap::from(marks));
    // One ended two seconds into the gap, the other half a second later.
    let found = [(ONE, ended(6_000)), (TWO, ended(6_500))];
    assert_eq!(look(&mut clock, 1_000_000, &found), 6_500);
    assert_eq!(clock.reading(|_| true).samples.last().map(|last| last.cpu_ms), Some(8_000 + 4_500));
    let mut clock = Clock::resume(&metered, BTreeMap::new());
    assert_eq!(look(&mut clock, 1_000_000, &[]), 4_000, "nothing ran");
}

#[test]
fn samples_are_taken_at_readiness_every_second_and_the_end_over_all_runs() {
    let mut clock = Clock::default();
    look(&mut clock, 0, &[(ONE, live(0))]);
    look(&mut clock, 400, &[(ONE, live(400))]);
    look(&mut clock, 1_001, &[(ONE, live(1_001)), (TWO, live(100))]);
    look(&mut clock, 2_000, &[(ONE, ended(1_500)), (TWO, live(1_100))]);
    over(&mut clock, 2_600, &[(TWO, ended(1_300))]);
    let samples = clock.reading(|_| true).samples;
    let figures = |it: &Sample| (it.at_ms, it.cpu_ms, it.memory.0, it.peak.0);
    assert_eq!(
        samples.iter().map(figures).collect::<Vec<_>>(),
        [(0, 0, 10, 10), (1_001, 1_101, 20, 20), (2_000, 2_600, 10, 20), (2_200, 2_800, 0, 20),]
    );
    assert_eq!(clock.reading(|_| true).samples, [], "each is read once");
}

#[test]
fn nothing_ever_goes_back() {
    let mut clock = Clock::default();
    look(&mut clock, 0, &[(ONE, live(5_000))]);
    let lost = Seen { live: false, elapsed: span(4_000), used: used(3_000, 1) };
    assert_eq!(over(&mut clock, 1_000, &[(ONE, lost)]), 5_000);
}
