//! Assigned -> Running: the first tasks are brought to readiness.
//!
//! Upon entering: whatever was started here before is found again, never started twice. Upon tasks
//! that can never run: their results, and when all are such a terminal receipt over nothing. Upon a
//! stop before the start: the same, stopped. Upon the first readiness: billing starts.
//!
//! Not here: what time costs (`meter`); nothing here is billed (decision 17).

use std::{pin::pin, sync::Arc};

use market::{LeaseFact, stage::Leased};
use tokio::time::{Instant, sleep_until};

use crate::{
    bench::Bench,
    conclude::{self, Cause, Last},
    error::Error,
    inbox::Inbox,
    line::Stride,
    outside,
    pace::Why,
    task::Signal,
    told,
    world::Workshop,
};

pub(crate) async fn start(
    shop: &Arc<Workshop>,
    it: &Leased,
    inbox: &mut Inbox,
    bench: &mut Option<Bench>,
) -> Result<Stride, Error> {
    let bench = match bench {
        Some(bench) => bench,
        None => bench.insert(Bench::find(shop, it).await?),
    };
    bench.catch_up(&it.load);
    let (plaza, rules) = (shop.world.settlement.plaza(), &shop.config.rules);
    let latest = it.agreement.terms.document.accept_by.plus(rules.preparation);
    let mut ended = pin!(outside::ended(shop, it.agreement.deal, it.stop));
    loop {
        bench.hear_all();
        if bench.has_started() {
            bench.look(false, false).await?;
            let reading = Box::new(bench.clock.reading(|_| false));
            return Ok(Stride::all([LeaseFact::Started, LeaseFact::Metered(reading)]));
        }
        let silent_at = bench.heard + rules.grace.duration();
        let is_idle = bench.is_idle() && !it.load.released;
        match cause(it, bench, is_idle && silent_at <= Instant::now()) {
            Some(cause) => {
                bench.signal(conclude::last_signal(it, &cause));
                if !bench.is_going() {
                    let fates = bench.fates().collect();
                    let counts = &|task| bench.reports.counts(task);
                    let last = Last { cause, fates, reading: None, counts };
                    return Ok(Stride::all(conclude::conclude(shop, it, last)));
                }
            }
            None => {
                bench.signal(Signal::Go);
                bench.begin(Some(latest));
                let results = conclude::finished(shop, it, bench.fates());
                if !results.is_empty() {
                    return Ok(Stride::of(LeaseFact::Finished { results }));
                }
            }
        }
        tokio::select! {
            biased;
            (wanted, answer) = inbox.next(&it.agreement, &plaza, rules) => {
                bench.heard = Instant::now();
                if let Some(stride) = told::hear(it, inbox, wanted, answer) {
                    return Ok(stride);
                }
            }
            fact = &mut ended => return Ok(Stride::of(fact)),
            () = bench.next(it) => {}
            () = sleep_until(silent_at), if is_idle => {}
        }
    }
}

/// Why the lease ends before anything ran, if it does.
fn cause(it: &Leased, bench: &Bench, is_forgotten: bool) -> Option<Cause> {
    let is_done = it.load.released && !bench.has_waiting() && !bench.is_going();
    match conclude::fault(bench.fates()) {
        Some(fault) => Some(fault),
        None if it.stop => Some(Cause::Ended(Why::Asked)),
        None => (is_done || is_forgotten).then_some(Cause::Done),
    }
}
