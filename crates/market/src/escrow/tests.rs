//! Tests of `escrow`.
