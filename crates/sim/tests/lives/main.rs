//! Lives of simulated markets: honest ones, attacked ones, and ones in a world that fails.

mod deal;
mod story;

mod arrays;

mod leases;
mod troubles;

mod gateways;
mod providers;
mod renters;
mod sessions;

mod worlds;

mod desk;
mod doors;

mod sums;
