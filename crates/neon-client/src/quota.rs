//! The account's quota: one queue for all calls of an account, shared by every clone of the client.
//!
//! A call takes a turn before each request. Turns come from two buckets, one for the whole account and one for the route, and go to
//! people who wait before housekeeping, first come first served within each. A waiter that is dropped leaves the queue, and a turn that
//! was given but not used goes back. A 429 stops the account for a while and halves its rate, which then recovers slowly.
//!
//! The queue itself has no limit of length: each waiter is a future that its caller holds, so callers bound it by what they run at once.

mod bucket;
mod line;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use self::line::{Line, Waiter};
use crate::Route;

/// How many requests an account may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountQuota {
    /// Requests a minute, of all routes together.
    pub requests_per_minute: u32,
    /// Requests of one route in any second.
    pub per_route_per_second: u32,
    /// Requests that may follow each other without a pause after a quiet time, on top of the steady rate.
    pub burst: u32,
}

impl AccountQuota {
    /// What the API grants an account, with a burst that one second's limit of a route can take.
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

/// Who goes first when calls wait for their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Somebody waits for it. It goes before all housekeeping.
    #[default]
    Interactive,
    /// Nobody waits for it: drift, lists. It goes when nobody else wants to.
    Housekeeping,
}

impl Priority {
    /// A word for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Housekeeping => "housekeeping",
        }
    }
}

/// A turn in the account's quota. One request spends it; dropped unspent, it goes back.
#[must_use = "a permit that is dropped goes back to the account's quota"]
pub struct Permit {
    quota: Arc<Quota>,
    route: Route,
    granted_at: Instant,
    waited: Duration,
    spent: bool,
}

impl Permit {
    /// The route it was taken for.
    pub fn route(&self) -> Route {
        self.route
    }

    /// How long it was waited for.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    pub(crate) fn belongs_to(&self, quota: &Arc<Quota>, route: Route) -> bool {
        self.route == route && Arc::ptr_eq(&self.quota, quota)
    }

    /// Uses it up. The returned time is given to [`Quota::slow`] should the answer be 429.
    pub(crate) fn spend(mut self) -> Instant {
        self.spent = true;
        self.granted_at
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.spent {
            self.quota.give_back(self.route, self.granted_at);
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

/// The queue of one account.
pub(crate) struct Quota {
    state: Mutex<State>,
    /// Told when somebody joined the line, because the next turn may be sooner than the driver thinks.
    joined: Notify,
}

struct State {
    line: Line,
    driven: bool,
}

impl Quota {
    pub(crate) fn new(limits: AccountQuota) -> Arc<Self> {
        let state = State {
            line: Line::new(limits, Instant::now()),
            driven: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            joined: Notify::new(),
        })
    }

    /// Waits for a turn. Dropping the future gives the place up.
    pub(crate) async fn acquire(self: &Arc<Self>, route: Route, priority: Priority) -> Permit {
        let since = Instant::now();
        let mut place = Place::take(self, route, priority);
        loop {
            if let Some(granted_at) = place.granted() {
                let waited = granted_at.saturating_duration_since(since);
                return Permit {
                    quota: Arc::clone(self),
                    route,
                    granted_at,
                    waited,
                    spent: false,
                };
            }
            self.drive();
            place.waiter.notified().await;
        }
    }

    /// The API answered 429 to a request whose turn came at `granted_at`. Returns the fraction of the rate that is left.
    pub(crate) fn slow(&self, granted_at: Instant, pause: Duration) -> f64 {
        self.lock().line.slow(granted_at, pause, Instant::now())
    }

    fn give_back(&self, route: Route, granted_at: Instant) {
        let mut state = self.lock();
        state.line.give_back(route, granted_at);
        state.line.serve(Instant::now());
    }

    /// Sees to it that a task gives out turns as they fall due, as long as anybody waits. A task of its own, rather than one of the
    /// waiters: a waiter may be held by a caller that does not poll it, and would then hold up all others.
    fn drive(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.driven {
            self.joined.notify_one();
            return;
        }
        state.driven = true;
        drop(state);
        let mut driver = Driver {
            quota: Arc::clone(self),
            finished: false,
        };
        tokio::spawn(async move { driver.run().await });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quota").finish_non_exhaustive()
    }
}

/// A place in the line, given up when dropped.
struct Place {
    quota: Arc<Quota>,
    waiter: Arc<Waiter>,
    route: Route,
    taken: bool,
}

impl Place {
    fn take(quota: &Arc<Quota>, route: Route, priority: Priority) -> Self {
        let mut state = quota.lock();
        let waiter = state.line.join(route, priority);
        state.line.serve(Instant::now());
        drop(state);
        Self {
            quota: Arc::clone(quota),
            waiter,
            route,
            taken: false,
        }
    }

    fn granted(&mut self) -> Option<Instant> {
        let granted = self.waiter.granted_at();
        self.taken = granted.is_some();
        granted
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let mut state = self.quota.lock();
        // The turn may have come just before the caller went away.
        match self.waiter.granted_at() {
            Some(granted_at) => state.line.give_back(self.route, granted_at),
            None => state.line.leave(&self.waiter),
        }
        state.line.serve(Instant::now());
    }
}

/// The task that gives out turns.
struct Driver {
    quota: Arc<Quota>,
    finished: bool,
}

impl Driver {
    async fn run(&mut self) {
        loop {
            let next = {
                let mut state = self.quota.lock();
                state.line.serve(Instant::now());
                let next = state.line.next_turn();
                if next.is_none() {
                    state.driven = false;
                    self.finished = true;
                }
                next
            };
            let Some(next) = next else { return };
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.quota.joined.notified() => {}
            }
        }
    }
}

impl Drop for Driver {
    /// The runtime that ran this task is going down. Waiters of other runtimes are woken, so that one of them starts another.
    fn drop(&mut self) {
        if !self.finished {
            let mut state = self.quota.lock();
            state.driven = false;
            state.line.wake_all();
        }
    }
}

#[cfg(test)]
mod tests;
