//! A runtime that plays scripts instead of running programs: for simulation and tests.
//!
//! Everything it says follows from the script, the orders it was given and the timers' clock, which
//! a simulation holds in its hand; it does no I/O. It outlives the provider that uses it, as shims
//! do, so that a provider that crashes and comes back finds its runs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use primitives::{Bytes, Fuel, Sample};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{
    chain::{Beat, Chain},
    error::Error,
    folder::Stream,
    isolation::{Isolation, Wall},
    outcome::{Ending, ExitRecord, Outcome},
    runtime::{Output, Phase, Preparation, Prepared, Progress, Run, Runtime, Wiped},
    spec::{Root, Spec, Wasm},
    stopwatch::Stopwatch,
};

/// What a scripted program says, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// Running time at which it is said.
    pub at: Duration,
    /// On which stream.
    pub stream: Stream,
    /// What.
    pub words: Vec<u8>,
}

/// What a scripted run does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Refused at prepare, if so.
    pub refusal: Option<Ending>,
    /// From start to readiness.
    pub ready_after: Duration,
    /// Running time until it ends by itself; `None` runs until something ends it.
    pub ends_after: Option<Duration>,
    /// How it ends.
    pub outcome: Outcome,
    /// The exit code when it ends by itself.
    pub exit_code: Option<i32>,
    /// Processor time per thousand milliseconds of running time.
    pub cpu_ms_per_second: u64,
    /// Memory in use all the time.
    pub memory: Bytes,
    /// Fuel burnt per thousand milliseconds of running time, as far as the spec gives any.
    pub fuel_per_second: u64,
    /// What it writes to its streams, in order of time.
    pub speech: Vec<Spoken>,
    /// The files under `out` once it has ended.
    pub outputs: BTreeMap<String, Vec<u8>>,
}

impl Default for Script {
    /// Ready at once, runs for one second, says and leaves nothing.
    fn default() -> Self {
        Self {
            refusal: None,
            ready_after: Duration::ZERO,
            ends_after: Some(Duration::from_secs(1)),
            outcome: Outcome::Completed,
            exit_code: Some(0),
            cpu_ms_per_second: 1_000,
            memory: Bytes::mebi(1),
            fuel_per_second: 0,
            speech: Vec::new(),
            outputs: BTreeMap::new(),
        }
    }
}

impl Script {
    /// Running time at which the fuel that `spec` gives is burnt.
    fn dry_after(&self, spec: &Spec) -> Option<Duration> {
        let Root::Wasm(Wasm { fuel: Some(fuel), .. }) = spec.root else { return None };
        let milliseconds = fuel.0.saturating_mul(1_000).checked_div(self.fuel_per_second)?;
        Some(Duration::from_millis(milliseconds))
    }
}

/// The [`Runtime`] that plays scripts. Clones share their runs.
#[derive(Clone)]
pub struct Scripted {
    script: Arc<dyn Fn(&Spec) -> Script + Send + Sync>,
    runs: Arc<Mutex<BTreeMap<PathBuf, Arc<Play>>>>,
}

impl Scripted {
    /// A runtime that plays for each spec what `script` says.
    pub fn new(script: impl Fn(&Spec) -> Script + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), runs: Arc::default() }
    }

    /// The machine dies under the run in `folder`, as when its shim is killed; `false` when nothing
    /// runs there.
    pub fn lose(&self, folder: &Path) -> bool {
        let Some(play) = locked(&self.runs).get(folder).cloned() else { return false };
        let now = Instant::now();
        let mut act = locked(&play.act);
        if act.started.is_none() || act.end(&play.script, &play.spec, now).is_some() {
            return false;
        }
        act.lost = Some(now);
        play.orders.notify_waiters();
        true
    }
}

/// One scripted run.
struct Play {
    folder: PathBuf,
    spec: Spec,
    script: Script,
    act: Mutex<Act>,
    orders: Notify,
}

/// What was done to a run so far.
#[derive(Clone, Debug, Default)]
struct Act {
    started: Option<Instant>,
    /// How long it runs after the last word.
    unattended: Option<Duration>,
    /// The last word of a watcher: when, and whether it was to hold.
    word: Option<(Instant, bool)>,
    /// Holds that ended by a word: from, and to.
    holds: Vec<(Instant, Instant)>,
    /// When a stop was asked for, and when the grace ends.
    stopped: Option<Instant>,
    lost: Option<Instant>,
}

/// When and how a run ended.
struct End {
    at: Instant,
    outcome: Outcome,
    exit_code: Option<i32>,
}

impl Act {
    fn ready(&self, script: &Script) -> Option<Instant> {
        self.started.map(|started| started + script.ready_after)
    }

