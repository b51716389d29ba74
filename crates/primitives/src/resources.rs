//! Quantities of machine: what is offered, wished, reserved and used.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Seconds;

/// Thousandths of a processor core.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millicores(pub u64);

/// A number of bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// Units of work of a WebAssembly module, about one for each instruction that it executes: the same
/// count for the same work on every machine.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Fuel(pub u64);

/// A bundle of machine that is reserved, priced and enforced as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// Processor share.
    pub cpu: Millicores,
    /// Main memory.
    pub memory: Bytes,
    /// Scratch space on disk, outputs included.
    pub disk: Bytes,
    /// Whole graphics processors.
    pub gpus: u32,
}

/// One reading of what a run has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds of running time since readiness (monotonic; pauses and gaps excluded).
    pub at_ms: u64,
    /// Cumulative processor time in milliseconds.
    pub cpu_ms: u64,
    /// Memory in use at that moment.
    pub memory: Bytes,
    /// Most memory in use so far.
    pub peak: Bytes,
    /// Cumulative fuel of a WebAssembly module; zero for work of any other kind.
    #[serde(default)]
    pub fuel: Fuel,
}

/// What a whole run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Billable running time, rounded up once, at least one second.
    pub elapsed: Seconds,
    /// Processor time in milliseconds.
    pub cpu_ms: u64,
    /// Most memory in use.
    pub peak: Bytes,
}

impl Millicores {
    /// Whole cores.
    pub const fn cores(cores: u64) -> Self {
        Self(cores * 1_000)
    }
}

impl Bytes {
    /// 2^20 bytes, `count` times.
    pub const fn mebi(count: u64) -> Self {
        Self(count << 20)
    }

    /// 2^30 bytes, `count` times.
    pub const fn gibi(count: u64) -> Self {
        Self(count << 30)
    }
}

impl Resources {
    /// Whether `other` fits into this bundle in every dimension.
    pub fn holds(&self, other: &Self) -> bool {
        self.minus(other).is_some()
    }

    /// Both bundles together, or `None` on overflow.
    pub fn plus(&self, other: &Self) -> Option<Self> {
        Some(Self {
            cpu: Millicores(self.cpu.0.checked_add(other.cpu.0)?),
            memory: Bytes(self.memory.0.checked_add(other.memory.0)?),
            disk: Bytes(self.disk.0.checked_add(other.disk.0)?),
            gpus: self.gpus.checked_add(other.gpus)?,
        })
    }

    /// This bundle `count` times, or `None` on overflow.
    pub fn times(&self, count: u16) -> Option<Self> {
        Some(Self {
            cpu: Millicores(self.cpu.0.checked_mul(count.into())?),
            memory: Bytes(self.memory.0.checked_mul(count.into())?),
            disk: Bytes(self.disk.0.checked_mul(count.into())?),
            gpus: self.gpus.checked_mul(count.into())?,
        })
    }

    /// What is left when `other` is taken out, or `None` when it does not fit.
    pub fn minus(&self, other: &Self) -> Option<Self> {
        Some(Self {
            cpu: Millicores(self.cpu.0.checked_sub(other.cpu.0)?),
            memory: Bytes(self.memory.0.checked_sub(other.memory.0)?),
            disk: Bytes(self.disk.0.checked_sub(other.disk.0)?),
            gpus: self.gpus.checked_sub(other.gpus)?,
        })
    }
}

impl fmt::Display for Millicores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 1_000 {
            0 => write!(f, "{}", self.0 / 1_000),
            part => {
                let digits = format!("{part:03}");
                write!(f, "{}.{}", self.0 / 1_000, digits.trim_end_matches('0'))
            }
        }
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cpu, {} memory, {} disk", self.cpu, self.memory, self.disk)?;
        if self.gpus > 0 { write!(f, ", {} gpu", self.gpus) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_fits_only_when_every_dimension_fits() {
        let machine = Resources {
            cpu: Millicores::cores(2),
            memory: Bytes::gibi(4),
            disk: Bytes::gibi(10),
            gpus: 0,
        };
        let job = Resources { cpu: Millicores(500), memory: Bytes::gibi(4), ..Default::default() };
        assert!(machine.holds(&job));
        assert!(!machine.holds(&Resources { gpus: 1, ..job }));
        let rest = machine.minus(&job).expect("it fits");
        assert_eq!(rest.plus(&job), Some(machine));
        assert!(!rest.holds(&job));
    }
}
