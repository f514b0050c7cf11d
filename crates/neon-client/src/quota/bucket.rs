//! A rate limit, implemented as the generic cell rate algorithm (GCRA). It counts time instead of
//! tokens, so it needs no refill and has no rounding error.

use std::time::Duration;

use tokio::time::Instant;

/// Rate limit with a burst.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    /// Time between two requests at the steady rate.
    interval: Duration,
    /// How far the schedule may be ahead of the clock. This is the burst.
    tolerance: Duration,
    /// Time at which the next request is due if requests are evenly spaced.
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

    /// Earliest time of the next request.
    pub(super) fn ready_at(&self) -> Instant {
        self.due.checked_sub(self.tolerance).unwrap_or(self.due)
    }

    pub(super) fn is_ready(&self, now: Instant) -> bool {
        now + self.tolerance >= self.due
    }

    /// Counts one request at the given fraction of the steady rate.
    pub(super) fn take(&mut self, now: Instant, fraction: f64) {
        self.due = self.due.max(now) + self.interval.div_f64(fraction);
    }

    /// Undoes the count of one request.
    pub(super) fn release(&mut self) {
        self.due = self.due.checked_sub(self.interval).unwrap_or(self.due);
    }

    /// Blocks requests until the given time and disables the burst directly after it.
    pub(super) fn block_until(&mut self, until: Instant) {
        self.due = self.due.max(until + self.tolerance);
    }
}
