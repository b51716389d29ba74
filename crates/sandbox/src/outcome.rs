//! How a run ended: one word, the cause in clear words, and what to do next.

use std::fmt;

use primitives::{Bytes, Digest, Fuel, Seconds, Usage};
use serde::{Deserialize, Serialize};

/// How a run ended. Each has one stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The program exited with 0.
    Completed,
    /// The program exited with another code.
    NonZeroExit,
    /// A signal other than KILL ended the program.
    Signalled,
    /// The program was killed, and the kernel does not say that memory was the reason.
    Killed,
    /// The limit of time was reached.
    TimedOut,
    /// The kernel killed for lack of memory, by its own count; or a module failed after it was refused
    /// memory.
    OutOfMemory,
    /// A module has burnt all the fuel it was given.
    OutOfFuel,
    /// A module did what no module may, such as dividing by zero.
    Trapped,
    /// More was written under `out` than was agreed.
    OutputLimit,
    /// The work folder outgrew its share of the disk, or the disk itself is full.
    DiskFull,
    /// The program does not exist inside the root; it never started.
    MissingProgram,
    /// The program exists but cannot be executed; it never started.
    NotExecutable,
    /// The spec can never run.
    Refused,
    /// Stopped from outside, as asked.
    Stopped,
    /// The jail could not be built or was torn down from outside: the machine's fault.
    SandboxFault,
    /// The shim died and with it the work: the machine's fault.
    Lost,
}

/// An outcome with its cause and the next action, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, with the figures that matter.
    pub cause: String,
    /// What to do about it.
    pub next: String,
}

/// The last word on a run; written once, durably, by the shim (or for a dead shim by its finder).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// How and why it ended.
    #[serde(flatten)]
    pub ending: Ending,
    /// The program's exit code, if it exited by itself; a module that trapped did not.
    pub exit_code: Option<i32>,
    /// The signal that ended the program, if one did.
    pub signal: Option<i32>,
    /// Whether the program ever started: its `exec` succeeded.
    pub started: bool,
    /// Running time since readiness in milliseconds, pauses excluded.
    pub elapsed_ms: u64,
    /// Paused time in milliseconds.
    pub paused_ms: u64,
    /// Processor time in milliseconds.
    pub cpu_ms: u64,
    /// Most memory in use.
    pub peak: Bytes,
    /// The fuel that a module has burnt; zero for work of any other kind.
    #[serde(default)]
    pub fuel: Fuel,
    /// Sum of file lengths under `out`.
    pub output: Bytes,
    /// Bytes of stdout and stderr that were not kept.
    pub log_dropped: Bytes,
    /// How many samples were taken.
    pub samples: u64,
    /// The head of the chain over them.
    pub chain: Digest,
}

impl Outcome {
    /// The stable code, for machines and for searching the manual.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::NonZeroExit => "non-zero-exit",
            Self::Signalled => "signalled",
            Self::Killed => "killed",
            Self::TimedOut => "timed-out",
            Self::OutOfMemory => "out-of-memory",
            Self::OutOfFuel => "out-of-fuel",
            Self::Trapped => "trapped",
            Self::OutputLimit => "output-limit",
            Self::DiskFull => "disk-full",
            Self::MissingProgram => "missing-program",
            Self::NotExecutable => "not-executable",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::SandboxFault => "sandbox-fault",
            Self::Lost => "lost",
        }
    }

    /// Whether the machine, not the job, is to blame; such time is not billed beyond the last
    /// good sample.
    pub const fn is_the_machines_fault(self) -> bool {
        matches!(self, Self::SandboxFault | Self::Lost)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.outcome, self.cause, self.next)
    }
}

impl ExitRecord {
    /// What the whole run used; elapsed time is rounded up once, and is at least one second for a
    /// program that started.
    pub fn usage(&self) -> Usage {
        let elapsed = self.elapsed_ms.div_ceil(1_000).max(self.started.into());
        Usage { elapsed: Seconds(elapsed), cpu_ms: self.cpu_ms, peak: self.peak }
    }

    /// The exit status a shell would show: the program's own, 128 + signal (a trap is an abort), 124
    /// for the end of time or fuel, 126 and 127 for what cannot be executed or found, 125 for everything that is our side's.
    pub fn exit_status(&self) -> u8 {
        let own = self.exit_code.and_then(|code| u8::try_from(code).ok());
        let signal = self.signal.and_then(|signal| u8::try_from(128 + signal).ok());
        match self.ending.outcome {
            Outcome::Completed => 0,
            Outcome::TimedOut | Outcome::OutOfFuel => 124,
            Outcome::Trapped => 134,
            Outcome::NotExecutable => 126,
            Outcome::MissingProgram => 127,
            Outcome::Refused | Outcome::SandboxFault | Outcome::Lost => 125,
            Outcome::OutputLimit | Outcome::DiskFull => {
                own.filter(|code| *code != 0).or(signal).unwrap_or(1)
            }
            _ => own.or(signal).unwrap_or(125),
        }
    }
}
