//! Limits the exports of a process, and to one per user, so that slow clients cannot use up all
//! permits.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::MAX_CONCURRENT_EXPORTS;
use crate::ids::UserId;

static ACTIVE: Mutex<BTreeSet<UserId>> = Mutex::new(BTreeSet::new());

/// Permission to write one archive, released on drop.
#[derive(Debug)]
pub(super) struct ExportPermit(UserId);

impl ExportPermit {
    /// Returns `None` if all permits are in use or the user already has one.
    pub(super) fn try_acquire(user: UserId) -> Option<Self> {
        let mut active = ACTIVE.lock();
        (active.len() < MAX_CONCURRENT_EXPORTS && active.insert(user)).then(|| Self(user))
    }
}

impl Drop for ExportPermit {
    fn drop(&mut self) {
        ACTIVE.lock().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_limited_per_user_and_in_total() {
        let user = UserId::random();
        let first = ExportPermit::try_acquire(user).expect("a permit");
        assert!(
            ExportPermit::try_acquire(user).is_none(),
            "a second export of the same user"
        );
        let mut others: Vec<ExportPermit> = (1..MAX_CONCURRENT_EXPORTS)
            .map(|_| ExportPermit::try_acquire(UserId::random()).expect("a permit"))
            .collect();
        assert!(
            ExportPermit::try_acquire(UserId::random()).is_none(),
            "one export too many"
        );
        others.pop();
        drop(first);
        assert!(
            ExportPermit::try_acquire(user).is_some(),
            "the permit was released"
        );
    }
}
