//! The request quota of an account: one queue for all calls, shared by every clone of the client.
//!
//! A call acquires a permit before each request. A permit needs capacity in two buckets, one for
//! the account and one for the route. Permits are granted to interactive calls before background
//! calls, and in order of arrival within each priority. A dropped waiter leaves the queue, and an
//! unused permit is released. A 429 response blocks the account for some time and halves its rate,
//! which then recovers slowly.
//!
//! The queue is not limited. Each waiter is a future held by a caller, so the number of concurrent
//! calls limits it.

mod bucket;
mod wait_queue;

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use self::wait_queue::{WaitQueue, Waiter};
use crate::Route;

/// Request limits of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountQuota {
    /// Requests per minute over all routes.
    pub requests_per_minute: u32,
    /// Requests per second for each route.
    pub per_route_per_second: u32,
    /// Requests that may be sent without a pause after an idle period, in addition to the steady
    /// rate.
    pub burst: u32,
}

impl AccountQuota {
    /// Neon's documented limits, with a burst that stays within the per-second limit of a route.
    pub const NEON: Self = Self {
        requests_per_minute: 700,
        per_route_per_second: 40,
        burst: 20,
    };

    pub(crate) fn is_positive(self) -> bool {
        self.requests_per_minute > 0 && self.per_route_per_second > 0 && self.burst > 0
    }
}

impl Default for AccountQuota {
    fn default() -> Self {
        Self::NEON
    }
}

/// Priority of a call that waits for a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// A user or another program waits for the result. Served before all background calls.
    #[default]
    Interactive,
    /// Background work such as drift detection. Served only when no interactive call is waiting.
    Background,
}

impl Priority {
    /// Label value for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Background => "background",
        }
    }
}

/// Permission to send one request. A permit that is dropped without being used is released.
#[must_use = "a permit that is dropped is released"]
pub struct Permit {
    quota: Arc<QuotaLimiter>,
    route: Route,
    granted_at: Instant,
    waited: Duration,
    spent: bool,
}

impl Permit {
    /// Route that the permit is for.
    pub fn route(&self) -> Route {
        self.route
    }

    /// Time spent waiting for the permit.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    pub(crate) fn belongs_to(&self, quota: &Arc<QuotaLimiter>, route: Route) -> bool {
        self.route == route && Arc::ptr_eq(&self.quota, quota)
    }

    /// Uses the permit. If the response is 429, the returned time is passed to
    /// [`QuotaLimiter::throttle`].
    pub(crate) fn spend(mut self) -> Instant {
        self.spent = true;
        self.granted_at
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.spent {
            self.quota.release(self.route, self.granted_at);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("route", &self.route)
            .field("spent", &self.spent)
            .finish_non_exhaustive()
    }
}

/// Request queue and rate limiter of one account.
pub(crate) struct QuotaLimiter {
    state: Mutex<LimiterState>,
    /// Notified when a waiter joins the queue, because the next permit may be due earlier than the
    /// dispatcher expects.
    queue_changed: Notify,
}

struct LimiterState {
    queue: WaitQueue,
    dispatcher_running: bool,
}

impl QuotaLimiter {
    pub(crate) fn new(limits: AccountQuota) -> Arc<Self> {
        let state = LimiterState {
            queue: WaitQueue::new(limits, Instant::now()),
            dispatcher_running: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            queue_changed: Notify::new(),
        })
    }

    /// Waits for a permit. Dropping the future removes the waiter from the queue.
    pub(crate) async fn acquire(self: &Arc<Self>, route: Route, priority: Priority) -> Permit {
        let since = Instant::now();
        let mut entry = QueueEntry::join(self, route, priority);
        loop {
            if let Some(granted_at) = entry.poll_granted() {
                let waited = granted_at.saturating_duration_since(since);
                return Permit {
                    quota: Arc::clone(self),
                    route,
                    granted_at,
                    waited,
                    spent: false,
                };
            }
            self.ensure_dispatcher();
            entry.waiter.notified().await;
        }
    }

    /// Records a 429 response to a request whose permit was granted at `granted_at`. Returns the
    /// remaining fraction of the rate.
    pub(crate) fn throttle(&self, granted_at: Instant, pause: Duration) -> f64 {
        self.lock()
            .queue
            .throttle(granted_at, pause, Instant::now())
    }

    /// The fraction of the rate at which requests are sent.
    pub(crate) fn fraction(&self) -> f64 {
        self.lock().queue.fraction(Instant::now())
    }

    fn release(&self, route: Route, granted_at: Instant) {
        let mut state = self.lock();
        state.queue.release(route, granted_at);
        state.queue.grant_due(Instant::now());
    }

    /// Ensures that a task grants permits as they become due while there are waiters. It is a task
    /// of its own because a caller may hold a waiter without polling it, which would block all
    /// others.
    fn ensure_dispatcher(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.dispatcher_running {
            self.queue_changed.notify_one();
            return;
        }
        state.dispatcher_running = true;
        drop(state);
        let mut dispatcher = Dispatcher {
            quota: Arc::clone(self),
            finished: false,
        };
        tokio::spawn(async move { dispatcher.run().await });
    }

    fn lock(&self) -> MutexGuard<'_, LimiterState> {
        self.state.lock()
    }
}

impl fmt::Debug for QuotaLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaLimiter").finish_non_exhaustive()
    }
}

/// Entry in the queue, removed on drop.
struct QueueEntry {
    quota: Arc<QuotaLimiter>,
    waiter: Arc<Waiter>,
    route: Route,
    granted: bool,
}

impl QueueEntry {
    fn join(quota: &Arc<QuotaLimiter>, route: Route, priority: Priority) -> Self {
        let mut state = quota.lock();
        let waiter = state.queue.enqueue(route, priority);
        state.queue.grant_due(Instant::now());
        drop(state);
        Self {
            quota: Arc::clone(quota),
            waiter,
            route,
            granted: false,
        }
    }

    fn poll_granted(&mut self) -> Option<Instant> {
        let granted = self.waiter.granted_at();
        self.granted = granted.is_some();
        granted
    }
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        if self.granted {
            return;
        }
        let mut state = self.quota.lock();
        // The permit may have been granted just before the caller dropped the future.
        match self.waiter.granted_at() {
            Some(granted_at) => state.queue.release(self.route, granted_at),
            None => state.queue.remove(&self.waiter),
        }
        state.queue.grant_due(Instant::now());
    }
}

/// Task that grants permits when they become due.
struct Dispatcher {
    quota: Arc<QuotaLimiter>,
    finished: bool,
}

impl Dispatcher {
    async fn run(&mut self) {
        loop {
            let next = {
                let mut state = self.quota.lock();
                state.queue.grant_due(Instant::now());
                let next = state.queue.next_grant_at();
                if next.is_none() {
                    state.dispatcher_running = false;
                    self.finished = true;
                }
                next
            };
            let Some(next) = next else { return };
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.quota.queue_changed.notified() => {}
            }
        }
    }
}

impl Drop for Dispatcher {
    /// Runs when the task's runtime shuts down. Waiters on other runtimes are woken, so that one of
    /// them starts a new dispatcher.
    fn drop(&mut self) {
        if !self.finished {
            let mut state = self.quota.lock();
            state.dispatcher_running = false;
            state.queue.wake_all();
        }
    }
}

#[cfg(test)]
mod tests;
