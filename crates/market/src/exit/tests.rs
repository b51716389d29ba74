//! Tests of `exit`.
