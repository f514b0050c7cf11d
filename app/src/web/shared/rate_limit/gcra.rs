//! The generic cell rate algorithm: all that is kept of a key is the moment at which its class is whole again.

use std::time::Duration;

use super::Decision;
use crate::config::Rate;

/// The time that one request takes of a class.
pub(super) fn interval(rate: Rate) -> Duration {
    rate.period / rate.count.get()
}

/// What a request at `now` is told by a class that is whole at `whole_at`, and when it is whole after that. Both are times started_at
/// the same moment; `whole_at` may lie in the past.
pub(super) fn check(rate: Rate, whole_at: Duration, now: Duration) -> (Decision, Duration) {
    let interval = interval(rate);
    let capacity = interval * rate.count.get();
    let base = whole_at.max(now);
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
        return (decision, whole_at);
    }
    (allowed(rate, after.saturating_sub(now)), after)
}

/// What a request is told that was let through and left the class whole after `reset`.
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
    fn a_whole_budget_can_be_spent_at_once_and_comes_back_bit_by_bit() {
        let rate = rate(3, 3 * SECOND);
        let (mut whole_at, now) = (Duration::ZERO, 10 * SECOND);
        for remaining in [2, 1, 0] {
            let (decision, next) = take(rate, whole_at, now);
            assert!(decision.allowed);
            assert_eq!(decision.remaining, remaining);
            whole_at = next;
        }
        let (decision, unchanged) = take(rate, whole_at, now);
        assert!(!decision.allowed);
        assert_eq!((decision.retry_after, decision.reset), (SECOND, 3 * SECOND));
        assert_eq!(unchanged, whole_at, "who is refused pays nothing");
        assert!(take(rate, whole_at, now + SECOND).0.allowed);
    }

    proptest! {
        #[test]
        fn never_more_than_twice_the_count_in_a_period_and_never_less_than_the_count(
            count in 1_u32..50,
            period_ms in 1_000_u64..100_000,
            gaps_ms in proptest::collection::vec(0_u64..3_000, 1..200),
        ) {
            let rate = rate(count, Duration::from_millis(period_ms));
            let (mut whole_at, mut now) = (Duration::ZERO, Duration::from_hours(1));
            let mut taken = Vec::new();
            for gap in gaps_ms {
                now += Duration::from_millis(gap);
                let (decision, next) = take(rate, whole_at, now);
                whole_at = next;
                if decision.allowed {
                    taken.push(now);
                } else {
                    // Waiting as told is enough.
                    prop_assert!(take(rate, whole_at, now + decision.retry_after).0.allowed);
                    prop_assert!(decision.retry_after > Duration::ZERO);
                }
            }
            for (index, start) in taken.iter().enumerate() {
                let within = taken[index..].iter().filter(|at| **at < *start + rate.period).count();
                prop_assert!(within <= 2 * count as usize, "{within} of {count}");
            }
        }
    }
}
