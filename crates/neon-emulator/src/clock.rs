//! The emulator's clock, in the microseconds that the state is stored in. It follows the system
//! clock and can be advanced.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use tokio::sync::watch;

/// Microseconds since the Unix epoch.
pub(crate) type Micros = i64;

pub(crate) const SECOND: Micros = 1_000_000;
pub(crate) const MILLISECOND: Micros = 1_000;

/// The maximum offset from the system clock. Larger offsets would soon leave the range of
/// [`Timestamp`].
pub(crate) const MAX_OFFSET: Micros = 100 * 365 * 24 * 3_600 * SECOND;

/// The emulator's time source, and the only code that reads the system clock. Clones share the
/// offset.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// The offset from the system clock.
    offset: watch::Sender<Micros>,
}

impl Clock {
    pub(crate) fn with_offset(offset: Micros) -> Self {
        Self {
            offset: watch::Sender::new(offset),
        }
    }

    pub(crate) fn now(&self) -> Micros {
        Timestamp::now()
            .as_microsecond()
            .saturating_add(*self.offset.borrow())
    }

    /// Advances the clock and returns its new offset from the system clock, or `None` if that would
    /// exceed [`MAX_OFFSET`]. Wakes everything in [`Clock::sleep_until`] whose time has come.
    pub(crate) fn advance(&self, by: Micros) -> Option<Micros> {
        let allowed = |offset: Micros| {
            offset
                .checked_add(by)
                .filter(|offset| *offset <= MAX_OFFSET)
        };
        let advanced = self.offset.send_if_modified(|offset| {
            let new_offset = allowed(*offset);
            *offset = new_offset.unwrap_or(*offset);
            new_offset.is_some()
        });
        advanced.then(|| *self.offset.borrow())
    }

    pub(crate) async fn sleep_until(&self, at: Micros) {
        let mut offset = self.offset.subscribe();
        loop {
            let remaining = at.saturating_sub(self.now());
            if remaining <= 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_micros(remaining.unsigned_abs())) => {}
                // The sender lives as long as this clock.
                _ = offset.changed() => {}
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

/// The start of the billing period that contains a moment.
pub(crate) fn period_start(now: Micros) -> Micros {
    billing_period(timestamp(now)).0.as_microsecond()
}

/// The calendar month (UTC) that contains a moment.
pub(crate) fn billing_period(now: Timestamp) -> (Timestamp, Timestamp) {
    let today = now.to_zoned(TimeZone::UTC).date();
    let at = |date: jiff::civil::Date| {
        date.to_zoned(TimeZone::UTC)
            .map_or(now, |zoned| zoned.timestamp())
    };
    let next = today
        .first_of_month()
        .checked_add(1.month())
        .unwrap_or(today);
    (at(today.first_of_month()), at(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn advancing_the_clock_wakes_sleepers() {
        let clock = Clock::with_offset(0);
        let year = 365 * 24 * 3_600 * SECOND;
        let at = clock.now() + year;
        let waits = clock.sleep_until(at);
        let advances = async {
            tokio::task::yield_now().await;
            clock.advance(year)
        };
        let ((), offset) = tokio::join!(waits, advances);
        assert_eq!(offset, Some(year));
        assert!(clock.now() >= at);
    }

    #[test]
    fn the_clock_cannot_be_advanced_beyond_the_maximum_offset() {
        let clock = Clock::with_offset(SECOND);
        assert_eq!(clock.advance(MAX_OFFSET), None);
        assert_eq!(clock.advance(Micros::MAX), None);
        assert_eq!(clock.advance(MAX_OFFSET - SECOND), Some(MAX_OFFSET));
    }

    #[test]
    fn a_billing_period_is_the_calendar_month() {
        let (start, end) = billing_period("2026-12-31T23:59:59Z".parse().unwrap());
        assert_eq!(
            (start.to_string().as_str(), end.to_string().as_str()),
            ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")
        );
    }
}
