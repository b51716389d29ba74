//! One cgroup per run: limits, accounting, the freezer and the kernel's word on memory, in the
//! first and the second form of cgroups, and in machines that mix both.
//!
//! In: where the kernel says the hierarchies are, the limits. Out: folders under our own cgroup (or,
//! for root in the second form, under `plaza` at its root), each control either in force or absent;
//! absence is reported in [`crate::Isolation`], never covered up.
//!
//! Sources: Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst of Linux.

mod places;

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use primitives::{Bytes, Resources};
use rustix::process::{Pid, Signal, kill_process};

use places::{Form, Places};

/// The period over which the processor share is enforced, in microseconds.
const PERIOD_US: u64 = 100_000;

/// How often the kernel is asked again whether a cgroup is empty, and how long to wait in between.
const REMOVALS: u32 = 200;
const REMOVAL_PAUSE: Duration = Duration::from_millis(2);

/// A folder through which one control is exercised.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Control {
    form: Form,
    folder: PathBuf,
}

/// The cgroup of one run.
#[derive(Debug, Default)]
pub(crate) struct Cgroup {
    memory: Option<Control>,
    cpu: Option<Control>,
    accounting: Option<Control>,
    pids: Option<Control>,
    freezer: Option<Control>,
}

impl Cgroup {
    /// Make a cgroup called `name`; controls that cannot be had are left out.
    pub(crate) fn create(name: &str) -> Self {
        let Some(places) = Places::of_this_process() else { return Self::default() };
        let control = |controller: &str| {
            let (form, folder) = places.parent(controller)?;
            let folder = folder.join(name);
            fs::create_dir_all(&folder).ok()?;
            Some(Control { form, folder })
        };
        Self {
            memory: control("memory"),
            cpu: control("cpu"),
            accounting: control("cpuacct"),
            pids: control("pids"),
            freezer: control("freezer"),
        }
    }

    /// Put the limits in force; a control that refuses is dropped.
    pub(crate) fn limit(&mut self, resources: &Resources, processes: u32) {
        keep(&mut self.memory, |it| it.limit_memory(resources.memory));
        keep(&mut self.cpu, |it| it.limit_cpu(resources.cpu.0));
        keep(&mut self.pids, |it| it.write("pids.max", &processes.to_string()));
    }

    /// Move a process in, before it has any children.
    pub(crate) fn join(&self, pid: Pid) -> io::Result<()> {
        let pid = pid.as_raw_nonzero().to_string();
        self.folders().iter().try_for_each(|it| fs::write(it.join("cgroup.procs"), &pid))
    }

    /// The distinct folders of this cgroup.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let all = [&self.memory, &self.cpu, &self.accounting, &self.pids, &self.freezer];
        let mut folders: Vec<PathBuf> =
            all.into_iter().flatten().map(|it| it.folder.clone()).collect();
        folders.sort();
        folders.dedup();
        folders
    }

    pub(crate) fn limits_memory(&self) -> bool {
        self.memory.is_some()
    }

    pub(crate) fn limits_cpu(&self) -> bool {
        self.cpu.is_some()
    }

    pub(crate) fn limits_processes(&self) -> bool {
        self.pids.is_some()
    }

    pub(crate) fn accounts(&self) -> bool {
        self.accounting.is_some() && self.memory.is_some()
    }

    pub(crate) fn freezes(&self) -> bool {
        self.freezer.is_some()
    }

    /// Processor time used so far in milliseconds.
    pub(crate) fn cpu_ms(&self) -> Option<u64> {
        let it = self.accounting.as_ref()?;
        match it.form {
            Form::First => it.number("cpuacct.usage").map(|ns| ns / 1_000_000),
            Form::Second => it.field("cpu.stat", "usage_usec").map(|us| us / 1_000),
        }
    }

    /// Memory in use, and the most that ever was where the kernel tells.
    pub(crate) fn memory(&self) -> Option<(Bytes, Option<Bytes>)> {
        let it = self.memory.as_ref()?;
        let (now, peak) = match it.form {
            Form::First => ("memory.usage_in_bytes", "memory.max_usage_in_bytes"),
            Form::Second => ("memory.current", "memory.peak"),
        };
        Some((Bytes(it.number(now)?), it.number(peak).map(Bytes)))
    }

    /// How often the kernel killed here for lack of memory.
    pub(crate) fn kernel_kills(&self) -> u64 {
        let count = self.memory.as_ref().and_then(|it| match it.form {
            Form::First => it.field("memory.oom_control", "oom_kill"),
            Form::Second => it.field("memory.events", "oom_kill"),
        });
        count.unwrap_or(0)
    }

    /// Hold or release everything in it; `false` when there is no freezer.
    pub(crate) fn freeze(&self, hold: bool) -> bool {
        let Some(it) = &self.freezer else { return false };
        let (file, word) = match (it.form, hold) {
            (Form::First, true) => ("freezer.state", "FROZEN"),
            (Form::First, false) => ("freezer.state", "THAWED"),
            (Form::Second, true) => ("cgroup.freeze", "1"),
            (Form::Second, false) => ("cgroup.freeze", "0"),
        };
        it.write(file, word).is_ok()
    }

    /// Remove it; everything inside has ended before.
    pub(crate) fn remove(&self) {
        for folder in self.folders() {
            remove(&folder);
        }
    }
}

