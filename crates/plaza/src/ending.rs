//! Being asked to end: SIGTERM and SIGINT, as a value that whoever serves can wait for.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::failure::{Doing as _, Result};

/// Becomes true when the process is asked to end.
pub(crate) fn ending() -> Result<watch::Receiver<bool>> {
    let what = || "listening for signals".to_owned();
    let (mut term, mut int) = (
        signal(SignalKind::terminate()).doing(what)?,
        signal(SignalKind::interrupt()).doing(what)?,
    );
    let (tell, asked) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tell.send_replace(true);
        // The channel stays open for those who ask later.
        tell.closed().await;
    });
    Ok(asked)
}
