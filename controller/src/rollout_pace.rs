//! How many Tenants a rollout migrates at the same time: `maxConcurrent`, or fewer while databases are
//! slow or Neon limits the account's calls.
//!
//! Slow databases halve the number, but not again within [`REDUCTION_INTERVAL`], in which Tenants end that
//! began before. As many migrations without one as the number allows add one to it, until it is
//! `maxConcurrent` again. This is the rule by which TCP finds the capacity of a network. After a 429
//! response, the client of the account applies a similar rule to its calls, and the number shrinks in
//! the same proportion as their rate.
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

/// The reduced paces of rollouts, at most one for each class.
#[derive(Debug, Default)]
pub struct RolloutPaces(Mutex<HashMap<String, Pace>>);

#[derive(Debug)]
struct Pace {
    rollout: String,
    /// Largest number of Tenants in progress, at least 1.
    limit: usize,
    /// Fast databases since the limit changed.
    fast: usize,
    reduced_at: Timestamp,
}

impl RolloutPaces {
    /// Largest number of Tenants in progress, at least 1. `rate_fraction` is the fraction of the rate at
    /// which the account's calls are made.
    pub fn limit(
        &self,
        class: &str,
        rollout: &str,
        max_concurrent: usize,
        rate_fraction: f64,
    ) -> usize {
        let paces = self.0.lock();
        let pace = paces.get(class).filter(|pace| pace.rollout == rollout);
        let limit = pace.map_or(max_concurrent, |pace| pace.limit);
        limit.min(share(max_concurrent, rate_fraction)).max(1)
    }

    /// Records that a database of a rollout was connected to and migrated.
    pub fn record(&self, class: &str, load: Load<'_>, speed: Speed, now: Timestamp) {
        let mut paces = self.0.lock();
        let known = paces
            .get_mut(class)
            .filter(|pace| pace.rollout == load.rollout);
        match (known, speed) {
            (None, Speed::Fast) => {}
            (None, Speed::Slow) => {
                let pace = Pace {
                    rollout: load.rollout.to_owned(),
                    limit: halved(load.max_concurrent, load.in_progress),
                    fast: 0,
                    reduced_at: now,
                };
                paces.insert(class.to_owned(), pace);
            }
            (Some(pace), Speed::Slow) => {
                pace.fast = 0;
                if now.duration_since(pace.reduced_at) >= REDUCTION_INTERVAL {
                    pace.limit = halved(pace.limit, load.in_progress);
                    pace.reduced_at = now;
                }
            }
            (Some(pace), Speed::Fast) => {
                pace.fast += 1;
                if pace.fast >= pace.limit {
                    pace.limit += 1;
                    pace.fast = 0;
                }
                if pace.limit >= load.max_concurrent {
                    paces.remove(class);
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

/// A fraction of a number, rounded down.
fn share(number: usize, fraction: f64) -> usize {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the share is between 0 and the number"
    )]
    let share = (f64::from(number) * fraction.clamp(0.0, 1.0)).floor() as u32;
    usize::try_from(share).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 32;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn record(paces: &RolloutPaces, speed: Speed, in_progress: usize, second: i64) {
        let load = Load {
            rollout: "r1",
            max_concurrent: MAX,
            in_progress,
        };
        paces.record("standard", load, speed, at(second));
    }

    fn limit(paces: &RolloutPaces) -> usize {
        paces.limit("standard", "r1", MAX, 1.0)
    }

    #[test]
    fn slow_databases_halve_the_tenants_in_progress_once_per_interval() {
        let paces = RolloutPaces::default();
        record(&paces, Speed::Fast, MAX, 0);
        assert_eq!(limit(&paces), MAX);
        for (second, in_progress, expected) in [
            (0, MAX, 16),
            (9, MAX, 16),
            (10, 16, 8),
            (20, 6, 3),
            (30, 3, 1),
            (40, 1, 1),
        ] {
            record(&paces, Speed::Slow, in_progress, second);
            assert_eq!(limit(&paces), expected, "second {second}");
        }
    }

    #[test]
    fn as_many_fast_databases_as_are_in_progress_add_one() {
        let paces = RolloutPaces::default();
        record(&paces, Speed::Slow, 6, 0);
        let mut limits = Vec::new();
        for _ in 0..7 {
            record(&paces, Speed::Fast, 3, 1);
            limits.push(limit(&paces));
        }
        assert_eq!(limits, [3, 3, 4, 4, 4, 4, 5]);
        // A slow one ends the series, also within the interval.
        for _ in 0..4 {
            record(&paces, Speed::Fast, 5, 1);
        }
        record(&paces, Speed::Slow, 5, 1);
        record(&paces, Speed::Fast, 5, 1);
        assert_eq!(limit(&paces), 5);
        for _ in 0..MAX * MAX {
            record(&paces, Speed::Fast, MAX, 2);
        }
        assert_eq!(limit(&paces), MAX);
    }

    #[test]
    fn a_limited_rate_of_calls_limits_a_rollout_in_proportion() {
        let paces = RolloutPaces::default();
        let limit = |fraction| paces.limit("standard", "r1", MAX, fraction);
        assert_eq!([1.0, 0.5, 0.25, 0.01, 0.0].map(limit), [MAX, 16, 8, 1, 1]);
        record(&paces, Speed::Slow, 20, 0);
        let limit = |fraction| paces.limit("standard", "r1", MAX, fraction);
        assert_eq!([1.0, 0.5, 0.25].map(limit), [10, 10, 8]);
    }

    #[test]
    fn other_classes_and_rollouts_are_not_affected() {
        let paces = RolloutPaces::default();
        record(&paces, Speed::Slow, MAX, 0);
        assert_eq!(paces.limit("other", "r1", MAX, 1.0), MAX);
        assert_eq!(paces.limit("standard", "r2", MAX, 1.0), MAX);
        assert_eq!(limit(&paces), 16);
        paces.remove_class("standard");
        assert_eq!(limit(&paces), MAX);
    }

    #[test]
    fn a_database_is_slow_if_it_ran_into_a_time_limit_or_the_connection_took_long() {
        assert_eq!(Speed::of(Duration::from_secs(4), false), Speed::Fast);
        assert_eq!(Speed::of(Duration::from_secs(11), false), Speed::Slow);
        assert_eq!(Speed::of(Duration::ZERO, true), Speed::Slow);
    }
}