/// End whatever still lives in the cgroup at `folder`, and remove it; `true` when it was there.
pub(crate) fn remove(folder: &Path) -> bool {
    // Whoever is frozen cannot die. Where there is no such file, nobody is.
    for (file, word) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        if folder.join(file).exists() {
            let _ = fs::write(folder.join(file), word);
        }
    }
    for _ in 0..REMOVALS {
        match fs::remove_dir(folder) {
            Ok(()) => return true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(_) => {
                for pid in members(folder) {
                    // Whoever ended meanwhile needs no signal.
                    let _ = kill_process(pid, Signal::KILL);
                }
                thread::sleep(REMOVAL_PAUSE);
            }
        }
    }
    false
}

fn members(folder: &Path) -> Vec<Pid> {
    fs::read_to_string(folder.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok().and_then(Pid::from_raw))
        .collect()
}

fn keep(control: &mut Option<Control>, limit: impl FnOnce(&Control) -> io::Result<()>) {
    if control.as_ref().is_some_and(|it| limit(it).is_err()) {
        *control = None;
    }
}

impl Control {
    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.folder.join(file), text)
    }

    fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.folder.join(file)).ok()?.trim().parse().ok()
    }

    fn field(&self, file: &str, name: &str) -> Option<u64> {
        field(&fs::read_to_string(self.folder.join(file)).ok()?, name)
    }

    fn limit_memory(&self, memory: Bytes) -> io::Result<()> {
        let bytes = memory.0.to_string();
        match self.form {
            Form::First => {
                self.write("memory.limit_in_bytes", &bytes)?;
                // Kernels without swap accounting have no such file, and then no swap to bound.
                let _ = self.write("memory.memsw.limit_in_bytes", &bytes);
            }
            Form::Second => {
                self.write("memory.max", &bytes)?;
                let _ = self.write("memory.swap.max", "0");
                let _ = self.write("memory.oom.group", "1");
            }
        }
        Ok(())
    }

    fn limit_cpu(&self, millicores: u64) -> io::Result<()> {
        // The kernel takes no quota below one millisecond.
        let quota = (millicores * PERIOD_US / 1_000).max(1_000);
        match self.form {
            Form::First => {
                self.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                self.write("cpu.cfs_quota_us", &quota.to_string())
            }
            Form::Second => self.write("cpu.max", &format!("{quota} {PERIOD_US}")),
        }
    }
}

/// The number that follows `name` in a file of lines `name number`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n";
        assert_eq!(field(text, "oom_kill"), Some(2));
        assert_eq!(field(text, "oom"), None);
    }

    #[test]
    fn the_second_form_is_written_and_read_as_documented() {
        let folder = tempfile::tempdir().expect("a folder");
        let it = Control { form: Form::Second, folder: folder.path().to_owned() };
        it.limit_memory(Bytes::mebi(64)).expect("written");
        it.limit_cpu(1_500).expect("written");
        let read = |file: &str| fs::read_to_string(folder.path().join(file)).expect("a file");
        assert_eq!(read("memory.max"), (64 << 20).to_string());
        assert_eq!(read("memory.swap.max"), "0");
        assert_eq!(read("cpu.max"), "150000 100000");
        it.write("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n").expect("written");
        it.write("cpu.stat", "usage_usec 2500000\nuser_usec 1\n").expect("written");
        it.write("memory.current", "4096\n").expect("written");
        let cgroup =
            Cgroup { memory: Some(it.clone()), accounting: Some(it), ..Default::default() };
        assert_eq!(cgroup.kernel_kills(), 1);
        assert_eq!(cgroup.cpu_ms(), Some(2_500));
        assert_eq!(cgroup.memory(), Some((Bytes(4_096), None)));
    }

    /// Accounting, the freezer and the end of all members need no controller, so they can be tried
    /// on every machine whose second form we may write to.
    #[test]
    fn the_second_form_counts_freezes_and_empties_for_real() {
        let tops = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let made = tops.iter().map(Path::new).find_map(|top| {
            let folder = top.join(format!("plaza-test-{}", std::process::id()));
            let second = top.join("cgroup.controllers").exists();
            (second && fs::create_dir(&folder).is_ok()).then_some(folder)
        });
        let Some(folder) = made else {
            eprintln!("passed over: no right to make cgroups of the second form here");
            return;
        };
        let control = Control { form: Form::Second, folder: folder.clone() };
        let cgroup = Cgroup {
            accounting: Some(control.clone()),
            freezer: Some(control),
            ..Default::default()
        };
        let mut busy = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .expect("sh");
        let pid = Pid::from_raw(i32::try_from(busy.id()).expect("a process")).expect("a process");
        cgroup.join(pid).expect("joined");
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let wait = |reached: &dyn Fn() -> bool| {
            while !reached() {
                assert!(std::time::Instant::now() < deadline, "never reached");
                thread::sleep(REMOVAL_PAUSE);
            }
        };
        wait(&|| cgroup.cpu_ms().is_some_and(|spent| spent > 10));
        assert!(cgroup.freeze(true));
        let frozen = || {
            let events = fs::read_to_string(folder.join("cgroup.events")).unwrap_or_default();
            field(&events, "frozen") == Some(1)
        };
        wait(&frozen);
        assert!(remove(&folder), "frozen members are thawed and ended");
        assert!(!folder.exists());
        assert!(!busy.wait().expect("ended").success());
    }
}
