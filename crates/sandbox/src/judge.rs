//! From what was seen when a run ended to what is said about it; pure.

use primitives::{Bytes, Fuel, Seconds, format_bytes, format_seconds};

use crate::{
    outcome::{Ending, Outcome},
    spec::{EXECUTOR_MEMORY, Limits, Spec},
};

/// Why the shim ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Stop,
    Time,
    Output,
    Disk,
    Memory,
}

/// How the program itself ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    Exit(i32),
    Signal(i32),
    /// The jail went down without a word on the program.
    Torn,
}

/// What the executor of a WebAssembly module told of its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It ended by itself; memory it asked for in vain, if it did.
    Exited { refused: Option<Bytes> },
    /// Its fuel was burnt.
    OutOfFuel { burnt: Fuel },
    /// It did what no module may.
    Trapped { words: String, refused: Option<Bytes> },
    /// The executor failed.
    Broken,
    /// It was told to end, and did.
    Obeyed,
}

/// Everything that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub(crate) close: Close,
    /// What the executor told, where there was one.
    pub(crate) told: Option<Told>,
    /// Why the shim ended it, if it did.
    pub(crate) reason: Option<Reason>,
    /// How often the kernel killed in this run for lack of memory, by its own count.
    pub(crate) kernel_kills: u64,
    pub(crate) peak: Bytes,
    pub(crate) output: Bytes,
    pub(crate) disk: Bytes,
    /// What is left on the disk that holds the work folder.
    pub(crate) free: Bytes,
}

const KILL: i32 = 9;
const FILE_TOO_LARGE: i32 = 25;

/// Below this the disk counts as full.
const NOTHING_LEFT: Bytes = Bytes::mebi(1);

/// The ending of a run whose program had started.
pub(crate) fn judge(evidence: &Evidence, limits: &Limits) -> Ending {
    let failed = evidence.close != Close::Exit(0);
    let beyond = evidence.output > limits.output;
    let of_module = evidence.told.as_ref().filter(|_| failed).and_then(|it| of_module(it, limits));
    match (evidence.reason, evidence.close) {
        (Some(Reason::Stop), _) => stopped(),
        (Some(Reason::Time), _) => timed_out(limits.time),
        (Some(Reason::Output), _) => output_limit(evidence.output, limits.output),
        (Some(Reason::Disk), _) => disk_full(evidence.disk, limits.resources.disk),
        _ if failed && evidence.kernel_kills > 0 => {
            out_of_memory(evidence.peak, limits.resources.memory)
        }
        (Some(Reason::Memory), _) => memory_watched(evidence.peak, limits.resources.memory),
        (None, _) if let Some(ending) = of_module => ending,
        (None, Close::Signal(FILE_TOO_LARGE)) => {
            disk_full(limits.resources.disk, limits.resources.disk)
        }
        _ if failed && evidence.free < NOTHING_LEFT => disk_gone(),
        _ if beyond => output_limit(evidence.output, limits.output),
        (None, Close::Exit(0)) => completed(),
        (None, Close::Exit(code)) => non_zero(code),
        (None, Close::Signal(KILL)) => killed(),
        (None, Close::Signal(signal)) => signalled(signal),
        (None, Close::Torn) => torn(),
    }
}

/// The ending of a module that failed, where its executor knows more than its exit code.
fn of_module(told: &Told, limits: &Limits) -> Option<Ending> {
    match told {
        Told::Exited { refused: Some(asked) } | Told::Trapped { refused: Some(asked), .. } => {
            Some(module_out_of_memory(*asked, limits.resources.memory))
        }
        Told::Exited { refused: None } | Told::Obeyed => None,
        Told::Trapped { words, refused: None } => Some(trapped(words)),
        Told::OutOfFuel { burnt } => Some(out_of_fuel(*burnt)),
        Told::Broken => Some(broken()),
    }
}

/// The ending of a program that is not there; found at prepare, or at exec by its interpreter.
pub(crate) fn missing(spec: &Spec) -> Ending {
    let sought = spec.candidates().join(", ");
    ending(
        Outcome::MissingProgram,
        format!("'{}' is not there; looked for {sought}", spec.program),
        "check the name, put the program among the inputs, or choose an image that has it; a \
         script also needs the interpreter of its first line",
    )
}

/// The ending of a program that is there but cannot be executed.
pub(crate) fn not_executable(spec: &Spec, why: &str) -> Ending {
    ending(
        Outcome::NotExecutable,
        format!("'{}' cannot be executed: {why}", spec.program),
        "make it executable for this machine (chmod +x), or start it with its interpreter, as in \
         sh script",
    )
}

