//! After many runs nothing is left.

use std::{fs, path::Path, process::Command};

use sandbox::{Outcome, Runtime};

use crate::{
    bench::{Bench, mark, processes, shell},
    modules,
};

const RUNS: usize = 120;

/// Set for the copy of this program that counts; other tests would open and close files beside it.
const ALONE: &str = "PLAZA_TEST_ALONE";

#[test]
fn a_hundred_runs_leave_no_mount_cgroup_descriptor_process_or_folder() {
    let done = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "leaks::alone", "--nocapture"])
        .env(ALONE, "yes")
        .output()
        .expect("run");
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{words}");
}

/// Runs in a process of its own; outside that it does nothing.
#[tokio::test]
async fn alone() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let (bench, mark) = (Bench::new(), mark());
    let before = Left::now();
    for number in 0..RUNS {
        if number % 10 == 0 {
            modules::work(&bench).await;
        }
        let script = match number % 3 {
            0 => "echo x >out/x".to_owned(),
            1 => format!("sleep {mark} & exit 1"),
            _ => "mkdir -p a/b/c; kill -KILL $$".to_owned(),
        };
        let run = bench.start(&shell(&script)).await;
        let done = bench.finish(&*run).await;
        assert_ne!(done.exit.ending.outcome, Outcome::SandboxFault, "{done:?}");
        assert!(!bench.folder().exists());
    }
    let after = Left::now();
    assert_eq!(after.mounts, before.mounts);
    assert_eq!(after.descriptors, before.descriptors);
    assert_eq!(after.cgroups(&bench.folder()), 0);
    assert_eq!(processes(&mark), [0; 0]);
    assert_eq!(processes(&bench.folder().display().to_string()), [0; 0]);
    fs::remove_dir_all(bench.modules()).expect("compiled modules");
    assert_eq!(fs::read_dir(bench.scratch.path()).expect("a folder").count(), 0);
    let nothing = bench.runtime.wipe(&bench.folder()).await.expect("wiped");
    assert_eq!(nothing, sandbox::Wiped::default());
}

/// What this process and this machine hold.
struct Left {
    mounts: usize,
    descriptors: usize,
}

impl Left {
    fn now() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts").lines().count();
        let descriptors = fs::read_dir("/proc/self/fd").expect("descriptors").count();
        Self { mounts, descriptors }
    }

    /// Cgroups that carry the name of the run in `folder`.
    fn cgroups(&self, folder: &Path) -> usize {
        let digest = primitives::Digest::of(folder.as_os_str().as_encoded_bytes()).to_string();
        let name = format!("plaza-{}", &digest[..16]);
        let mut folders = vec![Path::new("/sys/fs/cgroup").to_owned()];
        let mut found = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    found += usize::from(entry.file_name().to_string_lossy() == name);
                    folders.push(entry.path());
                }
            }
        }
        found
    }
}
