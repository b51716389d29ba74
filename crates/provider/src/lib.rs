//! Offer a machine, run what was placed on it, report usage.
