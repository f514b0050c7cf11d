//! Tracks how long a password that Neon reveals has been refused.
//!
//! Neon's proxy also refuses a password if it does not know the endpoint or the role yet, and repeats
//! that for minutes. A refusal says nothing about the password until refusals have continued for longer
//! than the proxy's cache keeps them.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::identity::TenantUid;

/// How long a refusal may come from the proxy's cache, which keeps it for 4 minutes.
const CACHED_FOR: SignedDuration = SignedDuration::from_mins(5);
/// If no refusal occurs for this long, the next one starts a new series.
const QUIET_PERIOD: SignedDuration = SignedDuration::from_mins(15);
/// Maximum number of Tenants with a refusal. Beyond that, those that were quiet are forgotten.
const MAX_TRACKED: usize = 10_000;

/// The current refusal of each Tenant's password.
#[derive(Debug, Default)]
pub struct PasswordRefusals(Mutex<HashMap<TenantUid, Refusal>>);

#[derive(Clone, Copy, Debug)]
struct Refusal {
    first: Timestamp,
    last: Timestamp,
}

impl PasswordRefusals {
    /// Records a refusal. Returns until when it may come from the proxy's cache; `None` if it has
    /// lasted longer.
    pub fn record(&self, tenant: TenantUid, now: Timestamp) -> Option<Timestamp> {
        let mut all = self.0.lock();
        if all.len() >= MAX_TRACKED {
            all.retain(|_, refusal| !refusal.is_over(now));
        }
        let new = Refusal {
            first: now,
            last: now,
        };
        let refusal = all.entry(tenant).or_insert(new);
        if refusal.is_over(now) {
            *refusal = new;
        }
        refusal.last = now;
        let until = refusal.first + CACHED_FOR;
        (until > now).then_some(until)
    }

    /// Forgets the refusal of a Tenant's password: it was accepted, or it was reset.
    pub fn forget(&self, tenant: TenantUid) {
        self.0.lock().remove(&tenant);
    }
}

impl Refusal {
    fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.last) > QUIET_PERIOD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_may_be_cached_for_five_minutes_and_counts_anew_after_a_success() {
        let tenant = TenantUid::parse("00000000-0000-0000-0000-000000000001").unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let refusals = PasswordRefusals::default();
        assert_eq!(refusals.record(tenant, at(0)), Some(at(300)));
        assert_eq!(refusals.record(tenant, at(299)), Some(at(300)));
        assert_eq!(refusals.record(tenant, at(300)), None);
        assert_eq!(refusals.record(tenant, at(400)), None);
        refusals.forget(tenant);
        assert_eq!(refusals.record(tenant, at(500)), Some(at(800)));
        // A refusal long after the last one is a new one.
        assert_eq!(refusals.record(tenant, at(5_000)), Some(at(5_300)));
    }
}
