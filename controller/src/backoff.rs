//! Exponential backoff with jitter after consecutive failures, so that Tenants that failed together
//! are not retried together.
//!
//! [`delay`] computes the delay and is pure. [`Backoffs`] counts the failures of each Tenant. It
//! forgets them on success and on deletion, and its size is bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use rand::{Rng, RngExt as _};

use crate::identity::TenantUid;

/// Beyond this number of failing Tenants, the one with the fewest failures is evicted, because it
/// loses the least.
pub const MAX_TRACKED: usize = 100_000;

/// The delay after failure number `attempt` (starting at 0): uniformly random between `min` and a
/// ceiling, which is `2 * min` for the first failure and doubles with each further one, up to
/// `max`.
pub fn delay(attempt: u32, rng: &mut impl Rng, min: Duration, max: Duration) -> Duration {
    let ceiling = 2u32
        .checked_pow(attempt.saturating_add(1))
        .and_then(|factor| min.checked_mul(factor))
        .map_or(max, |ceiling| ceiling.min(max));
    if ceiling <= min {
        ceiling
    } else {
        rng.random_range(min..=ceiling)
    }
}

/// The number of consecutive failures per key.
#[derive(Debug)]
pub struct Backoffs<K = TenantUid> {
    min: Duration,
    max: Duration,
    max_tracked: usize,
    failures: Mutex<HashMap<K, u32>>,
}

impl<K: Eq + Hash + Clone> Backoffs<K> {
    /// `min` and `max` bound the delay, as in [`delay`].
    pub fn new(min: Duration, max: Duration) -> Self {
        Self::with_capacity(min, max, MAX_TRACKED)
    }

    /// As [`Self::new`], with another maximum number of keys, which is at least one.
    pub fn with_capacity(min: Duration, max: Duration, max_tracked: usize) -> Self {
        Self {
            min,
            max,
            max_tracked: max_tracked.max(1),
            failures: Mutex::default(),
        }
    }

    /// Counts a failure and returns the delay before the next attempt.
    pub fn record_failure(&self, key: &K) -> Duration {
        let attempt = {
            let mut failures = self.failures.lock();
            if !failures.contains_key(key) && failures.len() >= self.max_tracked {
                evict_one(&mut failures);
            }
            let count = failures.entry(key.clone()).or_insert(0);
            let attempt = *count;
            *count = count.saturating_add(1);
            attempt
        };
        delay(attempt, &mut rand::rng(), self.min, self.max)
    }

    /// Number of consecutive failures of a key.
    pub fn failures(&self, key: &K) -> u32 {
        self.failures.lock().get(key).copied().unwrap_or_default()
    }

    /// Resets the count of a key that succeeded or was deleted.
    pub fn reset(&self, key: &K) {
        let mut failures = self.failures.lock();
        failures.remove(key);
        // During an outage the map may have grown to all Tenants; this frees that memory
        // afterwards.
        if failures.len() < failures.capacity() / 4 {
            failures.shrink_to_fit();
        }
    }

    /// Number of keys that failed and have not succeeded since.
    pub fn len(&self) -> usize {
        self.failures.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Removes the key with the fewest failures.
fn evict_one<K: Eq + Hash + Clone>(failures: &mut HashMap<K, u32>) {
    let fewest = failures
        .iter()
        .min_by_key(|(_, count)| **count)
        .map(|(key, _)| key.clone());
    if let Some(key) = fewest {
        failures.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    const SECOND: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_mins(5);

    proptest! {
        #[test]
        fn a_delay_is_between_the_minimum_and_its_ceiling(
            seed: u64, attempt in 0u32..200, min_ms in 1u64..10_000, max_ms in 1u64..1_000_000,
        ) {
            let (min, max) = (Duration::from_millis(min_ms), Duration::from_millis(min_ms.max(max_ms)));
            let wait = delay(attempt, &mut SmallRng::seed_from_u64(seed), min, max);
            prop_assert!(wait >= min && wait <= max);
            prop_assert!(attempt > 30 || wait <= min * (1 << (attempt + 1)));
        }

        #[test]
        fn at_most_the_maximum_number_of_keys_is_tracked(keys in prop::collection::vec(0u8..50, 0..200)) {
            let backoffs = Backoffs::with_capacity(SECOND, MAX, 10);
            for key in keys {
                backoffs.record_failure(&key);
                prop_assert!(backoffs.len() <= 10);
            }
        }
    }

    #[test]
    fn delays_grow_with_failures_and_are_spread() {
        let mean = |attempt| -> Duration {
            let mut rng = SmallRng::seed_from_u64(7);
            (0..200)
                .map(|_| delay(attempt, &mut rng, SECOND, MAX))
                .sum::<Duration>()
                / 200
        };
        let means: Vec<_> = (0..9).map(mean).collect();
        assert!(means.is_sorted(), "{means:?}");
        assert!(
            means[0] < 2 * SECOND && means[8] > Duration::from_mins(2),
            "{means:?}"
        );
        let mut rng = SmallRng::seed_from_u64(7);
        let waits: std::collections::BTreeSet<_> =
            (0..100).map(|_| delay(3, &mut rng, SECOND, MAX)).collect();
        assert_eq!(waits.len(), 100, "no two delays are equal");
    }

    #[test]
    fn a_success_resets_the_delay() {
        let backoffs = Backoffs::new(SECOND, MAX);
        for _ in 0..20 {
            backoffs.record_failure(&"a");
        }
        backoffs.reset(&"a");
        assert!(backoffs.is_empty());
        assert!(
            backoffs.record_failure(&"a") <= 2 * SECOND,
            "the first delay again"
        );
    }

    #[test]
    fn when_the_map_is_full_the_key_with_the_fewest_failures_is_evicted() {
        let backoffs = Backoffs::with_capacity(SECOND, MAX, 2);
        for key in ["often", "often", "once", "new"] {
            backoffs.record_failure(&key);
        }
        let failures = backoffs.failures.lock();
        assert!(failures.contains_key("often") && failures.contains_key("new"));
        assert!(!failures.contains_key("once"));
    }
}
