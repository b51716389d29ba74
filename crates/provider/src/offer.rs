//! What is offered: the machine as far as its owner sells it and its walls hold it.
//!
//! In: what the machine is, which walls stand between its runs, the policy. Out: the machine for
//! sale, and the offer to be signed.
//!
//! Invariant: nothing is sold that is unknown or that no wall enforces; without kernel limits
//! around each run only the whole is sold, to one at a time.

use std::collections::BTreeSet;

use hardware::Survey;
use market::{Machine, Offer};
use primitives::{B256, PeerId, Resources, UnixSeconds};
use sandbox::{Isolation, Wall};

use crate::{error::Error, policy::Policy, world::Config};

/// What of a machine is for sale.
///
/// # Errors
/// [`Error::Offer`] when nothing is left to sell.
pub fn for_sale(survey: &Survey, isolation: &Isolation, policy: &Policy) -> Result<Machine, Error> {
    // Runs cannot be given graphics processors yet, so none are for sale.
    let resources = Resources { gpus: 0, ..policy.part_of(&survey.resources()) };
    if resources.cpu.0 == 0 || resources.memory.0 == 0 {
        let why = format!("of this machine {resources:?} are for sale; a run needs cpu and memory");
        return Err(Error::Offer { why });
    }
    let said = |finding: &hardware::Finding<String>| finding.value().cloned();
    Ok(Machine {
        resources,
        divisible: isolation.is_shareable(),
        os: said(&survey.os).unwrap_or_default(),
        arch: said(&survey.arch).unwrap_or_default(),
        cpu_model: said(&survey.processor.model),
        gpu_models: Some(Vec::new()),
        host_root: true,
        isolation: walls(isolation),
    })
}

/// The walls that stand, by name.
fn walls(isolation: &Isolation) -> BTreeSet<String> {
    let kernel = |wall| wall == Wall::Kernel;
    let all = [
        ("namespaces", isolation.namespaces),
        ("seccomp", isolation.seccomp),
        ("landlock", isolation.landlock.is_some()),
        ("own-user", isolation.own_user),
        ("cgroup-cpu", kernel(isolation.cpu)),
        ("cgroup-memory", kernel(isolation.memory)),
        ("cgroup-pids", kernel(isolation.processes)),
    ];
    all.into_iter().filter(|(_, stands)| *stands).map(|(name, _)| name.to_owned()).collect()
}

/// The offer that stands now.
///
/// # Errors
/// [`Error::Offer`] when its price is beyond what a signed document holds.
pub(crate) fn compose(
    config: &Config,
    peer: PeerId,
    sequence: u64,
    valid_until: UnixSeconds,
) -> Result<Offer, Error> {
    let rate = config.policy.rate_of(&config.machine.resources);
    let rate = rate.ok_or_else(|| Error::Offer { why: "the price is too large".into() })?;
    Ok(Offer {
        provider: config.account,
        provider_key: config.key.address(),
        peer,
        machine: config.machine.clone(),
        rate,
        token: config.token,
        sla: B256::ZERO,
        region: config.region.clone(),
        sequence,
        valid_until,
    })
}

#[cfg(test)]
mod tests {
    use primitives::{Bytes, Millicores};

    use super::*;

    fn isolation(cpu: Wall) -> Isolation {
        Isolation {
            namespaces: true,
            seccomp: true,
            landlock: None,
            own_user: true,
            cpu,
            memory: Wall::Kernel,
            processes: Wall::Kernel,
            disk: Wall::Watched,
            accounting: true,
            freezer: true,
        }
    }

    fn policy() -> Policy {
        Policy::parse("[price]\nmachine = \"1\"\n[share]\nmemory = \"50%\"", 6).expect("right")
    }

    fn survey() -> Survey {
        let cpu_bound = Some(Millicores(1_500));
        let memory_bound = Some(Bytes::gibi(4));
        let folder = std::env::temp_dir();
        Survey { cpu_bound, memory_bound, ..hardware::survey(&folder) }
    }

    #[test]
    fn the_owners_share_of_what_is_known_is_for_sale() {
        let survey = survey();
        let machine = for_sale(&survey, &isolation(Wall::Kernel), &policy()).expect("something");
        let all = survey.resources();
        assert_eq!(machine.resources.cpu, all.cpu);
        assert_eq!(machine.resources.memory, Bytes(all.memory.0 / 2));
        assert!(machine.divisible && machine.isolation.contains("cgroup-cpu"));
    }

    #[test]
    fn without_kernel_limits_only_the_whole_is_sold() {
        let machine =
            for_sale(&survey(), &isolation(Wall::PerProcess), &policy()).expect("something");
        assert!(!machine.divisible && !machine.isolation.contains("cgroup-cpu"));
    }

    #[test]
    fn an_unknown_machine_is_not_offered() {
        let unknown = for_sale(&Survey::default(), &isolation(Wall::Kernel), &policy());
        assert!(matches!(unknown, Err(Error::Offer { .. })));
    }
}
