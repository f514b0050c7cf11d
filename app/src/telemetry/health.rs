//! Whether the process is alive and ready: a handle that its start and its end report to, and `/livez` and `/readyz` ask.
//!
//! Alive means that its runtime still turns, which answering shows. What others do (the database away, the Kubernetes API away) never
//! makes it not alive, for a restart would mend nothing; pages say what is missing.

use std::sync::{Arc, Mutex, PoisonError};

/// What the process is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The main database is waited for, or migrated.
    #[default]
    Starting,
    /// The first lists of Tenants and Secrets are under way.
    Filling,
    /// Pages are served, or jobs taken.
    Ready,
    /// It was asked to stop.
    Stopping,
}

/// Handle on the state; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

impl Health {
    /// Says what the process is doing from now on. Who stops stays stopping.
    pub fn set(&self, state: State) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *held != State::Stopping {
            *held = state;
        }
    }

    /// For `/readyz`: a word, or what is being waited for.
    pub fn ready(&self) -> Result<&'static str, String> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Ready => Ok("ready"),
            State::Starting => Err("not ready: the main database is waited for".to_owned()),
            State::Filling => {
                Err("not ready: Tenants and Secrets are listed for the first time".to_owned())
            }
            State::Stopping => Err("not ready: stopping".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_between_its_start_and_its_end() {
        let health = Health::default();
        for (state, ready) in [
            (State::Starting, false),
            (State::Filling, false),
            (State::Ready, true),
            (State::Stopping, false),
            (State::Ready, false),
        ] {
            health.set(state);
            assert_eq!(health.ready().is_ok(), ready, "{state:?}");
        }
    }
}
