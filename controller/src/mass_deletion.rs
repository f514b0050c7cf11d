//! Holds the deletion of projects after many Tenants of a class were deleted within a
//! minute, for example by `kubectl delete crd` or by a GitOps tool that prunes a folder, until a user
//! confirms the deletions.
//!
//! Deletions are counted by the time at which they were requested, so that a controller that starts
//! later, or an account that was unreachable for a while, gives the same answer. Whether deletions
//! are held, and when they were last confirmed, is in the status of the class.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crds::{MassDeletion, MassDeletionStatus, Reason, annotations};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_lot::Mutex;

use crate::identity::TenantUid;
use crate::issue::{Component, Issue};

/// Deletions that are requested within this time count together.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(1);

/// How long an executed deletion is remembered. Longer than [`WINDOW`], because the clocks of the
/// controller and of the API server may differ.
const MEMORY: SignedDuration = SignedDuration::from_mins(10);

/// The deletion of a Tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletionRequest {
    pub tenant: TenantUid,
    /// The Tenant's deletion timestamp.
    pub requested_at: Timestamp,
}

/// Which deletions of the classes' Tenants are held.
#[derive(Debug, Default)]
pub struct DeletionHolds(Mutex<HashMap<String, ClassDeletions>>);

#[derive(Debug, Default)]
struct ClassDeletions {
    held_since: Option<Timestamp>,
    /// Deletions requested by then were confirmed.
    confirmed_at: Option<Timestamp>,
    /// Deletions that were executed, and may no longer be in the cache, with the time of execution.
    executed: HashMap<TenantUid, (DeletionRequest, Timestamp)>,
}

impl DeletionHolds {
    /// Restores the state from the status of a class, unless this process already has a state for it.
    pub fn restore(&self, class: &str, status: Option<&MassDeletionStatus>) {
        self.0.lock().entry(class.to_owned()).or_insert_with(|| {
            let time = |time: Option<&Time>| time.map(|time| time.0);
            ClassDeletions {
                held_since: time(status.and_then(|status| status.held_since.as_ref())),
                confirmed_at: time(status.and_then(|status| status.confirmed_at.as_ref())),
                executed: HashMap::new(),
            }
        });
    }

    pub fn remove_class(&self, class: &str) {
        self.0.lock().remove(class);
    }

    /// Why the deletion of a Tenant's project is held; `None` if it is not.
    pub fn held(&self, class: &str, request: DeletionRequest) -> Option<Issue> {
        self.0.lock().get(class)?.held(class, request)
    }

    /// Decides about the deletion of a Tenant's project. `pending` are the deletions of all Tenants
    /// of the class that are in the cache, and `tenants` is the number of its Tenants, including
    /// those.
    pub fn admit(
        &self,
        class: &str,
        limits: MassDeletion,
        request: DeletionRequest,
        pending: impl Iterator<Item = DeletionRequest>,
        tenants: usize,
        now: Timestamp,
    ) -> Result<(), Issue> {
        let mut classes = self.0.lock();
        let deletions = classes.entry(class.to_owned()).or_default();
        if let Some(issue) = deletions.held(class, request) {
            return Err(issue);
        }
        if deletions.is_confirmed(request) {
            return Ok(());
        }
        deletions
            .executed
            .retain(|_, (_, executed_at)| now.duration_since(*executed_at) < MEMORY);
        let pending: Vec<DeletionRequest> = pending.collect();
        let still_cached = pending
            .iter()
            .filter(|other| deletions.executed.contains_key(&other.tenant))
            .count();
        let tenants = tenants + deletions.executed.len() - still_cached;
        let executed = deletions.executed.values().map(|(executed, _)| executed);
        let all: HashMap<TenantUid, Timestamp> = executed
            .chain(&pending)
            .chain([&request])
            .filter(|other| !deletions.is_confirmed(**other))
            .map(|other| (other.tenant, other.requested_at))
            .collect();
        let count = most_in_a_window(all.into_values().collect(), request.requested_at);
        if exceeds(limits, count, tenants) {
            // Whole seconds, as the API server stores it.
            let since = now.round(jiff::Unit::Second).unwrap_or(now);
            deletions.held_since = Some(since);
            return Err(held(class, since));
        }
        deletions.executed.insert(request.tenant, (request, now));
        Ok(())
    }

    /// Since when deletions of the class are held.
    pub fn held_since(&self, class: &str) -> Option<Timestamp> {
        self.0.lock().get(class)?.held_since
    }

    /// Releases the held deletions of a class if `confirmation`, the value of the annotation, names
    /// them. `last_requested` is the time of the newest one.
    pub fn confirm(
        &self,
        class: &str,
        confirmation: &str,
        last_requested: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let mut classes = self.0.lock();
        let Some(deletions) = classes.get_mut(class) else {
            return false;
        };
        let names_them = deletions.held_since.is_some_and(|since| {
            confirmation
                .trim()
                .parse::<Timestamp>()
                .is_ok_and(|time| time == since)
        });
        if names_them {
            deletions.held_since = None;
            deletions.confirmed_at = last_requested.max(Some(now));
        }
        names_them
    }

    /// The state of a class for its status; `None` if there was no mass deletion.
    pub fn status(&self, class: &str) -> Option<MassDeletionStatus> {
        let classes = self.0.lock();
        let deletions = classes.get(class)?;
        let status = MassDeletionStatus {
            held_since: deletions.held_since.map(Time),
            confirmed_at: deletions.confirmed_at.map(Time),
        };
        Some(status).filter(|status| *status != MassDeletionStatus::default())
    }
}

impl ClassDeletions {
    fn held(&self, class: &str, request: DeletionRequest) -> Option<Issue> {
        let since = self.held_since?;
        (!self.is_confirmed(request)).then(|| held(class, since))
    }

    fn is_confirmed(&self, request: DeletionRequest) -> bool {
        self.confirmed_at
            .is_some_and(|confirmed_at| request.requested_at <= confirmed_at)
    }
}

/// The largest number of `times` within one [`WINDOW`] that contains `time`.
fn most_in_a_window(mut times: Vec<Timestamp>, time: Timestamp) -> usize {
    times.sort_unstable();
    let within = |start: Timestamp, other: Timestamp| other.duration_since(start) < WINDOW;
    (0..times.len())
        .filter(|first| times[*first] <= time && within(times[*first], time))
        .map(|first| times.partition_point(|other| within(times[first], *other)) - first)
        .max()
        .unwrap_or(0)
}

/// Whether so many deletions, out of so many Tenants, need a confirmation.
fn exceeds(limits: MassDeletion, deletions: usize, tenants: usize) -> bool {
    let deletions = i64::try_from(deletions).unwrap_or(i64::MAX);
    let tenants = i64::try_from(tenants).unwrap_or(i64::MAX);
    deletions > limits.max_tenants_per_minute
        && deletions.saturating_mul(100) > tenants.saturating_mul(limits.max_percent_per_minute)
}

fn held(class: &str, since: Timestamp) -> Issue {
    Issue::new(
        Component::Project,
        Reason::MassDeletion,
        format!(
            "many Tenants of TenantClass {class} were deleted within a minute, so no project is deleted until a user \
             confirms it: kubectl annotate --overwrite tenantclass {class} {}={since}; to keep the project instead, \
             set spec.deletionPolicy of the Tenant to Retain",
            annotations::CONFIRM_DELETIONS
        ),
    )
}
