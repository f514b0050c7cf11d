//! Counters in the memory of this process, bounded in number.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::{CounterKey, Decision, gcra};
use crate::config::Rate;

/// Upper bound of stored keys, about 10 MiB.
const MAX_KEYS: usize = 100_000;
/// A sweep frees at least `MAX_KEYS / FREED_DIVISOR` keys, so that sweeps stay rare.
const FREED_DIVISOR: usize = 8;

/// Maps each key to the time at which its full limit is available. Missing keys have their full
/// limit.
#[derive(Debug, Default)]
pub(super) struct InMemoryLimiter {
    full_at: Mutex<HashMap<CounterKey, Duration>>,
}

impl InMemoryLimiter {
    /// `now` is the time since the limiter was created.
    pub(super) fn check(&self, key: CounterKey, rate: Rate, now: Duration) -> Decision {
        let mut full_at = self.full_at.lock();
        if full_at.len() >= MAX_KEYS && !full_at.contains_key(&key) {
            sweep(&mut full_at, now);
        }
        let before = full_at.get(&key).copied().unwrap_or_default();
        let (decision, after) = gcra::check(rate, before, now);
        full_at.insert(key, after);
        decision
    }
}

/// Drops the keys whose full limit is available, then, if needed, the keys closest to it. A flood
/// of new keys can therefore only evict keys that have almost no usage.
fn sweep(full_at: &mut HashMap<CounterKey, Duration>, now: Duration) {
    full_at.retain(|_, at| *at > now);
    let max_kept = MAX_KEYS - MAX_KEYS / FREED_DIVISOR;
    if full_at.len() > max_kept {
        let surplus = full_at.len() - max_kept;
        let mut times: Vec<Duration> = full_at.values().copied().collect();
        let (_, nth, _) = times.select_nth_unstable(surplus);
        let bound = *nth;
        full_at.retain(|_, at| *at > bound);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::domain::RateLimitClass;
    use crate::web::shared::rate_limit::RateLimitKey;

    fn key(number: u32) -> CounterKey {
        let address = IpAddr::from(number.to_be_bytes());
        CounterKey::new(RateLimitClass::Reads, RateLimitKey::Address(address))
    }

    #[test]
    fn each_key_has_its_own_counter() {
        let (limiter, rate) = (InMemoryLimiter::default(), "1/1m".parse().expect("a rate"));
        assert!(limiter.check(key(1), rate, Duration::ZERO).allowed);
        assert!(!limiter.check(key(1), rate, Duration::ZERO).allowed);
        assert!(limiter.check(key(2), rate, Duration::ZERO).allowed);
    }

    #[test]
    fn a_flood_of_addresses_stays_within_the_bound_and_does_not_reset_a_rejected_key() {
        let (limiter, rate) = (InMemoryLimiter::default(), "10/1m".parse().expect("a rate"));
        let rejected = key(u32::MAX);
        while limiter.check(rejected, rate, Duration::ZERO).allowed {}
        for number in 0..u32::try_from(MAX_KEYS).expect("fits") * 2 {
            limiter.check(key(number), rate, Duration::from_millis(1));
        }
        assert!(limiter.full_at.lock().len() <= MAX_KEYS);
        assert!(
            !limiter
                .check(rejected, rate, Duration::from_millis(2))
                .allowed
        );
    }
}
