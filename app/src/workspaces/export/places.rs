//! Who writes an archive now: a few in a process, and one a person, so that nobody who reads slowly takes the places of others.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::AT_ONCE;
use crate::ids::UserId;

static TAKEN: Mutex<BTreeSet<UserId>> = Mutex::new(BTreeSet::new());

/// One of the places, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(UserId);

impl Place {
    /// A place, unless all are taken or this person has theirs.
    pub(super) fn take(user: UserId) -> Option<Self> {
        let mut taken = taken();
        (taken.len() < AT_ONCE && taken.insert(user)).then(|| Self(user))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        taken().remove(&self.0);
    }
}

fn taken() -> MutexGuard<'static, BTreeSet<UserId>> {
    // Nothing here can panic half way through a change.
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_one_place_and_all_together_have_few() {
        let user = UserId::random();
        let first = Place::take(user).expect("a place");
        assert!(Place::take(user).is_none(), "the second of one person");
        let mut others: Vec<Place> = (1..AT_ONCE)
            .map(|_| Place::take(UserId::random()).expect("a place"))
            .collect();
        assert!(Place::take(UserId::random()).is_none(), "one too many");
        others.pop();
        drop(first);
        assert!(Place::take(user).is_some(), "given back");
    }
}
