//! Counters in this process, bounded in number.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::gcra;
use super::{CounterKey, Decision};
use crate::config::Rate;

/// Keys that are kept at most: some 10 MiB.
const KEYS_MAX: usize = 100_000;
/// Share of the keys that must be free after a sweep, as a divisor: sweeps stay rare.
const FREED_DIVISOR: usize = 8;

/// When which class is whole again; what is not there is whole.
#[derive(Debug, Default)]
pub(super) struct InMemoryLimiter {
    whole_at: Mutex<HashMap<CounterKey, Duration>>,
}

impl InMemoryLimiter {
    /// Takes one at `now`, the time started_at these counters began.
    pub(super) fn check(&self, key: CounterKey, rate: Rate, now: Duration) -> Decision {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        if whole_at.len() >= KEYS_MAX && !whole_at.contains_key(&key) {
            sweep(&mut whole_at, now);
        }
        let before = whole_at.get(&key).copied().unwrap_or_default();
        let (decision, after) = gcra::take(rate, before, now);
        whole_at.insert(key, after);
        decision
    }
}

/// Forgets budgets that are whole; if that is not enough, those that soonest will be. Whoever floods with new keys only makes
/// budgets be forgotten that were nearly whole.
fn sweep(whole_at: &mut HashMap<CounterKey, Duration>, now: Duration) {
    whole_at.retain(|_, at| *at > now);
    let kept_max = KEYS_MAX - KEYS_MAX / FREED_DIVISOR;
    if whole_at.len() > kept_max {
        let surplus = whole_at.len() - kept_max;
        let mut moments: Vec<Duration> = whole_at.values().copied().collect();
        let (_, soonest, _) = moments.select_nth_unstable(surplus);
        let bound = *soonest;
        whole_at.retain(|_, at| *at > bound);
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
    fn keys_are_counted_each_for_itself() {
        let (memory, rate) = (InMemoryLimiter::default(), "1/1m".parse().expect("a rate"));
        assert!(memory.check(key(1), rate, Duration::ZERO).allowed);
        assert!(!memory.check(key(1), rate, Duration::ZERO).allowed);
        assert!(memory.check(key(2), rate, Duration::ZERO).allowed);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_room_and_frees_nobody_who_was_refused() {
        let (memory, rate) = (InMemoryLimiter::default(), "10/1m".parse().expect("a rate"));
        let guilty = key(u32::MAX);
        while memory.check(guilty, rate, Duration::ZERO).allowed {}
        for number in 0..u32::try_from(KEYS_MAX).expect("fits") * 2 {
            memory.check(key(number), rate, Duration::from_millis(1));
        }
        assert!(memory.whole_at.lock().expect("lock").len() <= KEYS_MAX);
        assert!(!memory.check(guilty, rate, Duration::from_millis(2)).allowed);
    }
}
