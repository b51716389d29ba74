//! Keeping a run: one loop that waits for whatever comes next, from the jail to the exit record.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    time::Duration,
};

use primitives::{Bytes, Fuel};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    io::Errno,
    process::{Signal, kill_process},
};

use super::{
    claim::Claim,
    journal::Journal,
    log::Log,
    meter::{self, Meter},
    ticket::{State, Ticket, cgroup_name, ticket},
    walls::note,
};
use crate::{
    cgroup::Cgroup,
    disk,
    folder::{Durability, Folder, Stream, write_record},
    jail::{self, Jail, Plan, Step, Word},
    judge::{Close, Evidence, Reason, Told, jail_failed, judge, missing, not_executable},
    outcome::{Ending, ExitRecord},
    spec::Spec,
    stopwatch::{Stopwatch, monotonic},
    tree,
    wasm::Account,
};

const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How often the work folder is measured at most; measuring may take a twentieth of the time.
const MEASURE_EVERY: Duration = Duration::from_millis(250);
const MEASURE_SHARE: u32 = 20;

/// How often memory is watched where no cgroup bounds it.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// How long a program may take to end when its time is up.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Keep the run in `folder` until it is over and recorded.
pub(super) fn keep(folder: &Folder) -> io::Result<()> {
    let ticket = ticket(folder)?;
    let record = match Keeper::start(folder, &ticket) {
        Ok(keeper) => keeper.run()?,
        Err((step, error)) => never_started(jail_failed(step.words(), &error.to_string())),
    };
    write_record(&folder.exit(), &record, Durability::PowerCut).map_err(io::Error::other)
}

/// What is to be done at a certain time.
#[derive(Clone, Copy)]
struct Due {
    sample: Duration,
    measure: Duration,
    watch: Duration,
    kill: Option<Duration>,
}

struct Keeper<'a> {
    folder: &'a Folder,
    spec: &'a Spec,
    jail: Jail,
    /// Ours as long as we live.
    _graphics: Claim,
    cgroup: Cgroup,
    control: File,
    logs: [Log; 2],
    journal: Journal,
    account: &'static Account,
    meter: Meter,
    watch: Option<Stopwatch>,
    /// Told to hold, perhaps before there was anything to hold.
    told_to_hold: bool,
    /// When somebody last said anything, or readiness.
    attended: Duration,
    reason: Option<Reason>,
    failure: Option<(Step, Errno)>,
    close: Option<Close>,
    due: Due,
}

impl<'a> Keeper<'a> {
    fn start(folder: &'a Folder, ticket: &'a Ticket) -> Result<Self, (Step, io::Error)> {
        let planning = |error: io::Error| (Step::Plan, error);
        let spec = &ticket.spec;
        // Shared with what is forked from here on, for as long as this process lives.
        let account: &'static Account = Box::leak(Box::new(Account::open().map_err(planning)?));
        let control = open_control(folder).map_err(planning)?;
        let wanted = usize::try_from(spec.limits.resources.gpus).unwrap_or(usize::MAX);
        let graphics = Claim::take(&ticket.graphics, wanted).map_err(planning)?;
        let mut cgroup = Cgroup::create(&cgroup_name(folder));
        cgroup.limit(&spec.limits.resources, spec.limits.processes + 1);
        let started = Self::launch(folder, ticket, &graphics, &cgroup, account);
        let (jail, logs, journal) = started.inspect_err(|_| cgroup.remove())?;
        Ok(Self {
            folder,
            spec,
            account,
            meter: Meter::new(jail.first, account),
            jail,
            _graphics: graphics,
            cgroup,
            control,
            logs,
            journal,
            watch: None,
            told_to_hold: false,
            attended: Duration::ZERO,
            reason: None,
            failure: None,
            close: None,
            due: Due {
                sample: Duration::MAX,
                measure: Duration::ZERO,
                watch: Duration::ZERO,
                kill: None,
            },
        })
    }