    /// Take a word: to hold, or to go on.
    fn hear(&mut self, script: &Script, hold: bool, now: Instant) {
        if let Some(from) = self.hold_from(script).filter(|from| *from < now) {
            self.holds.push((from, now));
        }
        self.word = Some((now, hold));
    }

    /// From when it is held if nobody says anything more: told to, or left alone.
    fn hold_from(&self, script: &Script) -> Option<Instant> {
        let ready = self.ready(script)?;
        match self.word {
            Some((at, true)) => Some(at),
            word => word.map_or(ready, |(at, _)| at.max(ready)).checked_add(self.unattended?),
        }
    }

    /// The watch since readiness, as a real run would keep it until `until`; zero is readiness.
    fn watch(&self, script: &Script, ready: Instant, until: Instant) -> Stopwatch {
        let since = |at: Instant| at.saturating_duration_since(ready);
        let mut watch = Stopwatch::start(Duration::ZERO);
        for (from, to) in &self.holds {
            watch.hold(since(*from));
            watch.release(since(*to));
        }
        if let Some(from) = self.hold_from(script).filter(|from| *from <= until) {
            watch.hold(since(from));
        }
        watch
    }

    /// The moment at which `elapsed` of running time is reached, if no further order comes.
    fn reached(&self, script: &Script, elapsed: Duration) -> Option<Instant> {
        let ready = self.ready(script)?;
        let mut at = ready.checked_add(elapsed)?;
        for (from, to) in &self.holds {
            if *from <= at {
                at = at.checked_add(to.saturating_duration_since((*from).max(ready)))?;
            }
        }
        Some(at).filter(|at| self.hold_from(script).is_none_or(|from| *at < from))
    }

    /// How it has ended by `now`, if it has: whatever came first.
    fn end(&self, script: &Script, spec: &Spec, now: Instant) -> Option<End> {
        let own = script.ends_after.and_then(|after| self.reached(script, after));
        let limit = self.reached(script, spec.limits.time.duration());
        let dry = script.dry_after(spec).and_then(|after| self.reached(script, after));
        let candidates = [
            (own, script.outcome, script.exit_code),
            (dry, Outcome::OutOfFuel, None),
            (limit, Outcome::TimedOut, None),
            (self.stopped, Outcome::Stopped, None),
            (self.lost, Outcome::Lost, None),
        ];
        candidates
            .into_iter()
            .filter_map(|(at, outcome, exit_code)| Some(End { at: at?, outcome, exit_code }))
            .min_by_key(|end| end.at)
            .filter(|end| end.at <= now)
    }
}

impl Play {
    /// Readiness, and running time by `now`, ended or not.
    fn elapsed(&self, act: &Act, now: Instant) -> Option<(Instant, Duration)> {
        let ready = act.ready(&self.script).filter(|ready| *ready <= now)?;
        let until = act.end(&self.script, &self.spec, now).map_or(now, |end| end.at.min(now));
        let watch = act.watch(&self.script, ready, until);
        Some((ready, watch.elapsed(until.saturating_duration_since(ready))))
    }

    /// The samples taken by `now`: at readiness, each second, and at the end.
    fn beats(&self, act: &Act, now: Instant) -> (Chain, Vec<Beat>) {
        let Some((_, elapsed)) = self.elapsed(act, now) else { return Default::default() };
        let mut times: Vec<Duration> = (0..=elapsed.as_secs()).map(Duration::from_secs).collect();
        let end = act.end(&self.script, &self.spec, now);
        // A shim that is lost takes no last sample.
        if end.is_some_and(|end| end.outcome != Outcome::Lost) {
            times.push(elapsed);
        }
        let mut chain = Chain::default();
        let beats = times
            .into_iter()
            .map(|at| {
                let (next, beat) = chain.extend(self.sample(at));
                chain = next;
                beat
            })
            .collect();
        (chain, beats)
    }

    fn sample(&self, at: Duration) -> Sample {
        let at_ms = milliseconds(at);
        let memory = self.script.memory;
        let cpu_ms = at_ms.saturating_mul(self.script.cpu_ms_per_second) / 1_000;
        let fuel = Fuel(at_ms.saturating_mul(self.script.fuel_per_second) / 1_000);
        Sample { at_ms, cpu_ms, memory, peak: memory, fuel }
    }

    fn said(&self, act: &Act, now: Instant, stream: Stream) -> Vec<u8> {
        let Some((_, elapsed)) = self.elapsed(act, now) else { return Vec::new() };
        let speech = self.script.speech.iter();
        speech
            .filter(|spoken| spoken.stream == stream && spoken.at <= elapsed)
            .flat_map(|spoken| spoken.words.iter().copied())
            .collect()
    }

