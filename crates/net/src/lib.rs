//! Carry messages and streams between authenticated peers.
