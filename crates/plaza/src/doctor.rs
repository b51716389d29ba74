//! `plaza doctor`: check what this machine can do, and say what to do about the rest.

use hardware::{Finding, Graphics, Survey};
use sandbox::{Native, Runtime as _, Shim, Wall};
use serde::Serialize;
use serde_json::json;

use crate::{
    config::Config,
    daemon,
    failure::{Failure, Result},
    purse, seat, seller,
    voice::table,
};

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    state: State,
    found: String,
    action: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// As it should be.
    Pass,
    /// It works, with something less.
    Less,
    /// It does not work.
    Fail,
}

pub(crate) async fn doctor(config: &Config) -> Result<()> {
    let survey = hardware::survey(config.folder.path());
    let mut checks = vec![folder(config), disk(&survey)];
    checks.extend(walls(config).await);
    checks.push(graphics(&survey.graphics));
    checks.push(network(config).await);
    checks.push(provider(config));
    checks.push(wallet(config));
    config.voice.answer(&json!({ "checks": checks }), || told(&checks));
    match checks.iter().filter(|check| check.state == State::Fail).count() {
        0 => Ok(()),
        1 => Err(Failure::new("one check fails")),
        count => Err(Failure::new(format!("{count} checks fail"))),
    }
}

fn told(checks: &[Check]) -> String {
    let rows: Vec<_> = checks
        .iter()
        .map(|check| {
            let state = match check.state {
                State::Pass => "pass",
                State::Less => "less",
                State::Fail => "FAIL",
            };
            vec![state.to_owned(), check.what.to_owned(), check.found.clone()]
        })
        .collect();
    let advice = checks.iter().filter(|check| !check.action.is_empty());
    let advice = advice.map(|check| format!("\n{}: {}", check.what, check.action));
    format!("{}{}", table(&["", "CHECK", "FOUND"], &rows), advice.collect::<String>())
}

fn pass(what: &'static str, found: impl Into<String>) -> Check {
    Check { what, state: State::Pass, found: found.into(), action: String::new() }
}

fn less(what: &'static str, found: impl Into<String>, action: impl Into<String>) -> Check {
    Check { what, state: State::Less, found: found.into(), action: action.into() }
}

fn fail(what: &'static str, found: impl Into<String>, action: impl Into<String>) -> Check {
    Check { what, state: State::Fail, found: found.into(), action: action.into() }
}

fn folder(config: &Config) -> Check {
    let path = config.folder.path();
    match crate::folder::write(&path.join("doctor.probe"), "written") {
        Ok(()) => {
            // It was only written to see whether it can be.
            let _ = std::fs::remove_file(path.join("doctor.probe"));
            pass("data folder", path.display().to_string())
        }
        Err(failure) => {
            fail("data folder", failure.sentence(), "name one you can write to: --data DIR")
        }
    }
}

fn disk(survey: &Survey) -> Check {
    const LITTLE: u64 = 2 << 30;
    match survey.disk.value() {
        Some(disk) if disk.free.0 >= LITTLE => pass("disk", format!("{} free", disk.free)),
        Some(disk) => less(
            "disk",
            format!("{} free", disk.free),
            "free some: runs keep inputs and outputs there",
        ),
        None => less("disk", "unknown", ""),
    }
}

/// What graphics processors there are, and why not all of them can be rented out.
fn graphics(found: &Graphics) -> Check {
    const WHAT: &str = "graphics";
    let said = |finding: &Finding<String>| finding.value().cloned();
    let unknown = || "unknown".to_owned();
    let Some(cards) = found.cards.value() else {
        let lack = found.lack.clone().unwrap_or_else(unknown);
        return less(WHAT, format!("unknown: {lack}, and the bus cannot be looked at"), "");
    };
    let names: Vec<String> = cards
        .iter()
        .map(|card| {
            let model = said(&card.model).unwrap_or_else(|| "unknown model".to_owned());
            let memory = card.memory.value().map(|memory| format!(", {memory}"));
            let uuid = said(&card.uuid).unwrap_or_else(|| format!("at {}", card.place));
            format!("{model}{} ({uuid})", memory.unwrap_or_default())
        })
        .collect();
    let names = names.join("; ");
    match &found.lack {
        Some(lack) if cards.is_empty() => less(WHAT, format!("none by NVIDIA; {lack}"), ""),
        Some(lack) => less(
            WHAT,
            format!("{names}: {lack}"),
            "install NVIDIA's driver, or let this system see it",
        ),
        None if cards.is_empty() => less(WHAT, "none by NVIDIA", ""),
        None => {
            let driver = said(&found.driver).unwrap_or_else(unknown);
            let cuda = said(&found.cuda).unwrap_or_else(unknown);
            let found_words = format!("{names}; driver {driver}, CUDA {cuda}");
            match cards.len() - found.usable().count() {
                0 => pass(WHAT, found_words),
                count => less(
                    WHAT,
                    format!("{found_words}; {count} cannot be given to runs"),
                    "switch MIG off, and see that each has its device file under /dev",
                ),
            }
        }
    }
}

