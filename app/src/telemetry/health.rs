//! State of the process for `/livez` and `/readyz`, updated at startup and shutdown.
//!
//! The process is live as long as it responds. An outage of the database or the Kubernetes API does
//! not make it unhealthy, because a restart would not help; the pages report the outage instead.

use std::sync::Arc;

use parking_lot::Mutex;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessState {
    /// Connecting to the main database and migrating it.
    #[default]
    Starting,
    /// Waiting for the initial lists of Tenants and Secrets.
    Syncing,
    /// Serving pages, or running jobs.
    Ready,
    Stopping,
}

/// Shared handle on the process state.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<ProcessState>>);

impl Health {
    /// Updates the state. `Stopping` is final.
    pub fn set(&self, new: ProcessState) {
        let mut state = self.0.lock();
        if *state != ProcessState::Stopping {
            *state = new;
        }
    }

    /// The answer of `/readyz`: `Ok` when ready, otherwise the reason why not.
    pub fn ready(&self) -> Result<&'static str, String> {
        match *self.0.lock() {
            ProcessState::Ready => Ok("ready"),
            ProcessState::Starting => Err("not ready: waiting for the main database".to_owned()),
            ProcessState::Syncing => {
                Err("not ready: waiting for the initial lists of Tenants and Secrets".to_owned())
            }
            ProcessState::Stopping => Err("not ready: stopping".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_after_startup_and_until_shutdown() {
        let health = Health::default();
        for (state, ready) in [
            (ProcessState::Starting, false),
            (ProcessState::Syncing, false),
            (ProcessState::Ready, true),
            (ProcessState::Stopping, false),
            (ProcessState::Ready, false),
        ] {
            health.set(state);
            assert_eq!(health.ready().is_ok(), ready, "{state:?}");
        }
    }
}
