//! Graphics processors by NVIDIA: what the bus shows, and what their maker's library tells of it.

use std::collections::BTreeMap;

use primitives::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    finding::Finding,
    nvml::{Report, Told},
};

/// The graphics processors of a machine and what drives them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graphics {
    /// The graphics processors, in the order of their places.
    pub cards: Finding<Vec<Card>>,
    /// The driver's version.
    pub driver: Finding<String>,
    /// The newest CUDA that the driver serves.
    pub cuda: Finding<String>,
    /// Why their maker's library told nothing, for people; `None` where it did.
    pub lack: Option<String>,
}

/// A graphics processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its place on the bus, such as `0000:01:00.0`.
    pub place: String,
    /// Its model.
    pub model: Finding<String>,
    /// Its number among all that its maker has made.
    pub uuid: Finding<String>,
    /// Its memory.
    pub memory: Finding<Bytes>,
    /// The number of the device file that gives all of it; unknown without a driver, and where it
    /// is cut into instances.
    pub node: Finding<u32>,
}

/// How busy a graphics processor is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardLoad {
    /// Its place on the bus.
    pub place: String,
    /// Hundredths of the last moments in which it computed.
    pub busy: Finding<u32>,
    /// Memory in use.
    pub memory_used: Finding<Bytes>,
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

/// The places of graphics processors among `devices`.
pub(crate) fn pick(devices: &[Device]) -> Vec<String> {
    let ours = |device: &&Device| {
        device.vendor.trim() == NVIDIA && CLASSES.iter().any(|it| device.class.starts_with(it))
    };
    devices.iter().filter(ours).map(|device| device.place.clone()).collect()
}

impl Graphics {
    /// From the places on the bus, unless it cannot be looked at, and what the library told.
    pub(crate) fn of(bus: Option<Vec<String>>, told: Result<Report, String>) -> Self {
        let (report, lack) = match told {
            Ok(report) => (Some(report), None),
            Err(why) => (None, Some(why)),
        };
        let looked = bus.is_some() || report.is_some();
        let Report { driver, cuda, cards } = report.unwrap_or_default();
        let unknown = bus.into_iter().flatten().map(|place| (place.clone(), Card::unknown(place)));
        let mut all: BTreeMap<String, Card> = unknown.collect();
        all.extend(cards.into_iter().map(|told| (place(&told), Card::of(told))));
        Self {
            cards: Finding::reported(looked.then(|| all.into_values().collect())),
            driver: Finding::reported(driver),
            cuda: Finding::reported(cuda),
            lack,
        }
    }

    /// The graphics processors that work can be given whole, each with the number of its device
    /// file.
    pub fn usable(&self) -> impl Iterator<Item = (u32, &Card)> {
        let cards = self.cards.value().into_iter().flatten();
        cards.filter_map(|card| card.node.value().map(|node| (*node, card)))
    }
}

impl Card {
    fn unknown(place: String) -> Self {
        Self {
            place,
            model: Finding::Unknown,
            uuid: Finding::Unknown,
            memory: Finding::Unknown,
            node: Finding::Unknown,
        }
    }

    fn of(told: Told) -> Self {
        Self {
            place: place(&told),
            memory: Finding::reported(told.memory.map(|(total, _)| Bytes(total))),
            node: Finding::reported(told.node.filter(|_| !told.cut)),
            model: Finding::reported(told.model),
            uuid: Finding::reported(told.uuid),
        }
    }
}

impl CardLoad {
    pub(crate) fn of(told: &Told) -> Self {
        Self {
            place: place(told),
            busy: Finding::reported(told.busy),
            memory_used: Finding::reported(told.memory.map(|(_, used)| Bytes(used))),
        }
    }
}

/// A place as the kernel writes it; a graphics processor is the first function of its device.
fn place(told: &Told) -> String {
    let (domain, bus, device) = told.place;
    format!("{domain:04x}:{bus:02x}:{device:02x}.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a machine with two of them tells; one is cut into instances.
    fn report() -> Report {
        let told = |bus: u32, node: u32| Told {
            place: (0, bus, 0),
            model: Some("NVIDIA H200".to_owned()),
            uuid: Some(format!("GPU-00000000-0000-0000-0000-{bus:012}")),
            memory: Some((150_754_820_096, 629_145_600)),
            busy: Some(17),
            node: Some(node),
            cut: false,
        };
        Report {
            driver: Some("570.133.20".to_owned()),
            cuda: Some("12.8".to_owned()),
            cards: vec![told(0x41, 1), Told { cut: true, ..told(0x01, 0) }],
        }
    }

    fn value<T>(finding: &Finding<T>) -> &T {
        finding.value().expect("it was found")
    }

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
        assert_eq!(pick(&devices), ["0000:41:00.0", "0000:01:00.0"]);
    }

    #[test]
    fn what_the_library_tells_is_known_of_each_and_one_that_is_cut_cannot_be_given() {
        let bus = ["0000:41:00.0", "0000:c1:00.0", "0000:01:00.0"].map(str::to_owned).to_vec();
        let graphics = Graphics::of(Some(bus), Ok(report()));
        let cards = value(&graphics.cards);
        let places: Vec<&str> = cards.iter().map(|card| card.place.as_str()).collect();
        assert_eq!(places, ["0000:01:00.0", "0000:41:00.0", "0000:c1:00.0"]);
        assert_eq!(cards[2], Card::unknown("0000:c1:00.0".to_owned()), "the driver has it not");
        assert_eq!(value(&cards[1].memory), &Bytes(150_754_820_096));
        assert!(value(&cards[1].uuid).starts_with("GPU-"));
        assert_eq!(
            (value(&graphics.driver).as_str(), value(&graphics.cuda).as_str()),
            ("570.133.20", "12.8")
        );
        let usable: Vec<(u32, &str)> =
            graphics.usable().map(|(node, card)| (node, value(&card.model).as_str())).collect();
        assert_eq!(usable, [(1, "NVIDIA H200")]);
        assert_eq!(graphics.lack, None);
        let load = CardLoad::of(&report().cards[0]);
        assert_eq!((value(&load.busy), value(&load.memory_used)), (&17, &Bytes(629_145_600)));
    }

    #[test]
    fn without_the_library_they_are_seen_and_not_known() {
        let bus = vec!["0000:41:00.0".to_owned()];
        let graphics = Graphics::of(Some(bus), Err("no library".to_owned()));
        assert_eq!(value(&graphics.cards), &[Card::unknown("0000:41:00.0".to_owned())]);
        assert_eq!(graphics.usable().count(), 0);
        assert_eq!(graphics.lack.as_deref(), Some("no library"));
        let blind = Graphics::of(None, Err("no library".to_owned()));
        assert_eq!(blind.cards, Finding::Unknown, "nobody looked");
    }
}
