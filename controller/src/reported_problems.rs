//! Remembers which problems of a Tenant's metadata have been reported, so that an event is published
//! once per change and not in every reconciliation.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use parking_lot::Mutex;

use crate::identity::TenantUid;

/// Tenants whose problems are remembered. Beyond that, all are forgotten and reported again.
const MAX_TRACKED: usize = 10_000;

/// A digest of the problems of each Tenant that has any.
#[derive(Debug, Default)]
pub struct ReportedProblems(Mutex<HashMap<TenantUid, u64>>);

impl ReportedProblems {
    /// Records the current problems of a Tenant. Returns whether they have to be reported.
    pub fn record(&self, tenant: TenantUid, problems: &[String]) -> bool {
        let mut all = self.0.lock();
        if problems.is_empty() {
            all.remove(&tenant);
            return false;
        }
        if all.len() >= MAX_TRACKED && !all.contains_key(&tenant) {
            all.clear();
        }
        let mut hasher = DefaultHasher::new();
        problems.hash(&mut hasher);
        let digest = hasher.finish();
        all.insert(tenant, digest) != Some(digest)
    }

    /// Forgets a deleted Tenant.
    pub fn forget(&self, tenant: TenantUid) {
        self.0.lock().remove(&tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_reported_once_per_change() {
        let tenant = |number: usize| {
            TenantUid::parse(&format!("00000000-0000-0000-0000-{number:012}")).unwrap()
        };
        let reported = ReportedProblems::default();
        let (one, two) = (vec!["one".to_owned()], vec!["two".to_owned()]);
        assert!(!reported.record(tenant(1), &[]));
        assert!(reported.record(tenant(1), &one));
        assert!(!reported.record(tenant(1), &one));
        assert!(reported.record(tenant(2), &one), "another Tenant");
        assert!(reported.record(tenant(1), &two), "another problem");
        assert!(!reported.record(tenant(1), &[]));
        assert!(reported.record(tenant(1), &two), "the problem is back");
        for number in 10..10 + MAX_TRACKED {
            reported.record(tenant(number), &one);
        }
        assert!(reported.0.lock().len() <= MAX_TRACKED);
    }
}
