//! Whether applications can use the database, and the recorded schema.

use super::*;

#[test]
fn a_usable_tenant_remains_available_when_a_change_cannot_be_applied() {
    let outcomes = [
        StatusOutcome::Stalled(issue(Component::Schema, Reason::MigrationFailed)),
        StatusOutcome::Stalled(issue(Component::Schema, Reason::MigrationsInvalid)),
        StatusOutcome::Stalled(issue(Component::Schema, Reason::SchemaAhead)),
        StatusOutcome::Stalled(issue(Component::Project, Reason::ClassLimitExceeded)),
        StatusOutcome::Stalled(issue(Component::Project, Reason::Unauthorized)),
        StatusOutcome::InProgress(issue(Component::Schema, Reason::Migrating)),
        StatusOutcome::InProgress(issue(Component::Project, Reason::UpdatingProject)),
        StatusOutcome::InProgress(issue(Component::Project, Reason::RateLimited)),
        StatusOutcome::Stalled(issue(Component::Project, Reason::ApiKeyInvalid)),
    ];
    for outcome in outcomes {
        let status = build_status(ready(), &outcome, input(true, false, 200));
        assert!(is_available(&status), "{outcome:?}");
        assert_eq!(
            condition(&status, ConditionType::Available)
                .last_transition_time
                .0,
            at(100),
            "{outcome:?}"
        );
        assert!(
            !is_true(&status.conditions, ConditionType::Ready),
            "{outcome:?}"
        );
        assert_eq!(
            condition(&status, ConditionType::Ready)
                .last_transition_time
                .0,
            at(200),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_tenant_whose_database_cannot_be_used_is_not_available() {
    let outcomes = [
        (
            StatusOutcome::Stalled(issue(Component::Project, Reason::ProjectNotFound)),
            true,
        ),
        (
            StatusOutcome::InProgress(issue(Component::Project, Reason::RecoveringProject)),
            true,
        ),
        (
            StatusOutcome::InProgress(issue(Component::Project, Reason::Deleting)),
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
            StatusOutcome::Stalled(issue(Component::Project, Reason::ComputeMissing)),
            true,
        ),
        (
            StatusOutcome::Stalled(issue(Component::Schema, Reason::DatabaseMissing)),
            true,
        ),
        (
            StatusOutcome::Stalled(issue(Component::Schema, Reason::PasswordRejected)),
            true,
        ),
        // An immutable Secret with outdated content.
        (
            StatusOutcome::Stalled(issue(Component::Credentials, Reason::SecretConflict)),
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
    for (outcome, credentials) in outcomes {
        assert!(
            !is_available(&build_status(
                ready(),
                &outcome,
                input(credentials, true, 200)
            )),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_database_that_can_be_read_only_is_available() {
    let issue = Issue {
        readable: true,
        ..issue(Component::Schema, Reason::QuotaExceeded)
    };
    let status = build_status(
        ready(),
        &StatusOutcome::Stalled(issue),
        input(true, true, 200),
    );
    assert!(is_available(&status));
}

#[test]
fn a_schema_of_another_project_or_none_does_not_make_a_tenant_available() {
    let mut other = complete();
    other.schema.as_mut().unwrap().project_id = Some("other-1".to_owned());
    let mut none = complete();
    let schema = none.schema.as_mut().unwrap();
    schema.version = None;
    schema.project_id = None;
    let mut no_project = complete();
    no_project.project = None;
    for status in [other, none, no_project] {
        let outcome = StatusOutcome::InProgress(issue(Component::Schema, Reason::Migrating));
        assert!(!is_available(&build_status(
            status,
            &outcome,
            input(true, false, 1)
        )));
    }
}

#[test]
fn the_recorded_target_follows_the_migrations_of_the_class() {
    let target = |version, digest: &str| SchemaTarget {
        rollout: None,
        backup: None,
        asleep_before: None,
        version,
        digest: digest.to_owned(),
    };
    let mut schema = complete().schema.expect("a schema");
    for version in [4, 2, 4] {
        follow_target(
            &mut schema,
            &target(version, "digest"),
            Some(PROJECT),
            &StatusOutcome::Ready,
        );
        assert_eq!((schema.version, schema.target), (Some(3), Some(version)));
    }
    // The class no longer applies migrations, so the controller does not know the version.
    let unmanaged = target(0, "");
    follow_target(
        &mut schema,
        &unmanaged,
        Some(PROJECT),
        &StatusOutcome::Ready,
    );
    assert_eq!((schema.version, schema.target), (None, None));
    assert!(unmanaged.is_reached(Some(&schema), PROJECT));
    assert!(!unmanaged.is_reached(Some(&schema), "another"));
    assert!(!unmanaged.is_reached(None, PROJECT));
    assert!(!target(3, "digest-3").is_reached(Some(&schema), PROJECT));
}

#[test]
fn the_recorded_rollout_changes_when_it_brings_another_schema() {
    let target = |digest: &str| SchemaTarget {
        version: 3,
        digest: digest.to_owned(),
        rollout: Some("next".to_owned()),
        backup: None,
        asleep_before: None,
    };
    let mut schema = complete().schema.expect("a schema");
    // The Tenant already has the schema, so its status need not be written.
    let current = target(schema.checksum.as_deref().expect("a digest"));
    let migrating = StatusOutcome::InProgress(issue(Component::Schema, Reason::Migrating));
    follow_target(&mut schema, &current, Some(PROJECT), &migrating);
    assert_eq!(schema.rollout, None);
    // The rollout has not begun to migrate a Tenant that waits for a user.
    for outcome in [
        StatusOutcome::Suspended,
        StatusOutcome::Stalled(issue(Component::Project, Reason::ProjectNotFound)),
    ] {
        follow_target(&mut schema, &target("another"), Some(PROJECT), &outcome);
        assert_eq!(schema.rollout, None, "{outcome:?}");
    }
    follow_target(&mut schema, &target("another"), Some(PROJECT), &migrating);
    assert_eq!(schema.rollout.as_deref(), Some("next"));
}

#[test]
fn without_migrations_a_database_that_was_reached_is_available() {
    let mut status = complete();
    status.schema = Some(SchemaStatus {
        version: None,
        target: None,
        checksum: None,
        applied_at: None,
        rollout: None,
        project_id: Some(PROJECT.to_owned()),
    });
    let reached = build_status(
        status.clone(),
        &StatusOutcome::Ready,
        input(true, true, 100),
    );
    assert!(is_available(&reached));
    // The class applies migrations from now on, and the first one fails.
    let mut failing = status.clone();
    failing.schema.as_mut().expect("a schema").target = Some(1);
    let failure = issue(Component::Schema, Reason::MigrationFailed);
    let input_after_attempt = StatusInput {
        connected: true,
        ..input(true, false, 100)
    };
    let failing = build_status(
        failing,
        &StatusOutcome::Stalled(failure),
        input_after_attempt,
    );
    assert!(is_available(&failing));
    let not_reached = build_status(
        status,
        &StatusOutcome::InProgress(Issue::new(Component::Schema, Reason::Migrating, "opening")),
        input(true, false, 100),
    );
    assert!(!is_available(&not_reached));
}
