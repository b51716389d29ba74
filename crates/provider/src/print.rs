//! What a run prints, on its way to the gateway while it is printed.
//!
//! Upon new bytes: send the next piece. Upon an answer: go on where the gateway says it is, so a
//! restart of either side loses and doubles nothing. Upon the end of the run and of its bytes, or
//! upon the gateway's limit: done.
//!
//! Invariant: one piece is under way per stream; pieces leave as soon as the one before is there.
//! Whoever watches the run says how much there is; what prints nothing costs nothing.

use market::message::{Output, Printed, ToGateway};
use primitives::{DealId, Epoch, TaskIndex};
use sandbox::{Progress, Run, Stream};
use tokio::sync::watch;

use crate::{
    error::{Error, story},
    gateway::PROMPT,
    world::{AGAIN, Workshop},
};

/// The most bytes in a piece.
const PIECE: usize = 64 << 10;

/// Which task prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    pub(crate) deal: DealId,
    pub(crate) task: TaskIndex,
    pub(crate) epoch: Epoch,
}

/// Follow what a run prints to its end; a failure of ours only delays it.
pub(crate) async fn follow(
    shop: &Workshop,
    printer: Printer,
    run: &dyn Run,
    seen: watch::Receiver<Progress>,
) {
    tokio::join!(
        follow_one(shop, printer, Output::Stdout, run, seen.clone()),
        follow_one(shop, printer, Output::Stderr, run, seen),
    );
}

/// Hand in the rest of what a run printed that is over; nothing where there is no trace of it.
pub(crate) async fn follow_rest(shop: &Workshop, printer: Printer) -> Result<(), Error> {
    let failed = |operation| move |source| Error::Sandbox { operation, source };
    let folder = shop.task_folder(printer.deal, printer.task, printer.epoch);
    let found = shop.world.runtime.adopt(folder.path()).await;
    let Some(run) = found.map_err(failed("looking for a run"))? else { return Ok(()) };
    let progress = run.progress().await.map_err(failed("looking at a run"))?;
    // A sender that is gone has said its last.
    let (_, seen) = watch::channel(progress);
    follow(shop, printer, run.as_ref(), seen).await;
    Ok(())
}

async fn follow_one(
    shop: &Workshop,
    printer: Printer,
    output: Output,
    run: &dyn Run,
    mut seen: watch::Receiver<Progress>,
) {
    loop {
        match pieces(shop, printer, output, run, &mut seen).await {
            // A gateway that will not have it is not asked again; the receipt does not depend on it.
            Ok(()) | Err(Error::Denied { .. }) => return,
            Err(error) => {
                tracing::debug!(deal = %printer.deal, error = story(&error), "printing again");
                tokio::time::sleep(AGAIN).await;
                shop.gateway.connected().await;
            }
        }
    }
}

async fn pieces(
    shop: &Workshop,
    printer: Printer,
    output: Output,
    run: &dyn Run,
    seen: &mut watch::Receiver<Progress>,
) -> Result<(), Error> {
    let Printer { deal, task, epoch } = printer;
    let stream = match output {
        Output::Stdout => Stream::Stdout,
        Output::Stderr => Stream::Stderr,
    };
    let mut next = 0;
    loop {
        let more = |progress: &Progress| {
            let length = if stream == Stream::Stdout { progress.stdout } else { progress.stderr };
            length > next || progress.exit().is_some()
        };
        if seen.wait_for(more).await.is_err() {
            return Ok(());
        }
        let piece = run.log(stream, next, PIECE).await;
        let piece = piece
            .map_err(|source| Error::Sandbox { operation: "reading what a run prints", source })?;
        if piece.is_empty() {
            // There is more only where the gateway is ahead of us, or nothing more will come.
            return Ok(());
        }
        let question = ToGateway::Print { deal, task, epoch, output, offset: next };
        let printed: Printed =
            shop.gateway.ask("handing in output", &question, piece.into(), PROMPT).await?;
        if printed.full {
            return Ok(());
        }
        if printed.next <= next {
            // It did not take the piece, or is further behind than we thought.
            tokio::time::sleep(AGAIN).await;
        }
        next = printed.next;
    }
}
