//! Progress: where a job stands, how long it has run, what it has cost so far.
//!
//! On a terminal one line is kept up to date; elsewhere each change of state is one plain line.

use std::{path::Path, path::PathBuf, time::Duration};

use api::{Job, Network};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use market::{
    fact::{Agreement, Conclusion},
    message::Phase,
};
use primitives::{Amount, JobId, Rate, Seconds, UnixSeconds};

use crate::{
    run::bill::{Bill, dollars, hourly},
    voice::Voice,
};

/// What a person sees of a job on its way.
pub(crate) struct Progress {
    voice: Voice,
    quiet: bool,
    bar: ProgressBar,
}

/// How often the line on a terminal is drawn anew.
const TICK: Duration = Duration::from_millis(100);

impl Progress {
    pub(crate) fn new(voice: Voice, quiet: bool) -> Self {
        let drawn = voice.is_watched() && !voice.json && !quiet;
        let target =
            if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        if drawn {
            bar.enable_steady_tick(TICK);
        }
        Self { voice, quiet, bar }
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

    /// It runs, and both sides have signed for so much.
    pub(crate) fn running(&self, seconds: Seconds, amount: Amount, decimals: u8) {
        self.state(&format!("running, {seconds}, {} so far", dollars(amount, decimals)));
    }

    /// It runs, and nothing is signed since; the cost is computed from the rate.
    pub(crate) fn elapsed(&self, since: UnixSeconds, now: UnixSeconds, rate: Rate, decimals: u8) {
        let seconds = now.since(since);
        self.running(seconds, rate.charge_down(seconds), decimals);
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

    /// It is over.
    pub(crate) fn finished(&self, job: &Job, network: &Network, bill: &Bill) {
        self.bar.finish_and_clear();
        if self.quiet {
            return;
        }
        let decimals = network.descriptor.contracts.token_decimals;
        for line in bill.lines(decimals) {
            self.voice.remark(&line);
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

    /// Write to our own outputs without tearing the line that is kept up to date.
    pub(crate) fn beside(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// Something a person must know, also when it wants quiet.
    pub(crate) fn remark(&self, words: &str) {
        self.beside(|| self.voice.remark(words));
    }

    fn say(&self, words: &str) {
        if !self.quiet {
            self.remark(words);
        }
    }

    fn state(&self, words: &str) {
        self.bar.set_message(words.to_owned());
    }
}
