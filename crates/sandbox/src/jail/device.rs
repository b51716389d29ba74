//! The devices a job may use, with the numbers by which the kernel knows them.

use std::path::{Path, PathBuf};

/// What every job may use.
const USUAL: [(&str, u32, u32); 5] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9)];

/// The kind of device that NVIDIA's drivers have been given for good, and the one among them that
/// speaks for all.
const NVIDIA: u32 = 195;
const NVIDIA_CONTROL: u32 = 255;

/// The kind of device through which their memory is shared; its number is dealt out at run time.
const NVIDIA_MEMORY: &str = "nvidia-uvm";

/// A device file outside and what it must be.
pub(crate) struct Device {
    /// Its name in the job's `/dev`.
    pub(super) name: String,
    pub(super) outside: PathBuf,
    /// Kind and number.
    pub(super) number: (u32, u32),
}

impl Device {
    fn new(folder: &Path, name: &str, number: (u32, u32)) -> Self {
        Self { name: name.to_owned(), outside: folder.join(name), number }
    }
}

/// What every job may use.
pub(super) fn usual() -> Vec<Device> {
    let device = |(name, kind, number)| Device::new(Path::new("/dev"), name, (kind, number));
    USUAL.into_iter().map(device).collect()
}

/// What work needs beside the graphics processors with these numbers, and them; none for none.
/// `kinds` is the text of `/proc/devices` (proc(5)).
pub(crate) fn graphics(
    folder: &Path,
    nodes: impl IntoIterator<Item = u32>,
    kinds: &str,
) -> Vec<Device> {
    let device = |name: &str, number| Device::new(folder, name, number);
    let mut all: Vec<Device> =
        nodes.into_iter().map(|node| device(&format!("nvidia{node}"), (NVIDIA, node))).collect();
    if !all.is_empty() {
        all.push(device("nvidiactl", (NVIDIA, NVIDIA_CONTROL)));
        all.extend(kind(kinds, NVIDIA_MEMORY).map(|kind| device(NVIDIA_MEMORY, (kind, 0))));
    }
    all
}

/// The number of a kind of character device.
fn kind(kinds: &str, name: &str) -> Option<u32> {
    let characters = kinds.lines().take_while(|line| !line.starts_with("Block"));
    characters
        .filter_map(|line| line.trim().split_once(' '))
        .find(|(_, is)| *is == name)
        .and_then(|(kind, _)| kind.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: &str = "Character devices:\n  1 mem\n195 nvidia\n509 nvidia-uvm\n\n\
                         Block devices:\n  7 nvidia-uvm-tools\n";

    #[test]
    fn reserved_graphics_processors_come_with_what_speaks_for_all_and_nothing_of_the_others() {
        let all = graphics(Path::new("/dev"), [2, 5], KINDS);
        let named: Vec<_> = all.iter().map(|it| (it.name.as_str(), it.number)).collect();
        let expected = [
            ("nvidia2", (195, 2)),
            ("nvidia5", (195, 5)),
            ("nvidiactl", (195, 255)),
            ("nvidia-uvm", (509, 0)),
        ];
        assert_eq!(named, expected);
        assert_eq!(graphics(Path::new("/dev"), [], KINDS).len(), 0);
        assert_eq!(graphics(Path::new("/dev"), [2], "Character devices:\n  1 mem\n").len(), 2);
    }
}
