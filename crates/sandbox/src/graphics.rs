//! Which graphics processors of this machine runs may be given, whole, each to one run at a time.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// NVIDIA graphics processors, by the numbers of their device files; none unless named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graphics {
    devices: PathBuf,
    nodes: Vec<u32>,
}

impl Graphics {
    /// Those whose device files are `/dev/nvidiaN` for these numbers.
    pub fn new(nodes: impl IntoIterator<Item = u32>) -> Self {
        Self::under("/dev", nodes)
    }

    /// The same with the device files in another folder.
    pub fn under(devices: impl Into<PathBuf>, nodes: impl IntoIterator<Item = u32>) -> Self {
        Self { devices: devices.into(), nodes: nodes.into_iter().collect() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Where device files lie.
    pub(crate) fn devices(&self) -> &Path {
        &self.devices
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().copied()
    }

    /// The device file of a graphics processor.
    pub(crate) fn device(&self, node: u32) -> PathBuf {
        self.devices.join(format!("nvidia{node}"))
    }
}

impl Default for Graphics {
    fn default() -> Self {
        Self::new([])
    }
}
