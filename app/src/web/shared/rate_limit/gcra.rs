//! The generic cell rate algorithm. The only state of a key is the time at which its full limit is
//! available again.

use std::time::Duration;

use super::Decision;
use crate::config::Rate;

/// The time that one request adds to the state: the period divided by the number of requests.
pub(super) fn interval(rate: Rate) -> Duration {
    rate.period / rate.count.get()
}

/// Decides on a request at `now`, and returns the new state. `now` and `full_at` are measured from
/// the same instant; `full_at` may be earlier than `now`.
pub(super) fn check(rate: Rate, full_at: Duration, now: Duration) -> (Decision, Duration) {
    let interval = interval(rate);
    let capacity = interval * rate.count.get();
    let base = full_at.max(now);
    let after = base + interval;
    let latest = now + capacity;
    if after > latest {
        let decision = Decision {
            allowed: false,
            limit: rate.count.get(),
            remaining: 0,
            reset: base.saturating_sub(now),
            retry_after: after.saturating_sub(latest),
        };
        return (decision, full_at);
    }
    (allowed(rate, after.saturating_sub(now)), after)
}

/// The decision for an allowed request, after which the full limit is available in `reset`.
pub(super) fn allowed(rate: Rate, reset: Duration) -> Decision {
    let interval = interval(rate);
    let capacity = interval * rate.count.get();
    let left = capacity.saturating_sub(reset).as_nanos() / interval.as_nanos().max(1);
    Decision {
        allowed: true,
        limit: rate.count.get(),
        remaining: u32::try_from(left).unwrap_or(u32::MAX),
        reset,
        retry_after: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(count: u32, period: Duration) -> Rate {
        Rate::new(count, period).expect("a rate")
    }

    #[test]
    fn the_full_limit_can_be_used_in_a_burst_and_refills_gradually() {
        let rate = rate(3, 3 * SECOND);
        let (mut full_at, now) = (Duration::ZERO, 10 * SECOND);
        for remaining in [2, 1, 0] {
            let (decision, next) = check(rate, full_at, now);
            assert!(decision.allowed);
            assert_eq!(decision.remaining, remaining);
            full_at = next;
        }
        let (decision, unchanged) = check(rate, full_at, now);
        assert!(!decision.allowed);
        assert_eq!((decision.retry_after, decision.reset), (SECOND, 3 * SECOND));
        assert_eq!(unchanged, full_at, "a rejected request does not count");
        assert!(check(rate, full_at, now + SECOND).0.allowed);
    }

    proptest! {
        #[test]
        fn a_period_never_allows_more_than_twice_the_count(
            count in 1_u32..50,
            period_ms in 1_000_u64..100_000,
            gaps_ms in proptest::collection::vec(0_u64..3_000, 1..200),
        ) {
            let rate = rate(count, Duration::from_millis(period_ms));
            let (mut full_at, mut now) = (Duration::ZERO, Duration::from_hours(1));
            let mut allowed_at = Vec::new();
            for gap in gaps_ms {
                now += Duration::from_millis(gap);
                let (decision, next) = check(rate, full_at, now);
                full_at = next;
                if decision.allowed {
                    allowed_at.push(now);
                } else {
                    // A client that waits for `retry_after` is allowed.
                    prop_assert!(check(rate, full_at, now + decision.retry_after).0.allowed);
                    prop_assert!(decision.retry_after > Duration::ZERO);
                }
            }
            for (index, start) in allowed_at.iter().enumerate() {
                let within = allowed_at[index..].iter().filter(|at| **at < *start + rate.period).count();
                prop_assert!(within <= 2 * count as usize, "{within} of {count}");
            }
        }
    }
}
