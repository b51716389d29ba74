//! What a lease at work makes of an instruction.
//!
//! Upon new tasks, the release or a stop: a fact, and `Taken` once it is written down. Upon what was
//! told before: `Taken`. Upon the rest: refused.

use market::{LeaseFact, message::CommandAnswer, stage::Leased};

use crate::{
    assign::{Standing, news},
    inbox::{Answer, Handed, Inbox, Wanted, refuse},
    line::Stride,
};

/// Answer, or make a stride of it.
pub(crate) fn hear(it: &Leased, inbox: &Inbox, wanted: Wanted, answer: Answer) -> Option<Stride> {
    let fact = match wanted {
        Wanted::Stop if it.stop => None,
        Wanted::Stop => Some(LeaseFact::StopTaken),
        Wanted::Tasks(handed) => {
            let Handed { commands, .. } = *handed;
            let standing = Standing {
                work: &it.assignment.work,
                spec: it.assignment.work.digest(it.assignment.salt),
                load: &it.load,
                stop: it.stop,
            };
            match news(standing, commands) {
                Ok(commands) if commands.is_empty() => None,
                Ok(commands) => Some(LeaseFact::Assigned { commands, assignment: None }),
                Err(why) => {
                    refuse(answer, why);
                    return None;
                }
            }
        }
    };
    match fact {
        Some(fact) => Some(Stride { facts: vec![fact], answer: Some(answer) }),
        None if inbox.is_ahead() => Some(Stride::fence(answer)),
        None => {
            // Whoever asked may have gone meanwhile; it will ask again.
            drop(answer.send(CommandAnswer::Taken));
            None
        }
    }
}