async fn walls(config: &Config) -> Vec<Check> {
    let modules = config.folder.provider().join("modules");
    let runtime = Native::new(Shim::this_binary([seller::SHIM]), modules);
    let scratch = config.folder.path().join("doctor.run");
    let isolation = match runtime.probe(&scratch).await {
        Ok(isolation) => isolation,
        Err(error) => {
            let failure = Failure::new("work cannot be shut in").because(&error);
            let action = "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, or \
                          kernel.apparmor_restrict_unprivileged_userns=0), or be root; renting needs none of this";
            return vec![fail("sandbox", failure.sentence(), action)];
        }
    };
    let kernel = |wall| wall == Wall::Kernel;
    let limits = kernel(isolation.cpu) && kernel(isolation.memory) && kernel(isolation.processes);
    let names = isolation.names().join(", ");
    let sharing = if limits {
        pass("cgroup limits", "held by the kernel: parts of this machine can be rented out")
    } else {
        less(
            "cgroup limits",
            "no rights: only the whole machine can be rented out, to one at a time",
            "give rights over a cgroup: be root, or run under 'systemd-run --user --scope -p Delegate=yes'",
        )
    };
    let wasm = if isolation.wasm {
        pass("wasm", "modules can be compiled and executed")
    } else {
        less("wasm", "modules cannot be executed here", "other work can; nothing to do")
    };
    vec![pass("sandbox", names), sharing, wasm]
}

async fn network(config: &Config) -> Check {
    match daemon::find(config).await {
        Ok(Some(reached)) => pass(
            "network",
            format!(
                "chain {} answers at {}, block {}",
                reached.network.descriptor.chain_id,
                reached.client.url(),
                reached.network.block
            ),
        ),
        Ok(None) => {
            less("network", "none runs here", "'plaza run' starts one; or yourself: plaza up")
        }
        Err(failure) => {
            fail("network", failure.sentence(), format!("see {}", config.folder.log().display()))
        }
    }
}

fn provider(config: &Config) -> Check {
    match seat::occupant(&config.folder.provider()) {
        Ok(Some(occupant)) => pass("provider", format!("runs as process {}", occupant.pid)),
        Ok(None) => less("provider", "none runs here", ""),
        Err(failure) => fail("provider", failure.sentence(), ""),
    }
}

fn wallet(config: &Config) -> Check {
    match purse::list(&config.folder) {
        Ok(shown) if shown.is_empty() => less(
            "wallet",
            "none yet",
            "the first network makes a demo wallet; your own: plaza wallet create",
        ),
        Ok(shown) => {
            let names: Vec<_> = shown.iter().map(|purse| purse.name.clone()).collect();
            pass("wallet", names.join(", "))
        }
        Err(failure) => fail("wallet", failure.sentence(), ""),
    }
}

#[cfg(test)]
mod tests {
    use hardware::{Card, Provenance};
    use primitives::Bytes;

    use super::*;

    fn found<T>(value: T) -> Finding<T> {
        Finding::Found { value, from: Provenance::OsReported }
    }

    fn card(node: Finding<u32>) -> Card {
        Card {
            place: "0000:01:00.0".to_owned(),
            model: found("NVIDIA H200".to_owned()),
            uuid: found("GPU-7".to_owned()),
            memory: found(Bytes::gibi(140)),
            node,
        }
    }

    #[test]
    fn the_doctor_says_which_graphics_processors_there_are_and_why_not() {
        let none = Graphics {
            cards: found(Vec::new()),
            lack: Some("NVIDIA's driver is not loaded".to_owned()),
            ..Graphics::default()
        };
        let check = graphics(&none);
        assert_eq!((check.state, check.action.as_str()), (State::Less, ""));
        assert_eq!(check.found, "none by NVIDIA; NVIDIA's driver is not loaded");

        let driven = Graphics {
            cards: found(vec![card(found(0))]),
            driver: found("570.133.20".to_owned()),
            cuda: found("12.8".to_owned()),
            lack: None,
        };
        let check = graphics(&driven);
        assert_eq!(check.state, State::Pass);
        let words = "NVIDIA H200, 140 GiB (GPU-7); driver 570.133.20, CUDA 12.8";
        assert_eq!(check.found, words);

        let cut = Graphics { cards: found(vec![card(Finding::Unknown)]), ..driven };
        let check = graphics(&cut);
        assert_eq!(check.state, State::Less);
        assert!(check.found.ends_with("1 cannot be given to runs") && check.action.contains("MIG"));
    }
}
