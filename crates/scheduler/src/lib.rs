//! Place requests on machines over time (knows no money, no users, no network).
//!
//! In: a machine's capacity, requests for bundles of it, moments. Out: reservations, or when to
//! ask again.
//!
//! Invariant: at no moment do the reservations exceed the capacity; a reservation whose time has
//! run out counts no more, without anybody having to release it.
//!
//! Not here: what a bundle costs (`market`), whether the work behind it is alive (`provider`).

mod calendar;

pub use calendar::{Busy, Calendar, Reservation};
