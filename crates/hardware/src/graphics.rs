//! Graphics processors by NVIDIA, as far as the system tells without their maker's library.

use serde::{Deserialize, Serialize};

use crate::finding::Finding;

/// A graphics processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graphics {
    /// Its place on the bus, such as `0000:01:00.0`.
    pub place: String,
    /// Its model; unknown while its driver is not loaded.
    pub model: Finding<String>,
}

/// The PCI number of the maker, and the classes of display controllers and of accelerators.
const NVIDIA: &str = "0x10de";
const CLASSES: [&str; 2] = ["0x03", "0x12"];

/// A device on the PCI bus: place, vendor and class, as files under `/sys` tell them.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) place: String,
    pub(crate) vendor: String,
    pub(crate) class: String,
}

/// Pick the graphics processors; `describe` gives the driver's text about a place, if it has one.
pub(crate) fn pick(devices: &[Device], describe: impl Fn(&str) -> Option<String>) -> Vec<Graphics> {
    let ours = |device: &&Device| {
        device.vendor.trim() == NVIDIA && CLASSES.iter().any(|it| device.class.starts_with(it))
    };
    let mut found: Vec<Graphics> = devices
        .iter()
        .filter(ours)
        .map(|device| Graphics {
            place: device.place.clone(),
            model: Finding::reported(describe(&device.place).as_deref().and_then(model)),
        })
        .collect();
    found.sort_by(|one, other| one.place.cmp(&other.place));
    found
}

/// The model in `/proc/driver/nvidia/gpus/PLACE/information`.
fn model(text: &str) -> Option<String> {
    let model = text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim();
    (!model.is_empty()).then(|| model.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_maker_s_display_controllers_and_accelerators_count() {
        let device = |place: &str, vendor: &str, class: &str| Device {
            place: place.to_owned(),
            vendor: format!("{vendor}\n"),
            class: format!("{class}\n"),
        };
        let devices = [
            device("0000:41:00.0", NVIDIA, "0x030200"),
            device("0000:01:00.0", NVIDIA, "0x030000"),
            device("0000:01:00.1", NVIDIA, "0x040300"),
            device("0000:00:02.0", "0x8086", "0x030000"),
        ];
        let text = "Model: \t\t NVIDIA H200\nIRQ:   \t\t 74\n";
        let found = pick(&devices, |place| (place == "0000:41:00.0").then(|| text.to_owned()));
        let places: Vec<&str> = found.iter().map(|it| it.place.as_str()).collect();
        assert_eq!(places, ["0000:01:00.0", "0000:41:00.0"]);
        assert_eq!(found[0].model, Finding::Unknown);
        assert_eq!(found[1].model.value().map(String::as_str), Some("NVIDIA H200"));
    }
}
