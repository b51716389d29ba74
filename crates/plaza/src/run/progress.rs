//! Progress: where a job stands, how long it has run, what it has cost so far.
//!
//! On a terminal one line is kept up to date; elsewhere each change of state is one plain line, and
//! so is each tenth of many tasks.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use api::Job;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use market::{
    fact::{Agreement, Conclusion},
    message::Phase,
};
use primitives::{Amount, Clock as _, JobId, UnixSeconds};

use crate::{
    clock::SystemClock,
    run::{
        bill::{dollars, hourly},
        story::{Standing, Story},
    },
    voice::Voice,
};

/// What a person sees of a job on its way.
pub(crate) struct Progress {
    voice: Voice,
    quiet: bool,
    drawn: bool,
    /// Of how many tasks the progress is shown; of one alone it is what it does.
    many: Option<u32>,
    /// How many tenths of the tasks were told in plain lines.
    tenths: AtomicU32,
    bar: ProgressBar,
}

/// How often the line on a terminal is drawn anew.
const TICK: Duration = Duration::from_millis(100);

impl Progress {
    /// Of a job of one task.
    pub(crate) fn new(voice: Voice, quiet: bool) -> Self {
        Self::drawn(voice, quiet, None, "{spinner} {wide_msg}")
    }

    /// Of a job of so many tasks.
    pub(crate) fn of_many(voice: Voice, quiet: bool, tasks: u32) -> Self {
        Self::drawn(voice, quiet, Some(tasks), "{spinner} [{bar:30}] {pos}/{len} {wide_msg}")
    }

    fn drawn(voice: Voice, quiet: bool, many: Option<u32>, template: &str) -> Self {
        let drawn = voice.is_watched() && !voice.json && !quiet;
        let target =
            if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(many.map(u64::from), target);
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        bar.set_style(style.progress_chars("=> "));
        if drawn {
            bar.enable_steady_tick(TICK);
        }
        Self { voice, quiet, drawn, many, tenths: AtomicU32::new(0), bar }
    }

    /// Inputs are on their way.
    pub(crate) fn sending(&self, inputs: &[PathBuf]) {
        let names: Vec<_> = inputs.iter().map(|path| path.display().to_string()).collect();
        self.state(&format!("sending {}", names.join(", ")));
    }

    /// The gateway has the order.
    pub(crate) fn submitted(&self, job: JobId) {
        self.say(&format!("job {} is ordered", job.short()));
        self.state("looking for a provider");
    }

    /// A bid was chosen.
    pub(crate) fn chosen(&self, agreement: &Agreement, decimals: u8) {
        let terms = &agreement.terms.document;
        self.say(&format!(
            "provider {} takes it for {}; {} is put aside",
            terms.provider,
            hourly(terms.rate, decimals),
            dollars(terms.cap, decimals)
        ));
        self.state("paying into the escrow");
    }

    /// The provider does something before readiness.
    pub(crate) fn phase(&self, phase: Phase) {
        self.state(match phase {
            Phase::Fetching => "the provider fetches the inputs",
            Phase::Preparing => "the provider prepares the run",
            Phase::Delivering => "the provider hands in the outputs",
        });
    }

    /// The deal is open.
    pub(crate) fn opened(&self, tx: primitives::B256) {
        self.say(&format!("escrow opened in transaction {tx}"));
        self.state("the provider prepares the run");
    }

    /// How the job stands now.
    pub(crate) fn shown(&self, story: &Story, decimals: u8) {
        let now = SystemClock::new().now();
        let standing = story.standing(now);
        match self.many {
            Some(all) => self.tasks(&standing, all, decimals),
            None => self.one(story, &standing, now, decimals),
        }
    }

    /// One task runs: since when, and what that costs.
    fn one(&self, story: &Story, standing: &Standing, now: UnixSeconds, decimals: u8) {
        if let Some(since) = story.running_since() {
            let cost = dollars(standing.cost, decimals);
            self.state(&format!("running, {}, {cost} so far", now.since(since)));
        }
    }

