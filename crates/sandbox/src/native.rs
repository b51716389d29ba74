//! Native processes of this machine, each kept by its own shim.

mod kept;

mod kernel;

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
    outcome::{Ending, Outcome},
    runtime::{Preparation, Prepared, Run, Runtime, Wiped},
    shim::Ticket,
    spec::{Limits, Spec},
};

use kept::Kept;
use kernel::blocking;

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

/// The [`Runtime`] of native Linux processes, as root or not.
#[derive(Clone, Debug)]
pub struct Native {
    shim: Shim,
    graphics: Graphics,
}

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
    /// A runtime whose runs are kept by `shim`.
    pub fn new(shim: Shim) -> Self {
        // A shim is started from `/`, so a path that starts here must be made whole; a bare name is
        // looked for in the search path.
        let is_path = shim.program.components().nth(1).is_some();
        let program = match std::path::absolute(&shim.program) {
            Ok(program) if is_path => program,
            _ => shim.program,
        };
        Self { shim: Shim { program, ..shim }, graphics: Graphics::default() }
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

#[async_trait]
impl Runtime for Native {
    async fn probe(&self, scratch: &Path) -> Result<Isolation, Error> {
        let folder = scratch.join("probe");
        let spec = Spec { limits: Limits::default(), ..Spec::host("true", [""; 0]) };
        let unfit = |ending: &Ending| Err(Error::Unfit { words: ending.to_string() });
        let prepared = match self.prepare(&spec, &folder).await? {
            Preparation::Ready(prepared) => prepared,
            Preparation::Refused(ending) => return unfit(&ending),
        };
        let run = self.start(prepared).await?;
        let exit = loop {
            if let Some(exit) = run.progress().await?.exit() {
                break exit.clone();
            }
            run.changed().await?;
        };
        let isolation = read_record(&Folder::new(&folder).isolation())?;
        self.wipe(&folder).await?;
        match isolation {
            Some(isolation) if exit.ending.outcome == Outcome::Completed => Ok(isolation),
            _ => unfit(&exit.ending),
        }
    }

    async fn prepare(&self, spec: &Spec, folder: &Path) -> Result<Preparation, Error> {
        let (spec, folder) = (spec.clone(), folder.to_owned());
        let graphics = self.graphics.clone();
        blocking(move || prepare(spec, folder, graphics)).await
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
        blocking(move || wipe(&folder)).await
    }
}

fn prepare(spec: Spec, folder: PathBuf, graphics: Graphics) -> Result<Preparation, Error> {
    if let Some(refusal) = spec.complaint().or_else(|| too_few(&spec, &graphics)) {
        return Ok(Preparation::Refused(refusal));
    }
    let folder = Folder::new(absolute(&folder)?);
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
    let ticket = Ticket { spec, own_user, graphics };
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
