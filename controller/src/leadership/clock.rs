//! The clocks of this machine as a trait, so that tests can simulate clocks that are wrong.

use std::future::Future;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Time since an arbitrary moment in this process. Instants of two processes cannot be compared.
pub(super) type MonotonicInstant = Duration;

pub(super) trait Clock: Clone + Send + Sync + 'static {
    fn now(&self) -> MonotonicInstant;
    /// The wall clock, which continues while the machine is suspended.
    fn wall_now(&self) -> Timestamp;
    /// Waits until this clock has advanced by `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// What the monotonic and the wall clock show at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockReading {
    monotonic: MonotonicInstant,
    wall: Timestamp,
}

impl ClockReading {
    pub(super) fn now(clock: &impl Clock) -> Self {
        Self {
            monotonic: clock.now(),
            wall: clock.wall_now(),
        }
    }

    /// How much of `limit`, which began at this reading, is left by the clock that advanced further.
    /// The monotonic clock may stand still while the machine is suspended, and the wall clock may be
    /// set back.
    pub(super) fn left_of(self, limit: Duration, now: Self) -> Duration {
        let by_monotonic = now.monotonic.saturating_sub(self.monotonic);
        let by_wall = now.wall.duration_since(self.wall).max(SignedDuration::ZERO);
        limit.saturating_sub(by_monotonic.max(by_wall.unsigned_abs()))
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SystemClock {
    started: Instant,
}

impl SystemClock {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> MonotonicInstant {
        self.started.elapsed()
    }

    fn wall_now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
