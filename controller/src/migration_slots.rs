//! Limits how many databases are migrated concurrently, so that no tenant keeps others waiting.
//!
//! A tenant can make its migrations slow, for example with a trigger that sleeps. Therefore new
//! Tenants, roll-outs, and Tenants whose last migration ran into a time limit have slots of their
//! own ([`Lane`]); in each lane, a class has a slot that others cannot take, and can take only a part
//! of the shared ones; and a Tenant that ran into a time limit waits longer after each further one.
//!
//! A reconciliation that holds or awaits a slot does nothing else, so all of them together are
//! limited to a part of the Tenants that are reconciled concurrently.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::backoff::Backoffs;
use crate::identity::TenantUid;

/// How long a reconciliation waits for a slot. Afterwards it ends, so that other Tenants can be
/// reconciled.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// After a time limit, the next attempt comes no sooner than this many times as long as the Tenant
/// held its slot, so that it holds one for at most a third of the time.
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
    RollOut,
    /// Tenants whose last migration ran into a time limit.
    Slow,
}

pub struct MigrationSlots {
    limits: Limits,
    state: Mutex<State>,
    released: Notify,
    slow: Backoffs,
}

/// Largest numbers of reconciliations; each is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    /// With a slot of the lane for new Tenants, or of the lane for roll-outs.
    lane: usize,
    /// With a slot, of Tenants whose database has been migrated before.
    existing: usize,
    /// With a slot.
    all: usize,
    /// Waiting for a slot, of one class.
    waiting_of_class: usize,
    /// Waiting for a slot.
    waiting: usize,
}

impl Limits {
    fn new(capacity: usize, concurrency: usize) -> Self {
        let part = |eighths: usize| (concurrency * eighths / 8).max(1);
        let lane = capacity.clamp(1, part(2));
        Self {
            lane,
            existing: part(3),
            all: part(5),
            waiting_of_class: lane.min(part(2) - part(2) / 4),
            waiting: part(2),
        }
    }
}

#[derive(Default)]
struct State {
    taken: HashMap<(Lane, String), usize>,
    /// Reconciliations that wait, per class.
    waiting: HashMap<String, usize>,
}

/// The right to migrate one database, until it is dropped.
pub struct Slot<'a> {
    slots: &'a MigrationSlots,
    key: (Lane, String),
    since: Instant,
}

impl MigrationSlots {
    /// `capacity` limits each of the lanes for new Tenants and for roll-outs. `concurrency` is the
    /// number of Tenants that are reconciled concurrently.
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
            (0, false) => Lane::RollOut,
            _ => Lane::Slow,
        }
    }

    /// Waits a moment for a slot. `None` if there is none.
    pub async fn acquire(&self, class: &str, lane: Lane) -> Option<Slot<'_>> {
        let deadline = Instant::now() + MAX_WAIT;
        let mut waiting = None;
        loop {
            // Created first, so that a release after the attempt is not missed.
            let released = self.released.notified();
            if let Some(slot) = self.try_acquire(class, lane) {
                return Some(slot);
            }
            if waiting.is_none() {
                waiting = Some(Waiting::enter(self, class)?);
            }
            timeout_at(deadline, released).await.ok()?;
        }
    }

    fn try_acquire(&self, class: &str, lane: Lane) -> Option<Slot<'_>> {
        let mut state = self.state.lock();
        let existing = state.count(|lane| lane != Lane::New);
        if state.count(|_| true) >= self.limits.all
            || lane != Lane::New && existing >= self.limits.existing
        {
            return None;
        }
        let of_class = state
            .taken
            .get(&(lane, class.to_owned()))
            .copied()
            .unwrap_or_default();
        // Each class has one slot that no other class can take.
        if of_class > 0 {
            let shared_total: usize = state
                .taken
                .iter()
                .filter(|((taken, _), _)| *taken == lane)
                .map(|(_, count)| count - 1)
                .sum();
            let shared = self.shared(lane);
            let share_of_class = shared - shared / 4;
            if shared_total >= shared || of_class > share_of_class {
                return None;
            }
        }
        let key = (lane, class.to_owned());
        *state.taken.entry(key.clone()).or_insert(0) += 1;
        Some(Slot {
            slots: self,
            key,
            since: Instant::now(),
        })
    }

    /// Slots of a lane that any class can take.
    fn shared(&self, lane: Lane) -> usize {
        match lane {
            Lane::New | Lane::RollOut => self.limits.lane - 1,
            Lane::Slow => self.limits.lane / 4,
        }
    }

    /// Records that the Tenant's migration ran into a time limit after holding its slot for `held`.
    /// Returns the wait before the next attempt.
    pub fn record_time_limit(&self, tenant: TenantUid, held: Duration) -> Duration {
        let earlier = self.slow.failures(&tenant);
        let backoff = self.slow.record_failure(&tenant);
        let proportional = 2_u32
            .checked_pow(earlier)
            .and_then(|factor| held.checked_mul(WAIT_FACTOR)?.checked_mul(factor))
            .unwrap_or(MAX_WAIT_AFTER_LIMIT);
        backoff.max(proportional).min(MAX_WAIT_AFTER_LIMIT)
    }

    /// Records that the Tenant's migration did not run into a time limit, or that the Tenant is
    /// gone.
    pub fn forget(&self, tenant: TenantUid) {
        self.slow.reset(&tenant);
    }
}

