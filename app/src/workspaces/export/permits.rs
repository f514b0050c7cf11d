//! Who writes an archive now: a few in a process, and one a person, so that nobody who reads slowly takes the places of others.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::MAX_CONCURRENT_EXPORTS;
use crate::ids::UserId;

static ACTIVE: Mutex<BTreeSet<UserId>> = Mutex::new(BTreeSet::new());

/// One of the places, given back when it is dropped.
#[derive(Debug)]
pub(super) struct ExportPermit(UserId);

impl ExportPermit {
    /// A permit, unless all are taken or this person has theirs.
    pub(super) fn try_acquire(user: UserId) -> Option<Self> {
        let mut taken = active_exports();
        (taken.len() < MAX_CONCURRENT_EXPORTS && taken.insert(user)).then(|| Self(user))
    }
}

impl Drop for ExportPermit {
    fn drop(&mut self) {
        active_exports().remove(&self.0);
    }
}

fn active_exports() -> MutexGuard<'static, BTreeSet<UserId>> {
    // Nothing here can panic half way through a change.
    ACTIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_one_place_and_all_together_have_few() {
        let user = UserId::random();
        let first = ExportPermit::try_acquire(user).expect("a place");
        assert!(ExportPermit::try_acquire(user).is_none(), "the second of one person");
        let mut others: Vec<ExportPermit> = (1..MAX_CONCURRENT_EXPORTS)
            .map(|_| ExportPermit::try_acquire(UserId::random()).expect("a place"))
            .collect();
        assert!(ExportPermit::try_acquire(UserId::random()).is_none(), "one too many");
        others.pop();
        drop(first);
        assert!(ExportPermit::try_acquire(user).is_some(), "given back");
    }
}