/// The ending of a module whose compilation did not come to an end within the lease.
pub(crate) fn too_much_to_compile(cause: &str) -> Ending {
    ending(
        Outcome::Refused,
        format!("the module could not be compiled: {cause}"),
        "order more memory, or make the module smaller",
    )
}

/// The refusal of more graphics processors than there are.
pub(crate) fn too_few_graphics(wanted: u32, given: usize) -> Ending {
    ending(
        Outcome::Refused,
        format!("{wanted} graphics processors are asked for, and this machine gives {given}"),
        "ask for fewer, or ask another machine",
    )
}

/// The ending of a run whose jail could not be built.
pub(crate) fn jail_failed(step: &str, why: &str) -> Ending {
    ending(
        Outcome::SandboxFault,
        format!("the jail could not be built: {step}: {why}"),
        "run again on another machine; its operator finds the cause with plaza doctor",
    )
}

/// The ending of a run whose shim is gone without a word.
pub(crate) fn lost() -> Ending {
    ending(
        Outcome::Lost,
        "the process that kept the run died, and the work with it".to_owned(),
        "run again; nothing after the last sample is billed",
    )
}

fn completed() -> Ending {
    ending(Outcome::Completed, "the program exited with 0".to_owned(), "fetch the outputs")
}

fn non_zero(code: i32) -> Ending {
    ending(
        Outcome::NonZeroExit,
        format!("the program exited with {code}"),
        "read its stderr for the cause",
    )
}

fn signalled(signal: i32) -> Ending {
    ending(
        Outcome::Signalled,
        format!("signal {signal}{} ended the program", signal_name(signal)),
        "read its stderr; a crash is a fault in the program",
    )
}

fn killed() -> Ending {
    ending(
        Outcome::Killed,
        "the program was killed (signal 9), and the kernel does not name memory as the reason"
            .to_owned(),
        "see whether the program kills itself; otherwise run again",
    )
}

fn memory_watched(peak: Bytes, limit: Bytes) -> Ending {
    ending(
        Outcome::Killed,
        format!(
            "{} of memory were seen in use, {} are agreed",
            format_bytes(peak),
            format_bytes(limit)
        ),
        "order more memory or use less",
    )
}

fn out_of_memory(peak: Bytes, limit: Bytes) -> Ending {
    ending(
        Outcome::OutOfMemory,
        format!(
            "the kernel killed for lack of memory at the limit of {} (peak {})",
            format_bytes(limit),
            format_bytes(peak)
        ),
        "order more memory or use less",
    )
}

fn module_out_of_memory(asked: Bytes, limit: Bytes) -> Ending {
    ending(
        Outcome::OutOfMemory,
        format!(
            "the module asked for {} of memory in vain; {} are agreed, {} of them for its executor",
            format_bytes(asked),
            format_bytes(limit),
            format_bytes(EXECUTOR_MEMORY),
        ),
        "order more memory or use less",
    )
}

fn out_of_fuel(burnt: Fuel) -> Ending {
    ending(
        Outcome::OutOfFuel,
        format!("the module has burnt its {} units of fuel", burnt.0),
        "order more fuel or split the work",
    )
}

fn trapped(words: &str) -> Ending {
    ending(
        Outcome::Trapped,
        format!("the module was stopped: {words}"),
        "read its stderr for where; this is a fault in the module",
    )
}

fn broken() -> Ending {
    ending(
        Outcome::SandboxFault,
        "the executor of the module failed".to_owned(),
        "run again on another machine; its words are at the end of stderr",
    )
}

fn timed_out(limit: Seconds) -> Ending {
    ending(
        Outcome::TimedOut,
        format!("the time limit of {} was reached", format_seconds(limit)),
        "order a longer time limit, or split the work",
    )
}

fn output_limit(output: Bytes, limit: Bytes) -> Ending {
    ending(
        Outcome::OutputLimit,
        format!(
            "{} were written under out, {} are agreed",
            format_bytes(output),
            format_bytes(limit)
        ),
        "order a higher output limit or write less",
    )
}

fn disk_full(used: Bytes, limit: Bytes) -> Ending {
    ending(
        Outcome::DiskFull,
        format!(
            "the work folder holds {} or more, {} are agreed",
            format_bytes(used),
            format_bytes(limit)
        ),
        "order more disk or write less",
    )
}

fn disk_gone() -> Ending {
    ending(
        Outcome::DiskFull,
        "the disk of the machine is full".to_owned(),
        "run again on another machine",
    )
}

