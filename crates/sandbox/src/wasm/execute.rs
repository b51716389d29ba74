//! Executing a compiled module in this process, which is one of a jail.

use std::{
    fs::File,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};

use primitives::{Bytes, Fuel};
use wasmtime::{Linker, Module, Store, Trap};

use super::{
    account::{Account, End},
    bounds::Bounds,
    compile::START,
    engine::engine,
    wasi::{self, Exit, Host, Surroundings},
};

/// What is to be executed, and within which bounds.
pub(crate) struct Order {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Fuel it may burn; `None` leaves it to the limit of time.
    pub(crate) fuel: Option<Fuel>,
    /// Whether it must find the same around it wherever it runs.
    pub(crate) deterministic: bool,
    /// Bound of its memories and tables together.
    pub(crate) memory: Bytes,
}

/// After how much fuel the account is brought up to date and TERM is looked for: some milliseconds.
const SLICE: u64 = 10_000_000;

/// The exit status for a trap, as for a program that aborts.
const TRAPPED: u8 = 134;
/// The exit status for the end of the fuel, as for the end of time.
const OUT_OF_FUEL: u8 = 124;
/// The exit status after TERM.
const TOLD: u8 = 143;
/// The exit status for what is our fault.
const BROKEN: u8 = 125;

/// Whether this process was told to end.
static TOLD_TO_END: AtomicBool = AtomicBool::new(false);

/// Execute the compiled module in `code`, with the folder `work` as its only one; gives the exit
/// status. `ready` is told when it is loaded, or that it cannot be.
pub(crate) fn execute(
    order: &Order,
    code: File,
    work: File,
    account: &'static Account,
    ready: impl FnOnce(bool),
) -> u8 {
    let executed = catch_unwind(AssertUnwindSafe(|| {
        let module = load(order, code);
        ready(module.is_ok());
        run(order, &module?, work, account)
    }));
    match executed {
        Ok(Ok(status)) => return status,
        Ok(Err(error)) => complain(&format!("{error:#}")),
        // A panic has said its words already.
        Err(_) => {}
    }
    account.end(End::Broken);
    BROKEN
}

fn load(order: &Order, code: File) -> wasmtime::Result<Module> {
    let engine = engine(order.deterministic)?;
    // SAFETY: the file was made by `compile` with the same engine, kept by the provider out of reach
    // of all work, and checked against its digest; it is mounted read-only here.
    unsafe { Module::deserialize_open_file(&engine, code) }
}

fn run(
    order: &Order,
    module: &Module,
    work: File,
    account: &'static Account,
) -> wasmtime::Result<u8> {
    let mut linker = Linker::new(module.engine());
    wasi::link(&mut linker)?;
    let full = order.fuel.map_or(u64::MAX, |fuel| fuel.0);
    let host = Host::new(Surroundings {
        arguments: &order.arguments,
        environment: &order.environment,
        work,
        deterministic: order.deterministic,
        full,
        bounds: Bounds::new(order.memory, account),
        is_told,
    });
    let mut store = Store::new(module.engine(), host);
    store.limiter(|host| &mut host.bounds);
    store.set_fuel(full)?;
    store.fuel_async_yield_interval(Some(SLICE))?;
    listen()?;
    let ended = in_slices(account, async {
        let instance = linker.instantiate_async(&mut store, module).await?;
        instance.get_typed_func::<(), ()>(&mut store, START)?.call_async(&mut store, ()).await
    });
    account.burn(Fuel(full - store.get_fuel()?));
    let is_refused = store.data().bounds.is_refused();
    Ok(match ended {
        Ok(()) => {
            account.end(End::Exited);
            0
        }
        Err(error) => match (error.downcast_ref(), error.downcast_ref()) {
            (Some(Exit::With(status)), _) => {
                account.end(End::Exited);
                *status
            }
            (Some(Exit::Told), _) => {
                account.end(End::Told);
                TOLD
            }
            (_, Some(Trap::OutOfFuel)) => {
                account.end(End::OutOfFuel);
                OUT_OF_FUEL
            }
            (_, Some(trap)) => {
                complain(&format!("{error:?}"));
                account.end(End::Trapped(*trap));
                TRAPPED
            }
            // Its memory did not fit even at the start.
            _ if is_refused => {
                complain(&format!("{error:#}"));
                account.end(End::Exited);
                TRAPPED
            }
            _ => return Err(error),
        },
    })
}

fn is_told() -> bool {
    TOLD_TO_END.load(Ordering::Relaxed)
}

/// Tell the reader of the job's stderr what the module cannot.
fn complain(words: &str) {
    let _ = writeln!(io::stderr(), "plaza: {}", words.trim_end());
}

/// Drive a module that gives way after each slice of fuel, to its end or until it is told to end.
fn in_slices(
    account: &Account,
    module: impl Future<Output = wasmtime::Result<()>>,
) -> wasmtime::Result<()> {
    let mut module = pin!(module);
    let mut context = Context::from_waker(Waker::noop());
    let mut burnt = 0;
    loop {
        match module.as_mut().poll(&mut context) {
            Poll::Ready(ended) => return ended,
            Poll::Pending if is_told() => return Err(Exit::Told.into()),
            Poll::Pending => {
                burnt += SLICE;
                account.burn(Fuel(burnt));
            }
        }
    }
}

/// Hear TERM, which also cuts short what the module waits for.
fn listen() -> io::Result<()> {
    // SAFETY: all zeros is a valid action; the handler does nothing but what is allowed in one.
    let answer = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_term as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut())
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Only touches an atomic, as a signal handler must.
extern "C" fn on_term(_signal: libc::c_int) {
    TOLD_TO_END.store(true, Ordering::Relaxed);
}
