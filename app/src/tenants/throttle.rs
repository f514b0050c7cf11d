//! Limits reconcile requests to one per Tenant and minute, so that many failed logins trigger one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::view::TenantName;

/// Minimum time between two requests for the same Tenant.
const MIN_INTERVAL: Duration = Duration::from_mins(1);

/// The time of each Tenant's last request. Entries older than [`MIN_INTERVAL`] are dropped.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    last: Mutex<HashMap<TenantName, Instant>>,
}

impl Throttle {
    /// Whether a request may be made now; if so, it is recorded.
    pub(super) fn try_acquire(&self, name: &TenantName) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, asked| now.duration_since(*asked) < MIN_INTERVAL);
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
    async fn each_tenant_is_asked_for_once_a_minute_and_then_forgotten() {
        let throttle = Throttle::default();
        assert!(throttle.try_acquire(&"a".into()));
        assert!(!throttle.try_acquire(&"a".into()));
        assert!(throttle.try_acquire(&"b".into()), "each Tenant has its own limit");
        tokio::time::advance(MIN_INTERVAL).await;
        assert!(throttle.try_acquire(&"c".into()));
        let kept = throttle.last.lock().expect("not poisoned").len();
        assert_eq!(kept, 1, "expired entries are dropped");
        assert!(throttle.try_acquire(&"a".into()));
    }
}
