//! Who may send when: two token buckets for the endpoint's quota, and a number of places for documents.
//!
//! A turn is taken from the buckets at once and waited for afterwards, so that turns come in the order they were asked for. Questions take
//! theirs too but do not wait: a person does, and what they take is missing for documents.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use crate::config::Quota;
use crate::embed::Purpose;

pub(super) struct Gate {
    state: Mutex<State>,
    documents: Semaphore,
}

struct State {
    requests: Bucket,
    tokens: Bucket,
    paused_until: Instant,
}

/// Holds a place among the documents; questions need none.
pub(super) struct Turn<'gate> {
    _place: Option<SemaphorePermit<'gate>>,
}

impl Gate {
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

    pub(super) async fn turn(&self, tokens: usize, purpose: Purpose) -> Turn<'_> {
        let place = match purpose {
            // The semaphore is never closed.
            Purpose::Document => self.documents.acquire().await.ok(),
            Purpose::Question => None,
        };
        let at = self.take(tokens, purpose, Instant::now());
        sleep_until(at).await;
        Turn { _place: place }
    }

    /// The endpoint asked everybody to wait.
    pub(super) fn pause(&self, pause: Duration) {
        let mut state = self.lock();
        state.paused_until = state.paused_until.max(Instant::now() + pause);
    }

    fn take(&self, tokens: usize, purpose: Purpose, now: Instant) -> Instant {
        let mut state = self.lock();
        let requests_at = state.requests.take(1, now);
        let tokens_at = state.tokens.take(tokens, now);
        match purpose {
            Purpose::Document => requests_at.max(tokens_at).max(state.paused_until),
            Purpose::Question => now,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills steadily up to what a quarter of a minute brings; may be overdrawn, and then who overdrew it waits.
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

    /// When so much will have been there.
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

    fn gate(requests_per_minute: u32, tokens_per_minute: u32) -> Gate {
        Gate::new(&Quota {
            requests_per_minute,
            tokens_per_minute,
            concurrency: 2,
            ..Quota::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn within_any_minute_no_more_than_the_quota_and_a_quarter_are_sent() {
        let gate = gate(60, 1_000_000);
        let start = Instant::now();
        for _ in 0..75 {
            drop(gate.turn(1, Purpose::Document).await);
        }
        let seconds = start.elapsed().as_secs_f64();
        assert!((59.0..61.0).contains(&seconds), "{seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_waited_for_even_if_there_are_more_than_the_bucket_holds() {
        let gate = gate(60_000, 6_000);
        let start = Instant::now();
        drop(gate.turn(1_500, Purpose::Document).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(gate.turn(3_000, Purpose::Document).await);
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_waits_neither_for_documents_nor_for_the_quota_and_documents_wait_for_it() {
        let gate = gate(60, 6_000);
        let start = Instant::now();
        let held = (
            gate.turn(1_500, Purpose::Document).await,
            gate.turn(0, Purpose::Document).await,
        );
        drop(gate.turn(1_000, Purpose::Question).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(held);
        drop(gate.turn(0, Purpose::Document).await);
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_for_everybody_behind_it() {
        let gate = gate(60, 6_000);
        let start = Instant::now();
        gate.pause(Duration::from_secs(7));
        gate.pause(Duration::from_secs(3));
        drop(gate.turn(1, Purpose::Document).await);
        assert_eq!(start.elapsed().as_secs(), 7);
    }
}
