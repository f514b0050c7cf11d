//! The waiters and the order in which they are granted permits. The time is a parameter; the queue
//! wakes waiters but never waits.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{AccountQuota, Priority, bucket::Bucket};
use crate::Route;

/// Factor by which a 429 reduces the rate.
const THROTTLE_FACTOR: f64 = 0.5;
/// Smallest fraction of the rate, after any number of 429 responses.
const MIN_RATE_FRACTION: f64 = 1.0 / 16.0;
/// Fraction of the full rate recovered per second. The rate recovers from half to full in one
/// minute.
const RECOVERY_PER_SECOND: f64 = 1.0 / 120.0;
/// A route's burst is its limit per second divided by this number.
const ROUTE_BURST_DIVISOR: u32 = 4;
/// Burst of a route that has its own limit.
const ROUTE_LIMIT_BURST: u32 = 5;

const ROUTES: usize = Route::ALL.len();
const PRIORITIES: [Priority; 2] = [Priority::Interactive, Priority::Background];

/// A waiter, shared between the queue and the waiting future.
pub(super) struct Waiter {
    number: u64,
    route: Route,
    priority: Priority,
    granted: OnceLock<Instant>,
    wake: Notify,
}

impl Waiter {
    /// Time at which the permit was granted, if it was.
    pub(super) fn granted_at(&self) -> Option<Instant> {
        self.granted.get().copied()
    }

    /// Resolves when a permit was granted or a new dispatcher is needed.
    pub(super) async fn notified(&self) {
        self.wake.notified().await;
    }

    fn grant(&self, now: Instant) {
        // The cell is empty, because only the queue grants permits and it has just removed this
        // waiter.
        let _ = self.granted.set(now);
        self.wake.notify_one();
    }
}

/// A queue for each priority and route, and the rate limits.
pub(super) struct WaitQueue {
    account: Bucket,
    routes: [Bucket; ROUTES],
    queues: [[VecDeque<Arc<Waiter>>; ROUTES]; PRIORITIES.len()],
    next_number: u64,
    throttled: Option<Throttled>,
}

/// Rate reduction after a 429 response.
#[derive(Clone, Copy)]
struct Throttled {
    fraction: f64,
    /// Time of the 429. Permits granted earlier do not reflect the reduced rate.
    at: Instant,
    /// Time from which the rate recovers.
    since: Instant,
}

impl WaitQueue {
    pub(super) fn new(limits: AccountQuota, now: Instant) -> Self {
        // The sum of burst and steady rate stays within the limit of every second.
        let burst = (limits.per_route_per_second / ROUTE_BURST_DIVISOR).max(1);
        let steady = limits.per_route_per_second.saturating_sub(burst).max(1);
        let route = Bucket::new(steady, Duration::from_secs(1), burst, now);
        Self {
            account: Bucket::new(
                limits.requests_per_minute,
                Duration::from_mins(1),
                limits.burst,
                now,
            ),
            routes: std::array::from_fn(|index| {
                let route_limit = Route::ALL
                    .get(index)
                    .and_then(|route| route.max_requests_per_minute());
                route_limit
                    .filter(|limit| *limit < limits.requests_per_minute)
                    .map_or_else(
                        || route.clone(),
                        |limit| Bucket::new(limit, Duration::from_mins(1), ROUTE_LIMIT_BURST, now),
                    )
            }),
            queues: std::array::from_fn(|_| std::array::from_fn(|_| VecDeque::new())),
            next_number: 0,
            throttled: None,
        }
    }

    /// Adds a waiter at the end of the queue.
    pub(super) fn enqueue(&mut self, route: Route, priority: Priority) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            number: self.next_number,
            route,
            priority,
            granted: OnceLock::new(),
            wake: Notify::new(),
        });
        self.next_number += 1;
        self.queues[priority as usize][route.index()].push_back(Arc::clone(&waiter));
        waiter
    }

    /// Removes a waiter that has no permit.
    pub(super) fn remove(&mut self, waiter: &Waiter) {
        let queue = &mut self.queues[waiter.priority as usize][waiter.route.index()];
        if let Ok(index) = queue.binary_search_by_key(&waiter.number, |other| other.number) {
            queue.remove(index);
        }
    }

    /// Grants every permit that is due. A waiter for a busy route does not block waiters for other
    /// routes.
    pub(super) fn grant_due(&mut self, now: Instant) {
        while self.account.is_ready(now) {
            let Some(waiter) = PRIORITIES
                .iter()
                .find_map(|&priority| self.pop(priority, now))
            else {
                return;
            };
            let fraction = self.fraction(now);
            self.account.take(now, fraction);
            self.routes[waiter.route.index()].take(now, fraction);
            waiter.grant(now);
        }
    }

    fn pop(&mut self, priority: Priority, now: Instant) -> Option<Arc<Waiter>> {
        let queues = &mut self.queues[priority as usize];
        let ready = queues
            .iter_mut()
            .zip(&self.routes)
            .filter(|(_, bucket)| bucket.is_ready(now))
            .map(|(queue, _)| queue);
        let first = ready
            .filter(|queue| !queue.is_empty())
            .min_by_key(|queue| queue.front().map(|waiter| waiter.number))?;
        first.pop_front()
    }

    /// Time at which the next permit is due, if there are waiters.
    pub(super) fn next_grant_at(&self) -> Option<Instant> {
        let has_waiters = |index: usize| self.queues.iter().any(|queues| !queues[index].is_empty());
        let route = (0..ROUTES)
            .filter(|&index| has_waiters(index))
            .map(|index| self.routes[index].ready_at())
            .min()?;
        Some(route.max(self.account.ready_at()))
    }

    /// Releases an unused permit. A permit granted before a 429 is not returned to the buckets, so
    /// that the pause is kept.
    pub(super) fn release(&mut self, route: Route, granted_at: Instant) {
        if self
            .throttled
            .is_none_or(|throttled| granted_at > throttled.at)
        {
            self.account.release();
            self.routes[route.index()].release();
        }
    }

    /// Blocks the account for `pause` and halves the rate, unless the 429 belongs to a request
    /// granted before the last reduction.
    pub(super) fn throttle(&mut self, granted_at: Instant, pause: Duration, now: Instant) -> f64 {
        let fraction = self.fraction(now);
        let until = now + pause;
        self.account.block_until(until);
        let is_new = self
            .throttled
            .is_none_or(|throttled| granted_at > throttled.at);
        let throttled = match self.throttled {
            Some(throttled) if !is_new => Throttled {
                since: throttled.since.max(until),
                ..throttled
            },
            _ => Throttled {
                fraction: (fraction * THROTTLE_FACTOR).max(MIN_RATE_FRACTION),
                at: now,
                since: until,
            },
        };
        self.throttled = Some(throttled);
        throttled.fraction
    }

    /// The fraction of the rate at which requests are sent.
    pub(super) fn fraction(&self, now: Instant) -> f64 {
        self.throttled.map_or(1.0, |throttled| {
            let recovered =
                now.saturating_duration_since(throttled.since).as_secs_f64() * RECOVERY_PER_SECOND;
            (throttled.fraction + recovered).min(1.0)
        })
    }

    /// Wakes all waiters without granting a permit.
    pub(super) fn wake_all(&self) {
        for waiter in self.queues.iter().flatten().flatten() {
            waiter.wake.notify_one();
        }
    }
}
