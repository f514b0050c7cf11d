//! Selects the Tenants whose compute and database are read from Neon next.
//!
//! Listings show neither, and a project's time of change moves whenever its compute is used. So the
//! controller reads the Tenants in turn, with the calls of the budget for drift detection that the
//! listings do not use. Tenants whose project may have changed come first.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::identity::TenantUid;

/// A project whose time of change did not move is read again no sooner than this.
const UNCHANGED_INTERVAL: SignedDuration = SignedDuration::from_hours(6);
/// How many times as long an unchanged project waits for its turn as a changed one.
const CHANGED_WEIGHT: i64 = 8;

#[derive(Debug, Default)]
pub struct Inspections(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    due: HashSet<TenantUid>,
    last: HashMap<TenantUid, Timestamp>,
}

/// A Tenant whose compute can be read.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub tenant: TenantUid,
    /// Whether the project's time of change moved since the last inspection.
    pub changed: bool,
}

impl Inspections {
    /// Selects at most `count` further candidates for inspection. Returns the value paired with each.
    pub fn choose<T>(
        &self,
        candidates: impl IntoIterator<Item = (Candidate, T)>,
        count: usize,
        now: Timestamp,
    ) -> Vec<T> {
        let mut state = self.0.lock();
        let mut waiting: Vec<(i64, TenantUid, T)> = candidates
            .into_iter()
            .filter(|(candidate, _)| !state.due.contains(&candidate.tenant))
            .filter_map(|(candidate, with)| {
                Some((state.weight(candidate, now)?, candidate.tenant, with))
            })
            .collect();
        waiting.sort_unstable_by_key(|(weight, ..)| std::cmp::Reverse(*weight));
        waiting.truncate(count);
        let chosen = waiting.into_iter().map(|(_, tenant, with)| {
            state.due.insert(tenant);
            with
        });
        chosen.collect()
    }

    pub fn is_due(&self, tenant: TenantUid) -> bool {
        self.0.lock().due.contains(&tenant)
    }

    /// Records that the Tenant's compute was read.
    pub fn record(&self, tenant: TenantUid, now: Timestamp) {
        let mut state = self.0.lock();
        state.due.remove(&tenant);
        state.last.insert(tenant, now);
    }

    /// Forgets a deleted Tenant.
    pub fn forget(&self, tenant: TenantUid) {
        let mut state = self.0.lock();
        state.due.remove(&tenant);
        state.last.remove(&tenant);
    }
}

impl State {
    /// The candidate with the highest weight comes first; `None` if it is too early.
    fn weight(&self, candidate: Candidate, now: Timestamp) -> Option<i64> {
        let Some(last) = self.last.get(&candidate.tenant) else {
            return Some(i64::MAX - i64::from(!candidate.changed));
        };
        let age = now.duration_since(*last);
        if candidate.changed {
            Some(age.as_secs().saturating_mul(CHANGED_WEIGHT))
        } else {
            (age >= UNCHANGED_INTERVAL).then(|| age.as_secs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: usize) -> TenantUid {
        TenantUid::parse(&format!("00000000-0000-0000-0000-{number:012}")).unwrap()
    }

    fn candidate(number: usize, changed: bool) -> (Candidate, TenantUid) {
        let tenant = tenant(number);
        (Candidate { tenant, changed }, tenant)
    }

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3_600).unwrap()
    }

    #[test]
    fn the_tenants_are_read_in_turn_and_changed_projects_first() {
        let inspections = Inspections::default();
        let all = || (0..4).map(|number| candidate(number, number >= 2));
        let mut chosen = inspections.choose(all(), 2, at(0));
        chosen.sort_unstable();
        assert_eq!(chosen, [tenant(2), tenant(3)]);
        assert_eq!(inspections.choose(all(), 1, at(0)).len(), 1);
        inspections.record(tenant(2), at(0));
        assert!(!inspections.is_due(tenant(2)) && inspections.is_due(tenant(3)));
        // A Tenant that was never read comes before one that was.
        let mut chosen = inspections.choose(all(), 4, at(1));
        assert_eq!(chosen.len(), 2);
        assert_eq!(chosen.pop(), Some(tenant(2)));
    }

    #[test]
    fn an_unchanged_project_waits_longer_but_not_forever() {
        let inspections = Inspections::default();
        inspections.record(tenant(0), at(0));
        inspections.record(tenant(1), at(0));
        let both = || [candidate(0, false), candidate(1, true)];
        assert_eq!(inspections.choose(both(), 2, at(1)), [tenant(1)]);
        inspections.record(tenant(1), at(9));
        assert_eq!(inspections.choose(both(), 1, at(10)), [tenant(0)]);
    }

    #[test]
    fn a_deleted_tenant_is_forgotten() {
        let inspections = Inspections::default();
        inspections.choose([candidate(0, true)], 1, at(0));
        inspections.forget(tenant(0));
        assert!(!inspections.is_due(tenant(0)));
    }
}
