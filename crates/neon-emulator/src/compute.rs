//! The state of a compute, derived from the clock: it is starting, active while it is used and
//! until the suspend timeout after that, and then idle.

use neon_client::model::EndpointState;

use crate::clock::{Micros, SECOND};
use crate::sessions::Sessions;
use crate::store::{EndpointRow, Store, StoreError, Tx};

/// The suspend timeout that 0 stands for, in seconds.
const DEFAULT_SUSPEND_SECONDS: i64 = 300;

/// A compute's state, and when it is or was suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compute {
    pub(crate) state: ComputeState,
    /// When the compute was suspended, or will be if it is not used until then.
    pub(crate) suspends_at: Micros,
}

/// The states that the emulator distinguishes; [`EndpointState`] has more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ComputeState {
    Starting,
    Active,
    Idle,
}

impl From<ComputeState> for EndpointState {
    fn from(state: ComputeState) -> Self {
        match state {
            ComputeState::Starting => Self::Init,
            ComputeState::Active => Self::Active,
            ComputeState::Idle => Self::Idle,
        }
    }
}

impl Compute {
    /// The state of a compute at a moment.
    pub(crate) fn of(row: &EndpointRow, sessions: &Sessions, now: Micros) -> Self {
        Self::with_last_use(row, sessions.last_use(row, now), now)
    }

    /// Like [`Compute::of`], given the last use by an open connection.
    pub(crate) fn with_last_use(row: &EndpointRow, last_use: Option<Micros>, now: Micros) -> Self {
        let suspends_at = suspends_at(row, last_use);
        let state = if now < row.ready_at_us {
            ComputeState::Starting
        } else if now < suspends_at {
            ComputeState::Active
        } else {
            ComputeState::Idle
        };
        Self { state, suspends_at }
    }

    /// The last moment up to `now` when the compute started, was used, or was suspended.
    pub(crate) fn last_event(
        self,
        row: &EndpointRow,
        last_use: Option<Micros>,
        now: Micros,
    ) -> Micros {
        [
            Some(row.ready_at_us),
            row.last_active_us,
            last_use,
            Some(self.suspends_at),
        ]
        .into_iter()
        .flatten()
        .filter(|at| *at <= now)
        .fold(row.created_at_us, Micros::max)
    }

    pub(crate) fn is_idle(self) -> bool {
        self.state == ComputeState::Idle
    }
}

/// Suspends a compute and records its usage. Returns whether it was running. The caller must
/// terminate its sessions.
pub(crate) async fn suspend(
    tx: &mut Tx,
    row: &mut EndpointRow,
    sessions: &Sessions,
    now: Micros,
) -> Result<bool, StoreError> {
    let compute = Compute::of(row, sessions, now);
    Store::record_usage(tx, row, compute.suspends_at, now).await?;
    if compute.is_idle() {
        return Ok(false);
    }
    row.suspended_at_us = Some(now);
    Store::save_endpoint(tx, row).await?;
    Ok(true)
}

/// Starts a compute that becomes ready after `startup_time`.
pub(crate) async fn wake(
    tx: &mut Tx,
    row: &mut EndpointRow,
    sessions: &Sessions,
    startup_time: Micros,
    now: Micros,
) -> Result<(), StoreError> {
    let compute = Compute::of(row, sessions, now);
    Store::record_usage(tx, row, compute.suspends_at, now).await?;
    row.suspended_at_us = None;
    row.ready_at_us = now.saturating_add(startup_time);
    Store::save_endpoint(tx, row).await
}

fn suspends_at(row: &EndpointRow, last_use: Option<Micros>) -> Micros {
    if let Some(suspended) = row.suspended_at_us {
        return suspended;
    }
    if row.disabled {
        return row.updated_at_us;
    }
    if row.suspend_timeout_seconds < 0 {
        return Micros::MAX;
    }
    let timeout = if row.suspend_timeout_seconds == 0 {
        DEFAULT_SUSPEND_SECONDS
    } else {
        row.suspend_timeout_seconds
    };
    let last = row
        .last_active_us
        .into_iter()
        .chain(last_use)
        .fold(row.ready_at_us, Micros::max);
    last.saturating_add(timeout.saturating_mul(SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compute_starts_is_active_and_becomes_idle_after_the_suspend_timeout() {
        use ComputeState::{Active, Idle, Starting};
        let state = |timeout, last_use, at| {
            Compute::with_last_use(&EndpointRow::for_tests(timeout), last_use, at).state
        };
        assert_eq!(state(60, None, 0), Starting);
        assert_eq!(state(60, None, SECOND), Active);
        assert_eq!(state(60, None, 61 * SECOND), Idle);
        let (used, at) = (Some(2 * SECOND), 61 * SECOND);
        assert_eq!(state(60, used, at), Active, "used one second later");
        assert_eq!(state(60, used, 62 * SECOND), Idle, "connected, but idle");
        assert_eq!(state(0, None, 300 * SECOND), Active);
        assert_eq!(state(0, None, 301 * SECOND), Idle);
        assert_eq!(state(-1, None, Micros::MAX - 1), Active);
    }

    #[test]
    fn a_suspended_compute_stays_idle_until_it_is_started() {
        let mut row = EndpointRow::for_tests(-1);
        row.suspended_at_us = Some(5 * SECOND);
        let compute = Compute::with_last_use(&row, Some(4 * SECOND), 6 * SECOND);
        assert!(compute.is_idle() && compute.suspends_at == 5 * SECOND);
    }
}
