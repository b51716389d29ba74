//! What a job sees as `/`: for a host root the system folders and a generated `/etc`, for an image
//! what the image holds, for a module
//! nothing but its own code.

use std::{
    fs,
    io::{self, ErrorKind},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
};

use crate::spec::Root;

/// The user and group a job finds itself to be.
pub(super) const JOB: u32 = 1_000;

/// The folders of the host that a job may see.
const SYSTEM: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr"];

/// Parts of the host's `/etc` that packages ship and programs do not work without; nothing here
/// speaks of people, keys or networks.
const SHIPPED: [&str; 14] = [
    "alternatives",
    "fonts",
    "ld.so.cache",
    "locale.alias",
    "localtime",
    "magic",
    "mime.types",
    "protocols",
    "python3",
    "rpc",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
];

/// Configuration of Java comes under a name with a version.
const SHIPPED_PREFIX: &str = "java-";

/// Names at the root that are ours, whatever an image holds.
const OURS: [&str; 5] = ["dev", "proc", "sys", "tmp", "work"];

/// Where the compiled code of a module lies inside, below the root.
pub(super) const CODE: &str = "code";

/// The plan of a root folder.
pub(super) struct View {
    pub(super) shown: Vec<Shown>,
    /// Files of `/etc` that we write.
    pub(super) texts: Vec<(&'static str, String)>,
}

/// One thing placed in the new root.
pub(super) struct Shown {
    /// Where, relative to the new root.
    pub(super) inside: String,
    pub(super) thing: Thing,
}

/// What is placed.
pub(super) enum Thing {
    /// A folder outside, read-only, with all below it.
    Tree(PathBuf),
    /// A file outside, read-only.
    File(PathBuf),
    /// A link with this target.
    Link(PathBuf),
}

impl View {
    /// What is seen with `root`; of a module, its `code` alone.
    pub(super) fn of(root: &Root, code: &Path) -> io::Result<Self> {
        match root {
            Root::Wasm(_) => {
                let shown = show(code, CODE)?.into_iter().collect();
                Ok(Self { shown, texts: Vec::new() })
            }
            Root::Host => host(),
            Root::Image(folder) => image(folder),
        }
    }
}

fn host() -> io::Result<View> {
    let mut shown = Vec::new();
    for name in SYSTEM {
        shown.extend(show(&Path::new("/").join(name), name)?);
    }
    let java = fs::read_dir("/etc")?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(SHIPPED_PREFIX));
    for name in SHIPPED.into_iter().map(str::to_owned).chain(java) {
        shown.extend(show(&Path::new("/etc").join(&name), &format!("etc/{name}"))?);
    }
    Ok(View { shown, texts: texts() })
}

fn image(folder: &Path) -> io::Result<View> {
    let mut shown = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        match name.to_str() {
            Some(name) if !OURS.contains(&name) => {
                shown.extend(show(&folder.join(name), name)?);
            }
            _ => {}
        }
    }
    Ok(View { shown, texts: Vec::new() })
}

fn show(path: &Path, inside: &str) -> io::Result<Option<Shown>> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let thing = if kind.is_symlink() {
        Thing::Link(fs::read_link(path)?)
    } else if kind.is_dir() {
        Thing::Tree(path.to_owned())
    } else if kind.is_file() {
        Thing::File(path.to_owned())
    } else {
        return Ok(None);
    };
    Ok(Some(Shown { inside: inside.to_owned(), thing }))
}

/// The files of `/etc` that would speak of the host if they were its own.
fn texts() -> Vec<(&'static str, String)> {
    [
        ("group", format!("root:x:0:\njob:x:{JOB}:\nnogroup:x:65534:\n")),
        ("hostname", "plaza\n".to_owned()),
        ("hosts", "127.0.0.1 localhost plaza\n::1 localhost\n".to_owned()),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"
                .to_owned(),
        ),
        (
            "passwd",
            format!(
                "root:x:0:0:root:/:/bin/sh\njob:x:{JOB}:{JOB}:job:/work:/bin/sh\n\
                 nobody:x:65534:65534:nobody:/:/bin/false\n"
            ),
        ),
        ("resolv.conf", String::new()),
    ]
    .into()
}

