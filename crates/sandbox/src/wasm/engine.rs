//! How modules are compiled and executed: the switches of the engine.

use std::hash::{DefaultHasher, Hash, Hasher};

use wasmtime::{Config, Engine, OptLevel};

/// How much of the stack a module may use.
const STACK: usize = 1 << 20;

/// How much is left of the stack for the calls that a module makes.
const HOST_STACK: usize = 1 << 20;

/// The engine; a `deterministic` one computes the same bits on every kind of processor.
pub(super) fn engine(deterministic: bool) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .max_wasm_stack(STACK)
        .async_stack_size(STACK + HOST_STACK)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(deterministic)
        // Costs little, so that there is one answer on all processors even for work that did not
        // ask for it.
        .relaxed_simd_deterministic(true)
        .native_unwind_info(false);
    Engine::new(&config)
}

/// A number that is another one for every engine, version, setting and kind of processor whose
/// machine code differs.
pub(crate) fn fingerprint(deterministic: bool) -> wasmtime::Result<u64> {
    let mut hasher = DefaultHasher::new();
    engine(deterministic)?.precompile_compatibility_hash().hash(&mut hasher);
    Ok(hasher.finish())
}
