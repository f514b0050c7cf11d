//! Whether the process is alive and ready: a handle that its parts report to and that `/livez` and `/readyz` ask.
//!
//! Alive means that the reconciler's loop still turns: a loop that hangs is only mended by a restart. What others do (the Kubernetes
//! API away, the Neon API away) never makes the process not alive, for a restart would mend nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Longest time between two signs of life of the reconciler. Its loop gives one every few seconds, also when there is nothing to do.
pub const HEARTBEAT_MAX: Duration = Duration::from_mins(2);

/// How often the reconciler's loop should give a sign of life.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// Handle on the state; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    role: Role,
    heartbeat: Option<Instant>,
}

/// What the process is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It has not reached the Kubernetes API yet.
    #[default]
    Starting,
    /// Another replica holds the Lease; this one could take over.
    Standby,
    /// It holds the Lease, and its caches are being filled.
    Leading,
    /// It holds the Lease, its caches are filled, and it reconciles.
    Reconciling,
    /// It was asked to stop.
    Stopping,
}

impl Health {
    /// A process that has just started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what the process is doing from now on. The reconciler says [`Role::Reconciling`] once its caches are filled.
    pub fn set_role(&self, role: Role) {
        let mut state = self.lock();
        if role != Role::Reconciling || state.role == Role::Stopping {
            // Whoever does not reconcile need not give signs of life.
            state.heartbeat = None;
        }
        if state.role != Role::Stopping {
            state.role = role;
        }
    }

    /// What the process is doing.
    pub fn role(&self) -> Role {
        self.lock().role
    }

    /// A sign of life of the reconciler's loop. From the first one on, [`HEARTBEAT_MAX`] without another means not alive.
    pub fn reconciler_alive(&self) {
        self.lock().heartbeat = Some(Instant::now());
    }

    /// For `/livez`: a word, or what is wrong.
    pub fn live(&self) -> Result<&'static str, String> {
        let silence = self.lock().heartbeat.map(|last| last.elapsed());
        match silence {
            Some(silence) if silence > HEARTBEAT_MAX => Err(format!(
                "the reconciler has given no sign of life for {} s",
                silence.as_secs()
            )),
            _ => Ok("alive"),
        }
    }

    /// For `/readyz`: a word, or what is being waited for. A standby is ready: rolling updates would otherwise never end.
    pub fn ready(&self) -> Result<&'static str, String> {
        match self.role() {
            Role::Reconciling => Ok("ready: reconciling"),
            Role::Standby => Ok("ready: standing by, another replica holds the lease"),
            Role::Starting => Err("not ready: the Kubernetes API was not reached yet".to_owned()),
            Role::Leading => Err("not ready: the caches are being filled".to_owned()),
            Role::Stopping => Err("not ready: stopping".to_owned()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave the state half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_it_stands_by_or_reconciles_and_at_no_other_time() {
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

    #[test]
    fn who_stops_stays_stopping() {
        let health = Health::new();
        health.set_role(Role::Stopping);
        health.set_role(Role::Reconciling);
        assert_eq!(health.role(), Role::Stopping);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconciler_that_falls_silent_is_not_alive_until_it_speaks_again() {
        let health = Health::new();
        tokio::time::advance(HEARTBEAT_MAX * 2).await;
        assert!(health.live().is_ok(), "nothing was promised yet");
        health.set_role(Role::Reconciling);
        health.reconciler_alive();
        tokio::time::advance(HEARTBEAT_MAX).await;
        assert!(health.live().is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(
            health.live(),
            Err("the reconciler has given no sign of life for 121 s".to_owned())
        );
        health.reconciler_alive();
        assert!(health.live().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_standby_gives_no_signs_of_life_and_is_alive() {
        let health = Health::new();
        health.reconciler_alive();
        health.set_role(Role::Standby);
        tokio::time::advance(HEARTBEAT_MAX * 2).await;
        assert!(health.live().is_ok());
    }
}
