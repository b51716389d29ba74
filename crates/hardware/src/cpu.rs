//! The processors: what they are called, how many there are, what they can do.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::finding::Finding;

/// The processors of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Their model, as the maker writes it.
    pub model: Finding<String>,
    /// Physical cores.
    pub cores: Finding<u32>,
    /// Hardware threads of the whole machine.
    pub threads: Finding<u32>,
    /// Hardware threads that this process may use.
    pub usable: Finding<u32>,
    /// Abilities that programs choose their code by, such as `avx2`; names as Linux writes them.
    pub features: Finding<BTreeSet<String>>,
}

/// The abilities worth telling, of all that a processor lists.
const TOLD: [&str; 20] = [
    "aes",
    "amx_bf16",
    "amx_int8",
    "amx_tile",
    "asimd",
    "asimddp",
    "avx",
    "avx2",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "avx512f",
    "bf16",
    "fma",
    "fphp",
    "i8mm",
    "sha2",
    "sha_ni",
    "sse4_2",
    "sve",
];

/// What `/proc/cpuinfo` tells (its form differs between processor kinds).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) model: Option<String>,
    pub(crate) cores: Option<u32>,
    pub(crate) threads: Option<u32>,
    pub(crate) features: Option<BTreeSet<String>>,
}

impl Described {
    /// Read the text of `/proc/cpuinfo`.
    pub(crate) fn parse(text: &str) -> Self {
        let fields: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let first = |wanted: &[&str]| {
            fields.iter().find(|(name, value)| wanted.contains(name) && !value.is_empty())
        };
        let threads = fields.iter().filter(|(name, _)| *name == "processor").count();
        let listed = first(&["flags", "Features"]).map(|(_, value)| {
            value.split(' ').filter(|it| TOLD.contains(it)).map(str::to_owned).collect()
        });
        Self {
            model: first(&["model name", "Model", "cpu model"]).map(|(_, it)| (*it).to_owned()),
            cores: cores(&fields),
            threads: u32::try_from(threads).ok().filter(|it| *it > 0),
            features: listed,
        }
    }
}

/// Distinct pairs of package and core; machines that name neither leave it unknown.
fn cores(fields: &[(&str, &str)]) -> Option<u32> {
    let mut package = "";
    let mut seen = BTreeSet::new();
    for (name, value) in fields {
        match *name {
            "physical id" => package = value,
            "core id" => {
                seen.insert((package, *value));
            }
            _ => {}
        }
    }
    u32::try_from(seen.len()).ok().filter(|it| *it > 0)
}

/// The model as the processor itself tells it, where it can be asked.
#[cfg(target_arch = "x86_64")]
pub(crate) fn brand() -> Option<String> {
    let brand = raw_cpuid::CpuId::new().get_processor_brand_string()?;
    Some(brand.as_str().trim().to_owned()).filter(|it| !it.is_empty())
}

/// Other processors cannot be asked by a program.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn brand() -> Option<String> {
    None
}

/// The maker of the hypervisor as the processor tells it, where there is one.
#[cfg(target_arch = "x86_64")]
pub(crate) fn hypervisor() -> Option<String> {
    let hypervisor = raw_cpuid::CpuId::new().get_hypervisor_info()?;
    Some(format!("{:?}", hypervisor.identify()).to_lowercase())
}

/// Other processors do not tell.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn hypervisor() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_desktop_with_two_threads_a_core() {
        let thread = |number: u32, core: u32| {
            format!(
                "processor\t: {number}\nmodel name\t: AMD Ryzen 5 3600 6-Core Processor\n\
                 physical id\t: 0\ncore id\t\t: {core}\nflags\t\t: fpu sse4_2 aes avx avx2 fma\n\n"
            )
        };
        let text: String = (0..12).map(|number| thread(number, number % 6)).collect();
        let cpu = Described::parse(&text);
        assert_eq!(cpu.model.as_deref(), Some("AMD Ryzen 5 3600 6-Core Processor"));
        assert_eq!((cpu.cores, cpu.threads), (Some(6), Some(12)));
        let features = cpu.features.expect("listed");
        assert!(features.contains("avx2") && !features.contains("fpu"));
    }

    #[test]
    fn two_sockets_whose_cores_have_the_same_numbers() {
        let text: String = (0..4)
            .map(|n| format!("processor: {n}\nphysical id: {}\ncore id: {}\n", n / 2, n % 2))
            .collect();
        assert_eq!(Described::parse(&text).cores, Some(4));
    }

    #[test]
    fn an_arm_server_that_names_no_model_and_no_cores() {
        let text = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd aes sha2 sve bf16\n\
                    CPU implementer\t: 0x41\n\nprocessor\t: 1\nBogoMIPS\t: 243.75\n";
        let cpu = Described::parse(text);
        assert_eq!((cpu.model, cpu.cores, cpu.threads), (None, None, Some(2)));
        assert!(cpu.features.expect("listed").contains("sve"));
        assert_eq!(Described::parse(""), Described::default());
    }
}
