//! What work may stand on here, and what the sandbox is told of it.

use market::machine::Root;

/// The root in the words of the sandbox; `None` for one that is not served.
pub(crate) fn served(root: &Root) -> Option<sandbox::Root> {
    match root {
        Root::Host => Some(sandbox::Root::Host),
        Root::Wasm(it) => {
            let wasm = sandbox::Wasm { fuel: it.fuel, deterministic: it.deterministic };
            Some(sandbox::Root::Wasm(wasm))
        }
        Root::Image(_) => None,
    }
}
