//! Limits an action to once per Tenant and interval, so that many failed logins trigger one request.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::view::TenantName;

/// The time of each Tenant's last request. Entries older than the interval are dropped.
#[derive(Debug)]
pub(super) struct Throttle {
    /// Minimum time between two requests for the same Tenant.
    interval: Duration,
    last: Mutex<HashMap<TenantName, Instant>>,
}

impl Throttle {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: Mutex::default(),
        }
    }

    /// Whether a request may be made now; if so, it is recorded.
    pub(super) fn try_acquire(&self, name: &TenantName) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock();
        last.retain(|_, requested| now.duration_since(*requested) < self.interval);
        let is_due = !last.contains_key(name);
        if is_due {
            last.insert(name.clone(), now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_request_per_tenant_and_interval_is_allowed_and_old_entries_are_dropped() {
        let interval = Duration::from_mins(1);
        let throttle = Throttle::new(interval);
        assert!(throttle.try_acquire(&"a".into()));
        assert!(!throttle.try_acquire(&"a".into()));
        assert!(
            throttle.try_acquire(&"b".into()),
            "each Tenant has its own limit"
        );
        tokio::time::advance(interval).await;
        assert!(throttle.try_acquire(&"c".into()));
        let entries = throttle.last.lock().len();
        assert_eq!(entries, 1, "expired entries are dropped");
        assert!(throttle.try_acquire(&"a".into()));
    }
}
