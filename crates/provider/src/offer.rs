//! What is offered: the machine as far as its owner sells it and its walls hold it.
//!
//! In: what the machine is, which walls stand between its runs, the policy. Out: the machine for
//! sale, and the offer to be signed.
//!
//! Invariant: nothing is sold that is unknown or that no wall enforces; without kernel limits
//! around each run only the whole is sold, to one at a time, and no graphics processors: their
//! drivers put memory where only the kernel can count it.

use std::collections::BTreeSet;

use hardware::{Card, Survey};
use market::{Machine, Offer};
use primitives::{B256, PeerId, Resources, UnixSeconds};
use sandbox::{Isolation, Wall};

use crate::{error::Error, policy::Policy, world::Config};

/// What of a machine is for sale.
///
/// # Errors
/// [`Error::Offer`] when nothing is left to sell.
pub fn for_sale(survey: &Survey, isolation: &Isolation, policy: &Policy) -> Result<Machine, Error> {
    let mut resources = policy.part_of(&survey.resources());
    if isolation.memory != Wall::Kernel {
        resources.gpus = 0;
    }
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
        gpu_models: survey.graphics.cards.value().map(|_| models(survey, &resources)),
        host_root: true,
        wasm: isolation.wasm,
        isolation: walls(isolation),
    })
}

/// The graphics processors of a machine for sale, by the numbers of their device files.
pub fn graphics_for_sale(survey: &Survey, machine: &Machine) -> Vec<u32> {
    sold(survey, &machine.resources).map(|(node, _)| node).collect()
}

/// Their models; what is unknown is empty, and so is no model that anyone wishes.
fn models(survey: &Survey, resources: &Resources) -> Vec<String> {
    let model = |card: &Card| card.model.value().cloned().unwrap_or_default();
    sold(survey, resources).map(|(_, card)| model(card)).collect()
}

/// Which graphics processors are sold when so much of the machine is: the first ones.
fn sold<'a>(
    survey: &'a Survey,
    resources: &Resources,
) -> impl Iterator<Item = (u32, &'a Card)> + use<'a> {
    let most = usize::try_from(resources.gpus).unwrap_or(usize::MAX);
    survey.graphics.usable().take(most)
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
    use hardware::{Finding, Graphics, Provenance};
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
            wasm: true,
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

    /// A machine with two graphics processors, whose library gave `node` as the number of the first.
    fn with_graphics(node: Finding<u32>) -> Survey {
        let found =
            |value: &str| Finding::Found { value: value.to_owned(), from: Provenance::OsReported };
        let second = Finding::Found { value: 4, from: Provenance::OsReported };
        let card = |place: &str, node| Card {
            place: place.to_owned(),
            model: found("NVIDIA H200"),
            uuid: Finding::Unknown,
            memory: Finding::Unknown,
            node,
        };
        let value = vec![card("0000:01:00.0", node), card("0000:41:00.0", second)];
        let cards = Finding::Found { value, from: Provenance::OsReported };
        Survey { graphics: Graphics { cards, ..Graphics::default() }, ..survey() }
    }

    #[test]
    fn graphics_processors_are_sold_whole_where_they_can_be_given_and_the_kernel_bounds_memory() {
        let first = Finding::Found { value: 7, from: Provenance::OsReported };
        let cases = [
            (first.clone(), Wall::Kernel, "100%", vec![7, 4]),
            (first.clone(), Wall::Kernel, "1", vec![7]),
            (Finding::Unknown, Wall::Kernel, "100%", vec![4]),
            (first, Wall::PerProcess, "100%", vec![]),
        ];
        for (node, memory, share, sold) in cases {
            let policy = format!("[price]\nmachine = \"1\"\n[share]\ngpus = \"{share}\"");
            let policy = Policy::parse(&policy, 6).expect("right");
            let survey = with_graphics(node);
            let isolation = Isolation { memory, ..isolation(Wall::Kernel) };
            let machine = for_sale(&survey, &isolation, &policy).expect("something");
            assert_eq!(graphics_for_sale(&survey, &machine), sold);
            assert_eq!(machine.resources.gpus as usize, sold.len());
            let models = vec!["NVIDIA H200".to_owned(); sold.len()];
            assert_eq!(machine.gpu_models, Some(models));
        }
    }

    #[test]
    fn an_unknown_machine_is_not_offered() {
        let unknown = for_sale(&Survey::default(), &isolation(Wall::Kernel), &policy());
        assert!(matches!(unknown, Err(Error::Offer { .. })));
    }
}
