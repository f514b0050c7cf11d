//! Once a minute for each Tenant: a crowd of requests that all fail to log in asks the controller once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::view::TenantName;

/// The least time between two requests for one Tenant.
const EVERY: Duration = Duration::from_mins(1);

/// When each Tenant was last asked for. It holds those of the last minute and no others.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    last: Mutex<HashMap<TenantName, Instant>>,
}

impl Throttle {
    /// Whether it is time again; if so, it is noted.
    pub(super) fn may(&self, name: &TenantName) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, asked| now.duration_since(*asked) < EVERY);
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
        assert!(throttle.may(&"a".into()));
        assert!(!throttle.may(&"a".into()));
        assert!(throttle.may(&"b".into()), "another Tenant has its own turn");
        tokio::time::advance(EVERY).await;
        assert!(throttle.may(&"c".into()));
        let kept = throttle.last.lock().expect("not poisoned").len();
        assert_eq!(kept, 1, "nobody is kept for longer than it matters");
        assert!(throttle.may(&"a".into()));
    }
}
