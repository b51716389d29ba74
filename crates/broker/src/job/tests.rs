//! Tests of what a job does next.

use primitives::B256;

use super::*;

const QUIET: Moment =
    Moment { placed: false, closed: false, searching: false, live: 0, deals: 4, at_once: 2 };

fn left(tasks: usize, waiting: usize, carrying: usize) -> Standing {
    Standing { left: tasks, waiting, carrying, opened: None }
}

#[test]
fn a_job_looks_for_as_many_deals_as_its_tasks_can_use() {
    assert_eq!(next(QUIET, left(10, 10, 0)), Next::Search);
    let live = |live| Moment { live, ..QUIET };
    assert_eq!(next(live(3), left(10, 4, 3)), Next::Search);
    assert_eq!(next(live(4), left(10, 4, 4)), Next::Wait, "the job allows four");
    assert_eq!(next(live(2), left(3, 1, 2)), Next::Wait, "two deals run two tasks each");
}

#[test]
fn one_search_goes_on_at_a_time() {
    assert_eq!(next(Moment { searching: true, ..QUIET }, left(10, 10, 0)), Next::Wait);
}

#[test]
fn tasks_of_a_dead_deal_are_placed_again_before_it_is_settled() {
    let dying = Moment { live: 1, ..QUIET };
    assert_eq!(next(dying, left(1, 1, 0)), Next::Search);
    assert_eq!(next(Moment { closed: true, ..dying }, left(1, 1, 0)), Next::Wait);
}

#[test]
fn a_job_is_over_when_no_deal_goes_on_and_none_may_be_made() {
    assert_eq!(next(Moment { live: 1, ..QUIET }, left(0, 0, 0)), Next::Wait);
    assert_eq!(next(QUIET, left(0, 0, 0)), Next::Conclude);
    assert_eq!(next(Moment { closed: true, ..QUIET }, left(3, 3, 0)), Next::Conclude);
    assert_eq!(next(QUIET, left(3, 0, 0)), Next::Conclude, "each was tried often enough");
}

#[test]
fn the_first_open_deal_is_written_down_before_anything_else() {
    let deal = DealId(B256::repeat_byte(1));
    let opened = Standing { opened: Some(deal), ..left(10, 10, 1) };
    assert_eq!(next(Moment { placed: true, ..QUIET }, opened), Next::Open(deal));
    assert_eq!(next(QUIET, opened), Next::Search);
}