    fn record(&self, act: &Act, now: Instant) -> Option<ExitRecord> {
        let end = act.end(&self.script, &self.spec, now)?;
        let started = act.ready(&self.script).is_some_and(|ready| ready <= end.at);
        let (chain, beats) = self.beats(act, now);
        let last = beats.last().map(|beat| beat.sample).unwrap_or_default();
        let held = act.ready(&self.script).map_or(Duration::ZERO, |ready| {
            let watch = act.watch(&self.script, ready, end.at);
            watch.held(end.at.saturating_duration_since(ready))
        });
        let output = self.script.outputs.values().map(|it| it.len() as u64).sum();
        Some(ExitRecord {
            ending: Ending {
                outcome: end.outcome,
                cause: format!("the script says {}", end.outcome),
                next: "read the script".to_owned(),
            },
            exit_code: end.exit_code,
            signal: None,
            started,
            elapsed_ms: last.at_ms,
            paused_ms: milliseconds(held),
            cpu_ms: last.cpu_ms,
            peak: last.peak,
            fuel: last.fuel,
            output: Bytes(output),
            log_dropped: Bytes(0),
            samples: chain.length,
            chain: chain.head,
        })
    }

    fn phase(&self, act: &Act, now: Instant) -> Phase {
        if let Some(record) = self.record(act, now) {
            return Phase::Ended(Box::new(record));
        }
        match act.ready(&self.script) {
            None => Phase::Prepared,
            Some(ready) if ready > now => Phase::Starting,
            Some(ready) if act.watch(&self.script, ready, now).is_held() => Phase::Paused,
            Some(_) => Phase::Running,
        }
    }

    /// The next moment after `now` at which something happens by itself.
    fn next(&self, act: &Act, now: Instant) -> Option<Instant> {
        let ready = act.ready(&self.script)?;
        let elapsed = self.elapsed(act, now).map_or(Duration::ZERO, |(_, elapsed)| elapsed);
        let second = Duration::from_secs(elapsed.as_secs() + 1);
        let running = self.script.speech.iter().map(|spoken| spoken.at);
        let running = running
            .chain(self.script.ends_after)
            .chain(self.script.dry_after(&self.spec))
            .chain([second, self.spec.limits.time.duration()]);
        running
            .filter_map(|span| act.reached(&self.script, span))
            .chain([ready])
            .chain(act.hold_from(&self.script))
            .chain(act.stopped)
            .filter(|at| *at > now)
            .min()
    }

    fn ended(&self, act: &Act, now: Instant) -> bool {
        act.end(&self.script, &self.spec, now).is_some()
    }

    fn order(&self, order: impl FnOnce(&mut Act, Instant)) -> Result<(), Error> {
        let now = Instant::now();
        let mut act = locked(&self.act);
        if act.started.is_none() || self.ended(&act, now) {
            return Err(Error::NotRunning { folder: self.folder.clone() });
        }
        order(&mut act, now);
        self.orders.notify_waiters();
        Ok(())
    }
}

#[async_trait]
impl Runtime for Scripted {
    async fn probe(&self, _scratch: &Path) -> Result<Isolation, Error> {
        Ok(Isolation {
            namespaces: true,
            seccomp: true,
            landlock: None,
            own_user: true,
            cpu: Wall::Kernel,
            memory: Wall::Kernel,
            processes: Wall::Kernel,
            disk: Wall::Watched,
            wasm: true,
            accounting: true,
            freezer: true,
        })
    }

    async fn prepare(&self, spec: &Spec, folder: &Path) -> Result<Preparation, Error> {
        let script = (self.script)(spec);
        if let Some(refusal) = spec.complaint().or_else(|| script.refusal.clone()) {
            return Ok(Preparation::Refused(refusal));
        }
        let unattended = spec.limits.unattended.map(|it| it.duration());
        let act = Act { unattended, ..Act::default() };
        let play = Play {
            folder: folder.to_owned(),
            spec: spec.clone(),
            script,
            act: Mutex::new(act),
            orders: Notify::new(),
        };
        locked(&self.runs).insert(folder.to_owned(), Arc::new(play));
        Ok(Preparation::Ready(Prepared { folder: folder.to_owned() }))
    }

    async fn start(&self, prepared: Prepared) -> Result<Box<dyn Run>, Error> {
        let refused =
            |words: &str| Error::Shim { folder: prepared.folder.clone(), words: words.to_owned() };
        let play = locked(&self.runs)
            .get(&prepared.folder)
            .cloned()
            .ok_or_else(|| refused("nothing was prepared here"))?;
        let mut act = locked(&play.act);
        if act.started.is_some() {
            return Err(refused("this run was started before"));
        }
        act.started = Some(Instant::now());
        drop(act);
        Ok(Box::new(Watched { play, seen: Mutex::new(Instant::now()) }))
    }

