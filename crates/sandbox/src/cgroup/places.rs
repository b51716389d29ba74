//! Where the kernel keeps the cgroups of this process, and where we may put new ones.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Which form of cgroups a control speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    First,
    Second,
}

/// What our own folder in the second form is called when we are root.
const OURS: &str = "plaza";

/// The controllers we enable in the second form.
const WANTED: [&str; 3] = ["memory", "cpu", "pids"];

/// The hierarchies as this process sees them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// First form: the folder of our own cgroup by controller.
    first: BTreeMap<String, PathBuf>,
    /// Second form: the root of the hierarchy, and the folder of our own cgroup.
    second: Option<(PathBuf, PathBuf)>,
}

impl Places {
    pub(super) fn of_this_process() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        Some(Self::parse(&mounts, &own))
    }

    /// From `/proc/self/mountinfo` and `/proc/self/cgroup`.
    fn parse(mounts: &str, own: &str) -> Self {
        let mut places = Self::default();
        for line in mounts.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let (before, after): (Vec<&str>, Vec<&str>) =
                (before.split(' ').collect(), after.split(' ').collect());
            let ([_, _, _, root, point, ..], [kind, _, options]) = (&*before, &*after) else {
                continue;
            };
            match *kind {
                "cgroup" => {
                    for controller in options.split(',') {
                        if let Some(path) = own_path(own, controller) {
                            places.first.insert(controller.to_owned(), below(point, root, path));
                        }
                    }
                }
                "cgroup2" => {
                    places.second = own_path(own, "")
                        .map(|path| (PathBuf::from(point), below(point, root, path)));
                }
                _ => {}
            }
        }
        places
    }

    /// The folder in which a cgroup with this controller may be made, and its form. Accounting and
    /// freezing need no controller in the second form.
    pub(super) fn parent(&self, controller: &str) -> Option<(Form, PathBuf)> {
        if let Some(folder) = self.first.get(controller) {
            return is_writable(folder).then(|| (Form::First, folder.clone()));
        }
        let (root, own) = self.second.as_ref()?;
        let beside = own.parent().filter(|it| it.starts_with(root)).map(Path::to_owned);
        let candidates = [ours(root), beside];
        candidates
            .into_iter()
            .flatten()
            .find(|folder| {
                let needs = !matches!(controller, "cpuacct" | "freezer");
                is_writable(folder) && (!needs || grants(folder, controller))
            })
            .map(|folder| (Form::Second, folder))
    }
}

/// Our folder at the root of the second form, with the wanted controllers passed down as far as the
/// kernel lets us.
fn ours(root: &Path) -> Option<PathBuf> {
    let folder = root.join(OURS);
    fs::create_dir_all(&folder).ok()?;
    for parent in [root, &folder] {
        for controller in WANTED {
            // A controller that lives in the first form cannot be had here; that is reported.
            let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Some(folder)
}

fn grants(folder: &Path, controller: &str) -> bool {
    fs::read_to_string(folder.join("cgroup.subtree_control"))
        .is_ok_and(|text| text.split_whitespace().any(|it| it == controller))
}

fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
        && rustix::fs::access(folder.join("cgroup.procs"), rustix::fs::Access::WRITE_OK).is_ok()
}

/// The path of our cgroup in the hierarchy that has `controller` (empty: the second form).
fn own_path<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers.split(',').any(|it| it == controller).then_some(path)
    })
}

/// Where `path` lies when the part of the hierarchy from `root` on is mounted at `point`.
fn below(point: &str, root: &str, path: &str) -> PathBuf {
    let rest = path.strip_prefix(root).unwrap_or(path);
    Path::new(point).join(rest.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_mixes_both_forms() {
        let mounts = "\
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
";
        let own = "4:memory:/a/b\n2:cpuacct:/\n0::/\n";
        let places = Places::parse(mounts, own);
        assert_eq!(places.first["memory"], Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(places.first["cpuacct"], Path::new("/sys/fs/cgroup/cpuacct/"));
        let unified = PathBuf::from("/sys/fs/cgroup/unified");
        assert_eq!(places.second, Some((unified.clone(), unified.join(""))));
    }

    #[test]
    fn controllers_that_share_a_hierarchy_and_a_container_that_sees_a_part() {
        let mounts = "\
26 25 0:23 /docker/1f /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 /user.slice /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate
";
        let own = "2:cpu,cpuacct:/docker/1f/x\n0::/user.slice/s.scope\n";
        let places = Places::parse(mounts, own);
        assert_eq!(places.first["cpu"], Path::new("/sys/fs/cgroup/cpu,cpuacct/x"));
        assert_eq!(places.first["cpu"], places.first["cpuacct"]);
        let second = places.second.expect("the second form");
        assert_eq!(second.1, Path::new("/sys/fs/cgroup/s.scope"));
    }
}
