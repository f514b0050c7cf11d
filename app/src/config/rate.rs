//! Rates of requests, such as `60/1m`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

/// A number of requests in a period, in a burst or spread over the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: NonZeroU32,
    /// Whole milliseconds, at least one for each request.
    pub period: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a number of requests and a period, such as `60/1m`: at most 1000000 requests, a period from 1s to 24h, and at most one request per millisecond"
)]
pub struct InvalidRate;

const MAX_COUNT: u32 = 1_000_000;
const PERIOD: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24);

impl Rate {
    const fn per_minute(count: NonZeroU32) -> Self {
        Self {
            count,
            period: Duration::from_mins(1),
        }
    }

    pub fn new(count: u32, period: Duration) -> Result<Self, InvalidRate> {
        let count = NonZeroU32::new(count)
            .filter(|count| count.get() <= MAX_COUNT)
            .ok_or(InvalidRate)?;
        let whole = period.subsec_nanos().is_multiple_of(1_000_000);
        let fine = period.as_millis() >= u128::from(count.get());
        if PERIOD.contains(&period) && whole && fine {
            Ok(Self { count, period })
        } else {
            Err(InvalidRate)
        }
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let (count, period) = text.trim().split_once('/').ok_or(InvalidRate)?;
        let count = count.parse().map_err(|_| InvalidRate)?;
        let period: SignedDuration = period.parse().map_err(|_| InvalidRate)?;
        Self::new(count, period.try_into().map_err(|_| InvalidRate)?)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.period.as_secs_f64();
        write!(formatter, "{}/{seconds}s", self.count)
    }
}

/// The rates for one signed-in user, and for the requests without a session from one client address,
/// which many people can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub user: Rate,
    pub address: Rate,
}

impl Allowance {
    /// Requests for scripts, styles and fonts, which browsers cache. A constant, not a setting.
    pub const ASSETS: Self = Self {
        user: Rate::per_minute(NonZeroU32::new(600).unwrap()),
        address: Rate::per_minute(NonZeroU32::new(3000).unwrap()),
    };
}

impl FromStr for Allowance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rates: Result<Vec<Rate>, _> = text.split(',').map(str::parse).collect();
        match rates.as_deref() {
            Ok(&[user, address]) => Ok(Self { user, address }),
            _ => Err(format!(
                "{InvalidRate}; two rates, the first per user and the second per client address, such as `60/1m,300/1m`"
            )),
        }
    }
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
    fn rates_that_cannot_be_enforced_are_rejected() {
        for text in [
            "", "60", "0/1m", "60/0s", "60/1", "-1/1m", "2000/1s", "60/25h", "1/1m/1m",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(InvalidRate), "{text}");
        }
    }
}
