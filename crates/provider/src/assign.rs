//! Which commands tell a lease something new, and which it will not take: a pure decision.
//!
//! Upon a task handed over twice: once. Upon one in another epoch, of other work, beyond the work,
//! or after the release or a stop: refused, and everything that came with it.

use std::collections::BTreeMap;

use market::{
    document::{Act, Command, Signed},
    task::Load,
    work::Work,
};
use primitives::B256;

/// What a lease stands on when commands come.
#[derive(Clone, Copy)]
pub(crate) struct Standing<'a> {
    /// The work.
    pub(crate) work: &'a Work,
    /// The salted digest of the work.
    pub(crate) spec: B256,
    /// What was handed over before.
    pub(crate) load: &'a Load,
    /// Whether the renter's side asked to end it.
    pub(crate) stop: bool,
}

/// Those of the commands that tell something new, in order.
///
/// # Errors
/// For people: why none of them is taken.
pub(crate) fn news(
    standing: Standing<'_>,
    commands: Vec<Signed<Command>>,
) -> Result<Vec<Signed<Command>>, String> {
    let Standing { work, spec, load, stop } = standing;
    let (mut released, mut fresh, mut news) = (load.released, BTreeMap::new(), Vec::new());
    for command in commands {
        match command.document.act {
            Act::Assign { task, epoch, spec: named } => {
                let before = load.epoch(task).or_else(|| fresh.get(&task).copied());
                let index = task.0;
                match before {
                    _ if named != spec => {
                        return Err(format!("task {index} is of other work than the deal's"));
                    }
                    Some(before) if before == epoch => {}
                    Some(before) => {
                        let known = format!("task {index} is carried out in epoch {}", before.0);
                        return Err(format!("{known}, not in epoch {}", epoch.0));
                    }
                    None if stop => return Err("the deal was told to stop before".into()),
                    None if released => {
                        return Err(format!("task {index} comes after the release"));
                    }
                    None if index >= work.tasks() => {
                        let count = work.tasks();
                        return Err(format!("there is no task {index} among the {count}"));
                    }
                    None => {
                        fresh.insert(task, epoch);
                        news.push(command);
                    }
                }
            }
            Act::Release if released => {}
            Act::Release => {
                released = true;
                news.push(command);
            }
            Act::Stop => {}
        }
    }
    Ok(news)
}