/// Why a program cannot be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unstartable {
    Missing,
    NotExecutable(&'static str),
}

/// Find the program among `candidates` (paths as seen from inside) as the job will, before anything
/// is started. What cannot be decided from outside is left to `exec`.
pub(crate) fn locate(root: &Root, work: &Path, candidates: &[String]) -> Result<(), Unstartable> {
    let mut verdict = Unstartable::Missing;
    for candidate in candidates {
        match examine(root, work, candidate) {
            Ok(()) => return Ok(()),
            Err(Unstartable::Missing) => {}
            Err(found) => verdict = found,
        }
    }
    Err(verdict)
}

fn examine(root: &Root, work: &Path, candidate: &str) -> Result<(), Unstartable> {
    let (base, rest) = match (candidate.strip_prefix("/work/"), root) {
        (Some(rest), _) => (work, rest),
        (None, Root::Host) => (Path::new("/"), candidate),
        (None, Root::Image(folder)) => (folder.as_path(), candidate),
        (None, Root::Wasm(_)) => return Err(Unstartable::Missing),
    };
    let program = match open_beneath(base, rest) {
        Ok(program) => program,
        // A link among the inputs may lead to a place that only exists inside.
        Err(_) if base == work && fs::symlink_metadata(work.join(rest)).is_ok() => return Ok(()),
        Err(_) => return Err(Unstartable::Missing),
    };
    if base == Path::new("/") && !is_visible(&program) {
        return Err(Unstartable::Missing);
    }
    match program.metadata() {
        Ok(metadata) if metadata.is_dir() => Err(Unstartable::NotExecutable("it is a folder")),
        Ok(metadata) if !metadata.is_file() => {
            Err(Unstartable::NotExecutable("it is not a plain file"))
        }
        // A module is read, not executed.
        Ok(_) if matches!(root, Root::Wasm(_)) => Ok(()),
        Ok(metadata) if metadata.mode() & 0o111 == 0 => {
            Err(Unstartable::NotExecutable("it lacks the right to be executed"))
        }
        Ok(_) => Ok(()),
        Err(_) => Err(Unstartable::Missing),
    }
}

fn open_beneath(base: &Path, path: &str) -> Result<fs::File, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let base = openat(CWD, base, flags | OFlags::DIRECTORY, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(base, path, flags, Mode::empty(), resolve).map(fs::File::from)
}

/// Whether an opened file of the host lies in a folder that a job sees.
fn is_visible(file: &fs::File) -> bool {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .is_ok_and(|path| SYSTEM.iter().any(|name| path.starts_with(Path::new("/").join(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(candidate: &str) -> Result<(), Unstartable> {
        let work = tempfile::tempdir().expect("a folder");
        fs::write(work.path().join("plain"), b"no program").expect("written");
        std::os::unix::fs::symlink("/usr/bin/env", work.path().join("link")).expect("linked");
        locate(&Root::Host, work.path(), &[candidate.to_owned()])
    }

    #[test]
    fn programs_are_found_where_the_job_would_find_them() {
        assert_eq!(find("/usr/bin/env"), Ok(()));
        assert_eq!(find("/bin/sh"), Ok(()));
        assert_eq!(find("/work/link"), Ok(()));
        assert_eq!(find("/usr/bin/no-such-program"), Err(Unstartable::Missing));
        assert!(matches!(find("/work/plain"), Err(Unstartable::NotExecutable(_))));
        assert!(matches!(find("/usr/bin"), Err(Unstartable::NotExecutable(_))));
    }

    #[test]
    fn what_the_job_cannot_see_is_missing_even_if_the_host_has_it() {
        for hidden in ["/proc/self/exe", "/var/lib/dpkg/info", "/root/x", "/work/../usr/bin/env"] {
            assert_eq!(find(hidden), Err(Unstartable::Missing), "{hidden}");
        }
    }
}
