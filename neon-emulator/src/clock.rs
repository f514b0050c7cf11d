//! The emulator's time, in the microseconds that its state is written in.

use jiff::Timestamp;

/// A moment, in microseconds since 1970 (UTC).
pub(crate) type Micros = i64;

/// Microseconds of a second.
pub(crate) const SECOND: Micros = 1_000_000;
/// Microseconds of a millisecond.
pub(crate) const MILLISECOND: Micros = 1_000;

/// Where the emulator's time comes from: the only place that asks the system.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock;

impl Clock {
    #[expect(
        clippy::unused_self,
        reason = "time is asked of a value, so that another clock can stand in its place"
    )]
    pub(crate) fn now(self) -> Micros {
        Timestamp::now().as_microsecond()
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
