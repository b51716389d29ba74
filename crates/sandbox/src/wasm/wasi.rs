//! WASI, preview 1 (`wasi_snapshot_preview1`): what a module finds around it.
//!
//! In: arguments, variables, one folder, two streams. The folder is preopened as `/` and as `/work`,
//! so that relative paths and those of native jobs lead to the same files. Every path is resolved by
//! the kernel beneath the folder it starts from (openat2(2), RESOLVE_BENEATH), so neither `..` nor
//! a link leads out. The standard input is empty. There are no sockets, and no signals to raise.
//!
//! Sources: the witx files of WebAssembly/WASI, `phases/snapshot/witx`; where they leave a choice,
//! what wasi-libc expects. Methods and arguments are called as there.

mod paths;

mod files;

mod beneath;
mod clock;
mod dice;
mod guest;
mod stat;

use std::fs::File;

use wasmtime::{Caller, Linker};

use super::bounds::Bounds;

use clock::{Clock, Which};
use dice::Dice;
use files::Files;
use guest::{Answer, Error, Fault, Memory};

pub(super) use guest::Exit;

/// The module that is imported.
const WASI: &str = "wasi_snapshot_preview1";

/// What a module exports so that we can reach it.
pub(super) const MEMORY: &str = "memory";

/// Everything around a module.
pub(super) struct Host {
    pub(super) bounds: Bounds,
    memory: Option<wasmtime::Memory>,
    full: u64,
    burnt: u64,
    arguments: Vec<String>,
    variables: Vec<String>,
    files: Files,
    clock: Clock,
    dice: Dice,
    is_told: fn() -> bool,
}

/// What a [`Host`] is made from.
pub(super) struct Surroundings<'a> {
    pub(super) arguments: &'a [String],
    pub(super) environment: &'a [(String, String)],
    pub(super) work: File,
    pub(super) deterministic: bool,
    /// The fuel there is at first.
    pub(super) full: u64,
    pub(super) bounds: Bounds,
    /// Whether the module is to end now.
    pub(super) is_told: fn() -> bool,
}

macro_rules! calls {
    ($linker:ident, |$host:ident| $part:expr => $($call:ident($($argument:ident: $kind:ty),*);)*) => { $(
        $linker.func_wrap(
            WASI,
            stringify!($call),
            |mut caller: Caller<'_, Host>, $($argument: $kind),*| {
                answer(&mut caller, |$host, memory| $part.$call(memory, $($argument),*))
            },
        )?;
    )* };
}

/// Let modules import all of WASI.
pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    calls! { linker, |host| host =>
        args_get(argv: u32, argv_buf: u32);
        args_sizes_get(count: u32, size: u32);
        environ_get(environ: u32, environ_buf: u32);
        environ_sizes_get(count: u32, size: u32);
        clock_res_get(id: u32, resolution: u32);
        clock_time_get(id: u32, precision: u64, time: u32);
        poll_oneoff(input: u32, output: u32, count: u32, happened: u32);
        proc_raise(signal: u32);
        random_get(buf: u32, buf_len: u32);
        sched_yield();
    }
    calls! { linker, |host| host.files =>
        fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
        fd_allocate(fd: u32, offset: u64, len: u64);
        fd_close(fd: u32);
        fd_datasync(fd: u32);
        fd_fdstat_get(fd: u32, stat: u32);
        fd_fdstat_set_flags(fd: u32, flags: u32);
        fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
        fd_filestat_get(fd: u32, stat: u32);
        fd_filestat_set_size(fd: u32, size: u64);
        fd_filestat_set_times(fd: u32, atim: u64, mtim: u64, flags: u32);
        fd_pread(fd: u32, iovs: u32, iovs_len: u32, offset: u64, size: u32);
        fd_prestat_dir_name(fd: u32, path: u32, path_len: u32);
        fd_prestat_get(fd: u32, stat: u32);
        fd_pwrite(fd: u32, iovs: u32, iovs_len: u32, offset: u64, size: u32);
        fd_read(fd: u32, iovs: u32, iovs_len: u32, size: u32);
        fd_readdir(fd: u32, buf: u32, buf_len: u32, cookie: u64, size: u32);
        fd_renumber(fd: u32, to: u32);
        fd_seek(fd: u32, offset: i64, whence: u32, position: u32);
        fd_sync(fd: u32);
        fd_tell(fd: u32, position: u32);
        fd_write(fd: u32, iovs: u32, iovs_len: u32, size: u32);
        path_create_directory(fd: u32, path: u32, path_len: u32);
        path_filestat_get(fd: u32, flags: u32, path: u32, path_len: u32, stat: u32);
        path_filestat_set_times(
            fd: u32, flags: u32, path: u32, path_len: u32, atim: u64, mtim: u64, fst_flags: u32
        );
        path_link(
            old_fd: u32, flags: u32, old_path: u32, old_len: u32,
            new_fd: u32, new_path: u32, new_len: u32
        );
        path_open(
            fd: u32, dirflags: u32, path: u32, path_len: u32, oflags: u32,
            base: u64, inheriting: u64, fdflags: u32, opened: u32
        );
        path_readlink(fd: u32, path: u32, path_len: u32, buf: u32, buf_len: u32, size: u32);
        path_remove_directory(fd: u32, path: u32, path_len: u32);
        path_rename(fd: u32, path: u32, path_len: u32, new_fd: u32, new_path: u32, new_len: u32);
        path_symlink(target: u32, target_len: u32, fd: u32, path: u32, path_len: u32);
        path_unlink_file(fd: u32, path: u32, path_len: u32);
        sock_accept(fd: u32, flags: u32, opened: u32);
        sock_recv(fd: u32, iovs: u32, iovs_len: u32, flags: u32, size: u32, got: u32);
        sock_send(fd: u32, iovs: u32, iovs_len: u32, flags: u32, size: u32);
        sock_shutdown(fd: u32, how: u32);
    }
    linker.func_wrap(WASI, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        // What the kernel would cut off must not turn a failure into a success.
        Err(Exit::With(u8::try_from(code).unwrap_or(u8::MAX)).into())
    })?;
    Ok(())
}

