//! What each verdict makes of a status: conditions, phase, and what is kept through trouble.

mod properties;

use crds::{Binding, Connection, ProjectStatus, SchemaStatus, Timings, find_condition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::*;

const PROJECT: &str = "calm-sea-1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn seen(credentials: bool, schema: bool, second: i64) -> StatusInput {
    StatusInput {
        generation: Some(7),
        credentials,
        schema,
        now: at(second),
    }
}

fn issue(component: Component, reason: Reason) -> Issue {
    Issue {
        component,
        reason,
        message: format!("{reason} in words"),
    }
}

/// A Tenant that has a project, a Secret and schema version 3.
fn complete() -> TenantStatus {
    TenantStatus {
        project: Some(ProjectStatus {
            id: PROJECT.to_owned(),
            region: "aws-eu-central-1".to_owned(),
            name: "acme/one".to_owned(),
            branch_id: None,
            endpoint_id: None,
            adopted: false,
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
        }),
        schema: Some(SchemaStatus {
            version: Some(3),
            target: 3,
            checksum: Some("digest-3".to_owned()),
            applied_at: None,
            project_id: Some(PROJECT.to_owned()),
        }),
        ..TenantStatus::default()
    }
}

fn ready() -> TenantStatus {
    report(complete(), &StatusOutcome::Ready, seen(true, true, 100))
}

/// `Type=Status/Reason` of each condition, sorted.
fn conditions(status: &TenantStatus) -> Vec<String> {
    let word = |condition: &Condition| {
        format!(
            "{}={}/{}",
            condition.type_, condition.status, condition.reason
        )
    };
    let mut all: Vec<String> = status.conditions.iter().map(word).collect();
    all.sort();
    all
}

