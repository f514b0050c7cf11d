//! The status that follows from each outcome: conditions, phase, and what remains unchanged.

mod availability;
mod properties;
mod states;

use crds::{Binding, Connection, ProjectStatus, SchemaStatus, Timings, find_condition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::*;

const PROJECT: &str = "calm-sea-1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn input(credentials: bool, schema: bool, second: i64) -> StatusInput {
    StatusInput {
        generation: Some(7),
        deleting: false,
        credentials,
        schema,
        connected: false,
        now: at(second),
    }
}

fn issue(component: Component, reason: Reason) -> Issue {
    Issue::new(component, reason, format!("message of {reason}"))
}

/// The status of a Tenant with a project, a Secret and schema version 3.
fn complete() -> TenantStatus {
    TenantStatus {
        project: Some(ProjectStatus {
            id: PROJECT.to_owned(),
            region: "aws-eu-central-1".to_owned(),
            name: "acme/one".to_owned(),
            branch_id: None,
            endpoint_id: None,
            adopted: false,
            reclaimed: false,
            checked_at: None,
        }),
        connection: Some(Connection {
            host: "h".to_owned(),
            pooled_host: "p".to_owned(),
            port: 5432,
            database: "d".to_owned(),
            role: "r".to_owned(),
            ssl_mode: "require".to_owned(),
            options: None,
        }),
        binding: Some(Binding {
            name: "one-connection".to_owned(),
            ..Binding::default()
        }),
        schema: Some(SchemaStatus {
            version: Some(3),
            target: Some(3),
            checksum: Some("digest-3".to_owned()),
            applied_at: None,
            rollout: None,
            project_id: Some(PROJECT.to_owned()),
        }),
        ..TenantStatus::default()
    }
}

fn ready() -> TenantStatus {
    build_status(complete(), &StatusOutcome::Ready, input(true, true, 100))
}

/// `Type=Status/Reason` of each condition, sorted.
fn conditions(status: &TenantStatus) -> Vec<String> {
    let summary = |condition: &Condition| {
        format!(
            "{}={}/{}",
            condition.type_, condition.status, condition.reason
        )
    };
    let mut all: Vec<String> = status.conditions.iter().map(summary).collect();
    all.sort();
    all
}