impl State {
    /// Number of slots that are taken in some lanes.
    fn count(&self, of: impl Fn(Lane) -> bool) -> usize {
        let taken = self.taken.iter().filter(|((lane, _), _)| of(*lane));
        taken.map(|(_, count)| count).sum()
    }
}

impl Slot<'_> {
    /// How long the slot has been held.
    pub fn held(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.state.lock();
        if let Some(count) = state.taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.taken.remove(&self.key);
            }
        }
        drop(state);
        self.slots.released.notify_waiters();
    }
}

/// One waiting reconciliation. Their number is limited, so that Tenants do not occupy all
/// reconciliations by waiting.
struct Waiting<'a> {
    slots: &'a MigrationSlots,
    class: String,
}

impl<'a> Waiting<'a> {
    fn enter(slots: &'a MigrationSlots, class: &str) -> Option<Self> {
        let mut state = slots.state.lock();
        let all: usize = state.waiting.values().sum();
        let of_class = state.waiting.get(class).copied().unwrap_or_default();
        if all >= slots.limits.waiting || of_class >= slots.limits.waiting_of_class {
            return None;
        }
        *state.waiting.entry(class.to_owned()).or_insert(0) += 1;
        Some(Self {
            slots,
            class: class.to_owned(),
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.state.lock();
        if let Some(count) = state.waiting.get_mut(&self.class) {
            *count -= 1;
            if *count == 0 {
                state.waiting.remove(&self.class);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid() -> TenantUid {
        TenantUid::parse("7d9f5b0e-0a43-4f6c-9a3e-0c6f1a2b3c4d").expect("a UID")
    }

    /// Takes all slots that a class can get.
    fn take_all<'a>(slots: &'a MigrationSlots, class: &str, lane: Lane) -> Vec<Slot<'a>> {
        std::iter::from_fn(|| slots.try_acquire(class, lane)).collect()
    }

    #[tokio::test]
    async fn roll_outs_leave_the_slots_of_new_tenants_free() {
        let slots = MigrationSlots::new(16, 64);
        let taken: Vec<_> = ["a", "b", "c"]
            .iter()
            .flat_map(|class| take_all(&slots, class, Lane::RollOut))
            .collect();
        assert_eq!(taken.len(), 15 + 3);
        assert!(slots.try_acquire("a", Lane::New).is_some());
        assert!(slots.try_acquire("a", Lane::Slow).is_some());
    }

    #[tokio::test]
    async fn a_class_cannot_take_the_slots_of_another() {
        let slots = MigrationSlots::new(16, 64);
        let first = take_all(&slots, "a", Lane::RollOut);
        assert_eq!(first.len(), 13);
        let second = take_all(&slots, "b", Lane::RollOut);
        assert_eq!(second.len(), 4);
        assert!(slots.try_acquire("c", Lane::RollOut).is_some());
        drop(first);
        assert_eq!(take_all(&slots, "b", Lane::RollOut).len(), 9);
    }

    #[tokio::test]
    async fn one_slot_is_one_database_per_class() {
        let slots = MigrationSlots::new(1, 64);
        for lane in [Lane::New, Lane::RollOut, Lane::Slow] {
            assert_eq!(take_all(&slots, "a", lane).len(), 1);
            let _held = slots
                .try_acquire("a", lane)
                .expect("the slot is free again");
            assert!(slots.try_acquire("b", lane).is_some());
        }
    }

    /// Slots that many classes take in these lanes.
    fn take_by_all<'a>(slots: &'a MigrationSlots, lanes: &[Lane]) -> Vec<Slot<'a>> {
        let classes = (0..100).map(|number| format!("class-{number}"));
        classes
            .flat_map(|class| {
                lanes
                    .iter()
                    .flat_map(move |lane| take_all(slots, &class, *lane))
            })
            .collect()
    }

    #[tokio::test]
    async fn slots_leave_reconciliations_for_other_work() {
        const ALL: [Lane; 3] = [Lane::RollOut, Lane::Slow, Lane::New];
        for concurrency in [2, 4, 28, 64, 1_000] {
            for capacity in [1, 16, 64, 1_000] {
                let slots = MigrationSlots::new(capacity, concurrency);
                let existing = take_by_all(&slots, &ALL[..2]);
                assert!(existing.len() <= concurrency / 2, "{concurrency}");
                let new = take_by_all(&slots, &ALL[2..]);
                assert!(concurrency < 3 || !new.is_empty(), "{concurrency}");
                let waiting: Vec<_> = (0..concurrency)
                    .filter_map(|number| Waiting::enter(&slots, &format!("class-{number}")))
                    .collect();
                let occupied = existing.len() + new.len() + waiting.len();
                assert!(
                    occupied < concurrency || concurrency < 4,
                    "{occupied} of {concurrency} with {capacity}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_process_that_reconciles_one_tenant_at_a_time_migrates_it() {
        let slots = MigrationSlots::new(16, 1);
        for lane in [Lane::New, Lane::RollOut, Lane::Slow] {
            assert_eq!(take_all(&slots, "a", lane).len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_a_released_slot_or_after_a_moment() {
        let slots = MigrationSlots::new(1, 64);
        let held = slots.acquire("a", Lane::New).await.expect("a free slot");
        assert!(slots.acquire("a", Lane::New).await.is_none());
        let (second, ()) = tokio::join!(slots.acquire("a", Lane::New), async {
            tokio::time::sleep(MAX_WAIT / 2).await;
            drop(held);
        });
        assert!(second.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_ran_into_a_time_limit_waits_longer_each_time_and_shares_fewer_slots() {
        let slots = MigrationSlots::new(16, 64);
        let held = Duration::from_mins(10);
        let waits: Vec<_> = (0..8)
            .map(|_| slots.record_time_limit(uid(), held))
            .collect();
        assert!(waits[0] >= 2 * held && waits.is_sorted(), "{waits:?}");
        assert_eq!(waits.last(), Some(&MAX_WAIT_AFTER_LIMIT));
        assert_eq!(slots.lane(uid(), true), Lane::Slow);
        assert_eq!(take_all(&slots, "a", Lane::Slow).len(), 4);
        slots.forget(uid());
        assert_eq!(slots.lane(uid(), true), Lane::New);
        assert_eq!(slots.lane(uid(), false), Lane::RollOut);
    }
}
