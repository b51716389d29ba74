//! Everything a jail needs, worked out by the shim before there is one.

use std::{io, path::PathBuf};

use primitives::Bytes;
use seccompiler::BpfProgram;

use super::{
    device::{self, Device},
    filter,
    module::Module,
    program::Program,
    setting::Setting,
    task::{Task, What},
    view::View,
};
use crate::{
    folder::Folder,
    spec::{self, Root, Spec},
    wasm::Account,
};

/// Everything the child needs, made before it exists.
pub(crate) struct Plan {
    pub(super) view: View,
    pub(super) task: Task,
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
    /// Work out the jail for `task` with `spec` and some devices beside the usual ones; `bounded` says
    /// that a cgroup bounds its memory. A module keeps its `account`.
    pub(crate) fn new(
        spec: &Spec,
        task: spec::Task,
        folder: &Folder,
        own_user: Option<u32>,
        bounded: bool,
        devices: Vec<Device>,
        account: &'static Account,
    ) -> io::Result<Self> {
        let what = match (&spec.root, task) {
            (Root::Wasm(wasm), spec::Task::Run) => {
                What::Module(Module::to_execute(spec, *wasm, account))
            }
            (Root::Wasm(wasm), spec::Task::Compile) => {
                What::Module(Module::to_compile(spec, *wasm))
            }
            (Root::Host | Root::Image(_), _) => What::Program(Program::new(spec)?),
        };
        Ok(Self {
            view: View::of(&spec.root, &folder.code())?,
            task: Task { setting: Setting::new(spec, bounded), what },
            filter: filter::program().map_err(io::Error::other)?,
            devices: device::usual().into_iter().chain(devices).collect(),
            work: folder.work(),
            seat: folder.root(),
            own_user,
            scratch: Bytes((spec.limits.resources.memory.0 / 2).max(1 << 20)),
        })
    }
}
