//! From a module to machine code.

use wasmtime::{ExternType, Linker, Module};

use super::{
    engine::engine,
    wasi::{self, MEMORY},
};

/// What a command exports and the executor calls.
pub(super) const START: &str = "_start";

/// Compile `module`; the error says in words why it can never run.
pub(crate) fn compile(module: &[u8], deterministic: bool) -> Result<Vec<u8>, String> {
    let said = |error: wasmtime::Error| format!("{error:#}");
    let engine = engine(deterministic).map_err(said)?;
    let module = Module::from_binary(&engine, module).map_err(said)?;
    let mut linker = Linker::new(&engine);
    wasi::link(&mut linker).map_err(said)?;
    linker.instantiate_pre(&module).map_err(said)?;
    let has_memory = module.get_export(MEMORY).is_some_and(|it| it.memory().is_some());
    if module.imports().len() > 0 && !has_memory {
        return Err(format!("it exports no {MEMORY} through which it could be answered"));
    }
    let is_start = |export: ExternType| {
        export.func().is_some_and(|it| it.params().len() + it.results().len() == 0)
    };
    if !module.get_export(START).is_some_and(is_start) {
        return Err(format!("it exports no function {START}, so it is a library and no command"));
    }
    module.serialize().map_err(said)
}
