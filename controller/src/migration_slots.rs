//! Limits how many databases are migrated concurrently, so that no tenant keeps others waiting.
//!
//! A tenant can make its migrations slow, for example with a trigger that sleeps. Therefore new
//! Tenants, rollouts, and Tenants whose last migration ran into a time limit have slots of their
//! own ([`Lane`]); in each lane, a class has a slot that others cannot take, and can take only a part
//! of the shared ones; and a Tenant that ran into a time limit waits longer after each further one.
//!
//! Before it takes a slot, a reconciliation connects to the database, which takes seconds if the
//! compute has to start. Until the migration ends the reconciliation does nothing else, so all of
//! them together are limited to a part of the Tenants that are reconciled concurrently
//! ([`Admission`]).

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::backoff::Backoffs;
use crate::identity::TenantUid;

/// How long a reconciliation that is connected to a database waits for a slot. Afterwards it ends, so
/// that another Tenant of its class can be admitted.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// After a migration has exceeded a time limit, the Tenant waits at least this many times as long as
/// the migration ran. A Tenant is therefore being migrated for at most a third of the time.
const WAIT_FACTOR: u32 = 2;
/// First and longest wait after a time limit.
const MIN_WAIT_AFTER_LIMIT: Duration = Duration::from_secs(2);
const MAX_WAIT_AFTER_LIMIT: Duration = Duration::from_hours(6);

/// Slots that are shared by some Tenants only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Tenants whose database has not been migrated yet. Their users are waiting.
    New,
    /// Tenants whose database gets newer migrations.
    Rollout,
    /// Tenants whose last migration ran into a time limit.
    Slow,
}

pub struct MigrationSlots {
    limits: Limits,
    state: Mutex<State>,
    released: Notify,
    slow: Backoffs,
}

/// Maximum numbers of databases; each is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    /// Databases with a slot in the lane for new Tenants, and as many in the lane for rollouts.
    lane: usize,
    /// Admitted databases that have been migrated before.
    existing: usize,
    /// All admitted databases.
    all: usize,
}

impl Limits {
    fn new(capacity: usize, concurrency: usize) -> Self {
        let part = |eighths: usize| (concurrency * eighths / 8).max(1);
        Self {
            lane: capacity.clamp(1, part(2)),
            existing: part(4),
            all: part(7),
        }
    }
}

#[derive(Default)]
struct State {
    admitted: HashMap<(Lane, String), usize>,
    slots: HashMap<(Lane, String), usize>,
}

/// The right to connect to one database, until it is dropped.
pub struct Admission<'a> {
    slots: &'a MigrationSlots,
    key: (Lane, String),
    since: Instant,
}

/// The right to migrate one database, until it is dropped.
pub struct Slot<'a> {
    admission: &'a Admission<'a>,
}

impl MigrationSlots {
    /// `capacity` limits the slots of each of the lanes for new Tenants and for rollouts.
    /// `concurrency` is the number of Tenants that are reconciled concurrently.
    pub fn new(capacity: usize, concurrency: usize) -> Self {
        Self {
            limits: Limits::new(capacity, concurrency),
            state: Mutex::default(),
            released: Notify::new(),
            slow: Backoffs::new(MIN_WAIT_AFTER_LIMIT, MAX_WAIT_AFTER_LIMIT),
        }
    }

    /// The lane of a Tenant.
    pub fn lane(&self, tenant: TenantUid, is_new: bool) -> Lane {
        match (self.slow.failures(&tenant), is_new) {
            (0, true) => Lane::New,
            (0, false) => Lane::Rollout,
            _ => Lane::Slow,
        }
    }

