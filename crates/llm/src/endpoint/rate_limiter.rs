//! Rate limiter of an endpoint: two token buckets for its quota, and a limit on concurrent document
//! requests.
//!
//! Capacity is taken from the buckets first and waited for afterwards, so that permits are granted
//! in order. Questions take capacity too but do not wait, because a user is waiting; documents wait
//! correspondingly longer.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use crate::config::Quota;
use crate::purpose::Purpose;

pub(super) struct RateLimiter {
    state: Mutex<State>,
    documents: Semaphore,
}

struct State {
    requests: Bucket,
    tokens: Bucket,
    paused_until: Instant,
}

/// Holds a slot of the concurrency limit for documents. Questions need none.
pub(super) struct Permit<'limiter> {
    _slot: Option<SemaphorePermit<'limiter>>,
}

impl RateLimiter {
    pub(super) fn new(quota: &Quota) -> Self {
        let now = Instant::now();
        Self {
            state: Mutex::new(State {
                requests: Bucket::new(quota.requests_per_minute, now),
                tokens: Bucket::new(quota.tokens_per_minute, now),
                paused_until: now,
            }),
            documents: Semaphore::new(quota.concurrency),
        }
    }

    pub(super) async fn acquire(&self, tokens: usize, purpose: Purpose) -> Permit<'_> {
        let slot = match purpose {
            // The semaphore is never closed.
            Purpose::Document => self.documents.acquire().await.ok(),
            Purpose::Question => None,
        };
        let at = self.take(tokens, purpose, Instant::now());
        sleep_until(at).await;
        Permit { _slot: slot }
    }

    /// Blocks all document requests for some time, because the endpoint requested it.
    pub(super) fn pause(&self, pause: Duration) {
        let mut state = self.state.lock();
        state.paused_until = state.paused_until.max(Instant::now() + pause);
    }

    fn take(&self, tokens: usize, purpose: Purpose, now: Instant) -> Instant {
        let mut state = self.state.lock();
        let requests_at = state.requests.take(1, now);
        let tokens_at = state.tokens.take(tokens, now);
        match purpose {
            Purpose::Document => requests_at.max(tokens_at).max(state.paused_until),
            Purpose::Question => now,
        }
    }
}

/// A token bucket that holds the tokens of a quarter of a minute. It can be overdrawn, and the
/// caller that overdraws it waits.
struct Bucket {
    per_second: f64,
    full: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(per_minute: u32, now: Instant) -> Self {
        let full = (f64::from(per_minute) / 4.0).max(1.0);
        Self {
            per_second: f64::from(per_minute) / 60.0,
            full,
            level: full,
            at: now,
        }
    }

    /// Takes `amount` and returns the time at which it is available.
    fn take(&mut self, amount: usize, now: Instant) -> Instant {
        let filled = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.level = (self.level + filled).min(self.full);
        self.at = now;
        self.level -= f64::from(u32::try_from(amount).unwrap_or(u32::MAX));
        if self.level >= 0.0 {
            return now;
        }
        now + Duration::from_secs_f64(-self.level / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(requests_per_minute: u32, tokens_per_minute: u32) -> RateLimiter {
        RateLimiter::new(&Quota {
            requests_per_minute,
            tokens_per_minute,
            concurrency: 2,
            ..Quota::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_the_quota_and_a_quarter_are_sent_within_a_minute() {
        let limiter = limiter(60, 1_000_000);
        let start = Instant::now();
        for _ in 0..75 {
            drop(limiter.acquire(1, Purpose::Document).await);
        }
        let seconds = start.elapsed().as_secs_f64();
        assert!((59.0..61.0).contains(&seconds), "{seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_larger_than_the_bucket_waits_for_its_tokens() {
        let limiter = limiter(60_000, 6_000);
        let start = Instant::now();
        drop(limiter.acquire(1_500, Purpose::Document).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(limiter.acquire(3_000, Purpose::Document).await);
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_never_waits_and_delays_documents() {
        let limiter = limiter(60, 6_000);
        let start = Instant::now();
        let held = (
            limiter.acquire(1_500, Purpose::Document).await,
            limiter.acquire(0, Purpose::Document).await,
        );
        drop(limiter.acquire(1_000, Purpose::Question).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(held);
        drop(limiter.acquire(0, Purpose::Document).await);
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_delays_all_later_requests() {
        let limiter = limiter(60, 6_000);
        let start = Instant::now();
        limiter.pause(Duration::from_secs(7));
        limiter.pause(Duration::from_secs(3));
        drop(limiter.acquire(1, Purpose::Document).await);
        assert_eq!(start.elapsed().as_secs(), 7);
    }
}
