//! NVIDIA's own library (NVML), loaded while we run where a driver has brought it; what it tells, as
//! plain data.
//!
//! Upon a machine without the library, or whose driver is not loaded: that, in words. A question
//! that the library does not answer stays unanswered; nothing is guessed.

/// What the library tells about the driver and its graphics processors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The driver's version, such as `570.133.20`.
    pub(crate) driver: Option<String>,
    /// The newest CUDA that the driver serves, such as `12.8`.
    pub(crate) cuda: Option<String>,
    pub(crate) cards: Vec<Told>,
}

/// What the library tells about one graphics processor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Domain, bus and device on the PCI bus.
    pub(crate) place: (u32, u32, u32),
    pub(crate) model: Option<String>,
    pub(crate) uuid: Option<String>,
    /// Bytes of memory in all, and in use.
    pub(crate) memory: Option<(u64, u64)>,
    /// Hundredths of the last moments in which it computed.
    pub(crate) busy: Option<u32>,
    /// The number of its device file.
    pub(crate) node: Option<u32>,
    /// Whether it is cut into instances (MIG), so that its device file alone gives nobody the whole.
    pub(crate) cut: bool,
}

/// The library, loaded.
#[cfg(target_os = "linux")]
pub(crate) struct Library(nvml_wrapper::Nvml);

#[cfg(target_os = "linux")]
impl Library {
    /// Load it; the error is for people.
    pub(crate) fn load() -> Result<Self, String> {
        use nvml_wrapper::error::NvmlError;

        nvml_wrapper::Nvml::init().map(Self).map_err(|error| match error {
            NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => {
                "NVIDIA's library libnvidia-ml.so.1 is not installed".to_owned()
            }
            NvmlError::DriverNotLoaded => "NVIDIA's driver is not loaded".to_owned(),
            other => format!("NVIDIA's library does not answer: {other}"),
        })
    }

    /// Ask about everything.
    pub(crate) fn report(&self) -> Report {
        use nvml_wrapper::{cuda_driver_version_major, cuda_driver_version_minor};

        let cuda = self.0.sys_cuda_driver_version().ok().map(|version| {
            let (major, minor) =
                (cuda_driver_version_major(version), cuda_driver_version_minor(version));
            format!("{major}.{minor}")
        });
        let count = self.0.device_count().unwrap_or(0);
        let cards = (0..count).filter_map(|index| {
            let card = self.0.device_by_index(index).ok()?;
            let pci = card.pci_info().ok()?;
            Some(Told {
                place: (pci.domain, pci.bus, pci.device),
                model: card.name().ok(),
                uuid: card.uuid().ok(),
                memory: card.memory_info().ok().map(|memory| (memory.total, memory.used)),
                busy: card.utilization_rates().ok().map(|rates| rates.gpu),
                node: card.minor_number().ok().filter(|node| has_device_file(*node)),
                cut: card.mig_mode().is_ok_and(|mode| mode.current != 0),
            })
        });
        Report { driver: self.0.sys_driver_version().ok(), cuda, cards: cards.collect() }
    }
}

/// The driver may know of one that this system, a container perhaps, was not given.
#[cfg(target_os = "linux")]
fn has_device_file(node: u32) -> bool {
    std::path::Path::new("/dev").join(format!("nvidia{node}")).exists()
}

/// There is none for other systems.
#[cfg(not(target_os = "linux"))]
pub(crate) struct Library;

#[cfg(not(target_os = "linux"))]
impl Library {
    pub(crate) fn load() -> Result<Self, String> {
        Err("graphics processors are looked for on Linux alone".to_owned())
    }

    pub(crate) fn report(&self) -> Report {
        Report::default()
    }
}
