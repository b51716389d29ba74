//! The line of a lease, from the bid to the wiped folder, among friends, strangers and crashes.

mod array;
mod crashes;
mod gate;
mod hall;
mod refusals;
mod silence;
mod straight;
