//! Making a module ready: found among the inputs, and compiled unless it was before.
//!
//! The module is compiled in a run of its own, in a folder inside that of the run that wants it, with
//! the same walls and the resources of the same lease: what a compiler can be made to do by a module,
//! it does in there.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    time::Duration,
};

use primitives::{Bytes, Digest, Seconds};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use super::{
    kernel::blocking,
    store::{Key, Store},
};
use crate::{
    disk,
    error::Error,
    folder::{Folder, Stream},
    jail::{MADE, REFUSED},
    judge::{missing, not_executable, too_much_to_compile},
    outcome::{Ending, ExitRecord, Outcome},
    runtime::Run,
    spec::{Limits, Spec, Wasm},
};

/// A module may be this large, and its machine code as much larger.
const LARGEST: Bytes = Bytes::mebi(256);
const LARGEST_CODE: Bytes = Bytes::gibi(1);

/// How long compiling may take.
const PATIENCE: Seconds = Seconds(120);

/// What of a compiler's complaint is passed on, in bytes.
const COMPLAINT: usize = 2_000;

/// A module as it lies among the inputs.
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    key: Key,
}

/// What came of looking or compiling: a refusal ends it.
pub(super) type Step<T> = Result<Result<T, Ending>, Error>;

/// Find the module that `spec` names among the inputs.
pub(super) async fn find(spec: &Spec, wasm: Wasm, folder: &Folder) -> Step<Found> {
    let (spec, work) = (spec.clone(), folder.work());
    blocking(move || {
        let bytes = match read(&spec, &work) {
            Ok(bytes) => bytes,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let key = Key::of(Digest::of(&bytes), wasm.deterministic)
            .map_err(|error| Error::file("compiling for this machine", &work, error))?;
        Ok(Ok(Found { bytes, key }))
    })
    .await
}

/// Give the run in `folder` the code of a module that was compiled before; whether it was.
pub(super) async fn take(store: &Store, found: &Found, folder: &Folder) -> Result<bool, Error> {
    let (store, key, place) = (store.clone(), found.key, folder.code());
    blocking(move || store.take(key, &place).map_err(|error| Error::file("placing", &place, error)))
        .await
}

/// What is to be run to compile a module, in the folder [`Folder::making`].
pub(super) fn compilation(spec: &Spec) -> Spec {
    let limits = &spec.limits;
    Spec {
        program: MODULE.to_owned(),
        limits: Limits {
            resources: primitives::Resources { disk: LARGEST_CODE, ..limits.resources },
            time: PATIENCE,
            unattended: None,
            output: LARGEST_CODE,
            log: Bytes(COMPLAINT as u64),
            ..limits.clone()
        },
        ..spec.clone()
    }
}

/// The name of the module in the folder in which it is compiled.
pub(super) const MODULE: &str = "module";

/// Keep what a compilation that has ended has made.
pub(super) async fn keep(
    store: &Store,
    found: &Found,
    spec: &Spec,
    run: &dyn Run,
    exit: &ExitRecord,
) -> Step<()> {
    let ending = &exit.ending;
    match ending.outcome {
        Outcome::Completed => {
            let (store, key) = (store.clone(), found.key);
            let out = Folder::new(run.folder()).out();
            blocking(move || {
                let kept = disk::open_output(&out, MADE).and_then(|mut made| {
                    let mut code = Vec::new();
                    made.read_to_end(&mut code)?;
                    store.add(key, &code)
                });
                kept.map_err(|error| Error::file("keeping what was compiled in", &out, error))
            })
            .await?;
            Ok(Ok(()))
        }
        Outcome::NonZeroExit if exit.exit_code == Some(REFUSED.into()) => {
            let words = run.log(Stream::Stderr, 0, COMPLAINT).await?;
            let words = String::from_utf8_lossy(&words);
            Ok(Err(not_executable(
                spec,
                &format!("it is no module that can run: {}", words.trim()),
            )))
        }
        outcome if outcome.is_the_machines_fault() => {
            Err(Error::Unfit { words: format!("compiling a module: {ending}") })
        }
        _ => Ok(Err(too_much_to_compile(&ending.cause))),
    }
}

/// End a compilation that a provider before us has begun.
pub(super) async fn end(run: &dyn Run) -> Result<(), Error> {
    while run.progress().await?.exit().is_none() {
        match run.stop(Duration::ZERO).await {
            Ok(()) | Err(Error::NotRunning { .. }) => {}
            Err(error) => return Err(error),
        }
        run.changed().await?;
    }
    Ok(())
}

fn read(spec: &Spec, work: &Path) -> Result<Vec<u8>, Ending> {
    let path = spec.candidates().into_iter().next().unwrap_or_default();
    let module = path.strip_prefix("/work/").and_then(|path| open(work, path).ok());
    let Some(module) = module else { return Err(missing(spec)) };
    let plain = module.metadata().is_ok_and(|it| it.is_file());
    if !plain {
        return Err(not_executable(spec, "it is not a plain file"));
    }
    let mut bytes = Vec::new();
    match module.take(LARGEST.0 + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > LARGEST.0 => Err(not_executable(spec, "it is too large")),
        Ok(_) => Ok(bytes),
        Err(error) => Err(not_executable(spec, &error.to_string())),
    }
}

/// Open what the job would find at `path` in its work folder.
fn open(work: &Path, path: &str) -> io::Result<File> {
    let work =
        openat(CWD, work, OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY, Mode::empty())?;
    // Without NONBLOCK a pipe would hold us for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    Ok(File::from(openat2(work, path, flags, Mode::empty(), resolve)?))
}

/// Place `bytes` where a compilation looks for them.
pub(super) async fn place(bytes: &[u8], making: &Folder) -> Result<(), Error> {
    let (bytes, work) = (bytes.to_vec(), making.work());
    blocking(move || {
        fs::create_dir_all(&work)
            .and_then(|()| fs::write(work.join(MODULE), bytes))
            .map_err(|error| Error::file("placing a module in", &work, error))
    })
    .await
}
