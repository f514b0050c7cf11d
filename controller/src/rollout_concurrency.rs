//! How many Tenants a rollout migrates at the same time: `maxConcurrent`, or fewer while databases are
//! slow or Neon limits the account's calls.
//!
//! A slow database halves the limit, at most once per [`REDUCTION_INTERVAL`], because migrations that
//! started before the reduction are still finishing. After as many consecutive fast migrations as the
//! limit, the limit increases by 1, up to `maxConcurrent` (additive increase, multiplicative decrease, as
//! in TCP). After a 429 response, the limit also shrinks in proportion to the rate of the account's calls.
//!
//! All of this is in memory only, and a restart begins with `maxConcurrent`: it decides how fast a
//! rollout continues, and never which Tenant is migrated.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

/// A connection that took longer was slow. A cold start takes a few seconds at most.
const SLOW_CONNECTION: Duration = Duration::from_secs(10);
/// From one reduction to the next.
const REDUCTION_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// How fast a database was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    Fast,
    /// The connection took long, or the migration ran into a time limit.
    Slow,
}

impl Speed {
    /// The speed of a database that was migrated or ran into a time limit.
    pub fn of(connecting: Duration, time_limit: bool) -> Self {
        if time_limit || connecting > SLOW_CONNECTION {
            Self::Slow
        } else {
            Self::Fast
        }
    }
}

/// What a rollout says about the Tenants in progress.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Name of the SchemaRollout.
    pub rollout: &'a str,
    pub max_concurrent: usize,
    pub in_progress: usize,
}

/// The reduced limits of rollouts, at most one for each class.
#[derive(Debug, Default)]
pub struct RolloutConcurrency(Mutex<HashMap<String, Reduction>>);

#[derive(Debug)]
struct Reduction {
    rollout: String,
    /// Largest number of Tenants in progress, at least 1.
    limit: usize,
    /// Fast databases since the limit changed.
    fast: usize,
    reduced_at: Timestamp,
}

impl RolloutConcurrency {
    /// Largest number of Tenants in progress, at least 1. `rate_fraction` is the fraction of the rate at
    /// which the account's calls are made.
    pub fn limit(
        &self,
        class: &str,
        rollout: &str,
        max_concurrent: usize,
        rate_fraction: f64,
    ) -> usize {
        let reductions = self.0.lock();
        let reduction = reductions
            .get(class)
            .filter(|reduction| reduction.rollout == rollout);
        let limit = reduction.map_or(max_concurrent, |reduction| reduction.limit);
        limit.min(share(max_concurrent, rate_fraction)).max(1)
    }

    /// Records that a database of a rollout was connected to and migrated.
    pub fn record(&self, class: &str, load: Load<'_>, speed: Speed, now: Timestamp) {
        let mut reductions = self.0.lock();
        let known = reductions
            .get_mut(class)
            .filter(|reduction| reduction.rollout == load.rollout);
        match (known, speed) {
            (None, Speed::Fast) => {}
            (None, Speed::Slow) => {
                let reduction = Reduction {
                    rollout: load.rollout.to_owned(),
                    limit: halved(load.max_concurrent, load.in_progress),
                    fast: 0,
                    reduced_at: now,
                };
                reductions.insert(class.to_owned(), reduction);
            }
            (Some(reduction), Speed::Slow) => {
                reduction.fast = 0;
                if now.duration_since(reduction.reduced_at) >= REDUCTION_INTERVAL {
                    reduction.limit = halved(reduction.limit, load.in_progress);
                    reduction.reduced_at = now;
                }
            }
            (Some(reduction), Speed::Fast) => {
                reduction.fast += 1;
                if reduction.fast >= reduction.limit {
                    reduction.limit += 1;
                    reduction.fast = 0;
                }
                if reduction.limit >= load.max_concurrent {
                    reductions.remove(class);
                }
            }
        }
    }

    /// Forgets a deleted class.
    pub fn remove_class(&self, class: &str) {
        self.0.lock().remove(class);
    }
}

