//! What stands in for the shim on systems other than Linux: a clear refusal.

use std::{path::Path, process::ExitCode};

/// Refuse: native work needs the namespaces of Linux.
pub fn main(_folder: &Path) -> ExitCode {
    ExitCode::from(125)
}
