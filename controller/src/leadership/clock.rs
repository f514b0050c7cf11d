//! A monotonic clock as a trait, so that tests can simulate clocks that are wrong.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// Time since an arbitrary moment in this process. Instants of two processes cannot be compared.
pub(super) type MonotonicInstant = Duration;

pub(super) trait Clock: Clone + Send + Sync + 'static {
    fn now(&self) -> MonotonicInstant;
    /// Waits until this clock has advanced by `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
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

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