/// Half of the Tenants that are in progress: half of a limit that is not reached would change nothing.
fn halved(limit: usize, in_progress: usize) -> usize {
    (limit.min(in_progress) / 2).max(1)
}

/// A fraction of a number, rounded down to eighths: the fraction changes all the time, and the limit is
/// reported in the status.
fn share(number: usize, fraction: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number from 0 to 8"
    )]
    let eighths = (8.0 * fraction.clamp(0.0, 1.0)).floor() as usize;
    number.saturating_mul(eighths) / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 32;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn record(concurrency: &RolloutConcurrency, speed: Speed, in_progress: usize, second: i64) {
        let load = Load {
            rollout: "r1",
            max_concurrent: MAX,
            in_progress,
        };
        concurrency.record("standard", load, speed, at(second));
    }

    fn limit(concurrency: &RolloutConcurrency) -> usize {
        concurrency.limit("standard", "r1", MAX, 1.0)
    }

    #[test]
    fn slow_databases_halve_the_tenants_in_progress_once_per_interval() {
        let concurrency = RolloutConcurrency::default();
        record(&concurrency, Speed::Fast, MAX, 0);
        assert_eq!(limit(&concurrency), MAX);
        for (second, in_progress, expected) in [
            (0, MAX, 16),
            (9, MAX, 16),
            (10, 16, 8),
            (20, 6, 3),
            (30, 3, 1),
            (40, 1, 1),
        ] {
            record(&concurrency, Speed::Slow, in_progress, second);
            assert_eq!(limit(&concurrency), expected, "second {second}");
        }
    }

    #[test]
    fn as_many_consecutive_fast_databases_as_the_limit_raise_it_by_one() {
        let concurrency = RolloutConcurrency::default();
        record(&concurrency, Speed::Slow, 6, 0);
        let mut limits = Vec::new();
        for _ in 0..7 {
            record(&concurrency, Speed::Fast, 3, 1);
            limits.push(limit(&concurrency));
        }
        assert_eq!(limits, [3, 3, 4, 4, 4, 4, 5]);
        // A slow one ends the series, also within the interval.
        for _ in 0..4 {
            record(&concurrency, Speed::Fast, 5, 1);
        }
        record(&concurrency, Speed::Slow, 5, 1);
        record(&concurrency, Speed::Fast, 5, 1);
        assert_eq!(limit(&concurrency), 5);
        for _ in 0..MAX * MAX {
            record(&concurrency, Speed::Fast, MAX, 2);
        }
        assert_eq!(limit(&concurrency), MAX);
    }

    #[test]
    fn a_limited_rate_of_calls_limits_a_rollout_in_proportion() {
        let concurrency = RolloutConcurrency::default();
        let limit = |fraction| concurrency.limit("standard", "r1", MAX, fraction);
        assert_eq!([1.0, 0.5, 0.25, 0.01, 0.0].map(limit), [MAX, 16, 8, 1, 1]);
        record(&concurrency, Speed::Slow, 20, 0);
        let limit = |fraction| concurrency.limit("standard", "r1", MAX, fraction);
        assert_eq!([1.0, 0.5, 0.25].map(limit), [10, 10, 8]);
    }

    #[test]
    fn other_classes_and_rollouts_are_not_affected() {
        let concurrency = RolloutConcurrency::default();
        record(&concurrency, Speed::Slow, MAX, 0);
        assert_eq!(concurrency.limit("other", "r1", MAX, 1.0), MAX);
        assert_eq!(concurrency.limit("standard", "r2", MAX, 1.0), MAX);
        assert_eq!(limit(&concurrency), 16);
        concurrency.remove_class("standard");
        assert_eq!(limit(&concurrency), MAX);
    }

    #[test]
    fn a_database_is_slow_if_it_ran_into_a_time_limit_or_the_connection_took_long() {
        assert_eq!(Speed::of(Duration::from_secs(4), false), Speed::Fast);
        assert_eq!(Speed::of(Duration::from_secs(11), false), Speed::Slow);
        assert_eq!(Speed::of(Duration::ZERO, true), Speed::Slow);
    }
}
