//! The emulator's time, in the microseconds that its state is written in. It runs with the system's, and can be turned ahead.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

/// A moment, in microseconds since 1970 (UTC).
pub(crate) type Micros = i64;

/// Microseconds of a second.
pub(crate) const SECOND: Micros = 1_000_000;
/// Microseconds of a millisecond.
pub(crate) const MILLISECOND: Micros = 1_000;

/// How far it can be ahead: beyond, moments would soon be in no calendar.
pub(crate) const AHEAD_MAX: Micros = 100 * 365 * 24 * 3_600 * SECOND;

/// Where the emulator's time comes from: the only place that asks the system. Clones are one clock.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// How far it is ahead of the system's time.
    ahead: watch::Sender<Micros>,
}

impl Clock {
    /// A clock that is so far ahead of the system's time.
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

    /// Turns it ahead, and returns how far it is ahead of the system's time now; nothing if that would be more than [`AHEAD_MAX`]. What
    /// waits for a moment that has come goes on.
    pub(crate) fn turn(&self, by: Micros) -> Option<Micros> {
        let may = |ahead: Micros| ahead.checked_add(by).filter(|ahead| *ahead <= AHEAD_MAX);
        let turned = self.ahead.send_if_modified(|ahead| {
            let then = may(*ahead);
            *ahead = then.unwrap_or(*ahead);
            then.is_some()
        });
        turned.then(|| *self.ahead.borrow())
    }

    /// Waits until a moment has come.
    pub(crate) async fn sleep_until(&self, at: Micros) {
        let mut ahead = self.ahead.subscribe();
        loop {
            let left = at.saturating_sub(self.now());
            if left <= 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_micros(left.unsigned_abs())) => {}
                // The sender lives as long as this clock does.
                _ = ahead.changed() => {}
            }
        }
    }
}

/// A moment as the API writes it. A moment that no calendar knows becomes the last that it does.
pub(crate) fn timestamp(at: Micros) -> Timestamp {
    Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX)
}

/// A span of milliseconds from the configuration, in microseconds.
pub(crate) fn from_millis(milliseconds: u64) -> Micros {
    i64::try_from(milliseconds)
        .unwrap_or(i64::MAX / MILLISECOND)
        .saturating_mul(MILLISECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_moment_goes_on_when_the_clock_is_turned_to_it() {
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
    fn a_clock_is_not_turned_out_of_the_calendar() {
        let clock = Clock::ahead_by(SECOND);
        assert_eq!(clock.turn(AHEAD_MAX), None);
        assert_eq!(clock.turn(Micros::MAX), None);
        assert_eq!(clock.turn(AHEAD_MAX - SECOND), Some(AHEAD_MAX));
    }
}
