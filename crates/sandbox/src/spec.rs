//! What is to run, what it may see, and how much of the machine it may take.

use std::{collections::BTreeMap, path::PathBuf};

use primitives::{Bytes, Fuel, Millicores, Resources, Seconds, format_bytes};
use serde::{Deserialize, Serialize};

use crate::outcome::{Ending, Outcome};

/// Where programs are looked for when the spec sets no `PATH`.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What every job finds in its environment unless the spec says otherwise.
const SURROUNDINGS: [(&str, &str); 6] = [
    ("HOME", "/work"),
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "job"),
    ("PATH", SEARCH_PATH),
    ("TMPDIR", "/tmp"),
    ("USER", "job"),
];

/// One program with everything it needs to run shut in, without network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// A name looked up in the job's `PATH`, or a path as seen from inside; relative ones start at
    /// `/work`. For a module always a path.
    pub program: String,
    /// The arguments after the program's own name.
    pub arguments: Vec<String>,
    /// Variables added to, or put in place of, the usual few.
    pub environment: BTreeMap<String, String>,
    /// What the job sees as `/`.
    pub root: Root,
    /// How much it may take.
    pub limits: Limits,
}

/// What a job sees as its root folder; always read-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// The system folders of this machine and a generated `/etc`; nobody's home, nothing of ours.
    Host,
    /// A folder that holds an unpacked image.
    Image(PathBuf),
    /// Nothing of any system: the program is a WebAssembly module among the inputs (a WASI command,
    /// preview 1), and the work folder is all it sees.
    Wasm(Wasm),
}

/// How a WebAssembly module is to be executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wasm {
    /// How much fuel it may burn; `None` leaves it to the limit of time.
    pub fuel: Option<Fuel>,
    /// Whether two runs on the same inputs must come to the same bytes and the same fuel, on whatever
    /// machines: a clock that only the work itself moves, a fixed random stream, one bit pattern for
    /// what is not a number (which makes floating point slower).
    pub deterministic: bool,
}

/// What a shim is to have done inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Task {
    /// What the spec says.
    Run,
    /// The module that the spec names is compiled, into `out/code`.
    Compile,
}

/// What of the memory of a lease is kept for the executor of a module.
pub(crate) const EXECUTOR_MEMORY: Bytes = Bytes::mebi(16);

/// Bounds of a run; each that is set must be more than zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processor share, memory, and disk for the whole work folder.
    pub resources: Resources,
    /// Running time since readiness, pauses excluded.
    pub time: Seconds,
    /// How long it runs after the last word of whoever watches it, before it holds itself; `None`
    /// needs nobody.
    pub unattended: Option<Seconds>,
    /// Sum of file lengths under `out`.
    pub output: Bytes,
    /// Most bytes kept of each of stdout and stderr; the rest is dropped and counted.
    pub log: Bytes,
    /// Processes and threads at once.
    pub processes: u32,
    /// Open files of each process.
    pub open_files: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            resources: Resources {
                cpu: Millicores::cores(1),
                memory: Bytes::gibi(1),
                disk: Bytes::gibi(4),
                gpus: 0,
            },
            time: Seconds(3_600),
            unattended: None,
            output: Bytes::gibi(1),
            log: Bytes::mebi(16),
            processes: 1_024,
            open_files: 4_096,
        }
    }
}

