//! Time as one process sees it. Nobody compares clocks of two machines.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::store::StoreError;

/// A reading of a monotonic clock: the time since some moment of this process's own. Readings of two processes mean nothing to
/// each other.
pub(super) type Reading = Duration;

/// A monotonic clock.
pub(super) trait Clock: Clone + Send + Sync + 'static {
    /// What it shows.
    fn now(&self) -> Reading;
    /// Waits until it shows that much more.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// The machine's.
#[derive(Clone, Copy, Debug)]
pub(super) struct MachineClock {
    started: Instant,
}

impl MachineClock {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Reading {
        self.started.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// Ends `call` when the clock has gone on by `within`.
pub(super) async fn limited<T>(
    clock: &impl Clock,
    within: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::select! {
        biased;
        result = call => result,
        () = clock.sleep(within) => Err(StoreError::TimedOut),
    }
}