    /// Many tasks: how many of them are where, over which deals, for how much.
    fn tasks(&self, standing: &Standing, all: u32, decimals: u8) {
        let words = told(standing, decimals);
        self.bar.set_position(standing.tasks.done.into());
        self.state(&words);
        let tenths = (standing.tasks.done * 10).checked_div(all).unwrap_or(0);
        if !self.drawn && self.tenths.swap(tenths, Ordering::Relaxed) < tenths {
            self.say(&format!("{} of {all} tasks done: {words}", standing.tasks.done));
        }
    }

    /// A deal of many tasks ended before they did.
    pub(crate) fn failed(&self, agreement: &Agreement, why: &str) {
        if self.many.is_some() {
            let provider = agreement.terms.document.provider;
            self.say(&format!("the deal with provider {provider} ends: {why}"));
        }
    }

    /// A deal is more than the budget has left.
    pub(crate) fn withheld(&self, agreement: &Agreement, bound: Amount, decimals: u8) {
        let terms = &agreement.terms.document;
        self.remark(&format!(
            "not agreed to: the deal with provider {} would put aside {} beside the {} of the others, \
             more than the budget; the job goes on with the deals it has",
            terms.provider,
            dollars(terms.cap, decimals),
            dollars(bound, decimals)
        ));
    }

    /// The hold is nearly used up.
    pub(crate) fn nearly_spent(&self) {
        self.remark("80 % of what was put aside is used; the job ends when all is");
    }

    /// The gateway does not answer just now.
    pub(crate) fn waiting(&self) {
        self.remark("the gateway does not answer; waiting for it, the job goes on meanwhile");
    }

    /// The first Ctrl-C came.
    pub(crate) fn stopping(&self) {
        self.remark(
            "stopping the job and settling what it used; press Ctrl-C again to leave it to itself",
        );
        self.state("stopping");
    }

    /// It is over; these lines say how.
    pub(crate) fn finished(&self, job: &Job, lines: &[String]) {
        self.bar.finish_and_clear();
        if self.quiet {
            return;
        }
        for line in lines {
            self.voice.remark(line);
        }
        if let Some(Conclusion::Unplaced { .. }) = &job.conclusion {
            self.voice.remark("what is for rent: plaza offer list");
        }
    }

    /// Outputs are here.
    pub(crate) fn brought(&self, target: &Path, count: usize) {
        let things = if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
        self.say(&format!("outputs are in {} ({things})", target.display()));
    }

    /// Outputs of so many tasks are here.
    pub(crate) fn brought_of(&self, target: &Path, count: usize) {
        let tasks = if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") };
        self.say(&format!("outputs of {tasks} are in {}, by index", target.display()));
    }

    /// Write to our own outputs without tearing the line that is kept up to date.
    pub(crate) fn beside(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// Something a person must know, also when it wants quiet.
    pub(crate) fn remark(&self, words: &str) {
        self.beside(|| self.voice.remark(words));
    }

    /// Something a person may want to know.
    pub(crate) fn say(&self, words: &str) {
        if !self.quiet {
            self.remark(words);
        }
    }

    fn state(&self, words: &str) {
        self.bar.set_message(words.to_owned());
    }
}

/// How many tasks stand where, in words.
fn told(standing: &Standing, decimals: u8) -> String {
    let Standing { tasks, carrying, settling, cost } = *standing;
    let mut words = vec![format!("{} handed out", tasks.handed)];
    if tasks.failed > 0 {
        words.push(format!("{} failed", tasks.failed));
    }
    words.push(format!("{carrying} deal{}", if carrying == 1 { "" } else { "s" }));
    if settling > 0 {
        words.push(format!("{settling} to be settled"));
    }
    words.push(format!("{} so far", dollars(cost, decimals)));
    words.join(", ")
}
