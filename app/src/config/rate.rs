//! How often something may be asked for, as people write it: `60/1m`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

/// So many in so much time, all at once or spread over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In how long; whole milliseconds, at least one for each.
    pub period: Duration,
}

/// A text is no rate. `Display` says what to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write how many in how long, such as `60/1m`: at most 1000000, in 1s to 24h, and not more than one a millisecond"
)]
pub struct NotARate;

/// Most that can be written.
const COUNT_MAX: u32 = 1_000_000;
/// Bounds of the period.
const PERIOD: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24);

impl Rate {
    /// How many in how long.
    pub fn new(count: u32, period: Duration) -> Result<Self, NotARate> {
        let count = NonZeroU32::new(count)
            .filter(|count| count.get() <= COUNT_MAX)
            .ok_or(NotARate)?;
        let whole = period.subsec_nanos().is_multiple_of(1_000_000);
        let fine = period.as_millis() >= u128::from(count.get());
        if PERIOD.contains(&period) && whole && fine {
            Ok(Self { count, period })
        } else {
            Err(NotARate)
        }
    }
}

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let (count, period) = text.trim().split_once('/').ok_or(NotARate)?;
        let count = count.parse().map_err(|_| NotARate)?;
        let period: SignedDuration = period.parse().map_err(|_| NotARate)?;
        Self::new(count, period.try_into().map_err(|_| NotARate)?)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.period.as_secs_f64();
        write!(formatter, "{}/{seconds}s", self.count)
    }
}

/// What one user and what one client address may take of something. Many users may share an address, so it may take more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Of one user.
    pub user: Rate,
    /// Of one client address.
    pub address: Rate,
}

/// What each kind of request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Pages and fragments of them.
    pub pages: Allowance,
    /// Forms that change something.
    pub changes: Allowance,
    /// Searches, which scan a tenant's database.
    pub searches: Allowance,
    /// Uploads, which reserve room and sign a URL.
    pub uploads: Allowance,
    /// Questions, which cost money.
    pub questions: Allowance,
    /// Signing in.
    pub sign_ins: Allowance,
    /// New workspaces, removals, exports: what makes much work.
    pub heavy: Allowance,
    /// Scripts, styles, fonts.
    pub assets: Allowance,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_period() {
        assert_eq!("60/1m".parse(), Rate::new(60, Duration::from_mins(1)));
        assert_eq!(" 5/1s ".parse(), Rate::new(5, Duration::from_secs(1)));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for text in [
            "", "60", "0/1m", "60/0s", "60/1", "-1/1m", "2000/1s", "60/25h", "1/1m/1m",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(NotARate), "{text}");
        }
    }
}
