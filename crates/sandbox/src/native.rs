//! Processes of this machine, each kept by its own shim: native programs, and executors of modules.

mod kept;
mod module;

mod kernel;
mod store;

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use async_trait::async_trait;
use primitives::Digest;

use crate::{
    disk,
    error::Error,
    folder::{Durability, Folder, read_record, write_record},
    graphics::Graphics,
    isolation::Isolation,
    jail::{self, Unstartable},
    judge::{missing, not_executable, too_few_graphics},
    outcome::{Ending, ExitRecord, Outcome},
    runtime::{Preparation, Prepared, Run, Runtime, Wiped},
    shim::Ticket,
    spec::{Root, Spec, Task, Wasm},
};

use kept::Kept;
use kernel::blocking;
use store::Store;

/// Users from this number on belong to runs, one each; far above those of people and services.
const FIRST_USER: u32 = 0x5000_0000;

/// How to start a shim: `program arguments... FOLDER` must call [`crate::shim::main`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shim {
    /// The program.
    pub program: PathBuf,
    /// The arguments before the folder.
    pub arguments: Vec<OsString>,
}

/// The [`Runtime`] of Linux processes, as root or not.
#[derive(Clone, Debug)]
pub struct Native {
    shim: Shim,
    modules: Store,
    graphics: Graphics,
}

/// The smallest of modules: it exports a function `_start` that does nothing.
const SMALLEST: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

impl Shim {
    /// This very binary with `arguments` that make it call [`crate::shim::main`]; works even after
    /// the file on disk was replaced.
    pub fn this_binary(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }
}

impl Native {
    /// A runtime whose runs are kept by `shim`; compiled modules are kept in the folder `modules`,
    /// which is its own and need not exist.
    pub fn new(shim: Shim, modules: impl Into<PathBuf>) -> Self {
        // A shim is started from `/`, so a path that starts here must be made whole; a bare name is
        // looked for in the search path.
        let is_path = shim.program.components().nth(1).is_some();
        let program = match std::path::absolute(&shim.program) {
            Ok(program) if is_path => program,
            _ => shim.program,
        };
        let modules = Store::new(modules.into());
        Self { shim: Shim { program, ..shim }, modules, graphics: Graphics::default() }
    }

    /// The same with graphics processors to give to runs that ask for some.
    #[must_use]
    pub fn with_graphics(self, graphics: Graphics) -> Self {
        Self { graphics, ..self }
    }

    async fn keep(&self, folder: &Folder) -> Result<(), Error> {
        let started = tokio::process::Command::new(&self.shim.program)
            .args(&self.shim.arguments)
            .arg(folder.path())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .await;
        let answer = started
            .map_err(|source| Error::Spawn { program: self.shim.program.clone(), source })?;
        if answer.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
        Err(Error::Shim { folder: folder.path().to_owned(), words })
    }
}

impl Native {
    /// Run `spec` in `folder` to its end, and wipe; what `see` sees of the folder before that.
    async fn try_out<T>(
        &self,
        spec: &Spec,
        folder: &Path,
        see: impl Fn(&Folder) -> Result<T, Error>,
    ) -> Result<Result<T, Ending>, Error> {
        let prepared = match self.prepare(spec, folder).await? {
            Preparation::Ready(prepared) => prepared,
            Preparation::Refused(ending) => return Ok(Err(ending)),
        };
        let run = self.start(prepared).await?;
        let exit = ended(&*run).await?;
        let seen = see(&Folder::new(folder))?;
        self.wipe(folder).await?;
        Ok(if exit.ending.outcome == Outcome::Completed { Ok(seen) } else { Err(exit.ending) })
    }

