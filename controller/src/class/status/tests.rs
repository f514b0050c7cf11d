use std::path::PathBuf;

use crds::{MassDeletionStatus, find_condition, is_true};
use serde_json::{Value, json};

use super::*;
use crate::accounts::AccountPlan;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn class() -> TenantClass {
    let spec = json!({ "neon": { "apiKeySecretRef": { "name": "neon" } } });
    let mut class = TenantClass::new("standard", serde_json::from_value(spec).unwrap());
    class.metadata.generation = Some(3);
    class
}

fn observed(issue: Option<Issue>) -> ObservedClass {
    ObservedClass {
        tenants: 5,
        orphaned: None,
        account: None,
        mass_deletion: None,
        rollout: None,
        pending_deletions: 0,
        issue,
    }
}

fn issue(reason: Reason) -> Issue {
    Issue::new(Component::Project, reason, format!("message of {reason}"))
}

/// The class after a reconciliation with this result.
fn reconciled(mut class: TenantClass, observed: &ObservedClass) -> TenantClass {
    class.status = Some(build_status(&class, observed, at(100)));
    class
}

/// The conditions that are `True`, sorted.
fn true_conditions(class: &TenantClass) -> Vec<&str> {
    let conditions = &class.status.as_ref().unwrap().conditions;
    let mut all: Vec<&str> = conditions
        .iter()
        .filter(|condition| condition.status == "True")
        .map(|condition| condition.type_.as_str())
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn a_class_is_stalled_only_if_a_person_has_to_act() {
    for reason in [
        Reason::ApiKeyInvalid,
        Reason::Unauthorized,
        Reason::MigrationsInvalid,
        Reason::NeonRequestRejected,
    ] {
        let class = reconciled(class(), &observed(Some(issue(reason))));
        assert_eq!(true_conditions(&class), ["Stalled"], "{reason}");
    }
    for reason in [
        Reason::Waiting,
        Reason::AccountUnreachable,
        Reason::RateLimited,
    ] {
        let class = reconciled(class(), &observed(Some(issue(reason))));
        assert_eq!(true_conditions(&class), ["Reconciling"], "{reason}");
    }
    let stalled = reconciled(class(), &observed(Some(issue(Reason::ApiKeyInvalid))));
    let ready = reconciled(stalled, &observed(None));
    assert_eq!(true_conditions(&ready), ["Ready"]);
}

#[test]
fn held_deletions_are_reported_with_the_way_to_confirm_them() {
    let held = ObservedClass {
        mass_deletion: Some(MassDeletionStatus {
            held_since: Some(Time(at(90))),
            confirmed_at: None,
        }),
        rollout: None,
        pending_deletions: 44,
        ..observed(None)
    };
    let class = reconciled(class(), &held);
    assert_eq!(true_conditions(&class), ["DeletionsHeld", "Ready"]);
    let conditions = &class.status.as_ref().unwrap().conditions;
    let condition = find_condition(conditions, ConditionType::DeletionsHeld).unwrap();
    assert!(
        condition
            .message
            .contains("dbpertenant.dev/confirm-deletions=1970-01-01T00:01:30Z"),
        "{}",
        condition.message
    );
    let confirmed = reconciled(class, &observed(None));
    let conditions = &confirmed.status.as_ref().unwrap().conditions;
    assert!(!is_true(conditions, ConditionType::DeletionsHeld));
}

fn plan(name: &str, projects_allowed: Option<i64>) -> PlanReading {
    PlanReading::Known(AccountPlan {
        name: name.to_owned(),
        projects_allowed,
    })
}

fn with_account(plan: PlanReading, projects: Option<usize>) -> ObservedClass {
    ObservedClass {
        account: Some(ObservedAccount {
            id: "org-blue-sea-1".to_owned(),
            plan,
            projects,
        }),
        ..observed(None)
    }
}

fn account_of(class: &TenantClass) -> AccountStatus {
    let status = class.status.as_ref().unwrap();
    status.account.clone().unwrap()
}

#[test]
fn the_account_shows_its_plan_and_its_projects_once_they_have_been_read() {
    let id = || "org-blue-sea-1".to_owned();
    let only_id = AccountStatus {
        id: id(),
        ..AccountStatus::default()
    };
    let known = AccountStatus {
        id: id(),
        plan: Some("free".to_owned()),
        projects_used: Some(97),
        projects_allowed: Some(100),
    };
    let pending = with_account(PlanReading::Pending, None);
    let class = reconciled(class(), &pending);
    assert_eq!(account_of(&class), only_id);
    let class = reconciled(class, &with_account(plan("free", Some(100)), Some(97)));
    assert_eq!(account_of(&class), known);
    // After a restart, before the plan has been read again.
    let class = reconciled(class, &pending);
    assert_eq!(account_of(&class), known);
    let class = reconciled(class, &with_account(PlanReading::Unavailable, Some(98)));
    assert_eq!(account_of(&class), only_id);
    // Another account never replaces the recorded one.
    let mut other = with_account(plan("scale", None), Some(1));
    other.account.as_mut().unwrap().id = "org-red-sea-2".to_owned();
    let class = reconciled(class, &other);
    assert_eq!(account_of(&class), only_id);
}

#[test]
fn a_class_that_exceeds_the_plan_has_a_condition_and_remains_ready() {
    let mut class = class();
    class.spec.defaults.history_retention_seconds = Some(86_400);
    let free = reconciled(
        class.clone(),
        &with_account(plan("free", Some(100)), Some(1)),
    );
    assert_eq!(true_conditions(&free), ["PlanExceeded", "Ready"]);
    let conditions = &free.status.as_ref().unwrap().conditions;
    let condition = find_condition(conditions, ConditionType::PlanExceeded).unwrap();
    assert_eq!(condition.reason, Reason::PlanLimit.as_str());
    let upgraded = reconciled(free, &with_account(plan("scale", None), Some(1)));
    assert_eq!(true_conditions(&upgraded), ["Ready"]);
    let unknown = reconciled(class, &with_account(PlanReading::Unavailable, Some(1)));
    assert_eq!(true_conditions(&unknown), ["Ready"]);
}

/// A class that the controller has not seen: its status is the default in the CRD.
fn unseen() -> TenantClass {
    let crd = crds::tenant_class_crd();
    let schema = crd.spec.versions[0].schema.as_ref().unwrap();
    let properties = schema
        .open_api_v3_schema
        .as_ref()
        .unwrap()
        .properties
        .as_ref();
    let default = properties.unwrap()["status"].default.clone().unwrap();
    TenantClass {
        status: Some(serde_json::from_value(default.0).unwrap()),
        ..class()
    }
}

/// A state: its name, the status that kstatus computes, the health of Argo CD, and the object.
fn state(name: &str, kstatus: &str, argocd: &str, object: &TenantClass) -> Value {
    json!({ "name": name, "kstatus": kstatus, "argocd": argocd, "object": object })
}

fn states() -> Vec<Value> {
    let with = |reason| reconciled(unseen(), &observed(Some(issue(reason))));
    let mut deleted = class();
    deleted.metadata.deletion_timestamp = Some(Time(at(90)));
    let held = ObservedClass {
        mass_deletion: Some(MassDeletionStatus {
            held_since: Some(Time(at(90))),
            confirmed_at: None,
        }),
        ..observed(None)
    };
    let ready = reconciled(unseen(), &observed(None));
    let mut edited = ready.clone();
    edited.metadata.generation = Some(4);
    let mut all = vec![
        state(
            "class not seen by the controller",
            "InProgress",
            "Progressing",
            &unseen(),
        ),
        state("class ready", "Current", "Healthy", &ready),
        state(
            "class ready, with a newer spec",
            "InProgress",
            "Progressing",
            &edited,
        ),
        state(
            "class with held deletions",
            "Current",
            "Degraded",
            &reconciled(unseen(), &held),
        ),
        state(
            "class being deleted",
            "Terminating",
            "Progressing",
            &reconciled(deleted, &observed(None)),
        ),
    ];
    for reason in [
        Reason::Waiting,
        Reason::AccountUnreachable,
        Reason::RateLimited,
    ] {
        let name = format!("class in progress: {reason}");
        all.push(state(&name, "InProgress", "Progressing", &with(reason)));
    }
    for reason in [
        Reason::ApiKeyInvalid,
        Reason::Unauthorized,
        Reason::MigrationsInvalid,
    ] {
        let name = format!("class stalled: {reason}");
        all.push(state(&name, "Failed", "Degraded", &with(reason)));
    }
    all
}

/// `UPDATE_GITOPS_STATES=1` has the file written instead of compared.
#[test]
fn the_states_for_the_tests_of_gitops_tools_are_up_to_date() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/gitops/testdata/tenantclasses.json");
    let text = serde_json::to_string_pretty(&states()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GITOPS_STATES").is_some() {
        std::fs::write(&file, text).unwrap();
    } else {
        let committed = std::fs::read_to_string(&file).unwrap();
        assert!(committed == text, "{file:?} is stale: run `make generate`");
    }
}
