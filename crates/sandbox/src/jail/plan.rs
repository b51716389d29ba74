//! Everything a jail needs, worked out by the shim before there is one.

use std::{io, path::PathBuf};

use primitives::Bytes;
use seccompiler::BpfProgram;

use super::{
    device::{self, Device},
    filter,
    program::Program,
    view::View,
};
use crate::{folder::Folder, spec::Spec};

/// Everything the child needs, made before it exists.
pub(crate) struct Plan {
    pub(super) view: View,
    pub(super) program: Program,
    pub(super) filter: BpfProgram,
    pub(super) devices: Vec<Device>,
    pub(super) work: PathBuf,
    /// An empty folder on which the new root is put before it becomes the root.
    pub(super) seat: PathBuf,
    /// The user outside that is the job inside; `None` keeps the shim's own.
    pub(super) own_user: Option<u32>,
    /// Bound of each folder that lives in memory.
    pub(super) scratch: Bytes,
}

impl Plan {
    /// Work out the jail for `spec` with some devices beside the usual ones; `bounded` says that a
    /// cgroup bounds its memory.
    pub(crate) fn new(
        spec: &Spec,
        folder: &Folder,
        own_user: Option<u32>,
        bounded: bool,
        devices: Vec<Device>,
    ) -> io::Result<Self> {
        Ok(Self {
            view: View::of(&spec.root)?,
            program: Program::new(spec, bounded)?,
            filter: filter::program().map_err(io::Error::other)?,
            devices: device::usual().into_iter().chain(devices).collect(),
            work: folder.work(),
            seat: folder.root(),
            own_user,
            scratch: Bytes((spec.limits.resources.memory.0 / 2).max(1 << 20)),
        })
    }
}
