//! One machine's reservations: capacity put aside under a name until a moment.

use std::collections::BTreeMap;

use primitives::{Resources, UnixSeconds};

/// What is put aside on one machine, by name.
#[derive(Clone, Debug)]
pub struct Calendar<Name> {
    capacity: Resources,
    reserved: BTreeMap<Name, Reservation>,
}

/// A bundle put aside until a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// What is put aside.
    pub resources: Resources,
    /// From then on it counts no more.
    pub until: UnixSeconds,
}

/// The refusal of a request that does not fit now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// It fits once the reservations that end by then are gone.
    Until(UnixSeconds),
    /// It never fits on this machine.
    Never,
}

impl<Name: Ord + Clone> Calendar<Name> {
    /// An empty calendar of a machine.
    pub fn new(capacity: Resources) -> Self {
        Self { capacity, reserved: BTreeMap::new() }
    }

    /// What the machine has in all.
    pub fn capacity(&self) -> Resources {
        self.capacity
    }

    /// What is free at `now`.
    pub fn free(&self, now: UnixSeconds) -> Resources {
        self.live(now).fold(self.capacity, |free, (_, one)| {
            free.minus(&one.resources).expect("reservations never exceed the capacity")
        })
    }

    /// Put a bundle aside; asking again under the same name replaces the earlier reservation.
    ///
    /// # Errors
    /// When it does not fit beside the others; the earlier reservation then stays.
    pub fn reserve(
        &mut self,
        name: Name,
        wanted: Reservation,
        now: UnixSeconds,
    ) -> Result<(), Busy> {
        self.forget_past(now);
        let earlier = self.reserved.remove(&name);
        if self.free(now).holds(&wanted.resources) {
            self.reserved.insert(name, wanted);
            return Ok(());
        }
        let busy = self.busy_until(&wanted.resources, now);
        if let Some(earlier) = earlier {
            self.reserved.insert(name, earlier);
        }
        Err(busy)
    }

    /// Let a reservation last until another moment; `false` when there is none under this name.
    pub fn extend(&mut self, name: &Name, until: UnixSeconds) -> bool {
        self.reserved.get_mut(name).map(|one| one.until = until).is_some()
    }

    /// Give a bundle back; `false` when there is none under this name.
    pub fn release(&mut self, name: &Name) -> bool {
        self.reserved.remove(name).is_some()
    }

    /// How many reservations count at `now`.
    pub fn count(&self, now: UnixSeconds) -> usize {
        self.live(now).count()
    }

    fn live(&self, now: UnixSeconds) -> impl Iterator<Item = (&Name, &Reservation)> {
        self.reserved.iter().filter(move |(_, one)| one.until > now)
    }

    fn forget_past(&mut self, now: UnixSeconds) {
        self.reserved.retain(|_, one| one.until > now);
    }

    fn busy_until(&self, wanted: &Resources, now: UnixSeconds) -> Busy {
        let mut free = self.free(now);
        let mut ending: Vec<&Reservation> = self.live(now).map(|(_, one)| one).collect();
        ending.sort_by_key(|one| one.until);
        for one in ending {
            free = free.plus(&one.resources).expect("parts of one machine add up");
            if free.holds(wanted) {
                return Busy::Until(one.until);
            }
        }
        Busy::Never
    }
}

#[cfg(test)]
mod tests {
    use primitives::{Bytes, Millicores};
    use proptest::prelude::*;

    use super::*;

    fn cpu(millicores: u64) -> Resources {
        Resources { cpu: Millicores(millicores), memory: Bytes(millicores), ..Resources::default() }
    }

    fn wanted(millicores: u64, until: u64) -> Reservation {
        Reservation { resources: cpu(millicores), until: UnixSeconds(until) }
    }

    const NOW: UnixSeconds = UnixSeconds(100);

    #[test]
    fn the_second_of_two_requests_for_the_same_capacity_hears_when_to_ask_again() {
        let mut calendar = Calendar::new(cpu(1_000));
        assert_eq!(calendar.reserve("a", wanted(600, 160), NOW), Ok(()));
        assert_eq!(
            calendar.reserve("b", wanted(600, 160), NOW),
            Err(Busy::Until(UnixSeconds(160)))
        );
        assert_eq!(calendar.reserve("c", wanted(1_001, 160), NOW), Err(Busy::Never));
        assert_eq!(calendar.free(NOW), cpu(400));
    }

    #[test]
    fn a_reservation_that_ran_out_is_free_again_without_a_release() {
        let mut calendar = Calendar::new(cpu(1_000));
        assert_eq!(calendar.reserve("a", wanted(1_000, 160), NOW), Ok(()));
        assert_eq!(calendar.reserve("b", wanted(1_000, 300), UnixSeconds(160)), Ok(()));
        assert!(!calendar.release(&"a"));
    }

    #[test]
    fn asking_twice_under_one_name_reserves_once() {
        let mut calendar = Calendar::new(cpu(1_000));
        assert_eq!(calendar.reserve("a", wanted(600, 160), NOW), Ok(()));
        assert_eq!(calendar.reserve("a", wanted(700, 170), NOW), Ok(()));
        assert_eq!(calendar.free(NOW), cpu(300));
        assert_eq!(calendar.reserve("a", wanted(2_000, 170), NOW), Err(Busy::Never));
        assert_eq!(calendar.free(NOW), cpu(300));
    }

    proptest! {
        #[test]
        fn no_sequence_of_requests_overbooks_the_machine(
            steps in prop::collection::vec((0u8..6, 0u64..1_500, 0u64..50, 0u64..5, any::<bool>()), 1..60)
        ) {
            let mut calendar = Calendar::new(cpu(1_000));
            let mut now = 100;
            for (name, part, lasting, passing, release) in steps {
                now += passing;
                if release {
                    calendar.release(&name);
                } else if let Err(Busy::Until(at)) =
                    calendar.reserve(name, wanted(part, now + lasting), UnixSeconds(now))
                {
                    prop_assert!(at.0 > now);
                }
                let used: u64 = calendar.live(UnixSeconds(now)).map(|(_, one)| one.resources.cpu.0).sum();
                prop_assert!(used <= 1_000);
            }
        }
    }
}
