//! Builds the status of a class. Pure.

use crds::{
    AccountStatus, ConditionType, Reason, TenantClass, TenantClassStatus, annotations,
    set_condition,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::observe::{ObservedAccount, ObservedClass};
use super::plan_limits;
use crate::accounts::PlanReading;
use crate::issue::{Component, Issue};

pub fn build_status(
    class: &TenantClass,
    observed: &ObservedClass,
    now: Timestamp,
) -> TenantClassStatus {
    let mut status = class.status.clone().unwrap_or_default();
    status.account = account(status.account, observed.account.as_ref());
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
        (
            ConditionType::PlanExceeded,
            plan_exceeded(class, status.account.as_ref())
                .map(|message| (true, Reason::PlanLimit, message)),
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
    status.tenants = i64::try_from(observed.tenants).unwrap_or(i64::MAX);
    if let Some(orphaned) = &observed.orphaned {
        status.orphaned_projects = Some(orphaned.clone()).filter(|orphaned| orphaned.count > 0);
    }
    status.rollout.clone_from(&observed.rollout);
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

/// The account to record. Once recorded, the account does not change: the class's projects remain
/// there. After a restart, its plan and the number of its projects are kept until they are read.
fn account(
    recorded: Option<AccountStatus>,
    observed: Option<&ObservedAccount>,
) -> Option<AccountStatus> {
    let Some(observed) = observed else {
        return recorded;
    };
    let recorded = recorded.unwrap_or_else(|| AccountStatus {
        id: observed.id.clone(),
        ..AccountStatus::default()
    });
    if recorded.id != observed.id {
        return Some(recorded);
    }
    let used = observed
        .projects
        .map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    Some(match &observed.plan {
        PlanReading::Pending => recorded,
        PlanReading::Unavailable => AccountStatus {
            id: recorded.id,
            ..AccountStatus::default()
        },
        PlanReading::Known(plan) => AccountStatus {
            id: recorded.id,
            plan: Some(plan.name.clone()),
            projects_used: used.or(recorded.projects_used),
            projects_allowed: plan.projects_allowed,
        },
    })
}

/// Message of the condition `PlanExceeded`; `None` if the plan allows the class's defaults and limits,
/// or is not known.
fn plan_exceeded(class: &TenantClass, account: Option<&AccountStatus>) -> Option<String> {
    let plan = account?.plan.as_deref()?;
    let exceeded = plan_limits::exceeded(&class.spec, plan);
    (!exceeded.is_empty()).then(|| {
        format!(
            "the account's plan {plan:?} does not allow {}: Neon rejects these settings of Tenants. Change the class, or \
             upgrade the plan",
            exceeded.join(", ")
        )
    })
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
