//! Assigned -> Running: inputs are placed, the folder made ready, the program started.
//!
//! Upon entering: whatever was started here before is found again, never started twice. Upon what
//! can never run: a terminal receipt over nothing. Upon a stop before the start: the same, stopped.
//! Upon readiness: billing starts.
//!
//! Not here: what time costs (`meter`); nothing here is billed (decision 17).

use std::pin::pin;

use market::{
    LeaseFact, Outcome,
    machine::Root,
    message::{CommandAnswer, Phase},
    stage::Leased,
};
use primitives::{Bytes, Resources};
use sandbox::{ExitRecord, Limits, Preparation, Run, Spec};

use crate::{
    error::Error,
    inbox::{Inbox, Wanted, is_same, refuse},
    inputs,
    line::Stride,
    outside,
    root::served,
    terminal::{self, End, told, words},
    world::Workshop,
};

pub(crate) async fn start(
    shop: &Workshop,
    it: &Leased,
    inbox: &mut Inbox,
) -> Result<Stride, Error> {
    let deal = it.agreement.deal;
    let (plaza, rules) = (shop.world.settlement.plaza(), &shop.config.rules);
    let mut ready = pin!(ready(shop, it));
    let mut ended = pin!(outside::ended(shop, deal, it.stop));
    loop {
        tokio::select! {
            biased;
            (wanted, answer) = inbox.next(&it.agreement, &plaza, rules) => match wanted {
                Wanted::Stop if !it.stop => {
                    return Ok(Stride { fact: Some(LeaseFact::StopTaken), answer: Some(answer) });
                }
                Wanted::Assign(work) if !is_same(it, &work.0.document.act) => {
                    refuse(answer, "this deal carries out another task already");
                }
                // A fence raised by it is written down with the next fact: preparing is not begun
                // again for it.
                Wanted::Stop | Wanted::Assign(_) => drop(answer.send(CommandAnswer::Taken)),
            },
            fact = &mut ended => return Ok(Stride::of(fact)),
            fact = &mut ready => return fact.map(Stride::of),
        }
    }
}

/// Bring the program to readiness, or to the end of what can never be ready.
async fn ready(shop: &Workshop, it: &Leased) -> Result<LeaseFact, Error> {
    let ended =
        |end| terminal::sign(shop, &it.agreement, terminal::task_of(&it.command.document), end);
    let failed = |operation| move |source| Error::Sandbox { operation, source };
    let folder = shop.folder(it.agreement.deal);
    let found = shop.world.runtime.adopt(folder.path()).await;
    let run = match found.map_err(failed("looking for a run"))? {
        Some(run) => run,
        None if it.stop => return Ok(ended(End::stopped_before())),
        None => match begin(shop, it).await? {
            Begun::Running(run) => run,
            Begun::Never(end) => return Ok(ended(*end)),
        },
    };
    loop {
        let progress = run.progress().await.map_err(failed("looking at a run"))?;
        match progress.phase {
            sandbox::Phase::Prepared | sandbox::Phase::Starting => {
                run.changed().await.map_err(failed("watching a run"))?;
            }
            sandbox::Phase::Ended(record) if !record.started => {
                return Ok(ended(unstarted(it, &record)));
            }
            sandbox::Phase::Running | sandbox::Phase::Paused | sandbox::Phase::Ended(_) => {
                return Ok(LeaseFact::Started);
            }
        }
    }
}

enum Begun {
    Running(Box<dyn Run>),
    Never(Box<End>),
}

async fn begin(shop: &Workshop, it: &Leased) -> Result<Begun, Error> {
    let never = |end| Ok(Begun::Never(Box::new(end)));
    let (deal, work) = (it.agreement.deal, &it.assignment.work);
    let folder = shop.folder(deal);
    let latest = it.agreement.terms.document.accept_by.plus(shop.config.rules.preparation);
    if shop.world.clock.now() > latest {
        let cause = format!("it was not ready within {}", shop.config.rules.preparation);
        return never(End::our_fault("too-late", cause, "order again"));
    }
    let Some(spec) = spec(it) else {
        let ending = words(
            "no-image",
            "this provider runs no images",
            "order with the host root, or a WebAssembly module",
        );
        return never(End::unstarted(Outcome::Failed, 125, ending));
    };
    if let Some(end) = inputs::place(shop, &it.agreement, work, &folder).await? {
        return never(end);
    }
    shop.gateway.tell(deal, Phase::Preparing);
    let prepared = shop.world.runtime.prepare(&spec, folder.path()).await;
    match prepared.map_err(|source| Error::Sandbox { operation: "preparing a run", source })? {
        Preparation::Refused(ending) => {
            never(End::unstarted(Outcome::Failed, refused_code(ending.outcome), told(&ending)))
        }
        Preparation::Ready(prepared) => {
            let run = shop.world.runtime.start(prepared).await;
            run.map(Begun::Running)
                .map_err(|source| Error::Sandbox { operation: "starting a run", source })
        }
    }
}

/// What the sandbox is to run; `None` for a root that is not served.
fn spec(it: &Leased) -> Option<Spec> {
    let work = &it.assignment.work;
    let (program, arguments) = work.command.split_first()?;
    // A module gets what was wished, also where the whole machine had to be reserved for it: it runs
    // out of memory at the same point on every machine.
    let reserved = match work.wish.root {
        Root::Wasm(_) => work.wish.resources,
        Root::Host | Root::Image(_) => it.agreement.resources,
    };
    let disk = if reserved.disk == Bytes(0) { work.output_limit } else { reserved.disk };
    let limits = Limits {
        resources: Resources { disk: at_least_one(disk), ..reserved },
        time: work.time_limit,
        // Nobody could be billed for more of it.
        unattended: Some(it.agreement.terms.document.grace),
        output: at_least_one(work.output_limit),
        log: work.output_limit,
        ..Limits::default()
    };
    Some(Spec {
        program: program.clone(),
        arguments: arguments.to_vec(),
        environment: work.env.clone(),
        root: served(&work.wish.root)?,
        limits,
    })
}

fn at_least_one(bytes: Bytes) -> Bytes {
    bytes.max(Bytes(1))
}

/// The end of a run whose program never started although it was prepared.
fn unstarted(it: &Leased, record: &ExitRecord) -> End {
    let outcome = match record.ending.outcome {
        sandbox::Outcome::Stopped if it.stop => Outcome::Stopped,
        outcome if outcome.is_the_machines_fault() => Outcome::ProviderFault,
        sandbox::Outcome::Stopped => Outcome::ProviderFault,
        _ => Outcome::Failed,
    };
    End::unstarted(outcome, record.exit_status().into(), told(&record.ending))
}

/// What a shell shows for a program that is not found, cannot be executed, or is refused.
fn refused_code(outcome: sandbox::Outcome) -> i32 {
    match outcome {
        sandbox::Outcome::MissingProgram => 127,
        sandbox::Outcome::NotExecutable => 126,
        _ => 125,
    }
}
