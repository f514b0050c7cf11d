//! The health of the process, as `/livez` and `/readyz` report it.
//!
//! The process is alive while the reconciler's loop runs: a loop that hangs can only be fixed by a
//! restart. Errors of other systems, such as an unreachable Kubernetes or Neon API, never affect
//! liveness, because a restart would not help. The process is not ready while one of its watches
//! fails, for example because a CRD or a permission is missing: it then misses changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The process counts as hung if the reconciler sends no heartbeat for this long.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_mins(2);

/// How often the reconciler sends a heartbeat, even when there is no work.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// A watch counts as broken after two errors, until this long after the last one. Longer than the
/// longest backoff of a watch (30 s) and a request's timeout (15 s) together.
pub const WATCH_RECOVERY: Duration = Duration::from_mins(1);

/// A handle to the health of the process; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: Arc<Mutex<HealthState>>,
}

#[derive(Debug, Default)]
struct HealthState {
    role: Role,
    last_heartbeat: Option<Instant>,
    watch_errors: BTreeMap<&'static str, WatchErrors>,
}

/// The consecutive errors of a watch.
#[derive(Debug)]
struct WatchErrors {
    count: u32,
    last: Instant,
    message: String,
}

impl WatchErrors {
    fn is_recent(&self) -> bool {
        self.last.elapsed() < WATCH_RECOVERY
    }
}

/// What the process is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The Kubernetes API has not answered yet.
    #[default]
    Starting,
    /// Another replica holds the Lease.
    Standby,
    /// This process holds the Lease and fills its caches.
    Leading,
    /// This process holds the Lease and reconciles.
    Reconciling,
    Stopping,
}

impl Health {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the role. A process that is stopping keeps that role.
    pub fn set_role(&self, role: Role) {
        let mut state = self.state.lock();
        if role != Role::Reconciling || state.role == Role::Stopping {
            // Only a reconciling process sends heartbeats.
            state.last_heartbeat = None;
        }
        if state.role != Role::Stopping {
            state.role = role;
        }
    }

    pub fn role(&self) -> Role {
        self.state.lock().role
    }

    /// Records a heartbeat of the reconciler's loop. After the first one, the process is not alive
    /// if [`HEARTBEAT_TIMEOUT`] passes without another.
    pub fn record_heartbeat(&self) {
        self.state.lock().last_heartbeat = Some(Instant::now());
    }

    /// Records that a watch delivered an event.
    pub fn record_watch_success(&self, watch: &'static str) {
        self.state.lock().watch_errors.remove(watch);
    }

    /// Records that a watch failed. The watch reconnects automatically.
    pub fn record_watch_error(&self, watch: &'static str, message: String) {
        let mut state = self.state.lock();
        let previous = state
            .watch_errors
            .get(watch)
            .filter(|errors| errors.is_recent());
        let count = previous.map_or(1, |errors| errors.count.saturating_add(1));
        let last = Instant::now();
        let errors = WatchErrors {
            count,
            last,
            message,
        };
        state.watch_errors.insert(watch, errors);
    }

    fn broken_watch(&self) -> Option<String> {
        let state = self.state.lock();
        let broken = |errors: &&WatchErrors| errors.count > 1 && errors.is_recent();
        let (watch, errors) = state
            .watch_errors
            .iter()
            .find(|(_, errors)| broken(errors))?;
        Some(format!(
            "not ready: failed to watch {watch}: {}",
            errors.message
        ))
    }

    /// For `/livez`. The error says why the process is not alive.
    pub fn live(&self) -> Result<&'static str, String> {
        let since_heartbeat = self.state.lock().last_heartbeat.map(|last| last.elapsed());
        match since_heartbeat {
            Some(elapsed) if elapsed > HEARTBEAT_TIMEOUT => Err(format!(
                "the reconciler has sent no heartbeat for {} s",
                elapsed.as_secs()
            )),
            _ => Ok("alive"),
        }
    }

    /// For `/readyz`. The error says what the process is waiting for. A standby is ready, because
    /// otherwise a rolling update would never finish.
    pub fn ready(&self) -> Result<&'static str, String> {
        match (self.role(), self.broken_watch()) {
            (Role::Reconciling | Role::Leading, Some(broken)) => Err(broken),
            (Role::Reconciling, None) => Ok("ready: reconciling"),
            (Role::Standby, _) => Ok("ready: standing by, another replica holds the lease"),
            (Role::Starting, _) => Err("not ready: waiting for the Kubernetes API".to_owned()),
            (Role::Leading, None) => Err("not ready: filling the caches".to_owned()),
            (Role::Stopping, _) => Err("not ready: stopping".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_only_while_it_is_standby_or_reconciling() {
        let health = Health::new();
        assert!(health.ready().is_err(), "starting");
        for (role, ready) in [
            (Role::Standby, true),
            (Role::Leading, false),
            (Role::Reconciling, true),
            (Role::Stopping, false),
        ] {
            health.set_role(role);
            assert_eq!(health.ready().is_ok(), ready, "{role:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_not_ready_while_a_watch_fails() {
        let health = Health::new();
        health.set_role(Role::Reconciling);
        let fail = || health.record_watch_error("tenants", "not found".to_owned());
        fail();
        assert!(
            health.ready().is_ok(),
            "watches are interrupted now and then"
        );
        tokio::time::advance(Duration::from_secs(30)).await;
        fail();
        assert_eq!(
            health.ready(),
            Err("not ready: failed to watch tenants: not found".to_owned())
        );
        health.set_role(Role::Leading);
        assert!(health.ready().unwrap_err().contains("not found"));
        health.set_role(Role::Reconciling);
        health.record_watch_success("tenants");
        assert!(health.ready().is_ok());
        fail();
        fail();
        assert!(health.ready().is_err());
        // The watch continues without an event.
        tokio::time::advance(WATCH_RECOVERY).await;
        assert!(health.ready().is_ok());
        fail();
        assert!(health.ready().is_ok(), "the first error after a recovery");
    }

    #[test]
    fn a_stopping_process_keeps_its_role() {
        let health = Health::new();
        health.set_role(Role::Stopping);
        health.set_role(Role::Reconciling);
        assert_eq!(health.role(), Role::Stopping);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_without_heartbeats_is_not_alive_until_the_next_heartbeat() {
        let health = Health::new();
        tokio::time::advance(HEARTBEAT_TIMEOUT * 2).await;
        assert!(
            health.live().is_ok(),
            "no heartbeat is expected before the first one"
        );
        health.set_role(Role::Reconciling);
        health.record_heartbeat();
        tokio::time::advance(HEARTBEAT_TIMEOUT).await;
        assert!(health.live().is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(
            health.live(),
            Err("the reconciler has sent no heartbeat for 121 s".to_owned())
        );
        health.record_heartbeat();
        assert!(health.live().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_standby_is_alive_without_heartbeats() {
        let health = Health::new();
        health.record_heartbeat();
        health.set_role(Role::Standby);
        tokio::time::advance(HEARTBEAT_TIMEOUT * 2).await;
        assert!(health.live().is_ok());
    }
}
