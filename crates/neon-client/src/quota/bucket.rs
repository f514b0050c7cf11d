//! One limit of a rate, counted in time instead of tokens: the generic cell rate algorithm. It needs no refilling and rounds nothing.

use std::time::Duration;

use tokio::time::Instant;

/// A limit of so many requests per time, with a burst.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    /// The time between two requests at the steady rate.
    interval: Duration,
    /// How far the schedule may run ahead of the clock: the burst.
    tolerance: Duration,
    /// When the next request would be due, were requests evenly spaced.
    due: Instant,
}

impl Bucket {
    pub(super) fn new(requests: u32, per: Duration, burst: u32, now: Instant) -> Self {
        let interval = per / requests.max(1);
        Self {
            interval,
            tolerance: interval * burst.saturating_sub(1),
            due: now,
        }
    }

    /// When the next request may be made.
    pub(super) fn ready_at(&self) -> Instant {
        self.due.checked_sub(self.tolerance).unwrap_or(self.due)
    }

    pub(super) fn is_ready(&self, now: Instant) -> bool {
        now + self.tolerance >= self.due
    }

    /// Counts one request, at this fraction of the steady rate.
    pub(super) fn take(&mut self, now: Instant, fraction: f64) {
        self.due = self.due.max(now) + self.interval.div_f64(fraction);
    }

    /// Takes one request back.
    pub(super) fn give_back(&mut self) {
        self.due = self.due.checked_sub(self.interval).unwrap_or(self.due);
    }

    /// Allows nothing until then, and no burst right after.
    pub(super) fn stop_until(&mut self, until: Instant) {
        self.due = self.due.max(until + self.tolerance);
    }
}
