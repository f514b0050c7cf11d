//! How long a Tenant waits after failures in a row: exponentially longer, and at random within that, so that Tenants that failed
//! together do not come back together.
//!
//! [`delay`] is the rule, pure. [`Backoffs`] counts the failures per Tenant; it forgets on success and on deletion, and cannot grow
//! without bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::{Rng, RngExt as _};

use crate::identity::TenantUid;

/// Tenants whose failures are counted at most. Beyond, the one with the fewest is forgotten: it loses least.
pub const TRACKED_MAX: usize = 100_000;

/// Wait after the failure number `attempt` (the first is 0): evenly at random between `min` and a ceiling that is twice `min` at
/// first, doubles with each further failure, and ends at `max`.
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

/// Failures in a row, per key (the Tenant's uid).
#[derive(Debug)]
pub struct Backoffs<K = TenantUid> {
    min: Duration,
    max: Duration,
    tracked_max: usize,
    failures: Mutex<HashMap<K, u32>>,
}

impl<K: Eq + Hash + Clone> Backoffs<K> {
    /// Waits between `min` and `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self::with_capacity(min, max, TRACKED_MAX)
    }

    /// As [`Self::new`], with another bound on the number of keys; at least one is kept.
    pub fn with_capacity(min: Duration, max: Duration, tracked_max: usize) -> Self {
        Self {
            min,
            max,
            tracked_max: tracked_max.max(1),
            failures: Mutex::default(),
        }
    }

    /// Counts a failure and answers how long to wait.
    pub fn failed(&self, key: &K) -> Duration {
        let attempt = {
            let mut failures = self.lock();
            if !failures.contains_key(key) && failures.len() >= self.tracked_max {
                forget_one(&mut failures);
            }
            let count = failures.entry(key.clone()).or_insert(0);
            let attempt = *count;
            *count = count.saturating_add(1);
            attempt
        };
        delay(attempt, &mut rand::rng(), self.min, self.max)
    }

    /// Forgets the key: it succeeded, or is gone.
    pub fn forget(&self, key: &K) {
        let mut failures = self.lock();
        failures.remove(key);
        // After an outage the map has room for every Tenant; that memory is given back once few are left.
        if failures.len() < failures.capacity() / 4 {
            failures.shrink_to_fit();
        }
    }

    /// Number of keys that failed and have not succeeded since.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing is failing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        // A panic elsewhere cannot leave a count half written.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for one more.
fn forget_one<K: Eq + Hash + Clone>(failures: &mut HashMap<K, u32>) {
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
        fn a_wait_is_never_under_the_least_nor_over_its_ceiling(
            seed: u64, attempt in 0u32..200, min_ms in 1u64..10_000, max_ms in 1u64..1_000_000,
        ) {
            let (min, max) = (Duration::from_millis(min_ms), Duration::from_millis(min_ms.max(max_ms)));
            let wait = delay(attempt, &mut SmallRng::seed_from_u64(seed), min, max);
            prop_assert!(wait >= min && wait <= max);
            prop_assert!(attempt > 30 || wait <= min * (1 << (attempt + 1)));
        }

        #[test]
        fn no_more_keys_are_tracked_than_the_bound(keys in prop::collection::vec(0u8..50, 0..200)) {
            let backoffs = Backoffs::with_capacity(SECOND, MAX, 10);
            for key in keys {
                backoffs.failed(&key);
                prop_assert!(backoffs.len() <= 10);
            }
        }
    }

    #[test]
    fn waits_grow_with_failures_and_spread() {
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
        assert_eq!(waits.len(), 100, "no two Tenants come back together");
    }

    #[test]
    fn success_starts_over() {
        let backoffs = Backoffs::new(SECOND, MAX);
        for _ in 0..20 {
            backoffs.failed(&"a");
        }
        backoffs.forget(&"a");
        assert!(backoffs.is_empty());
        assert!(backoffs.failed(&"a") <= 2 * SECOND, "the first wait again");
    }

    #[test]
    fn when_the_map_is_full_whoever_failed_least_is_forgotten() {
        let backoffs = Backoffs::with_capacity(SECOND, MAX, 2);
        for key in ["often", "often", "once", "new"] {
            backoffs.failed(&key);
        }
        let failures = backoffs.lock();
        assert!(failures.contains_key("often") && failures.contains_key("new"));
        assert!(!failures.contains_key("once"));
    }
}