fn stopped() -> Ending {
    ending(Outcome::Stopped, "stopped as asked".to_owned(), "fetch what it wrote until then")
}

fn torn() -> Ending {
    ending(
        Outcome::SandboxFault,
        "the jail was torn down from outside".to_owned(),
        "run again on another machine",
    )
}

fn ending(outcome: Outcome, cause: String, next: &str) -> Ending {
    Ending { outcome, cause, next: next.to_owned() }
}

const fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (HUP)",
        2 => " (INT)",
        4 => " (ILL)",
        6 => " (ABRT)",
        7 => " (BUS)",
        8 => " (FPE)",
        11 => " (SEGV)",
        13 => " (PIPE)",
        15 => " (TERM)",
        24 => " (XCPU)",
        31 => " (SYS)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(close: Close) -> Evidence {
        Evidence {
            close,
            told: None,
            reason: None,
            kernel_kills: 0,
            peak: Bytes::mebi(1),
            output: Bytes(0),
            disk: Bytes(0),
            free: Bytes::gibi(1),
        }
    }

    #[test]
    fn each_way_to_end_has_its_own_outcome() {
        let small = Bytes(u64::MAX);
        let cases = [
            (seen(Close::Exit(0)), Outcome::Completed),
            (seen(Close::Exit(3)), Outcome::NonZeroExit),
            (seen(Close::Signal(11)), Outcome::Signalled),
            (seen(Close::Signal(9)), Outcome::Killed),
            (seen(Close::Torn), Outcome::SandboxFault),
            (Evidence { kernel_kills: 1, ..seen(Close::Signal(9)) }, Outcome::OutOfMemory),
            (Evidence { kernel_kills: 1, ..seen(Close::Torn) }, Outcome::OutOfMemory),
            (Evidence { kernel_kills: 1, ..seen(Close::Exit(0)) }, Outcome::Completed),
            (Evidence { output: small, ..seen(Close::Exit(0)) }, Outcome::OutputLimit),
            (Evidence { free: Bytes(0), ..seen(Close::Exit(1)) }, Outcome::DiskFull),
            (Evidence { free: Bytes(0), ..seen(Close::Exit(0)) }, Outcome::Completed),
            (seen(Close::Signal(25)), Outcome::DiskFull),
        ];
        for (evidence, outcome) in cases {
            let ending = judge(&evidence, &Limits::default());
            assert_eq!(ending.outcome, outcome, "{evidence:?}");
            assert!(!ending.cause.is_empty() && !ending.next.is_empty());
        }
    }

    #[test]
    fn what_the_executor_of_a_module_tells_goes_before_its_exit_code_but_not_before_the_shim() {
        let refused = Some(Bytes::gibi(2));
        let words = || "unreachable".to_owned();
        let cases = [
            (Told::Exited { refused: None }, Outcome::NonZeroExit),
            (Told::Exited { refused }, Outcome::OutOfMemory),
            (Told::Trapped { words: words(), refused }, Outcome::OutOfMemory),
            (Told::Trapped { words: words(), refused: None }, Outcome::Trapped),
            (Told::OutOfFuel { burnt: Fuel(7) }, Outcome::OutOfFuel),
            (Told::Broken, Outcome::SandboxFault),
        ];
        for (told, outcome) in cases {
            let evidence = Evidence { told: Some(told), ..seen(Close::Exit(1)) };
            assert_eq!(judge(&evidence, &Limits::default()).outcome, outcome, "{evidence:?}");
            let late = Evidence { reason: Some(Reason::Time), ..evidence };
            assert_eq!(judge(&late, &Limits::default()).outcome, Outcome::TimedOut);
        }
        let told = Some(Told::Exited { refused });
        let coped = Evidence { told, ..seen(Close::Exit(0)) };
        assert_eq!(judge(&coped, &Limits::default()).outcome, Outcome::Completed);
    }

    #[test]
    fn what_the_shim_ended_is_told_by_its_reason_whatever_the_signal_was() {
        for (reason, outcome) in [
            (Reason::Stop, Outcome::Stopped),
            (Reason::Time, Outcome::TimedOut),
            (Reason::Output, Outcome::OutputLimit),
            (Reason::Disk, Outcome::DiskFull),
            (Reason::Memory, Outcome::Killed),
        ] {
            for close in [Close::Exit(0), Close::Signal(9), Close::Torn] {
                let evidence = Evidence { reason: Some(reason), ..seen(close) };
                assert_eq!(judge(&evidence, &Limits::default()).outcome, outcome);
            }
        }
    }
}