/// Answer one call of the module: 0, or the number of an error.
fn answer(
    caller: &mut Caller<'_, Host>,
    call: impl FnOnce(&mut Host, &mut Memory<'_>) -> Answer,
) -> wasmtime::Result<i32> {
    let left = caller.get_fuel()?;
    let memory = match caller.data().memory {
        Some(memory) => memory,
        None => caller
            .get_export(MEMORY)
            .and_then(wasmtime::Extern::into_memory)
            .ok_or_else(|| wasmtime::Error::msg("the module exports no memory"))?,
    };
    let (bytes, host) = memory.data_and_store_mut(caller);
    host.memory = Some(memory);
    host.burnt = host.full - left;
    match call(host, &mut Memory(bytes)) {
        Ok(()) => Ok(0),
        Err(Fault::Error(error)) => Ok(error.0.into()),
        Err(Fault::Exit(exit)) => Err(exit.into()),
    }
}

impl Host {
    pub(super) fn new(it: Surroundings<'_>) -> Self {
        let variables = it.environment.iter().map(|(name, value)| format!("{name}={value}"));
        Self {
            bounds: it.bounds,
            memory: None,
            full: it.full,
            burnt: 0,
            arguments: it.arguments.to_vec(),
            variables: variables.collect(),
            files: Files::new(it.work, it.deterministic, it.is_told),
            clock: Clock::new(it.deterministic),
            dice: Dice::new(it.deterministic),
            is_told: it.is_told,
        }
    }

    fn args_get(&mut self, memory: &mut Memory<'_>, argv: u32, argv_buf: u32) -> Answer {
        put_texts(memory, &self.arguments, argv, argv_buf)
    }

    fn args_sizes_get(&mut self, memory: &mut Memory<'_>, count: u32, size: u32) -> Answer {
        put_sizes(memory, &self.arguments, count, size)
    }

    fn environ_get(&mut self, memory: &mut Memory<'_>, environ: u32, environ_buf: u32) -> Answer {
        put_texts(memory, &self.variables, environ, environ_buf)
    }

    fn environ_sizes_get(&mut self, memory: &mut Memory<'_>, count: u32, size: u32) -> Answer {
        put_sizes(memory, &self.variables, count, size)
    }

    fn clock_res_get(&mut self, memory: &mut Memory<'_>, id: u32, resolution: u32) -> Answer {
        Ok(memory.put_u64(resolution, self.clock.resolution(Which::of(id)?))?)
    }

    fn clock_time_get(
        &mut self,
        memory: &mut Memory<'_>,
        id: u32,
        _precision: u64,
        time: u32,
    ) -> Answer {
        Ok(memory.put_u64(time, self.clock.now(Which::of(id)?, self.burnt))?)
    }

    fn random_get(&mut self, memory: &mut Memory<'_>, buf: u32, buf_len: u32) -> Answer {
        Ok(self.dice.fill(memory.slice(buf, buf_len)?)?)
    }

    fn sched_yield(&mut self, _memory: &mut Memory<'_>) -> Answer {
        Ok(())
    }

    fn proc_raise(&mut self, _memory: &mut Memory<'_>, _signal: u32) -> Answer {
        Err(Error::NOTSUP.into())
    }

    /// Files and streams are always ready (a full stream makes the write wait), so this waits only
    /// where there is nothing but clocks, and then for the first of them.
    fn poll_oneoff(
        &mut self,
        memory: &mut Memory<'_>,
        input: u32,
        output: u32,
        count: u32,
        happened: u32,
    ) -> Answer {
        if count == 0 {
            return Err(Error::INVAL.into());
        }
        let place = |start: u32, number: u32, size: u32| {
            number.checked_mul(size).and_then(|it| it.checked_add(start)).ok_or(Error::FAULT)
        };
        let waits: Vec<Wait> = (0..count)
            .map(|number| self.wait(memory, place(input, number, SUBSCRIPTION)?))
            .collect::<Result<_, Error>>()?;
        let left = waits.iter().map(|wait| wait.left).min().unwrap_or(0);
        self.clock.sleep(left, self.is_told)?;
        if (self.is_told)() {
            return Err(Exit::Told.into());
        }
        let mut events = 0;
        for wait in waits.iter().filter(|wait| wait.left <= left) {
            let at = place(output, events, EVENT)?;
            let mut event = [0; EVENT as usize];
            event[..8].copy_from_slice(&wait.userdata.to_le_bytes());
            event[8..10].copy_from_slice(&wait.error.to_le_bytes());
            event[10] = wait.kind;
            event[16..24].copy_from_slice(&wait.available.to_le_bytes());
            memory.put(at, &event)?;
            events += 1;
        }
        Ok(memory.put_u32(happened, events)?)
    }

    /// Read a subscription, which lies at `at`.
    fn wait(&self, memory: &Memory<'_>, at: u32) -> Result<Wait, Error> {
        // The last byte first: the whole must lie in memory, so that the sums below hold.
        memory.u8(at.checked_add(SUBSCRIPTION - 1).ok_or(Error::FAULT)?)?;
        let (userdata, kind) = (memory.u64(at)?, memory.u8(at + 8)?);
        let mut wait = Wait { userdata, kind, left: 0, error: 0, available: 0 };
        match kind {
            CLOCK => match Which::of(memory.u32(at + 16)?) {
                Ok(which) => {
                    let timeout = memory.u64(at + 24)?;
                    let is_absolute = memory.u16(at + 40)? & 1 != 0;
                    let passed = if is_absolute { self.clock.now(which, self.burnt) } else { 0 };
                    wait.left = timeout.saturating_sub(passed);
                }
                Err(error) => wait.error = error.0,
            },
            FD_READ | FD_WRITE => match self.files.available(memory.u32(at + 16)?) {
                Ok(available) => wait.available = available,
                Err(error) => wait.error = error.0,
            },
            _ => return Err(Error::INVAL),
        }
        Ok(wait)
    }
}

/// The lengths of a subscription and of an event.
const SUBSCRIPTION: u32 = 48;
const EVENT: u32 = 32;

/// The kinds of both.
const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;

/// Something that a module waits for.
struct Wait {
    userdata: u64,
    kind: u8,
    /// Nanoseconds from now.
    left: u64,
    error: u16,
    /// Bytes that can be read.
    available: u64,
}

fn put_texts(memory: &mut Memory<'_>, texts: &[String], mut list: u32, mut at: u32) -> Answer {
    for text in texts {
        let bytes = [text.as_bytes(), b"\0"].concat();
        memory.put_u32(list, at)?;
        memory.put(at, &bytes)?;
        list = list.checked_add(4).ok_or(Error::FAULT)?;
        let length = u32::try_from(bytes.len()).map_err(|_| Error::OVERFLOW)?;
        at = at.checked_add(length).ok_or(Error::FAULT)?;
    }
    Ok(())
}

fn put_sizes(memory: &mut Memory<'_>, texts: &[String], count: u32, size: u32) -> Answer {
    memory.put_length(count, texts.len())?;
    Ok(memory.put_length(size, texts.iter().map(|text| text.len() + 1).sum())?)
}