    fn launch(
        folder: &Folder,
        ticket: &Ticket,
        graphics: &Claim,
        cgroup: &Cgroup,
        account: &'static Account,
    ) -> Result<(Jail, [Log; 2], Journal), (Step, io::Error)> {
        let planning = |error: io::Error| (Step::Plan, error);
        let Ticket { spec, task, own_user, graphics: all } = ticket;
        note(folder, cgroup, *own_user).map_err(planning)?;
        let journal = Journal::open(&folder.samples()).map_err(planning)?;
        let kinds = fs::read_to_string("/proc/devices").unwrap_or_default();
        let devices = jail::graphics(all.devices(), graphics.nodes(), &kinds);
        let bounded = cgroup.limits_memory();
        let plan = Plan::new(spec, *task, folder, *own_user, bounded, devices, account);
        let plan = plan.map_err(planning)?;
        let mut jail = jail::launch(&plan, |first| cgroup.join(first))?;
        let mut log = |stream| {
            let source = match stream {
                Stream::Stdout => &mut jail.stdout,
                Stream::Stderr => &mut jail.stderr,
            };
            let source = source.try_clone()?;
            Log::open(source, &folder.log(stream), spec.limits.log)
        };
        let logs = [log(Stream::Stdout).map_err(planning)?, log(Stream::Stderr).map_err(planning)?];
        Ok((jail, logs, journal))
    }

    fn run(mut self) -> io::Result<ExitRecord> {
        loop {
            self.wait()?;
            if self.close.is_some() || self.failure.is_some() {
                return self.finish();
            }
            self.act(monotonic())?;
        }
    }

