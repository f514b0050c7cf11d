//! Databases that are restored after a failed migration.

use crds::{BackupStatus, Reason, RestoreStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::fixtures::*;
use crate::issue::{Component, Issue};
use crate::schema_assignment::{BackupKind, RequiredBackup, SchemaTarget};
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::Step;

/// The Tenant is to get version 5 in rollout `r5`, of which version 5 failed.
fn failed(restored: bool) -> ObservedState {
    let mut observed = up_to_date();
    let schema = observed.status.schema.as_mut().unwrap();
    schema.rollout = Some("r5".to_owned());
    if !restored {
        schema.version = Some(4);
        schema.checksum = Some("digest-4".to_owned());
    }
    observed.status.backup = Some(BackupStatus {
        rollout: "r5".to_owned(),
        project_id: OWN.to_owned(),
        name: "before-r5".to_owned(),
        branch_id: Some("br-1".to_owned()),
        snapshot_id: None,
        created_at: Some(Time(at(NOW - 600))),
        expires_at: Some(Time(at(NOW + 60))),
        attempt: 1,
        schema_version: Some(3),
        schema_checksum: Some("digest-3".to_owned()),
        restore: Some(RestoreStatus {
            requested_at: Time(at(NOW - 5)),
            failed_branch_name: "failed-r5".to_owned(),
            reason: "MigrationFailed".to_owned(),
            message: "0005_e.sql, line 1: undefined table".to_owned(),
            restored_at: restored.then(|| Time(at(NOW - 1))),
            abandoned_at: None,
        }),
    });
    observed.schema = Ok(target("r5", 5));
    observed
}

fn target(rollout: &str, version: i64) -> SchemaTarget {
    SchemaTarget {
        rollout: Some(rollout.to_owned()),
        version,
        digest: format!("digest-{version}"),
        backup: Some(RequiredBackup {
            kind: BackupKind::Branch,
            expiry_seconds: 3_600,
            restore_on_failure: true,
        }),
        asleep_before: None,
    }
}

fn backup(observed: &mut ObservedState) -> &mut BackupStatus {
    observed.status.backup.as_mut().unwrap()
}

/// A change of a Tenant whose migration failed, and the step that follows.
type Case = (&'static str, fn(&mut ObservedState), Step);

fn check(restored: bool, cases: &[Case]) {
    for (description, change, expected) in cases {
        let mut observed = failed(restored);
        change(&mut observed);
        assert_eq!(provision(&observed), *expected, "{description}");
    }
}

#[test]
fn a_recorded_restore_is_completed_whatever_happens_meanwhile() {
    let restore = || Step::Restore(id(OWN));
    check(
        false,
        &[
            ("nothing", |_| {}, restore()),
            (
                "a newer rollout",
                |observed| observed.schema = Ok(target("r6", 6)),
                restore(),
            ),
            (
                "the migrations become invalid",
                |observed| {
                    let invalid = Reason::MigrationsInvalid;
                    observed.schema = Err(Issue::new(Component::Schema, invalid, "invalid"));
                },
                restore(),
            ),
            (
                "a user requests a migration",
                |observed| observed.reconcile_at = Some("now".to_owned()),
                restore(),
            ),
            (
                "Neon keeps the backup",
                |observed| backup(observed).expires_at = None,
                restore(),
            ),
            (
                "the Tenant is suspended",
                |observed| observed.suspended = true,
                Step::Suspended,
            ),
            (
                "the backup is that of an earlier project",
                |observed| DUPLICATE.clone_into(&mut backup(observed).project_id),
                Step::BackUp(id(OWN)),
            ),
        ],
    );
}

#[test]
fn a_restored_database_waits_for_other_migrations_or_a_request() {
    let restored = failed(true);
    let Step::Stalled(issue) = provision(&restored) else {
        panic!("not stalled");
    };
    assert_eq!(issue.reason, Reason::MigrationFailed);
    let backup = format!(
        "restored to version 3 from backup before-r5 of {}",
        at(NOW - 600)
    );
    assert!(issue.message.contains(&backup), "{}", issue.message);
    check(
        true,
        &[
            (
                "a newer rollout reaches the Tenant",
                |observed| observed.schema = Ok(target("r6", 6)),
                Step::BackUp(id(OWN)),
            ),
            (
                "the Tenant keeps its schema, because it is skipped or not reached",
                |observed| {
                    observed.schema = Ok(SchemaTarget {
                        rollout: None,
                        backup: None,
                        ..target("", 3)
                    });
                },
                Step::UpToDate,
            ),
            (
                "a user requests a migration: the backup is outdated",
                |observed| observed.reconcile_at = Some("now".to_owned()),
                Step::BackUp(id(OWN)),
            ),
        ],
    );
}

#[test]
fn a_database_whose_backup_was_too_old_waits_as_well() {
    let mut abandoned = failed(false);
    let restore = backup(&mut abandoned).restore.as_mut().unwrap();
    restore.abandoned_at = Some(Time(at(NOW - 1)));
    let Step::Stalled(issue) = provision(&abandoned) else {
        panic!("not stalled");
    };
    assert_eq!(issue.reason, Reason::MigrationFailed);
    assert!(
        issue.message.contains("was not restored"),
        "{}",
        issue.message
    );
    abandoned.reconcile_at = Some("now".to_owned());
    assert_eq!(provision(&abandoned), Step::BackUp(id(OWN)));
}

#[test]
fn a_database_whose_backup_expired_before_the_restore_waits_as_well() {
    let mut expired = failed(false);
    backup(&mut expired).expires_at = Some(Time(at(NOW)));
    assert_eq!(
        stall_reason(&provision(&expired)),
        Some(Reason::MigrationFailed)
    );
    expired.reconcile_at = Some("now".to_owned());
    assert_eq!(provision(&expired), Step::BackUp(id(OWN)));
}