    /// Admits a database, unless too many are admitted. One class gets at most three quarters of the
    /// admissions, of all and of those for databases that have been migrated before.
    pub fn admit(&self, class: &str, lane: Lane) -> Option<Admission<'_>> {
        let without_reserve = |limit: usize| limit - limit / 4;
        let mut state = self.state.lock();
        let admitted = |of: &dyn Fn(Lane, &str) -> bool| count(&state.admitted, of);
        let is_existing = |lane| lane != Lane::New;
        let fits = admitted(&|_, _| true) < self.limits.all
            && admitted(&|_, of| of == class) < without_reserve(self.limits.all)
            && (lane == Lane::New
                || admitted(&|lane, _| is_existing(lane)) < self.limits.existing
                    && admitted(&|lane, of| is_existing(lane) && of == class)
                        < without_reserve(self.limits.existing));
        if !fits {
            return None;
        }
        let key = (lane, class.to_owned());
        *state.admitted.entry(key.clone()).or_insert(0) += 1;
        Some(Admission {
            slots: self,
            key,
            since: Instant::now(),
        })
    }

    /// Slots of a lane that any class can take.
    fn shared(&self, lane: Lane) -> usize {
        match lane {
            Lane::New | Lane::Rollout => self.limits.lane - 1,
            Lane::Slow => self.limits.lane / 4,
        }
    }

    /// Records that the Tenant's migration ran into a time limit after this time. Returns the wait
    /// before the next attempt.
    pub fn record_time_limit(&self, tenant: TenantUid, elapsed: Duration) -> Duration {
        let earlier = self.slow.failures(&tenant);
        let backoff = self.slow.record_failure(&tenant);
        let proportional = 2_u32
            .checked_pow(earlier)
            .and_then(|factor| elapsed.checked_mul(WAIT_FACTOR)?.checked_mul(factor))
            .unwrap_or(MAX_WAIT_AFTER_LIMIT);
        backoff.max(proportional).min(MAX_WAIT_AFTER_LIMIT)
    }

    /// Records that the Tenant's migration did not run into a time limit, or that the Tenant is
    /// gone.
    pub fn forget(&self, tenant: TenantUid) {
        self.slow.reset(&tenant);
    }
}

/// Number of databases in some lanes and classes.
fn count(databases: &HashMap<(Lane, String), usize>, of: &dyn Fn(Lane, &str) -> bool) -> usize {
    let counted = databases
        .iter()
        .filter(|((lane, class), _)| of(*lane, class));
    counted.map(|(_, count)| count).sum()
}

fn decrement(databases: &mut HashMap<(Lane, String), usize>, key: &(Lane, String)) {
    if let Some(count) = databases.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            databases.remove(key);
        }
    }
}

impl Admission<'_> {
    /// Time since the admission.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Waits a limited time for a slot. `None` if none becomes free.
    pub async fn acquire_slot(&self) -> Option<Slot<'_>> {
        let deadline = Instant::now() + MAX_WAIT;
        loop {
            // Created first, so that a release after the attempt is not missed.
            let released = self.slots.released.notified();
            if let Some(slot) = self.try_acquire() {
                return Some(slot);
            }
            timeout_at(deadline, released).await.ok()?;
        }
    }

    fn try_acquire(&self) -> Option<Slot<'_>> {
        let mut state = self.slots.state.lock();
        let lane = self.key.0;
        let of_class = state.slots.get(&self.key).copied().unwrap_or_default();
        // Each class has one slot that no other class can take.
        if of_class > 0 {
            let shared_total: usize = state
                .slots
                .iter()
                .filter(|((taken, _), _)| *taken == lane)
                .map(|(_, count)| count - 1)
                .sum();
            let shared = self.slots.shared(lane);
            let share_of_class = shared - shared / 4;
            if shared_total >= shared || of_class > share_of_class {
                return None;
            }
        }
        *state.slots.entry(self.key.clone()).or_insert(0) += 1;
        Some(Slot { admission: self })
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        decrement(&mut self.slots.state.lock().admitted, &self.key);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let slots = self.admission.slots;
        decrement(&mut slots.state.lock().slots, &self.admission.key);
        slots.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
