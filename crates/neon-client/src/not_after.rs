//! The time after which a request must not be sent, on two clocks.

use jiff::Timestamp;
use tokio::time::Instant;

/// The time after which a request must not be sent. It has passed as soon as either clock has reached
/// it: the monotonic clock stops while a machine is suspended, and the wall clock can be set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAfter {
    monotonic: Instant,
    wall: Timestamp,
}

impl NotAfter {
    /// A deadline on the monotonic and on the wall clock.
    pub fn new(monotonic: impl Into<Instant>, wall: Timestamp) -> Self {
        Self {
            monotonic: monotonic.into(),
            wall,
        }
    }

    /// Whether a request must not be sent any more, according to the clocks of the host.
    pub fn has_passed(&self) -> bool {
        self.has_passed_at(Timestamp::now())
    }

    /// As [`NotAfter::has_passed`], with another wall clock.
    pub fn has_passed_at(&self, wall: Timestamp) -> bool {
        Instant::now() > self.monotonic || wall > self.wall
    }

    pub(crate) fn monotonic(&self) -> Instant {
        self.monotonic
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn the_time_has_passed_once_either_clock_says_so() {
        let (now, wall) = (Instant::now(), Timestamp::now());
        let (soon, past) = (Duration::from_mins(1), Duration::from_millis(1));
        let (hour, second) = (SignedDuration::from_hours(1), SignedDuration::from_secs(1));
        assert!(!NotAfter::new(now + soon, wall + hour).has_passed());
        // A machine that was suspended: only the wall clock has advanced.
        assert!(NotAfter::new(now + soon, wall - second).has_passed());
        // The wall clock was set back.
        let monotonic = now.checked_sub(past).unwrap();
        assert!(NotAfter::new(monotonic, wall + hour).has_passed());
    }
}
