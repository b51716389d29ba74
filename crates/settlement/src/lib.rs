//! Speak to the contracts on any EVM chain (the only room that knows an ABI).
