//! The emulator's clock, in the microseconds that the state is stored in. It follows the system
//! clock and can be advanced.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

/// Microseconds since the Unix epoch.
pub(crate) type Micros = i64;

pub(crate) const SECOND: Micros = 1_000_000;
pub(crate) const MILLISECOND: Micros = 1_000;

/// The maximum offset from the system clock. Larger offsets would soon leave the range of
/// [`Timestamp`].
pub(crate) const AHEAD_MAX: Micros = 100 * 365 * 24 * 3_600 * SECOND;

/// The emulator's time source, and the only code that reads the system clock. Clones share the
/// offset.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// The offset from the system clock.
    ahead: watch::Sender<Micros>,
}

impl Clock {
    pub(crate) fn ahead_by(ahead: Micros) -> Self {
        Self {
            ahead: watch::Sender::new(ahead),
        }
    }

    pub(crate) fn now(&self) -> Micros {
        Timestamp::now()
            .as_microsecond()
            .saturating_add(*self.ahead.borrow())
    }

    /// Advances the clock and returns its new offset from the system clock, or `None` if that would
    /// exceed [`MAX_OFFSET`]. Wakes everything in [`Clock::sleep_until`] whose time has come.
    pub(crate) fn turn(&self, by: Micros) -> Option<Micros> {
        let may = |ahead: Micros| ahead.checked_add(by).filter(|ahead| *ahead <= AHEAD_MAX);
        let turned = self.ahead.send_if_modified(|ahead| {
            let then = may(*ahead);
            *ahead = then.unwrap_or(*ahead);
            then.is_some()
        });
        turned.then(|| *self.ahead.borrow())
    }

    pub(crate) async fn sleep_until(&self, at: Micros) {
        let mut ahead = self.ahead.subscribe();
        loop {
            let left = at.saturating_sub(self.now());
            if left <= 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_micros(left.unsigned_abs())) => {}
                // The sender lives as long as this clock.
                _ = ahead.changed() => {}
            }
        }
    }
}

/// Converts to the API's time type. Values out of range become [`Timestamp::MAX`].
pub(crate) fn timestamp(at: Micros) -> Timestamp {
    Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX)
}

/// Converts milliseconds of the configuration to microseconds.
pub(crate) fn from_millis(milliseconds: u64) -> Micros {
    i64::try_from(milliseconds)
        .unwrap_or(i64::MAX / MILLISECOND)
        .saturating_mul(MILLISECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn advancing_the_clock_wakes_sleepers() {
        let clock = Clock::ahead_by(0);
        let year = 365 * 24 * 3_600 * SECOND;
        let at = clock.now() + year;
        let waits = clock.sleep_until(at);
        let turns = async {
            tokio::task::yield_now().await;
            clock.turn(year)
        };
        let ((), ahead) = tokio::join!(waits, turns);
        assert_eq!(ahead, Some(year));
        assert!(clock.now() >= at);
    }

    #[test]
    fn the_clock_cannot_be_advanced_beyond_the_maximum_offset() {
        let clock = Clock::ahead_by(SECOND);
        assert_eq!(clock.turn(AHEAD_MAX), None);
        assert_eq!(clock.turn(Micros::MAX), None);
        assert_eq!(clock.turn(AHEAD_MAX - SECOND), Some(AHEAD_MAX));
    }
}