    async fn adopt(&self, folder: &Path) -> Result<Option<Box<dyn Run>>, Error> {
        let play = locked(&self.runs).get(folder).cloned();
        Ok(play.filter(|play| locked(&play.act).started.is_some()).map(|play| {
            Box::new(Watched { play, seen: Mutex::new(Instant::now()) }) as Box<dyn Run>
        }))
    }

    async fn wipe(&self, folder: &Path) -> Result<Wiped, Error> {
        let mut runs = locked(&self.runs);
        let Some(play) = runs.get(folder) else { return Ok(Wiped::default()) };
        let act = locked(&play.act).clone();
        if act.started.is_some() && !play.ended(&act, Instant::now()) {
            return Err(Error::StillRunning { folder: folder.to_owned() });
        }
        let files = play.script.outputs.len() as u64;
        let bytes = Bytes(play.script.outputs.values().map(|it| it.len() as u64).sum());
        runs.remove(folder);
        Ok(Wiped { files, folders: 1, bytes, cgroups: 0 })
    }
}

/// A scripted run with the moment up to which its watcher has seen it.
struct Watched {
    play: Arc<Play>,
    seen: Mutex<Instant>,
}

impl Watched {
    fn act(&self) -> Act {
        locked(&self.play.act).clone()
    }

    fn finished_outputs(&self) -> BTreeMap<String, Vec<u8>> {
        let ended = self.play.ended(&self.act(), Instant::now());
        if ended { self.play.script.outputs.clone() } else { BTreeMap::new() }
    }
}

#[async_trait]
impl Run for Watched {
    fn folder(&self) -> &Path {
        &self.play.folder
    }

    async fn progress(&self) -> Result<Progress, Error> {
        let (act, now) = (self.act(), Instant::now());
        let phase = self.play.phase(&act, now);
        let (elapsed, paused) = match (&phase, act.ready(&self.play.script)) {
            (Phase::Ended(record), _) => {
                let spans = [record.elapsed_ms, record.paused_ms].map(Duration::from_millis);
                (spans[0], spans[1])
            }
            (_, Some(ready)) if ready <= now => {
                let watch = act.watch(&self.play.script, ready, now);
                let now = now.saturating_duration_since(ready);
                (watch.elapsed(now), watch.held(now))
            }
            _ => (Duration::ZERO, Duration::ZERO),
        };
        let length = |stream| self.play.said(&act, now, stream).len() as u64;
        let (stdout, stderr) = (length(Stream::Stdout), length(Stream::Stderr));
        Ok(Progress { phase, elapsed, paused, stdout, stderr })
    }

    async fn changed(&self) -> Result<(), Error> {
        let ordered = self.play.orders.notified();
        let act = self.act();
        let seen = *locked(&self.seen);
        let next = self.play.next(&act, seen);
        if !self.play.ended(&act, Instant::now()) {
            match next {
                Some(next) => tokio::select! {
                    biased;
                    () = sleep_until(next) => {}
                    () = ordered => {}
                },
                None => ordered.await,
            }
        }
        *locked(&self.seen) = Instant::now();
        Ok(())
    }

    async fn samples(&self, from: u64) -> Result<Vec<Beat>, Error> {
        let (_, beats) = self.play.beats(&self.act(), Instant::now());
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(beats.into_iter().skip(from).collect())
    }

    async fn log(&self, stream: Stream, from: u64, most: usize) -> Result<Vec<u8>, Error> {
        Ok(piece(&self.play.said(&self.act(), Instant::now(), stream), from, most))
    }

    async fn pause(&self) -> Result<(), Error> {
        self.play.order(|act, now| act.hear(&self.play.script, true, now))
    }

    async fn resume(&self) -> Result<(), Error> {
        self.play.order(|act, now| act.hear(&self.play.script, false, now))
    }

    async fn stop(&self, _grace: Duration) -> Result<(), Error> {
        self.play.order(|act, now| {
            act.stopped.get_or_insert(now);
        })
    }

    async fn outputs(&self) -> Result<Vec<Output>, Error> {
        let outputs = self.finished_outputs().into_iter();
        Ok(outputs
            .map(|(path, bytes)| Output {
                path,
                length: Bytes(bytes.len() as u64),
                executable: false,
            })
            .collect())
    }

    async fn read_output(&self, path: &str, from: u64, most: usize) -> Result<Vec<u8>, Error> {
        match self.finished_outputs().get(path) {
            Some(bytes) => Ok(piece(bytes, from, most)),
            None => {
                Err(Error::NoOutput { folder: self.play.folder.clone(), path: path.to_owned() })
            }
        }
    }
}

fn piece(bytes: &[u8], from: u64, most: usize) -> Vec<u8> {
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
    let rest = &bytes[from..];
    rest[..most.min(rest.len())].to_vec()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
