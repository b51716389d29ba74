//! What is nowhere to be found, but in the rooms made for it: the absences of ARCHITECTURE.md.
//!
//! Each absence names crates that only some rooms depend on, and paths that only some files speak.
//! Tests, examples and benchmarks may do what they need; the room `chain` is the exception, which
//! even tests import only where [`ABSENCES`] says so.

use super::Complaint;
use crate::{
    modules::{Crate, Target},
    plan::Plan,
    tree::Tree,
};

const RULE: &str = "absences";

struct Absence {
    /// Completes "only these may …" or "nobody here may …".
    because: &'static str,
    /// Foreign crates or rooms.
    crates: &'static [&'static str],
    /// Beginnings of full paths.
    paths: &'static [&'static str],
    /// Beginnings of the files that are free of it.
    except: &'static [&'static str],
}

/// Floors 0 and 1 decide; they do not act.
const PURE: Absence = Absence {
    because: "floors 0 and 1 do no I/O, wait for nothing, read no clock, draw no randomness and log nothing",
    crates: &[
        "async-trait",
        "axum",
        "futures",
        "getrandom",
        "libp2p",
        "log",
        "rand",
        "reqwest",
        "sqlx",
        "tokio",
        "tracing",
    ],
    paths: &[
        "std::env",
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "std::time::Instant::now",
        "std::time::SystemTime::now",
    ],
    except: &[],
};

const ABSENCES: [Absence; 10] = [
    Absence {
        because: "only store speaks SQL",
        crates: &["sqlx"],
        paths: &["sqlx"],
        except: &["crates/store/"],
    },
    Absence {
        because: "only settlement knows contract calls, and only market::document typed documents",
        crates: &["alloy-sol-types", "alloy-dyn-abi"],
        paths: &[],
        except: &["crates/settlement/", "crates/market/"],
    },
    Absence {
        because: "only settlement knows contract calls, and only market::document typed documents",
        crates: &[],
        paths: &["alloy_sol_types", "alloy_dyn_abi"],
        except: &["crates/settlement/", "crates/market/src/document"],
    },
    Absence {
        because: "only api and plaza listen on HTTP",
        crates: &["axum", "hyper"],
        paths: &[],
        except: &["crates/api/", "crates/plaza/"],
    },
    Absence {
        because: "only sandbox and plaza start processes",
        crates: &[],
        paths: &["std::process::Command", "tokio::process"],
        except: &["crates/sandbox/", "crates/plaza/", "xtask/"],
    },
    Absence {
        because: "only plaza reads the environment",
        crates: &[],
        paths: &[
            "std::env::args",
            "std::env::args_os",
            "std::env::current_dir",
            "std::env::home_dir",
            "std::env::temp_dir",
            "std::env::var",
            "std::env::var_os",
            "std::env::vars",
            "std::env::vars_os",
        ],
        // The shim's stand-in for this room's tests is told its folder as an argument.
        except: &["crates/plaza/", "crates/sandbox/src/bin/", "xtask/"],
    },
    Absence {
        because: "any EVM chain can take the place of chain, so only plaza and sim import it",
        crates: &["chain"],
        paths: &[],
        except: &["crates/plaza/", "crates/sim/"],
    },
    Absence {
        because: "broker and provider meet in messages and contract events, never in imports",
        crates: &["broker", "provider"],
        paths: &[],
        except: &["crates/api/", "crates/plaza/", "crates/sim/"],
    },
    Absence {
        because: "only sandbox and hardware hold what other systems lack",
        crates: &["landlock", "raw-cpuid", "seccompiler"],
        paths: &["std::os::linux"],
        except: &["crates/sandbox/", "crates/hardware/"],
    },
    Absence {
        because: "only plaza and xtask pass errors on without naming them",
        crates: &["anyhow", "eyre"],
        paths: &[],
        except: &["crates/plaza/", "xtask/"],
    },
];

/// Rooms that only tests of this one room import, beside the exceptions above.
const FOR_TESTS: [(&str, &str); 1] = [("settlement", "chain")];

pub(super) fn check(plan: &Plan, tree: &Tree, crates: &[(&str, Crate)]) -> Vec<Complaint> {
    let pure = |room: &str| {
        plan.rooms.get(room).is_some_and(|room| room.floor.is_some_and(|floor| floor <= 1))
    };
    let mut complaints = dependencies(tree, &pure);
    for (room, modules) in crates {
        let rules = ABSENCES.iter().chain(pure(room).then_some(&PURE));
        complaints.extend(paths(modules, &rules.collect::<Vec<_>>()));
    }
    complaints.dedup();
    complaints
}

fn dependencies(tree: &Tree, pure: &dyn Fn(&str) -> bool) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for package in &tree.packages {
        let place = format!("{}/Cargo.toml", package.folder);
        for rule in ABSENCES.iter().chain(pure(&package.name).then_some(&PURE)) {
            if rule.except.iter().any(|it| place.starts_with(it)) {
                continue;
            }
            let for_product = package.depends(false).filter(|it| rule.crates.contains(it));
            let for_tests = package.depends(true).filter(|it| {
                *it == "chain"
                    && rule.crates.contains(it)
                    && !FOR_TESTS.contains(&(package.name.as_str(), *it))
            });
            complaints.extend(for_product.chain(for_tests).map(|it| {
                let says = format!("{} depends on {it}, but {}", package.name, rule.because);
                Complaint::new(RULE, place.as_str(), says)
            }));
        }
    }
    complaints
}

fn paths(modules: &Crate, rules: &[&Absence]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (from, module) in modules.modules.iter().enumerate() {
        for spoken in &module.spoken {
            let Target::Outside(path) = modules.resolve(from, spoken) else { continue };
            let path = path.join("::");
            let broken = rules.iter().find(|rule| {
                rule.paths.iter().any(|it| begins(&path, it))
                    && !rule.except.iter().any(|it| module.file.starts_with(it))
            });
            complaints.extend(broken.map(|rule| {
                let place = format!("{}:{}", module.file, spoken.line);
                Complaint::new(RULE, place, format!("speaks {path}, but {}", rule.because))
            }));
        }
    }
    complaints
}

/// Whether `path` is `beginning` or goes on from it.
fn begins(path: &str, beginning: &str) -> bool {
    path.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