impl Spec {
    /// `program` with `arguments` on the host's root, with the usual limits.
    pub fn host<A: Into<String>>(
        program: impl Into<String>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: BTreeMap::new(),
            root: Root::Host,
            limits: Limits::default(),
        }
    }

    /// Why this can never run, if so; says what to change.
    pub(crate) fn complaint(&self) -> Option<Ending> {
        let limits = &self.limits;
        let refuse = |cause: String, next: &str| {
            Some(Ending { outcome: Outcome::Refused, cause, next: next.to_owned() })
        };
        if self.program.is_empty() {
            return refuse("no program is named".to_owned(), "name the program to run");
        }
        let pairs = self.environment.iter().flat_map(|(name, value)| [name, value]);
        let texts = [&self.program].into_iter().chain(&self.arguments).chain(pairs);
        if let Some(text) = texts.into_iter().find(|text| text.contains('\0')) {
            let text = text.replace('\0', "\\0");
            return refuse(format!("'{text}' contains a zero byte"), "remove the zero byte");
        }
        if let Some(name) =
            self.environment.keys().find(|name| name.is_empty() || name.contains('='))
        {
            return refuse(format!("'{name}' cannot name a variable"), "rename the variable");
        }
        if let Root::Wasm(wasm) = &self.root {
            if limits.resources.gpus > 0 {
                return refuse(
                    "a module cannot be given a graphics processor".to_owned(),
                    "ask for none",
                );
            }
            if wasm.fuel == Some(Fuel(0)) {
                return refuse("the limit of fuel is zero".to_owned(), "set it above zero");
            }
            if limits.resources.memory <= EXECUTOR_MEMORY {
                let least = format_bytes(EXECUTOR_MEMORY);
                return refuse(
                    format!("the executor of a module takes {least} of memory for itself"),
                    "order more memory",
                );
            }
        }
        let zero = [
            ("cpu", limits.resources.cpu.0),
            ("memory", limits.resources.memory.0),
            ("disk", limits.resources.disk.0),
            ("time", limits.time.0),
            ("time unattended", limits.unattended.map_or(1, |it| it.0)),
            ("output", limits.output.0),
            ("processes", limits.processes.into()),
            ("open files", limits.open_files.into()),
        ];
        match zero.iter().find(|(_, limit)| *limit == 0) {
            Some((name, _)) => refuse(format!("the limit of {name} is zero"), "set it above zero"),
            None => None,
        }
    }

    /// The environment as the job gets it, in order of name; a module gets what the spec says and no
    /// more.
    pub(crate) fn surroundings(&self) -> BTreeMap<&str, &str> {
        let usual = if let Root::Wasm(_) = self.root { &[][..] } else { &SURROUNDINGS };
        let mut all: BTreeMap<&str, &str> = usual.iter().copied().collect();
        all.extend(self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        all
    }

    /// The paths, as seen from inside, under which the program is tried, in order.
    pub(crate) fn candidates(&self) -> Vec<String> {
        if self.program.starts_with('/') {
            return vec![self.program.clone()];
        }
        if self.program.contains('/') || matches!(self.root, Root::Wasm(_)) {
            return vec![format!("/work/{}", self.program)];
        }
        let path = self.surroundings().get("PATH").copied().unwrap_or(SEARCH_PATH);
        path.split(':')
            .map(|folder| {
                if folder.starts_with('/') { folder.to_owned() } else { format!("/work/{folder}") }
            })
            .map(|folder| format!("{}/{}", folder.trim_end_matches('/'), self.program))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_tried_in_every_folder_of_the_path_the_job_gets() {
        let mut spec = Spec::host("tool", ["-v"]);
        assert!(spec.candidates().contains(&"/usr/bin/tool".to_owned()));
        spec.environment.insert("PATH".to_owned(), "/opt/bin/:mine".to_owned());
        assert_eq!(spec.candidates(), ["/opt/bin/tool", "/work/mine/tool"]);
        spec.program = "./tool".to_owned();
        assert_eq!(spec.candidates(), ["/work/./tool"]);
    }

    #[test]
    fn a_module_is_a_path_and_gets_no_variable_it_was_not_given() {
        let mut spec = Spec::host("tool.wasm", ["-v"]);
        spec.root = Root::Wasm(Wasm::default());
        assert_eq!(spec.candidates(), ["/work/tool.wasm"]);
        assert!(spec.surroundings().is_empty());
        spec.environment.insert("NAME".to_owned(), "value".to_owned());
        assert_eq!(spec.surroundings().into_iter().collect::<Vec<_>>(), [("NAME", "value")]);
    }

    type Spoil = fn(&mut Spec);

    fn burning(fuel: u64) -> Root {
        Root::Wasm(Wasm { fuel: Some(Fuel(fuel)), deterministic: false })
    }

    #[test]
    fn what_can_never_run_is_refused_with_its_cause() {
        let cases: [(&str, Spoil); 9] = [
            ("no program", |spec| spec.program.clear()),
            ("zero byte", |spec| spec.arguments.push("a\0b".to_owned())),
            ("name a variable", |spec| {
                spec.environment.insert("a=b".to_owned(), String::new());
            }),
            ("limit of memory is zero", |spec| spec.limits.resources.memory = Bytes(0)),
            ("limit of time is zero", |spec| spec.limits.time = Seconds(0)),
            ("unattended is zero", |spec| {
                spec.limits.unattended = Some(Seconds(0));
            }),
            ("graphics", |spec| {
                spec.root = burning(1);
                spec.limits.resources.gpus = 1;
            }),
            ("limit of fuel is zero", |spec| spec.root = burning(0)),
            ("16 MiB of memory for itself", |spec| {
                spec.root = burning(1);
                spec.limits.resources.memory = Bytes::mebi(16);
            }),
        ];
        assert_eq!(Spec::host("true", [""; 0]).complaint(), None);
        for (words, spoil) in cases {
            let mut spec = Spec::host("true", [""; 0]);
            spoil(&mut spec);
            let refusal = spec.complaint().expect(words);
            assert!(refusal.cause.contains(words), "{refusal:?}");
        }
    }
}