fn condition(status: &TenantStatus, kind: ConditionType) -> &Condition {
    find_condition(&status.conditions, kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn a_ready_tenant_is_ready_in_every_component() {
    let status = ready();
    assert_eq!(
        conditions(&status),
        [
            "Available=True/ReconcileSucceeded",
            "CredentialsReady=True/ReconcileSucceeded",
            "ProjectReady=True/ReconcileSucceeded",
            "Ready=True/ReconcileSucceeded",
            "SchemaReady=True/ReconcileSucceeded",
        ]
    );
    assert_eq!(status.phase, Some(Phase::Ready));
    assert_eq!(status.observed_generation, Some(7));
    assert_eq!(
        condition(&status, ConditionType::Ready).message,
        "the database is ready, with schema version 3"
    );
    assert!(
        status
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(7))
    );
}

#[test]
fn a_tenant_in_progress_reports_the_current_component() {
    let creating = StatusOutcome::InProgress(issue(Component::Project, Reason::CreatingProject));
    let status = build_status(TenantStatus::default(), &creating, input(false, false, 1));
    assert_eq!(
        conditions(&status),
        [
            "Available=False/CreatingProject",
            "CredentialsReady=False/Waiting",
            "ProjectReady=False/CreatingProject",
            "Ready=False/CreatingProject",
            "Reconciling=True/CreatingProject",
            "SchemaReady=False/Waiting",
        ]
    );
    let migrating = StatusOutcome::InProgress(issue(Component::Schema, Reason::Migrating));
    let mut half = complete();
    half.schema = None;
    let status = build_status(half, &migrating, input(true, false, 2));
    assert_eq!(
        conditions(&status),
        [
            "Available=False/Migrating",
            "CredentialsReady=True/ReconcileSucceeded",
            "ProjectReady=True/ReconcileSucceeded",
            "Ready=False/Migrating",
            "Reconciling=True/Migrating",
            "SchemaReady=False/Migrating",
        ]
    );
}

#[test]
fn stalled_and_reconciling_exclude_each_other() {
    let stalled = build_status(
        ready(),
        &StatusOutcome::Stalled(issue(Component::Project, Reason::NeonRequestRejected)),
        input(true, true, 200),
    );
    assert!(is_true(&stalled.conditions, ConditionType::Stalled));
    assert_eq!(
        find_condition(&stalled.conditions, ConditionType::Reconciling),
        None
    );
    let in_progress = StatusOutcome::InProgress(issue(Component::Project, Reason::UpdatingProject));
    let in_progress = build_status(stalled, &in_progress, input(true, true, 300));
    assert!(is_true(&in_progress.conditions, ConditionType::Reconciling));
    assert_eq!(
        find_condition(&in_progress.conditions, ConditionType::Stalled),
        None
    );
    let done = build_status(in_progress, &StatusOutcome::Ready, input(true, true, 400));
    assert_eq!(conditions(&done), conditions(&ready()), "both are removed");
}

#[test]
fn a_suspended_tenant_keeps_its_last_result() {
    let suspended = |before: TenantStatus| {
        let input = StatusInput {
            generation: Some(8),
            ..input(true, true, 200)
        };
        build_status(before, &StatusOutcome::Suspended, input)
    };
    let after_ready = suspended(ready());
    assert_eq!(
        conditions(&after_ready),
        [
            "Available=True/ReconcileSucceeded",
            "CredentialsReady=True/ReconcileSucceeded",
            "ProjectReady=True/ReconcileSucceeded",
            "Ready=True/ReconcileSucceeded",
            "SchemaReady=True/ReconcileSucceeded",
            "Suspended=True/Suspended",
        ]
    );
    assert_eq!(after_ready.observed_generation, Some(8));
    let ready_condition = condition(&after_ready, ConditionType::Ready);
    assert_eq!(ready_condition.observed_generation, Some(8));
    assert_eq!(ready_condition.last_transition_time.0, at(100));

    let stalled = StatusOutcome::Stalled(issue(Component::Schema, Reason::MigrationFailed));
    let after_stalled = suspended(build_status(complete(), &stalled, input(true, false, 100)));
    assert!(is_true(&after_stalled.conditions, ConditionType::Stalled));
    let migrating = StatusOutcome::InProgress(issue(Component::Schema, Reason::Migrating));
    let in_progress = build_status(complete(), &migrating, input(true, false, 100));
    let after_progress = suspended(in_progress);
    assert_eq!(
        find_condition(&after_progress.conditions, ConditionType::Reconciling),
        None
    );
    assert_eq!(
        condition(&after_progress, ConditionType::Ready).reason,
        "Migrating"
    );

    let resumed = build_status(after_ready, &StatusOutcome::Ready, input(true, true, 300));
    assert_eq!(conditions(&resumed), conditions(&ready()));
}

#[test]
fn a_tenant_that_was_never_reconciled_is_not_ready_while_it_is_suspended() {
    let created: TenantStatus = serde_json::from_value(serde_json::json!({
        "observedGeneration": -1,
        "conditions": [{
            "type": "Ready", "status": "Unknown", "reason": "Waiting", "message": "waiting for the controller",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }],
    }))
    .unwrap();
    let status = build_status(created, &StatusOutcome::Suspended, input(false, false, 100));
    let ready = condition(&status, ConditionType::Ready);
    assert_eq!((&*ready.status, &*ready.reason), ("False", "Suspended"));
    assert_eq!(ready.last_transition_time.0, at(100));
}

#[test]
fn each_outcome_has_its_phase() {
    let of = |component, reason| issue(component, reason);
    let rows = [
        (StatusOutcome::Ready, Phase::Ready),
        (StatusOutcome::Suspended, Phase::Suspended),
        (
            StatusOutcome::Stalled(of(Component::Schema, Reason::MigrationFailed)),
            Phase::Stalled,
        ),
        (
            StatusOutcome::InProgress(of(Component::Project, Reason::Waiting)),
            Phase::Pending,
        ),
        (
            StatusOutcome::InProgress(of(Component::Project, Reason::VerifyingCreation)),
            Phase::Provisioning,
        ),
        (
            StatusOutcome::InProgress(of(Component::Credentials, Reason::UpdatingSecret)),
            Phase::Provisioning,
        ),
        (
            StatusOutcome::InProgress(of(Component::Schema, Reason::Migrating)),
            Phase::Migrating,
        ),
    ];
    for (outcome, phase) in rows {
        assert_eq!(
            build_status(complete(), &outcome, input(true, true, 1)).phase,
            Some(phase),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_tenant_that_is_being_deleted_has_the_phase_deleting_even_if_it_stalls() {
    let deleting = StatusInput {
        deleting: true,
        ..input(true, true, 1)
    };
    for outcome in [
        StatusOutcome::InProgress(issue(Component::Project, Reason::Deleting)),
        StatusOutcome::Stalled(issue(Component::Project, Reason::ApiKeyInvalid)),
    ] {
        let status = build_status(complete(), &outcome, deleting);
        assert_eq!(status.phase, Some(Phase::Deleting), "{outcome:?}");
    }
}

#[test]
fn an_issue_changes_only_the_condition_of_its_component() {
    let outcome = StatusOutcome::Stalled(issue(Component::Credentials, Reason::SecretConflict));
    let status = build_status(ready(), &outcome, input(false, true, 200));
    assert_eq!(
        conditions(&status),
        [
            "Available=False/SecretConflict",
            "CredentialsReady=False/SecretConflict",
            "ProjectReady=True/ReconcileSucceeded",
            "Ready=False/SecretConflict",
            "SchemaReady=True/ReconcileSucceeded",
            "Stalled=True/SecretConflict",
        ]
    );
    assert_eq!(
        condition(&status, ConditionType::Stalled).message,
        "message of SecretConflict"
    );
    assert_eq!(
        condition(&status, ConditionType::ProjectReady)
            .last_transition_time
            .0,
        at(100),
        "the condition did not change"
    );
}

#[test]
fn the_transition_time_follows_the_status_of_a_condition_and_not_its_message() {
    let first = StatusOutcome::Stalled(issue(Component::Schema, Reason::MigrationFailed));
    let second = StatusOutcome::Stalled(issue(Component::Schema, Reason::MigrationChanged));
    let status = build_status(
        build_status(ready(), &first, input(true, false, 200)),
        &second,
        input(true, false, 300),
    );
    for kind in [
        ConditionType::Ready,
        ConditionType::Stalled,
        ConditionType::SchemaReady,
    ] {
        assert_eq!(
            condition(&status, kind).last_transition_time.0,
            at(200),
            "{kind}"
        );
        assert_eq!(
            condition(&status, kind).reason,
            "MigrationChanged",
            "{kind}"
        );
    }
}

#[test]
fn only_the_first_time_to_ready_is_recorded() {
    let mut status = complete();
    status.timings = Some(Timings {
        started_at: Some(MicroTime(at(90))),
        ..Timings::default()
    });
    let unready = StatusOutcome::InProgress(issue(Component::Schema, Reason::Migrating));
    let status = build_status(status, &unready, input(true, false, 95));
    assert_eq!(status.timings.as_ref().unwrap().ready_ms, None);
    let status = build_status(status, &StatusOutcome::Ready, input(true, true, 100));
    assert_eq!(status.timings.as_ref().unwrap().ready_ms, Some(10_000));
    let status = build_status(status, &unready, input(true, false, 200));
    let status = build_status(status, &StatusOutcome::Ready, input(true, true, 300));
    assert_eq!(status.timings.unwrap().ready_ms, Some(10_000));
}

#[test]
fn a_clock_that_goes_back_gives_no_negative_duration() {
    assert_eq!(millis_between(at(10), at(9)), 0);
    assert_eq!(millis_between(at(9), at(10)), 1_000);
}

#[test]
fn a_long_message_is_truncated_to_fit_a_condition() {
    let long = Issue {
        message: "é".repeat(MAX_MESSAGE_CHARS * 3),
        ..issue(Component::Schema, Reason::MigrationFailed)
    };
    let status = build_status(
        complete(),
        &StatusOutcome::Stalled(long),
        input(true, false, 1),
    );
    for condition in &status.conditions {
        assert!(condition.message.chars().count() <= MAX_MESSAGE_CHARS);
        assert!(condition.message.len() < 32_768);
    }
}

#[test]
fn a_database_that_refused_connections_is_available_only_once_it_was_reached() {
    let quota = StatusOutcome::Stalled(issue(Component::Schema, Reason::QuotaExceeded));
    let refused = build_status(ready(), &quota, input(true, true, 200));
    let retry = StatusOutcome::InProgress(issue(Component::Schema, Reason::Migrating));
    let update = StatusOutcome::Stalled(issue(Component::Project, Reason::NeonRequestRejected));
    let migration = StatusOutcome::Stalled(issue(Component::Schema, Reason::MigrationFailed));
    for outcome in [retry, update, migration, StatusOutcome::Suspended] {
        let with = |connected| {
            let input = StatusInput {
                connected,
                ..input(true, true, 300)
            };
            build_status(refused.clone(), &outcome, input)
        };
        let recorded = condition(&refused, ConditionType::Available);
        assert_eq!(
            condition(&with(false), ConditionType::Available),
            recorded,
            "{outcome:?}"
        );
        let reached = with(true);
        let available = condition(&reached, ConditionType::Available);
        assert_eq!(available.status, "True", "{outcome:?}");
    }
    let done = build_status(refused, &StatusOutcome::Ready, input(true, true, 300));
    assert_eq!(condition(&done, ConditionType::Available).status, "True");
}
