//! Worlds as seeds draw them: no promise is broken, and a seed is a life.

use std::sync::atomic::{AtomicU64, Ordering};

use sim::{Plan, live};

/// How many worlds every check lives; `cargo xtask sim` lives as many as one likes.
const SEEDS: u64 = 1_000;

/// Worlds that once broke a promise, by what was wrong.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");

#[test]
fn the_promises_hold_in_a_thousand_worlds() {
    let next = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let live_some = || {
        let mut broken = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return broken;
            }
            let life = live(&Plan::of(seed), false);
            broken.extend(life.broken.iter().map(|it| format!("seed {seed}: {it}")));
        }
    };
    let broken: Vec<String> = std::thread::scope(|scope| {
        let lives: Vec<_> = (0..cores).map(|_| scope.spawn(live_some)).collect();
        lives.into_iter().flat_map(|it| it.join().expect("no world panics")).collect()
    });
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_same_seed_is_the_same_life() {
    let mut digests = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let (once, again) = (live(&Plan::of(seed), false), live(&Plan::of(seed), false));
        assert_eq!(once, again, "seed {seed}");
        digests.insert(once.digest.to_string());
    }
    assert_eq!(digests.len(), 40, "another seed is another life");
}

#[test]
fn what_once_broke_a_promise_breaks_none_any_more() {
    for file in std::fs::read_dir(CASES).expect("the cases are there") {
        let path = file.expect("a file").path();
        let plan = std::fs::read_to_string(&path).expect("readable");
        let plan: Plan = serde_json::from_str(&plan).expect("a plan");
        let life = live(&plan, false);
        assert_eq!(life.broken, [], "{}", path.display());
    }
}
