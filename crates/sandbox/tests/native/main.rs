//! Native runs from outside: real shims, real jails, real limits.
#![cfg(target_os = "linux")]

mod bench;

mod adoption;
mod conformance;
mod escapes;
mod graphics;
mod leaks;
mod modules;
mod outcomes;
mod unprivileged;