fn condition(status: &TenantStatus, kind: ConditionType) -> &Condition {
    find_condition(&status.conditions, kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn a_ready_tenant_says_so_in_every_part() {
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
fn a_tenant_on_its_way_names_the_part_that_it_is_at() {
    let creating = StatusOutcome::InProgress(issue(Component::Project, Reason::CreatingProject));
    let status = report(TenantStatus::default(), &creating, seen(false, false, 1));
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
    let status = report(half, &migrating, seen(true, false, 2));
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
fn a_stalled_tenant_is_not_reconciling_and_the_other_way_round() {
    let stalled = report(
        ready(),
        &StatusOutcome::Stalled(issue(Component::Project, Reason::NeonRequestRejected)),
        seen(true, true, 200),
    );
    assert!(is_true(&stalled.conditions, ConditionType::Stalled));
    assert_eq!(
        find_condition(&stalled.conditions, ConditionType::Reconciling),
        None
    );
    let going_on = StatusOutcome::InProgress(issue(Component::Project, Reason::UpdatingProject));
    let going_on = report(stalled, &going_on, seen(true, true, 300));
    assert!(is_true(&going_on.conditions, ConditionType::Reconciling));
    assert_eq!(
        find_condition(&going_on.conditions, ConditionType::Stalled),
        None
    );
    let done = report(going_on, &StatusOutcome::Ready, seen(true, true, 400));
    assert_eq!(
        conditions(&done),
        conditions(&ready()),
        "neither is left over"
    );
}

#[test]
fn each_verdict_has_its_phase() {
    let of = |component, reason| issue(component, reason);
    let rows = [
        (StatusOutcome::Ready, Phase::Ready),
        (StatusOutcome::Suspended, Phase::Suspended),
        (
            StatusOutcome::Stalled(of(Component::Schema, Reason::MigrationFailed)),
            Phase::Stalled,
        ),
        (
            StatusOutcome::Deleting(of(Component::Project, Reason::Deleting)),
            Phase::Deleting,
        ),
        (
            StatusOutcome::DeletionStalled(of(Component::Project, Reason::ApiKeyInvalid)),
            Phase::Deleting,
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
            report(complete(), &outcome, seen(true, true, 1)).phase,
            Some(phase),
            "{verdict:?}"
        );
    }
}

#[test]
fn a_tenant_that_can_be_served_stays_available_through_trouble_with_what_is_new() {
    let troubles = [
        StatusOutcome::Stalled(issue(Component::Schema, Reason::MigrationFailed)),
        StatusOutcome::Stalled(issue(Component::Schema, Reason::MigrationsInvalid)),
        StatusOutcome::Stalled(issue(Component::Schema, Reason::SchemaAhead)),
        StatusOutcome::Stalled(issue(Component::Project, Reason::ClassLimitExceeded)),
        StatusOutcome::Stalled(issue(Component::Project, Reason::Unauthorized)),
        StatusOutcome::InProgress(issue(Component::Schema, Reason::Migrating)),
        StatusOutcome::InProgress(issue(Component::Project, Reason::UpdatingProject)),
        StatusOutcome::InProgress(issue(Component::Project, Reason::RateLimited)),
        StatusOutcome::DeletionStalled(issue(Component::Project, Reason::ApiKeyInvalid)),
        StatusOutcome::Suspended,
    ];
    for outcome in troubles {
        let status = report(ready(), &outcome, seen(true, false, 200));
        assert!(is_available(&status), "{verdict:?}");
        assert_eq!(
            condition(&status, ConditionType::Available)
                .last_transition_time
                .0,
            at(100),
            "{verdict:?}"
        );
        assert!(
            !is_true(&status.conditions, ConditionType::Ready),
            "{verdict:?}"
        );
        assert_eq!(
            condition(&status, ConditionType::Ready)
                .last_transition_time
                .0,
            at(200),
            "{verdict:?}"
        );
    }
}

#[test]
fn a_tenant_whose_database_is_away_is_not_available() {
    let away = [
        (
            StatusOutcome::Stalled(issue(Component::Project, Reason::ProjectNotFound)),
            true,
        ),
        (
            StatusOutcome::InProgress(issue(Component::Project, Reason::RecoveringProject)),
            true,
        ),
        (
            StatusOutcome::Deleting(issue(Component::Project, Reason::Deleting)),
            true,
        ),
        (
            StatusOutcome::Stalled(issue(Component::Credentials, Reason::PasswordUnavailable)),
            true,
        ),
        (
            StatusOutcome::Stalled(issue(Component::Schema, Reason::QuotaExceeded)),
            true,
        ),
        (
            StatusOutcome::Stalled(issue(Component::Credentials, Reason::SecretConflict)),
            false,
        ),
        (
            StatusOutcome::InProgress(issue(Component::Credentials, Reason::UpdatingSecret)),
            false,
        ),
        (StatusOutcome::Suspended, false),
    ];
    for (outcome, credentials) in away {
        assert!(
            !is_available(&report(ready(), &outcome, seen(credentials, true, 200))),
            "{verdict:?}"
        );
    }
}

#[test]
fn a_schema_of_another_project_or_none_makes_nothing_available() {
    let mut other = complete();
    other.schema.as_mut().unwrap().project_id = Some("other-1".to_owned());
    let mut none = complete();
    none.schema.as_mut().unwrap().version = None;
    let mut no_project = complete();
    no_project.project = None;
    for status in [other, none, no_project] {
        let outcome = StatusOutcome::InProgress(issue(Component::Schema, Reason::Migrating));
        assert!(!is_available(&report(
            status,
            &outcome,
            seen(true, false, 1)
        )));
    }
}

#[test]
fn a_part_in_trouble_says_which_and_the_others_what_they_were() {
    let outcome = StatusOutcome::Stalled(issue(Component::Credentials, Reason::SecretConflict));
    let status = report(ready(), &outcome, seen(false, true, 200));
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
        "SecretConflict in words"
    );
    assert_eq!(
        condition(&status, ConditionType::ProjectReady)
            .last_transition_time
            .0,
        at(100),
        "it did not change"
    );
}

#[test]
fn transition_times_move_with_the_status_of_a_condition_and_not_with_its_words() {
    let first = StatusOutcome::Stalled(issue(Component::Schema, Reason::MigrationFailed));
    let second = StatusOutcome::Stalled(issue(Component::Schema, Reason::MigrationChanged));
    let status = report(
        report(ready(), &first, seen(true, false, 200)),
        &second,
        seen(true, false, 300),
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
fn the_first_ready_is_timed_and_no_other() {
    let mut status = complete();
    status.timings = Some(Timings {
        started_at: Some(MicroTime(at(90))),
        ..Timings::default()
    });
    let unready = StatusOutcome::InProgress(issue(Component::Schema, Reason::Migrating));
    let status = report(status, &unready, seen(true, false, 95));
    assert_eq!(status.timings.as_ref().unwrap().ready_ms, None);
    let status = report(status, &StatusOutcome::Ready, seen(true, true, 100));
    assert_eq!(status.timings.as_ref().unwrap().ready_ms, Some(10_000));
    let status = report(status, &unready, seen(true, false, 200));
    let status = report(status, &StatusOutcome::Ready, seen(true, true, 300));
    assert_eq!(status.timings.unwrap().ready_ms, Some(10_000));
}

#[test]
fn a_clock_that_went_back_gives_no_negative_time() {
    assert_eq!(millis_between(at(10), at(9)), 0);
    assert_eq!(millis_between(at(9), at(10)), 1_000);
}

#[test]
fn a_message_of_any_length_fits_into_a_condition() {
    let long = Issue {
        message: "é".repeat(MESSAGE_CHARS_MAX * 3),
        ..issue(Component::Schema, Reason::MigrationFailed)
    };
    let status = report(
        complete(),
        &StatusOutcome::Stalled(long),
        seen(true, false, 1),
    );
    for condition in &status.conditions {
        assert!(condition.message.chars().count() <= MESSAGE_CHARS_MAX);
        assert!(condition.message.len() < 32_768);
    }
}
