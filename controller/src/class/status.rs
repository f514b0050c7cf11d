//! Builds the status of a class. Pure.

use crds::{AccountStatus, ConditionType, Reason, TenantClass, TenantClassStatus, set_condition};
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
    let issue = terminating(class, observed.tenants).or_else(|| observed.issue.clone());
    let (value, reason, message) = match issue {
        Some(issue) => ("False", issue.reason, issue.message),
        None => (
            "True",
            Reason::ReconcileSucceeded,
            "the account can be listed and the migrations are valid".to_owned(),
        ),
    };
    let ready = Condition {
        type_: ConditionType::Ready.as_str().to_owned(),
        status: value.to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        observed_generation: class.metadata.generation,
        // `set_condition` sets the transition time.
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    };
    set_condition(&mut status.conditions, ready, &Time(now));
    status.observed_generation = class.metadata.generation;
    // Once recorded, the account does not change: the class's projects remain there.
    if status.account.is_none() {
        status.account = observed.account.clone().map(|id| AccountStatus { id });
    }
    status.tenants = i64::try_from(observed.tenants).unwrap_or(i64::MAX);
    if let Some(orphaned) = &observed.orphaned {
        status.orphaned_projects = Some(orphaned.clone()).filter(|orphaned| orphaned.count > 0);
    }
    status
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
