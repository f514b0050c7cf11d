//! Connections that Neon refuses until someone changes a setting, such as after an exhausted quota.
//!
//! Neon's proxy caches a refusal for 30 s, even if its cause has been resolved. The controller therefore
//! retries once soon after a refusal, and waits for the slow retry only after a second one.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::identity::TenantUid;

/// Time after which the proxy's cached refusal has expired, with a margin.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_secs(35);

/// When to try again, for Tenants that were refused once. It holds at most one entry per Tenant.
#[derive(Debug, Default)]
pub struct ConnectionRefusals(Mutex<HashMap<TenantUid, Timestamp>>);

impl ConnectionRefusals {
    /// Records a refusal. Returns the wait before the next attempt; `None` if the refusal did not come
    /// from the proxy's cache.
    pub fn record(&self, tenant: TenantUid, now: Timestamp) -> Option<Duration> {
        let mut retries = self.0.lock();
        let at = *retries.entry(tenant).or_insert(now + FORGOTTEN_AFTER);
        let wait = Duration::try_from(at.duration_since(now).min(FORGOTTEN_AFTER));
        let wait = wait.ok().filter(|wait| !wait.is_zero());
        if wait.is_none() {
            retries.remove(&tenant);
        }
        wait
    }

    /// Forgets a Tenant: it was connected or deleted, or its settings have changed, so that its next
    /// refusal may come from the cache again.
    pub fn forget(&self, tenant: TenantUid) {
        self.0.lock().remove(&tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_followed_by_one_early_attempt() {
        let tenant = TenantUid::parse("00000000-0000-0000-0000-000000000001").unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let refusals = ConnectionRefusals::default();
        assert_eq!(refusals.record(tenant, at(0)), seconds(35));
        // An attempt in between, which something else triggered.
        assert_eq!(refusals.record(tenant, at(10)), seconds(25));
        assert_eq!(refusals.record(tenant, at(35)), None);
        // The slow retry.
        assert_eq!(refusals.record(tenant, at(635)), seconds(35));
        refusals.forget(tenant);
        assert_eq!(refusals.record(tenant, at(660)), seconds(35));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_prolong_the_wait() {
        let tenant = TenantUid::parse("00000000-0000-0000-0000-000000000001").unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let refusals = ConnectionRefusals::default();
        refusals.record(tenant, at(100_000));
        assert_eq!(
            refusals.record(tenant, at(0)),
            Some(Duration::from_secs(35))
        );
    }
}