    /// Make the module of `spec` ready in `folder`; a refusal says why it can never run.
    async fn ready_module(
        &self,
        spec: &Spec,
        wasm: Wasm,
        folder: &Folder,
    ) -> Result<Result<(), Ending>, Error> {
        let found = match module::find(spec, wasm, folder).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if module::take(&self.modules, &found, folder).await? {
            return Ok(Ok(()));
        }
        self.end_compilation(folder).await?;
        let making = Folder::new(folder.making());
        module::place(&found.bytes, &making).await?;
        let compilation = module::compilation(spec);
        let prepared = {
            let (compilation, making) = (compilation.clone(), making.path().to_owned());
            blocking(move || prepare(compilation, Task::Compile, &making, Graphics::default()))
                .await?
        };
        let prepared = match prepared {
            Preparation::Ready(prepared) => prepared,
            Preparation::Refused(refusal) => return Ok(Err(refusal)),
        };
        let run = self.start(prepared).await?;
        let exit = ended(&*run).await?;
        let kept = module::keep(&self.modules, &found, spec, &*run, &exit).await?;
        self.end_compilation(folder).await?;
        match kept {
            Ok(()) if module::take(&self.modules, &found, folder).await? => Ok(Ok(())),
            Ok(()) => {
                let words = "a compiled module could not be read back".to_owned();
                Err(Error::Unfit { words })
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// End and remove what is left of a compilation in the run folder `folder`.
    async fn end_compilation(&self, folder: &Folder) -> Result<(), Error> {
        let making = Folder::new(folder.making());
        if let Some(run) = self.adopt(making.path()).await? {
            module::end(&*run).await?;
        }
        blocking(move || wipe(&making).map(drop)).await
    }
}

/// Wait until a run is over.
async fn ended(run: &dyn Run) -> Result<ExitRecord, Error> {
    loop {
        if let Some(exit) = run.progress().await?.exit() {
            return Ok(exit.clone());
        }
        run.changed().await?;
    }
}

#[async_trait]
impl Runtime for Native {
    async fn probe(&self, scratch: &Path) -> Result<Isolation, Error> {
        let folder = scratch.join("probe");
        let program = Spec::host("true", [""; 0]);
        let isolation = |folder: &Folder| read_record(&folder.isolation());
        let isolation = match self.try_out(&program, &folder, isolation).await? {
            Ok(Some(isolation)) => isolation,
            Ok(None) => {
                return Err(Error::Unfit { words: "the shim noted no walls".to_owned() });
            }
            Err(ending) => return Err(Error::Unfit { words: ending.to_string() }),
        };
        let module =
            Spec { root: Root::Wasm(Wasm::default()), ..Spec::host(module::MODULE, [""; 0]) };
        module::place(SMALLEST, &Folder::new(&folder)).await?;
        let executed = self.try_out(&module, &folder, |_| Ok(())).await;
        self.wipe(&folder).await?;
        Ok(Isolation { wasm: matches!(executed, Ok(Ok(()))), ..isolation })
    }

    async fn prepare(&self, spec: &Spec, folder: &Path) -> Result<Preparation, Error> {
        let prepared = {
            let (spec, folder) = (spec.clone(), folder.to_owned());
            let graphics = self.graphics.clone();
            blocking(move || prepare(spec, Task::Run, &folder, graphics)).await?
        };
        match (&prepared, &spec.root) {
            (Preparation::Ready(Prepared { folder }), Root::Wasm(wasm)) => {
                match self.ready_module(spec, *wasm, &Folder::new(folder)).await? {
                    Ok(()) => Ok(prepared),
                    Err(refusal) => Ok(Preparation::Refused(refusal)),
                }
            }
            _ => Ok(prepared),
        }
    }

    async fn start(&self, prepared: Prepared) -> Result<Box<dyn Run>, Error> {
        let folder = Folder::new(prepared.folder);
        self.keep(&folder).await?;
        Ok(Box::new(Kept::find(folder)?))
    }

    async fn adopt(&self, folder: &Path) -> Result<Option<Box<dyn Run>>, Error> {
        let folder = Folder::new(absolute(folder)?);
        if !folder.state().exists() && !folder.exit().exists() {
            return Ok(None);
        }
        Ok(Some(Box::new(Kept::find(folder)?)))
    }

    async fn wipe(&self, folder: &Path) -> Result<Wiped, Error> {
        let folder = Folder::new(absolute(folder)?);
        self.end_compilation(&folder).await?;
        blocking(move || wipe(&folder)).await
    }
}

fn prepare(
    spec: Spec,
    task: Task,
    folder: &Path,
    graphics: Graphics,
) -> Result<Preparation, Error> {
    if let Some(refusal) = spec.complaint().or_else(|| too_few(&spec, &graphics)) {
        return Ok(Preparation::Refused(refusal));
    }
    let folder = Folder::new(absolute(folder)?);
    for path in [folder.path().to_owned(), folder.root(), folder.out()] {
        fs::create_dir_all(&path).map_err(|error| Error::file("making", &path, error))?;
    }
    // What the job makes, set-user bits included, is out of reach for other users of the machine.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700))
        .map_err(|error| Error::file("closing", folder.path(), error))?;
    match jail::locate(&spec.root, &folder.work(), &spec.candidates()) {
        Ok(()) => {}
        Err(Unstartable::Missing) => return Ok(Preparation::Refused(missing(&spec))),
        Err(Unstartable::NotExecutable(why)) => {
            return Ok(Preparation::Refused(not_executable(&spec, why)));
        }
    }
    let own_user = give_to_own_user(&folder)?;
    let ticket = Ticket { spec, task, own_user, graphics };
    write_record(&folder.spec(), &ticket, Durability::Death)?;
    Ok(Preparation::Ready(Prepared { folder: folder.path().to_owned() }))
}

/// The refusal of more graphics processors than there are.
fn too_few(spec: &Spec, graphics: &Graphics) -> Option<Ending> {
    let wanted = spec.limits.resources.gpus;
    let few = usize::try_from(wanted).unwrap_or(usize::MAX) > graphics.count();
    few.then(|| too_few_graphics(wanted, graphics.count()))
}

/// Give the work folder to a user that owns nothing else, where we may; `None` where we may not.
fn give_to_own_user(folder: &Folder) -> Result<Option<u32>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let [one, two, three, ..] = Digest::of(folder.path().as_os_str().as_encoded_bytes()).0;
    let user = FIRST_USER + u32::from_be_bytes([0, one, two, three]);
    match disk::give(&folder.work(), user) {
        Ok(()) => Ok(Some(user)),
        // Root of a container that has no such user to give.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => Ok(None),
        Err(error) => Err(Error::file("giving away", folder.work(), error)),
    }
}

fn wipe(folder: &Folder) -> Result<Wiped, Error> {
    if !kept::is_left(folder)? {
        return Err(Error::StillRunning { folder: folder.path().to_owned() });
    }
    let cgroups = kept::clear_cgroups(folder)?;
    let wiped =
        disk::wipe(folder.path()).map_err(|error| Error::file("wiping", folder.path(), error))?;
    Ok(Wiped { cgroups, ..wiped })
}

/// The same path whatever becomes of the working folder; it need not exist.
fn absolute(folder: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(folder).map_err(|error| Error::file("placing", folder, error))
}
