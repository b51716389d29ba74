//! What a provider's machine is, what a renter wishes for, and whether the one meets the other.
//!
//! Invariant: what is unknown never satisfies a wish.

use std::collections::BTreeSet;

use primitives::{Address, Digest, Fuel, Resources};
use serde::{Deserialize, Serialize};

/// What a run stands on: the file tree that it sees as `/`, or no system at all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// The system folders of the provider's own machine, read-only.
    Host,
    /// An image named by its digest.
    Image(Digest),
    /// None: the command names a WebAssembly module among the inputs (a WASI command, preview 1).
    Wasm(Wasm),
}

/// How a WebAssembly module is to be executed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Wasm {
    /// How much fuel it may burn; without, its time is the only limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<Fuel>,
    /// Whether it comes to the same bytes and the same fuel from the same inputs on every machine.
    #[serde(default)]
    pub deterministic: bool,
}

impl Root {
    /// Whether `machine` has it, as far as its offer says; which images it has, its bid tells.
    fn is_on(&self, machine: &Machine) -> bool {
        match self {
            Self::Host => machine.host_root,
            Self::Wasm(_) => machine.wasm,
            Self::Image(_) => true,
        }
    }
}

/// What a provider has to sell, as its offer states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// What can be reserved in all.
    pub resources: Resources,
    /// Whether parts can be reserved, or only the whole (no cgroup rights: nothing would hold
    /// two tenants apart).
    pub divisible: bool,
    /// Operating system, such as `linux`.
    pub os: String,
    /// Processor architecture, such as `x86_64`.
    pub arch: String,
    /// Processor model, if the system tells it.
    pub cpu_model: Option<String>,
    /// Graphics processor models, one entry a device; `None` where nothing looked for them.
    pub gpu_models: Option<Vec<String>>,
    /// Whether jobs may run on the host's own system folders.
    pub host_root: bool,
    /// Whether jobs may be WebAssembly modules.
    #[serde(default)]
    pub wasm: bool,
    /// What shuts the work in, by name, such as `namespaces`, `seccomp`, `cgroup`.
    pub isolation: BTreeSet<String>,
}

/// What a job needs of a machine, and of whom it is not rented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// What is reserved for the job.
    pub resources: Resources,
    /// Required operating system, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Required architecture, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Required graphics processor model, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_model: Option<String>,
    /// Required region, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The file tree the job runs on.
    pub root: Root,
    /// Accounts of providers that are not to have the job.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exclude: BTreeSet<Address>,
}

/// A dimension in which an offer can fail a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dimension {
    /// Too few processor cores.
    Cpu,
    /// Too little memory.
    Memory,
    /// Too little disk.
    Disk,
    /// Too few graphics processors, or none known.
    Gpu,
    /// Another graphics processor, or an unknown one.
    GpuModel,
    /// Another operating system.
    Os,
    /// Another architecture.
    Architecture,
    /// Another region, or an unknown one.
    Region,
    /// The provider does not run this kind of root.
    Root,
    /// A provider that the renter excludes.
    Provider,
    /// Dearer than the order allows.
    Price,
    /// Another token.
    Token,
    /// The offer is no longer valid.
    Expired,
}

impl Wish {
    /// These resources, on the system folders of whatever machine and provider has them.
    pub const fn of(resources: Resources) -> Self {
        Self {
            resources,
            os: None,
            arch: None,
            gpu_model: None,
            region: None,
            root: Root::Host,
            exclude: BTreeSet::new(),
        }
    }

    /// Every dimension in which `machine` of `provider`, in `region`, fails this wish.
    pub fn unmet_by(&self, provider: Address, machine: &Machine, region: &str) -> Vec<Dimension> {
        let has = &machine.resources;
        let wants = &self.resources;
        let named = |wish: &Option<String>, is: Option<&str>| {
            wish.as_deref().is_none_or(|wish| is.is_some_and(|is| is.eq_ignore_ascii_case(wish)))
        };
        let gpu_models = machine.gpu_models.as_deref().unwrap_or_default();
        let checks = [
            (Dimension::Cpu, has.cpu >= wants.cpu),
            (Dimension::Memory, has.memory >= wants.memory),
            (Dimension::Disk, has.disk >= wants.disk),
            (Dimension::Gpu, has.gpus >= wants.gpus),
            (
                Dimension::GpuModel,
                // Every one of them, for any of them may be reserved.
                self.gpu_model.as_deref().is_none_or(|wish| {
                    let wish = wish.to_lowercase();
                    let mut models = gpu_models.iter().map(|is| is.to_lowercase());
                    models.len() > 0 && models.all(|is| is.contains(&wish))
                }),
            ),
            (Dimension::Os, named(&self.os, Some(&machine.os))),
            (Dimension::Architecture, named(&self.arch, Some(&machine.arch))),
            (Dimension::Region, named(&self.region, (!region.is_empty()).then_some(region))),
            (Dimension::Root, self.root.is_on(machine)),
            (Dimension::Provider, !self.exclude.contains(&provider)),
        ];
        checks.into_iter().filter(|(_, met)| !met).map(|(dimension, _)| dimension).collect()
    }

    /// What is reserved on `machine`: the wished bundle, or all of it where it cannot be divided.
    pub fn bundle_on(&self, machine: &Machine) -> Resources {
        if machine.divisible { self.resources } else { machine.resources }
    }
}
