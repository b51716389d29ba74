//! Asking the kernel: away from the threads that must not wait, and with errors that name their
//! object.

use std::{io, path::Path};

use tokio::task::spawn_blocking;

use crate::error::Error;

/// Do what waits for the disk where it holds up nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work).await.map_err(Error::Task)?
}

/// An error of the kernel as the operation and object it belongs to.
pub(super) fn file<T>(
    action: &'static str,
    path: &Path,
    result: Result<T, impl Into<io::Error>>,
) -> Result<T, Error> {
    result.map_err(|error| Error::file(action, path, error.into()))
}
