//! A module of a job: executed, or compiled, by this very process instead of a program.
//!
//! The process was forked from a shim with one thread and never calls `exec`, so the root needs to
//! show no program at all. It closes whatever would let it speak to the shim but for the verdict.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use super::view::CODE;
use crate::{
    spec::{EXECUTOR_MEMORY, Spec, Wasm},
    wasm::{self, Account, Order},
};
use primitives::Bytes;

/// The exit status of a compiler that refuses a module.
pub(crate) const REFUSED: u8 = 1;

/// The exit status of a compiler that failed.
const FAILED: u8 = 2;

/// Where a compiler leaves what it made.
pub(crate) const MADE: &str = "code";

/// What is done with a module.
pub(super) enum Module {
    Execute { order: Order, account: &'static Account },
    Compile { module: String, deterministic: bool },
}

impl Module {
    /// Execute it as `spec` says.
    pub(super) fn to_execute(spec: &Spec, wasm: Wasm, account: &'static Account) -> Self {
        let pairs = spec.surroundings().into_iter();
        let memory = Bytes(spec.limits.resources.memory.0.saturating_sub(EXECUTOR_MEMORY.0));
        let order = Order {
            arguments: [&spec.program].into_iter().chain(&spec.arguments).cloned().collect(),
            environment: pairs.map(|(name, it)| (name.to_owned(), it.to_owned())).collect(),
            fuel: wasm.fuel,
            deterministic: wasm.deterministic,
            memory,
        };
        Self::Execute { order, account }
    }

    /// Compile what `spec` names.
    pub(super) fn to_compile(spec: &Spec, wasm: Wasm) -> Self {
        let module = spec.candidates().into_iter().next().unwrap_or_default();
        Self::Compile { module, deterministic: wasm.deterministic }
    }

    /// Do it, and give the exit status. The verdict is dropped when it has begun; an error goes to
    /// `refuse` instead.
    pub(super) fn perform(&self, verdict: OwnedFd, refuse: impl FnOnce(OwnedFd)) -> u8 {
        keep_only(&verdict);
        match self {
            Self::Execute { order, account } => {
                let (code, work) = (File::open(Path::new("/").join(CODE)), File::open("/work"));
                let (Ok(code), Ok(work)) = (code, work) else {
                    refuse(verdict);
                    return FAILED;
                };
                wasm::execute(order, code, work, account, |is_loaded| {
                    if is_loaded { drop(verdict) } else { refuse(verdict) }
                })
            }
            Self::Compile { module, deterministic } => {
                drop(verdict);
                let compiled =
                    catch_unwind(AssertUnwindSafe(|| compile(Path::new(module), *deterministic)));
                match compiled {
                    Ok(Ok(())) => 0,
                    Ok(Err(words)) => {
                        let _ = writeln!(io::stderr(), "{words}");
                        REFUSED
                    }
                    // What the compiler cannot cope with is refused, and the panic has said why.
                    Err(_) => REFUSED,
                }
            }
        }
    }
}

fn compile(module: &Path, deterministic: bool) -> Result<(), String> {
    let said = |error: io::Error| error.to_string();
    let code = wasm::compile(&fs::read(module).map_err(said)?, deterministic)?;
    let made = Path::new("/work/out").join(MADE);
    fs::write(&made, code).map_err(said)?;
    fs::set_permissions(made, Permissions::from_mode(0o444)).map_err(said)
}

/// Close every descriptor but the three streams and this one.
fn keep_only(one: &OwnedFd) {
    let one = one.as_raw_fd().cast_unsigned();
    for (first, last) in [(3, one - 1), (one + 1, u32::MAX)] {
        // SAFETY: what is closed was opened by the processes before us, whose values are never
        // dropped here: this process ends without returning to them. A range that is empty is
        // refused, and nothing else can be.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}
