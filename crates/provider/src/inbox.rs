//! Commands to a lease, checked before the line sees them.
//!
//! Upon a command: it must be of this deal, signed by the renter key of the terms, and carry a
//! fence not below the highest seen. Anything else is refused here. What passes is answered once
//! the fact that it leads to is written down.
//!
//! Not here: whether the deal is open (`accept`).

use market::{
    Domain, Rules,
    document::{Act, Command, Signed},
    fact::Agreement,
    message::{Assignment, CommandAnswer, Instruction},
    stage::Leased,
};
use tokio::sync::{mpsc, oneshot};

/// A command and where its answer goes.
pub(crate) struct Inbound {
    pub(crate) instruction: Instruction,
    pub(crate) answer: Answer,
}

/// Where an answer goes; dropped unsent, the gateway asks again.
pub(crate) type Answer = oneshot::Sender<CommandAnswer>;

/// What a valid command asks for.
pub(crate) enum Wanted {
    /// Run this.
    Assign(Box<(Signed<Command>, Assignment)>),
    /// End it.
    Stop,
}

/// Where one lease receives.
pub(crate) struct Inbox {
    receiver: mpsc::Receiver<Inbound>,
    /// The highest fence seen.
    fence: u64,
    /// The highest fence written down.
    written: u64,
    /// Whether a stop has come; nothing is begun after one.
    stopped: bool,
}

impl Inbox {
    /// An inbox whose lease has seen this fence, and the way to it.
    pub(crate) fn new(fence: u64) -> (mpsc::Sender<Inbound>, Self) {
        let (sender, receiver) = mpsc::channel(16);
        (sender, Self { receiver, fence, written: fence, stopped: false })
    }

    /// The highest fence seen.
    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }

    /// A fence is in the journal.
    pub(crate) fn written(&mut self, fence: u64) {
        self.written = fence;
    }

    /// Whether a fence was seen that is not in the journal yet.
    pub(crate) fn is_ahead(&self) -> bool {
        self.fence > self.written
    }

    /// The next valid command. Losing this future loses no command.
    pub(crate) async fn next(
        &mut self,
        agreement: &Agreement,
        plaza: &Domain,
        rules: &Rules,
    ) -> (Wanted, Answer) {
        loop {
            let Some(Inbound { instruction, answer }) = self.receiver.recv().await else {
                // Nobody can tell us anything any more.
                std::future::pending::<()>().await;
                continue;
            };
            match self.admit(instruction, agreement, plaza, rules) {
                Ok(wanted) => return (wanted, answer),
                Err(why) => refuse(answer, why),
            }
        }
    }

    fn admit(
        &mut self,
        instruction: Instruction,
        agreement: &Agreement,
        plaza: &Domain,
        rules: &Rules,
    ) -> Result<Wanted, String> {
        let Instruction { command, assignment } = instruction;
        check(&command, agreement, plaza, self.fence)?;
        let fence = command.document.fence;
        let wanted = match (command.document.act, assignment) {
            (Act::Stop, _) => {
                self.stopped = true;
                Wanted::Stop
            }
            (Act::Assign { .. }, _) if self.stopped => {
                return Err("the deal was told to stop before".into());
            }
            (Act::Assign { .. }, None) => return Err("the work is missing".into()),
            (Act::Assign { spec, .. }, Some(assignment)) => {
                fits(&assignment, spec, agreement, rules)?;
                Wanted::Assign(Box::new((command, assignment)))
            }
        };
        self.fence = fence;
        Ok(wanted)
    }
}

/// Whether a command may tell this lease anything.
fn check(
    command: &Signed<Command>,
    agreement: &Agreement,
    plaza: &Domain,
    fence: u64,
) -> Result<(), String> {
    let terms = &agreement.terms.document;
    if command.document.deal != agreement.deal {
        return Err("the command is for another deal".into());
    }
    if !command.signature.is_by(terms.renter_key, command.document.digest(plaza)) {
        return Err("the command is not signed by the renter key of the terms".into());
    }
    if command.document.fence < fence {
        return Err(format!(
            "the command carries fence {}, {fence} was seen",
            command.document.fence
        ));
    }
    Ok(())
}

/// Whether the work is the one that was signed for, and fits the terms.
fn fits(
    assignment: &Assignment,
    spec: primitives::B256,
    agreement: &Agreement,
    rules: &Rules,
) -> Result<(), String> {
    let Assignment { work, salt } = assignment;
    let terms = &agreement.terms.document;
    if work.digest(*salt) != spec {
        return Err("the work is not the one that was signed for".into());
    }
    if let Some(flaw) = work.flaw(rules.longest_deal) {
        return Err(flaw.to_string());
    }
    let latest = terms.accept_by.plus(rules.preparation).plus(work.time_limit);
    if latest > terms.expiry {
        return Err("the work may run longer than the deal lasts".into());
    }
    if !agreement.resources.holds(&work.wish.resources) {
        return Err("the work wishes for more than is reserved".into());
    }
    Ok(())
}

/// Answer that a command will not be carried out.
pub(crate) fn refuse(answer: Answer, why: impl Into<String>) {
    // Whoever asked may have gone meanwhile; it will ask again.
    drop(answer.send(CommandAnswer::Refused { why: why.into() }));
}

/// Whether a command asks for what is being carried out.
pub(crate) fn is_same(it: &Leased, act: &Act) -> bool {
    it.command.document.act == *act
}
