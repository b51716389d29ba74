//! Commands to a lease, checked before the line sees them.
//!
//! Upon an instruction: each of its commands must be of this deal, signed by the renter key of the
//! terms, and carry a fence not below the highest seen. Anything else is refused here, with all that
//! came with it. What passes is answered once the fact that it leads to is written down.
//!
//! Not here: whether the deal is open (`accept`), and what is new to the lease (`assign`).

use market::{
    Domain, Rules,
    document::{Act, Command, Signed},
    fact::Agreement,
    message::{Assignment, CommandAnswer, Instruction},
};
use primitives::B256;
use tokio::sync::{mpsc, oneshot};

/// An instruction and where its answer goes.
pub(crate) struct Inbound {
    pub(crate) instruction: Instruction,
    pub(crate) answer: Answer,
}

/// Where an answer goes; dropped unsent, the gateway asks again.
pub(crate) type Answer = oneshot::Sender<CommandAnswer>;

/// What a valid instruction asks for.
pub(crate) enum Wanted {
    /// Carry these out.
    Tasks(Box<Handed>),
    /// End it.
    Stop,
}

/// Tasks that are handed over, or the word that no more will come.
pub(crate) struct Handed {
    pub(crate) commands: Vec<Signed<Command>>,
    /// The work, with the first of them.
    pub(crate) assignment: Option<Assignment>,
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
        let Instruction { commands, assignment } = instruction;
        for command in &commands {
            check(command, agreement, plaza, self.fence)?;
        }
        let fence = commands.iter().map(|command| command.document.fence).max();
        let fence = fence.ok_or("the instruction holds no command")?;
        let stops = commands.iter().any(|command| command.document.act == Act::Stop);
        if self.stopped && !stops {
            return Err("the deal was told to stop before".into());
        }
        if let Some(assignment) = &assignment {
            fits(assignment, first_spec(&commands), agreement, rules)?;
        }
        self.stopped |= stops;
        self.fence = fence;
        if stops {
            return Ok(Wanted::Stop);
        }
        Ok(Wanted::Tasks(Box::new(Handed { commands, assignment })))
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

/// The work that the first of these commands that hands over a task was signed for.
fn first_spec(commands: &[Signed<Command>]) -> Option<B256> {
    commands.iter().find_map(|command| match command.document.act {
        Act::Assign { spec, .. } => Some(spec),
        Act::Release | Act::Stop => None,
    })
}

/// Whether the work is the one that was signed for, and fits the terms.
fn fits(
    assignment: &Assignment,
    spec: Option<B256>,
    agreement: &Agreement,
    rules: &Rules,
) -> Result<(), String> {
    let Assignment { work, salt } = assignment;
    let terms = &agreement.terms.document;
    if spec.is_some_and(|spec| work.digest(*salt) != spec) {
        return Err("the work is not the one that was signed for".into());
    }
    if let Some(flaw) = work.flaw(rules.longest_deal) {
        return Err(flaw.to_string());
    }
    let latest = terms.accept_by.plus(rules.preparation).plus(work.time_limit);
    if latest > terms.expiry {
        return Err("the work may run longer than the deal lasts".into());
    }
    let bundle = work.bundle();
    if !bundle.is_some_and(|bundle| agreement.resources.holds(&bundle.resources)) {
        return Err("the work wishes for more than is reserved".into());
    }
    Ok(())
}

/// Answer that a command will not be carried out.
pub(crate) fn refuse(answer: Answer, why: impl Into<String>) {
    // Whoever asked may have gone meanwhile; it will ask again.
    drop(answer.send(CommandAnswer::Refused { why: why.into() }));
}
