//! A runtime with its own folder, and the few moves that every test makes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use sandbox::{
    ExitRecord, Folder, Graphics, Native, Phase, Preparation, Progress, Run, Runtime, Shim, Spec,
    Stream,
};
use tokio::time::timeout;

/// Longer than any test needs on a machine that is busy with others.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const MODULES: &str = "modules";

pub(crate) struct Bench {
    pub(crate) runtime: Native,
    pub(crate) scratch: Scratch,
}

/// A folder that is removed at the end, or one that belongs to somebody else.
pub(crate) enum Scratch {
    Own(tempfile::TempDir),
    Lent(PathBuf),
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Lent(folder) => folder,
        }
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::over(Scratch::Own(tempfile::tempdir().expect("a folder")))
    }

    pub(crate) fn at(folder: &Path) -> Self {
        Self::over(Scratch::Lent(folder.to_owned()))
    }

    fn over(scratch: Scratch) -> Self {
        let shim = Shim { program: env!("CARGO_BIN_EXE_sandbox-shim").into(), arguments: vec![] };
        let modules = scratch.path().join(MODULES);
        Self { runtime: Native::new(shim, modules), scratch }
    }

    /// Where compiled modules are kept.
    pub(crate) fn modules(&self) -> PathBuf {
        self.scratch.path().join(MODULES)
    }

    /// One whose machine has graphics processors to give.
    pub(crate) fn with_graphics(graphics: Graphics) -> Self {
        let mut bench = Self::new();
        bench.runtime = bench.runtime.clone().with_graphics(graphics);
        bench
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.scratch.path().join("run")
    }

    /// Put an input where the job finds it.
    pub(crate) fn place(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = Folder::new(self.folder()).work().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, content).expect("written");
        path
    }

    pub(crate) async fn start(&self, spec: &Spec) -> Box<dyn Run> {
        match self.runtime.prepare(spec, &self.folder()).await.expect("prepared") {
            Preparation::Ready(prepared) => self.runtime.start(prepared).await.expect("started"),
            Preparation::Refused(ending) => panic!("refused: {ending}"),
        }
    }

    /// Run to the end, and keep the work folder for the next run.
    pub(crate) async fn run_again(&self, spec: &Spec) -> Done {
        let kept = self.scratch.path().join("kept");
        let run = self.start(spec).await;
        until(&*run, |progress| progress.exit().is_some()).await;
        fs::rename(Folder::new(run.folder()).work(), &kept).expect("kept");
        let done = self.finish(&*run).await;
        fs::create_dir(self.folder()).expect("made");
        fs::rename(&kept, Folder::new(self.folder()).work()).expect("placed");
        done
    }

    /// Run to the end and wipe.
    pub(crate) async fn run(&self, spec: &Spec) -> Done {
        let run = self.start(spec).await;
        self.finish(&*run).await
    }

    pub(crate) async fn finish(&self, run: &dyn Run) -> Done {
        let progress = until(run, |progress| progress.exit().is_some()).await;
        let done = Done {
            exit: progress.exit().expect("ended").clone(),
            stdout: text(run, Stream::Stdout).await,
            stderr: text(run, Stream::Stderr).await,
        };
        self.runtime.wipe(run.folder()).await.expect("wiped");
        done
    }
}

/// A test that fails must not leave its work running.
impl Drop for Bench {
    fn drop(&mut self) {
        if matches!(self.scratch, Scratch::Own(_)) {
            kill_shims(&self.folder());
        }
    }
}

/// Kill the shims of a run folder without a word.
pub(crate) fn kill_shims(folder: &Path) {
    let me = std::process::id();
    for shim in processes(&folder.display().to_string()).into_iter().filter(|pid| *pid != me) {
        let shim = i32::try_from(shim).expect("a process");
        // SAFETY: a signal to a process that this test started.
        unsafe { libc::kill(shim, libc::SIGKILL) };
    }
}

/// A number of seconds that no other test sleeps, by which processes of this one are found.
pub(crate) fn mark() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What is left of a run.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) exit: ExitRecord,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Wait until `reached`, as a provider does: look, and wait for a change.
pub(crate) async fn until(run: &dyn Run, reached: impl Fn(&Progress) -> bool) -> Progress {
    let wait = async {
        loop {
            let progress = run.progress().await.expect("progress");
            if reached(&progress) {
                return progress;
            }
            run.changed().await.expect("watched");
        }
    };
    match timeout(PATIENCE, wait).await {
        Ok(progress) => progress,
        Err(_) => panic!("never reached: {:?}", run.progress().await),
    }
}

pub(crate) async fn until_running(run: &dyn Run) -> Progress {
    until(run, |progress| !matches!(progress.phase, Phase::Starting)).await
}

pub(crate) async fn text(run: &dyn Run, stream: Stream) -> String {
    let bytes = run.log(stream, 0, usize::MAX).await.expect("a log");
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn shell(script: &str) -> Spec {
    Spec::host("sh", ["-c", script])
}

/// The processes of this machine whose command line contains `mark`.
pub(crate) fn processes(mark: &str) -> Vec<u32> {
    fs::read_dir("/proc")
        .expect("processes")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| command_line(Path::new(&format!("/proc/{pid}"))).contains(mark))
        .collect()
}

fn command_line(process: &Path) -> String {
    String::from_utf8_lossy(&fs::read(process.join("cmdline")).unwrap_or_default()).into_owned()
}
