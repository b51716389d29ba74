//! What a run prints, on its way to the gateway while it is printed.
//!
//! Upon new bytes: send the next piece. Upon an answer: go on where the gateway says it is, so a
//! restart of either side loses and doubles nothing. Upon the end of the run and of its bytes, or
//! upon the gateway's limit: done.
//!
//! Invariant: one piece is under way per stream; pieces leave as soon as the one before is there.

use market::message::{Output, Printed, ToGateway};
use primitives::{DealId, TaskIndex};
use sandbox::{Run, Stream};

use crate::{
    error::Error,
    gateway::PROMPT,
    world::{AGAIN, Workshop},
};

/// The most bytes in a piece.
const PIECE: usize = 64 << 10;

/// Follow one output of a run to its end; a failure of ours only delays it.
pub(crate) async fn follow(shop: &Workshop, deal: DealId, task: TaskIndex, output: Output) {
    loop {
        match pieces(shop, deal, task, output).await {
            // A gateway that will not have it is not asked again; the receipt does not depend on it.
            Ok(()) | Err(Error::Denied { .. }) => return,
            Err(error) => {
                tracing::debug!(%deal, error = &error as &dyn std::error::Error, "printing again");
                tokio::time::sleep(AGAIN).await;
                shop.gateway.connected().await;
            }
        }
    }
}

async fn pieces(
    shop: &Workshop,
    deal: DealId,
    task: TaskIndex,
    output: Output,
) -> Result<(), Error> {
    let failed = |source| Error::Sandbox { operation: "reading what a run prints", source };
    let found = shop.world.runtime.adopt(shop.folder(deal).path()).await.map_err(failed)?;
    let Some(run) = found else { return Ok(()) };
    let mut next = 0;
    loop {
        let Some(piece) = piece(run.as_ref(), output, next).await.map_err(failed)? else {
            return Ok(());
        };
        let question = ToGateway::Print { deal, task, output, offset: next };
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

/// The next bytes from `next` on, as soon as there are some; `None` when no more will come.
async fn piece(
    run: &dyn Run,
    output: Output,
    next: u64,
) -> Result<Option<Vec<u8>>, sandbox::Error> {
    let stream = match output {
        Output::Stdout => Stream::Stdout,
        Output::Stderr => Stream::Stderr,
    };
    loop {
        // The end is looked for before the bytes: after the end there are no new ones.
        let over = run.progress().await?.exit().is_some();
        let piece = run.log(stream, next, PIECE).await?;
        if !piece.is_empty() {
            return Ok(Some(piece));
        }
        if over {
            return Ok(None);
        }
        run.changed().await?;
    }
}
