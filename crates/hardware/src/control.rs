//! Cgroups: which form the kernel offers, what we may do there, and how we are bounded ourselves.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use primitives::{Bytes, Millicores};
use serde::{Deserialize, Serialize};

/// The form of a hierarchy of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// One hierarchy for each controller.
    First,
    /// One hierarchy for all.
    Second,
}

/// What the kernel offers and what we may use of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroups {
    /// Controllers of the first form under which we may make cgroups.
    pub first: BTreeSet<String>,
    /// Controllers of the second form under which we may make cgroups.
    pub second: BTreeSet<String>,
}

/// A hierarchy as mounted, with the folder of our own cgroup in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) form: Form,
    pub(crate) controllers: Vec<String>,
    /// The folder at which our view of the hierarchy begins.
    pub(crate) top: PathBuf,
    pub(crate) own: PathBuf,
}

/// From `/proc/self/mountinfo` and `/proc/self/cgroup` (cgroups(7)).
pub(crate) fn hierarchies(mounts: &str, own: &str) -> Vec<Hierarchy> {
    mounts.lines().filter_map(|line| hierarchy(line, own)).collect()
}

fn hierarchy(line: &str, own: &str) -> Option<Hierarchy> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1)?);
    let form = match kind {
        "cgroup" => Form::First,
        "cgroup2" => Form::Second,
        _ => return None,
    };
    let (controllers, path) = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let ours = match form {
            Form::Second => controllers.is_empty(),
            Form::First => {
                !controllers.is_empty()
                    && controllers
                        .split(',')
                        .all(|it| options.split(',').any(|option| option == it))
            }
        };
        ours.then_some((controllers, path))
    })?;
    let below = path.strip_prefix(root).unwrap_or(path).trim_start_matches('/');
    Some(Hierarchy {
        form,
        controllers: controllers
            .split(',')
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect(),
        top: PathBuf::from(point),
        own: Path::new(point).join(below),
    })
}

/// The bound in a file such as `memory.max` or `memory.limit_in_bytes`; absurdly high ones are none.
pub(crate) fn memory_bound(text: &str) -> Option<Bytes> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 60).map(Bytes)
}

/// The share in `cpu.max` (`quota period`), or in the two files of the first form put side by side.
pub(crate) fn cpu_bound(text: &str) -> Option<Millicores> {
    let mut numbers = text.split_whitespace();
    let quota: u64 = numbers.next()?.parse().ok()?;
    let period: u64 = numbers.next()?.parse().ok().filter(|it| *it > 0)?;
    quota.checked_mul(1_000).map(|it| Millicores(it / period))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_the_second_form_alone() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let found = hierarchies(mounts, "0::/user.slice/user-1000.slice/session-2.scope\n");
        let top = PathBuf::from("/sys/fs/cgroup");
        let own = top.join("user.slice/user-1000.slice/session-2.scope");
        assert_eq!(found, [Hierarchy { form: Form::Second, controllers: vec![], top, own }]);
    }

    #[test]
    fn a_machine_that_mixes_both() {
        let mounts = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/1f /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
27 1 254:0 / / rw - ext4 /dev/vda rw
";
        let own = "4:memory:/docker/1f/a\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n";
        let found = hierarchies(mounts, own);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(found[1].own, Path::new("/sys/fs/cgroup/memory/a"));
        assert_eq!(found[3].form, Form::Second);
    }

    #[test]
    fn bounds_are_read_and_the_lack_of_one_is_none() {
        assert_eq!(memory_bound("4294967296\n"), Some(Bytes::gibi(4)));
        assert_eq!(memory_bound("max\n"), None);
        assert_eq!(memory_bound("9223372036854771712\n"), None);
        assert_eq!(cpu_bound("150000 100000\n"), Some(Millicores(1_500)));
        assert_eq!(cpu_bound("max 100000\n"), None);
        assert_eq!(cpu_bound("-1 100000"), None);
    }
}
