//! Who waits, and who is next. Knows the time only as a parameter; wakes waiters, but never waits itself.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{AccountQuota, Priority, bucket::Bucket};
use crate::Route;

/// What a 429 leaves of the rate.
const SLOWDOWN: f64 = 0.5;
/// The least fraction of the rate that any number of 429s leaves.
const FRACTION_MIN: f64 = 1.0 / 16.0;
/// How much of the full rate comes back each second: from half to full in a minute.
const RECOVERY_PER_SECOND: f64 = 1.0 / 120.0;
/// The share of a route's second that may be used at once.
const ROUTE_BURST_SHARE: u32 = 4;
/// Requests that may follow each other without a pause on a route with a limit of its own.
const OWN_LIMIT_BURST: u32 = 5;

const ROUTES: usize = Route::ALL.len();
const PRIORITIES: [Priority; 2] = [Priority::Interactive, Priority::Housekeeping];

/// One who waits. Both the line and the waiting future hold it.
pub(super) struct Waiter {
    number: u64,
    route: Route,
    priority: Priority,
    granted: OnceLock<Instant>,
    wake: Notify,
}

impl Waiter {
    /// When its turn came, if it did.
    pub(super) fn granted_at(&self) -> Option<Instant> {
        self.granted.get().copied()
    }

    /// Resolves when there is news: a turn, or the need for another driver.
    pub(super) async fn notified(&self) {
        self.wake.notified().await;
    }

    fn grant(&self, now: Instant) {
        // Only the line grants, and it has just taken this waiter out: the cell is empty.
        let _ = self.granted.set(now);
        self.wake.notify_one();
    }
}

/// A queue for each priority and route, and the buckets they wait for.
pub(super) struct Line {
    account: Bucket,
    routes: [Bucket; ROUTES],
    queues: [[VecDeque<Arc<Waiter>>; ROUTES]; PRIORITIES.len()],
    next_number: u64,
    slowed: Option<Slowed>,
}

/// The trace of a 429.
#[derive(Clone, Copy)]
struct Slowed {
    fraction: f64,
    /// When the 429 was heard of. Turns given before say nothing about the rate chosen then.
    at: Instant,
    /// From when on the rate recovers.
    since: Instant,
}

impl Line {
    pub(super) fn new(limits: AccountQuota, now: Instant) -> Self {
        // Burst and steady rate together stay within the limit of any one second.
        let burst = (limits.per_route_per_second / ROUTE_BURST_SHARE).max(1);
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
                let own = Route::ALL
                    .get(index)
                    .and_then(|route| route.per_minute_max());
                own.filter(|own| *own < limits.requests_per_minute)
                    .map_or_else(
                        || route.clone(),
                        |own| Bucket::new(own, Duration::from_mins(1), OWN_LIMIT_BURST, now),
                    )
            }),
            queues: std::array::from_fn(|_| std::array::from_fn(|_| VecDeque::new())),
            next_number: 0,
            slowed: None,
        }
    }

    /// Joins the end of the line.
    pub(super) fn join(&mut self, route: Route, priority: Priority) -> Arc<Waiter> {
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

    /// Leaves without a turn.
    pub(super) fn leave(&mut self, waiter: &Waiter) {
        let queue = &mut self.queues[waiter.priority as usize][waiter.route.index()];
        if let Ok(place) = queue.binary_search_by_key(&waiter.number, |other| other.number) {
            queue.remove(place);
        }
    }

    /// Gives every turn that is due. Whoever waits for a busy route does not hold up those behind who want another.
    pub(super) fn serve(&mut self, now: Instant) {
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

    /// When the next turn is due, if anybody waits.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        let wanted = |index: usize| self.queues.iter().any(|queues| !queues[index].is_empty());
        let route = (0..ROUTES)
            .filter(|&index| wanted(index))
            .map(|index| self.routes[index].ready_at())
            .min()?;
        Some(route.max(self.account.ready_at()))
    }

    /// Takes back a turn that was not used. One that was given before a 429 is forfeit: the pause after it stands.
    pub(super) fn give_back(&mut self, route: Route, granted_at: Instant) {
        if self.slowed.is_none_or(|slowed| granted_at > slowed.at) {
            self.account.give_back();
            self.routes[route.index()].give_back();
        }
    }

    /// Stops for `pause`, and halves the rate unless the 429 answers a request from before the last slowdown.
    pub(super) fn slow(&mut self, granted_at: Instant, pause: Duration, now: Instant) -> f64 {
        let fraction = self.fraction(now);
        let until = now + pause;
        self.account.stop_until(until);
        let news = self.slowed.is_none_or(|slowed| granted_at > slowed.at);
        let slowed = match self.slowed {
            Some(slowed) if !news => Slowed {
                since: slowed.since.max(until),
                ..slowed
            },
            _ => Slowed {
                fraction: (fraction * SLOWDOWN).max(FRACTION_MIN),
                at: now,
                since: until,
            },
        };
        self.slowed = Some(slowed);
        slowed.fraction
    }

    fn fraction(&self, now: Instant) -> f64 {
        self.slowed.map_or(1.0, |slowed| {
            let recovered =
                now.saturating_duration_since(slowed.since).as_secs_f64() * RECOVERY_PER_SECOND;
            (slowed.fraction + recovered).min(1.0)
        })
    }

    /// Wakes everybody without giving a turn.
    pub(super) fn wake_all(&self) {
        for waiter in self.queues.iter().flatten().flatten() {
            waiter.wake.notify_one();
        }
    }
}