    /// Wait for the next thing to happen, and take in what did.
    fn wait(&mut self) -> io::Result<()> {
        let now = monotonic();
        let pause = self.next_due(now).saturating_sub(now);
        let timeout = Timespec {
            tv_sec: pause.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: pause.subsec_nanos().into(),
        };
        let mut ready = [false; 4];
        {
            // What the program says waits in its pipe until it is known to run, so that no word is
            // ever seen before readiness.
            let [stdout, stderr] =
                self.logs.each_ref().map(|log| log.source(now).filter(|_| self.watch.is_some()));
            let sources =
                [Some(self.jail.words.as_fd()), Some(self.control.as_fd()), stdout, stderr];
            let places: Vec<usize> = (0..4).filter(|it| sources[*it].is_some()).collect();
            let mut polled: Vec<PollFd<'_>> = sources
                .iter()
                .flatten()
                .map(|source| PollFd::from_borrowed_fd(*source, PollFlags::IN))
                .collect();
            match poll(&mut polled, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for (place, polled) in places.into_iter().zip(&polled) {
                ready[place] = !polled.revents().is_empty();
            }
        }
        let [words, control, stdout, stderr] = ready;
        let now = monotonic();
        // Logs first: what the program wrote before it ended is there before its end is known.
        for (log, ready) in self.logs.iter_mut().zip([stdout, stderr]) {
            if ready {
                log.take(now)?;
            }
        }
        if words {
            self.hear(now)?;
        }
        if control {
            self.obey(now)?;
        }
        Ok(())
    }

    fn hear(&mut self, now: Duration) -> io::Result<()> {
        match jail::hear(&self.jail.words)? {
            Some(Word::Started { at }) => self.begin(at)?,
            Some(Word::Failed { step, errno }) => {
                self.failure = Some((step, Errno::from_raw_os_error(errno)));
            }
            Some(Word::Exited { status }) => {
                self.hold_watch(now);
                self.close = Some(close_of(status));
            }
            None => {
                self.hold_watch(now);
                self.close = Some(Close::Torn);
            }
        }
        Ok(())
    }

    /// The program runs: from here on time counts.
    fn begin(&mut self, at: Duration) -> io::Result<()> {
        self.watch = Some(Stopwatch::start(at));
        self.attended = self.attended.max(at);
        self.due.sample = at + SAMPLE_EVERY;
        self.tell()?;
        let sample = self.meter.read(&self.cgroup, 0);
        self.journal.append(sample)
    }

    fn obey(&mut self, now: Duration) -> io::Result<()> {
        let mut bytes = [0; 4_096];
        let length = match rustix::io::read(&self.control, &mut bytes) {
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for line in String::from_utf8_lossy(&bytes[..length]).lines() {
            self.attended = now;
            match line.split_once(' ').unwrap_or((line, "")) {
                ("pause", _) => self.told_to_hold = true,
                ("resume", _) => self.told_to_hold = false,
                ("stop", grace) => {
                    let grace = Duration::from_millis(grace.parse().unwrap_or(0));
                    self.end(Reason::Stop, grace, now)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the work is to stand still: told to, or left alone. Work that is to end is neither.
    fn is_to_hold(&self, now: Duration) -> bool {
        let alone = self.alone_from().is_some_and(|from| from <= now);
        self.reason.is_none() && (self.told_to_hold || alone)
    }

    /// When the work counts as left alone if nobody says anything more.
    fn alone_from(&self) -> Option<Duration> {
        let most = self.spec.limits.unattended?;
        Some(self.attended.saturating_add(most.duration()))
    }

    /// Hold the work or let it go on.
    fn keep_still(&mut self, hold: bool, now: Duration) -> io::Result<()> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        if watch.is_held() == hold {
            return Ok(());
        }
        if !self.cgroup.freeze(hold) {
            tree::signal(self.jail.first, if hold { Signal::STOP } else { Signal::CONT });
        }
        if hold {
            watch.hold(now);
        } else {
            watch.release(now);
            self.due.sample = now + SAMPLE_EVERY;
        }
        self.tell()
    }

    /// End the run for `reason`; the first reason stands.
    fn end(&mut self, reason: Reason, grace: Duration, now: Duration) -> io::Result<()> {
        if self.reason.is_some() {
            return Ok(());
        }
        self.reason = Some(reason);
        self.keep_still(false, now)?;
        if grace.is_zero() {
            self.kill();
        } else {
            let _ = kill_process(self.jail.first, Signal::TERM);
            self.due.kill = Some(now.saturating_add(grace));
        }
        Ok(())
    }

    fn kill(&mut self) {
        self.due.kill = None;
        // The kernel ends everything inside with the first process; one that has ended already
        // needs no signal.
        let _ = kill_process(self.jail.first, Signal::KILL);
    }

    /// Do what is due at `now`.
    fn act(&mut self, now: Duration) -> io::Result<()> {
        if self.due.kill.is_some_and(|due| due <= now) {
            self.kill();
        }
        self.keep_still(self.is_to_hold(now), now)?;
        let Some(watch) = self.watch.filter(|watch| !watch.is_held()) else { return Ok(()) };
        let limit = self.spec.limits.time.duration();
        if watch.elapsed(now) >= limit {
            self.end(Reason::Time, LAST_WORDS, now)?;
        }
        if self.due.sample <= now {
            let sample = self.meter.read(&self.cgroup, milliseconds(watch.elapsed(now).min(limit)));
            self.journal.append(sample)?;
            // Samples keep their rhythm; a machine that slept does not make up for what it missed.
            self.due.sample = (self.due.sample + SAMPLE_EVERY).max(now);
        }
        if self.due.measure <= now {
            self.measure(now)?;
        }
        if !self.cgroup.limits_memory() && self.due.watch <= now {
            self.due.watch = now + WATCH_EVERY;
            let used = self.meter.read(&self.cgroup, 0).memory;
            if used > self.spec.limits.resources.memory {
                self.end(Reason::Memory, Duration::ZERO, now)?;
            }
        }
        Ok(())
    }

    fn measure(&mut self, now: Duration) -> io::Result<()> {
        let limits = &self.spec.limits;
        let whole = disk::measure(&self.folder.work(), limits.resources.disk);
        let out = disk::measure(&self.folder.out(), limits.resources.disk);
        let spent = monotonic().saturating_sub(now);
        self.due.measure = now + MEASURE_EVERY.max(spent * MEASURE_SHARE);
        if out.length > limits.output {
            self.end(Reason::Output, Duration::ZERO, now)
        } else if whole.beyond {
            self.end(Reason::Disk, Duration::ZERO, now)
        } else {
            Ok(())
        }
    }

    fn next_due(&self, now: Duration) -> Duration {
        let mut next = self.due.kill.unwrap_or(Duration::MAX);
        if let Some(watch) = self.watch.filter(|watch| !watch.is_held()) {
            if self.reason.is_none() {
                let left = self.spec.limits.time.duration().saturating_sub(watch.elapsed(now));
                next = next.min(now.saturating_add(left)).min(self.due.measure);
                next = next.min(self.alone_from().unwrap_or(Duration::MAX));
            }
            next = next.min(self.due.sample);
            if !self.cgroup.limits_memory() {
                next = next.min(self.due.watch);
            }
        }
        let logs = self.logs.iter().filter_map(|log| log.due(now));
        logs.fold(next, Duration::min).min(now + Duration::from_secs(3_600))
    }

    fn hold_watch(&mut self, now: Duration) {
        if let Some(watch) = &mut self.watch {
            watch.hold(now);
        }
    }

    /// Write down where the run stands.
    fn tell(&self) -> io::Result<()> {
        let state = State { watch: self.watch, limit: self.spec.limits.time.duration() };
        write_record(&self.folder.state(), &state, Durability::Death).map_err(io::Error::other)
    }

    fn finish(mut self) -> io::Result<ExitRecord> {
        let now = monotonic();
        let elapsed = self.watch.map_or(Duration::ZERO, |watch| watch.elapsed(now));
        self.kill();
        self.cgroup.freeze(false);
        if let Some((cpu_ms, peak)) = meter::bury(self.jail.first)? {
            self.meter.settle(cpu_ms, peak);
        }
        for log in &mut self.logs {
            log.finish(now)?;
        }
        let elapsed = match self.reason {
            Some(Reason::Time) => elapsed.min(self.spec.limits.time.duration()),
            _ => elapsed,
        };
        let last = self.meter.read(&self.cgroup, milliseconds(elapsed));
        if self.watch.is_some() {
            self.journal.append(last)?;
        }
        let limits = &self.spec.limits;
        let content = disk::measure(&self.folder.out(), Bytes(u64::MAX));
        let close = self.close.unwrap_or(Close::Torn);
        let told = self.account.told();
        let ended_itself = matches!(told, None | Some(Told::Exited { .. }));
        let ending = self.ending(&Evidence {
            close,
            told,
            reason: self.reason,
            kernel_kills: self.cgroup.kernel_kills(),
            peak: last.peak,
            output: content.length,
            disk: disk::measure(&self.folder.work(), limits.resources.disk).disk,
            free: disk::free(&self.folder.work()),
        });
        self.cgroup.remove();
        let chain = self.journal.chain();
        // The watch was held when the end was seen, so what it adds since is no pause.
        let paused = self.watch.map_or(Duration::ZERO, |watch| {
            watch.held(now).saturating_sub(watch.present_hold(now))
        });
        Ok(ExitRecord {
            ending,
            exit_code: match close {
                Close::Exit(code) if self.watch.is_some() && ended_itself => Some(code),
                _ => None,
            },
            signal: match close {
                Close::Signal(signal) => Some(signal),
                _ => None,
            },
            started: self.watch.is_some(),
            elapsed_ms: milliseconds(elapsed),
            paused_ms: milliseconds(paused),
            cpu_ms: last.cpu_ms,
            peak: last.peak,
            fuel: last.fuel,
            output: content.length,
            log_dropped: Bytes(self.logs.iter().map(Log::dropped).sum()),
            samples: chain.length,
            chain: chain.head,
        })
    }

    fn ending(&self, evidence: &Evidence) -> Ending {
        match self.failure {
            Some((Step::Exec, Errno::NOENT)) => missing(self.spec),
            Some((Step::Exec, errno)) => {
                not_executable(self.spec, &io::Error::from(errno).to_string())
            }
            Some((step, errno)) => jail_failed(step.words(), &io::Error::from(errno).to_string()),
            None if self.watch.is_none() && self.reason.is_none() => {
                jail_failed("starting", "it ended without a word")
            }
            None => judge(evidence, &self.spec.limits),
        }
    }
}

/// What an exit record says of a run whose program never started.
fn never_started(ending: Ending) -> ExitRecord {
    ExitRecord {
        ending,
        exit_code: None,
        signal: None,
        started: false,
        elapsed_ms: 0,
        paused_ms: 0,
        cpu_ms: 0,
        peak: Bytes(0),
        fuel: Fuel(0),
        output: Bytes(0),
        log_dropped: Bytes(0),
        samples: 0,
        chain: primitives::Digest::default(),
    }
}

fn open_control(folder: &Folder) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
    // Opened for writing too, so that it never ends when a provider goes away.
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(folder.control())
}

fn close_of(status: i32) -> Close {
    if libc::WIFEXITED(status) {
        Close::Exit(libc::WEXITSTATUS(status))
    } else {
        Close::Signal(libc::WTERMSIG(status))
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
