//! Builds the status of a class. Pure.

use crds::{
    AccountStatus, ConditionType, Reason, TenantClass, TenantClassStatus, annotations,
    set_condition,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::observe::ObservedClass;
use crate::issue::{Component, Issue};

pub fn build_status(
    class: &TenantClass,
    observed: &ObservedClass,
    now: Timestamp,
) -> TenantClassStatus {
    let mut status = class.status.clone().unwrap_or_default();
    let terminating = terminating(class, observed.tenants);
    let state = match (&terminating, &observed.issue) {
        (Some(_), _) => ClassState::Terminating,
        (None, Some(issue)) if is_transient(issue.reason) => ClassState::InProgress,
        (None, Some(_)) => ClassState::Stalled,
        (None, None) => ClassState::Ready,
    };
    let issue = terminating.as_ref().or(observed.issue.as_ref());
    let reason = issue.map_or(Reason::ReconcileSucceeded, |issue| issue.reason);
    let message = issue.map_or(
        "the Neon account can be accessed and the migrations are valid",
        |issue| &issue.message,
    );
    let while_true = |applies: bool| applies.then(|| (true, reason, message.to_owned()));
    let conditions = [
        (
            ConditionType::Ready,
            Some((state == ClassState::Ready, reason, message.to_owned())),
        ),
        (
            ConditionType::Reconciling,
            while_true(state == ClassState::InProgress),
        ),
        (
            ConditionType::Stalled,
            while_true(state == ClassState::Stalled),
        ),
        (
            ConditionType::DeletionsHeld,
            deletions_held(class, observed).map(|message| (true, Reason::MassDeletion, message)),
        ),
    ];
    for (kind, state) in conditions {
        let Some((value, reason, message)) = state else {
            status
                .conditions
                .retain(|existing| existing.type_ != kind.as_str());
            continue;
        };
        let condition = Condition {
            type_: kind.as_str().to_owned(),
            status: if value { "True" } else { "False" }.to_owned(),
            reason: reason.as_str().to_owned(),
            message,
            observed_generation: class.metadata.generation,
            // `set_condition` sets the transition time.
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        set_condition(&mut status.conditions, condition, &Time(now));
    }
    status.observed_generation = class.metadata.generation;
    // Once recorded, the account does not change: the class's projects remain there.
    if status.account.is_none() {
        status.account = observed.account.clone().map(|id| AccountStatus { id });
    }
    status.tenants = i64::try_from(observed.tenants).unwrap_or(i64::MAX);
    if let Some(orphaned) = &observed.orphaned {
        status.orphaned_projects = Some(orphaned.clone()).filter(|orphaned| orphaned.count > 0);
    }
    status.mass_deletion.clone_from(&observed.mass_deletion);
    status
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClassState {
    Ready,
    /// The controller continues without any change by a user.
    InProgress,
    /// Progress needs a change by a user or an administrator.
    Stalled,
    Terminating,
}

/// Whether the controller retries without any change by a user.
fn is_transient(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Waiting
            | Reason::AccountUnreachable
            | Reason::RateLimited
            | Reason::OperationsRunning
            | Reason::KubernetesError
    )
}

/// Message of the condition `DeletionsHeld`; `None` if no deletions are held.
fn deletions_held(class: &TenantClass, observed: &ObservedClass) -> Option<String> {
    let since = observed.mass_deletion.as_ref()?.held_since.as_ref()?;
    let name = class.metadata.name.as_deref().unwrap_or_default();
    Some(format!(
        "{} Tenants are being deleted, more than spec.massDeletion allows within a minute, so no project of the class is \
         deleted. To delete the projects: kubectl annotate --overwrite tenantclass {name} {}={}. To keep a project, \
         set spec.deletionPolicy of its Tenant to Retain.",
        observed.pending_deletions,
        annotations::CONFIRM_DELETIONS,
        since.0
    ))
}

/// Message of the `Ready` condition, if it reports that the class is being deleted.
pub fn terminating_message(status: &TenantClassStatus) -> Option<&str> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == ConditionType::Ready.as_str())
        .filter(|ready| ready.reason == Reason::ClassTerminating.as_str())
        .map(|ready| ready.message.as_str())
}

fn terminating(class: &TenantClass, tenants: usize) -> Option<Issue> {
    class.metadata.deletion_timestamp.as_ref()?;
    Some(Issue::new(
        Component::Project,
        Reason::ClassTerminating,
        format!(
            "the class is being deleted and accepts no new Tenants; the deletion completes once its last Tenant is \
             deleted ({tenants} remain: kubectl get tenants -A)"
        ),
    ))
}

#[cfg(test)]
mod tests;
