//! The shim as a program of its own, for the tests of this room: `sandbox-shim FOLDER`.

use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(folder) => sandbox::shim::main(Path::new(&folder)),
        None => ExitCode::from(125),
    }
}
