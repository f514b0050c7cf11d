//! The state of a compute, derived from the clock: it is starting, active while it is used and
//! until the suspend timeout after that, and then idle.

use neon_client::model::EndpointState;

use crate::clock::{Micros, SECOND};
use crate::data_plane::Sessions;
use crate::store::{EndpointRow, Store, StoreError, Tx};

/// The suspend timeout that 0 stands for, in seconds.
const SUSPEND_DEFAULT_SECONDS: i64 = 300;

/// A compute's state, and when it is or was suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compute {
    pub(crate) state: EndpointStateNow,
    /// When the compute was suspended, or will be if it is not used until then.
    pub(crate) sleeps_at: Micros,
}

/// The states that the emulator distinguishes; [`EndpointState`] has more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndpointStateNow {
    Starting,
    Active,
    Idle,
}

impl From<EndpointStateNow> for EndpointState {
    fn from(state: EndpointStateNow) -> Self {
        match state {
            EndpointStateNow::Starting => Self::Init,
            EndpointStateNow::Active => Self::Active,
            EndpointStateNow::Idle => Self::Idle,
        }
    }
}

impl Compute {
    /// The state of a compute at a moment.
    pub(crate) fn of(row: &EndpointRow, sessions: &Sessions, now: Micros) -> Self {
        Self::used(row, sessions.last_use(row, now), now)
    }

    /// Like [`Compute::of`], given the last use by an open connection.
    pub(crate) fn used(row: &EndpointRow, last_use: Option<Micros>, now: Micros) -> Self {
        let sleeps_at = sleeps_at(row, last_use);
        let state = if now < row.ready_at_us {
            EndpointStateNow::Starting
        } else if now < sleeps_at {
            EndpointStateNow::Active
        } else {
            EndpointStateNow::Idle
        };
        Self { state, sleeps_at }
    }

    pub(crate) fn is_idle(self) -> bool {
        self.state == EndpointStateNow::Idle
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
    Store::settle(tx, row, compute.sleeps_at, now).await?;
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
    takes: Micros,
    now: Micros,
) -> Result<(), StoreError> {
    let compute = Compute::of(row, sessions, now);
    Store::settle(tx, row, compute.sleeps_at, now).await?;
    row.suspended_at_us = None;
    row.ready_at_us = now.saturating_add(takes);
    Store::save_endpoint(tx, row).await
}

fn sleeps_at(row: &EndpointRow, last_use: Option<Micros>) -> Micros {
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
        SUSPEND_DEFAULT_SECONDS
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

    fn row(suspend_timeout_seconds: i64) -> EndpointRow {
        EndpointRow {
            id: "ep-still-lake-00000001".into(),
            project_id: "still-lake-00000001".into(),
            branch_id: "br-still-lake-00000001".into(),
            name: None,
            kind: "read_write".into(),
            min_cu: 0.25,
            max_cu: 2.0,
            suspend_timeout_seconds,
            disabled: false,
            passwordless_access: true,
            settings: sqlx::types::Json(neon_client::model::EndpointSettings::default()),
            ready_at_us: SECOND,
            suspended_at_us: None,
            settled_us: None,
            last_active_us: None,
            created_at_us: 0,
            updated_at_us: 0,
        }
    }

    #[test]
    fn a_compute_starts_is_active_and_becomes_idle_after_the_suspend_timeout() {
        use EndpointStateNow::{Active, Idle, Starting};
        let state = |timeout, last_use, at| Compute::used(&row(timeout), last_use, at).state;
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
        let mut row = row(-1);
        row.suspended_at_us = Some(5 * SECOND);
        let compute = Compute::used(&row, Some(4 * SECOND), 6 * SECOND);
        assert!(compute.is_idle() && compute.sleeps_at == 5 * SECOND);
    }
}
