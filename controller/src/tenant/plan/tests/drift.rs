//! Drift of an up-to-date Tenant, and the step that corrects it.

use crds::{BackupStatus, Reason, TenantStatus, Timings};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use neon_client::model::Quota;

use super::fixtures::*;
use crate::accounts::ObservedListing;
use crate::cache::ObservedSecret;
use crate::issue::Issue;
use crate::schema_assignment::{BackupKind, RequiredBackup, SchemaTarget};
use crate::tenant::desired::ComputeSettings;
use crate::tenant::drift::compute_defaults;
use crate::tenant::intent::Intent;
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::{Step, lacks_backup, plan, settings_changes};

#[test]
fn an_up_to_date_tenant_needs_no_step() {
    assert_eq!(provision(&up_to_date()), Step::UpToDate);
}

#[test]
fn a_tenant_waits_for_the_deletion_of_its_predecessors_secret() {
    let mut observed = up_to_date();
    observed.secret = ObservedSecret::OwnedByPredecessor;
    assert!(matches!(
        provision(&observed),
        Step::Wait {
            issue: Issue {
                reason: Reason::UpdatingSecret,
                ..
            },
            ..
        }
    ));
}

#[test]
fn settings_that_changed_in_neon_are_corrected_without_another_read() {
    check_cases(
        up_to_date,
        &[
            (
                "only used",
                |_, observed| own_listed(observed).updated_at = "v2".to_owned(),
                Step::UpToDate,
            ),
            (
                "renamed",
                |_, observed| own_listed(observed).name = "renamed by a user".to_owned(),
                update(false),
            ),
            (
                "quota changed",
                |_, observed| own_listed(observed).quota = Some(Quota::default()),
                update(false),
            ),
            (
                "allow list changed",
                |_, observed| {
                    own_listed(observed).allowed_ips = Some(["0.0.0.0/0".to_owned()].into());
                },
                update(false),
            ),
            (
                "history changed",
                |_, observed| own_listed(observed).history_retention_seconds = Some(60),
                update(false),
            ),
            (
                "settings that the listing does not show",
                |_, observed| {
                    own_listed(observed).quota = None;
                    own_listed(observed).allowed_ips = None;
                    own_listed(observed).history_retention_seconds = None;
                    own_listed(observed).compute_defaults = None;
                },
                Step::UpToDate,
            ),
        ],
    );
}

#[test]
fn a_compute_is_read_in_turn_or_if_the_listing_gives_a_reason() {
    check_cases(
        up_to_date,
        &[
            (
                "never read",
                |_, observed| recorded_project(observed).checked_at = None,
                Step::Inspect(id(OWN)),
            ),
            (
                "its turn",
                |_, observed| observed.inspection_due = true,
                Step::Inspect(id(OWN)),
            ),
            (
                "the defaults for new computes changed",
                |_, observed| {
                    own_listed(observed).compute_defaults = compute_defaults(compute_settings(8));
                },
                Step::Inspect(id(OWN)),
            ),
            (
                "read, and nothing differs from the desired state",
                |desired, observed| {
                    observed.inspection_due = true;
                    observed.compute = Some(observed_compute(desired.compute));
                },
                Step::UpToDate,
            ),
            (
                "only the defaults for new computes differ",
                |desired, observed| {
                    own_listed(observed).compute_defaults = compute_defaults(compute_settings(8));
                    observed.compute = Some(observed_compute(desired.compute));
                },
                update(false),
            ),
            (
                "compute resized",
                |_, observed| observed.compute = Some(observed_compute(compute_settings(8))),
                update(true),
            ),
            (
                "compute and settings changed",
                |_, observed| {
                    own_listed(observed).name = "renamed by a user".to_owned();
                    observed.compute = Some(observed_compute(ComputeSettings {
                        suspend_timeout_seconds: Some(-1),
                        ..compute_settings(4)
                    }));
                },
                update(true),
            ),
            (
                "Neon's form of the default suspend timeout",
                |_, observed| {
                    observed.compute = Some(observed_compute(ComputeSettings {
                        suspend_timeout_seconds: Some(0),
                        ..compute_settings(4)
                    }));
                },
                Step::UpToDate,
            ),
        ],
    );
}

#[test]
fn settings_that_neon_does_not_apply_are_not_sent_again_and_again() {
    let changes: [fn(&mut ObservedState); 3] = [
        |observed| own_listed(observed).quota = Some(Quota::default()),
        |observed| observed.compute = Some(observed_compute(compute_settings(8))),
        |observed| {
            own_listed(observed).compute_defaults = compute_defaults(compute_settings(8));
            observed.compute = Some(observed_compute(desired().compute));
        },
    ];
    for change in changes {
        let mut observed = up_to_date();
        change(&mut observed);
        assert!(matches!(provision(&observed), Step::Update { .. }));
        observed.settings_sent = Some(settings_changes(&desired(), &observed));
        assert_eq!(
            stall_reason(&provision(&observed)),
            Some(Reason::SettingsNotApplied)
        );
        // Another change, which the update did not contain.
        own_listed(&mut observed).name = "renamed by a user".to_owned();
        assert!(matches!(provision(&observed), Step::Update { .. }));
    }
}

#[test]
fn a_missing_project_is_read_by_id_before_anything_else() {
    check_cases(
        up_to_date,
        &[
            (
                "the listing lacks the project",
                |_, observed| {
                    observed.listing.own = None;
                    observed.listing.marked.clear();
                },
                Step::VerifyMissing(id(OWN)),
            ),
            (
                "even if the spec changed",
                |desired, observed| {
                    observed.listing.own = None;
                    desired.quota = Quota::default();
                },
                Step::VerifyMissing(id(OWN)),
            ),
            (
                "the project was found by id",
                |_, observed| {
                    observed.listing.own = None;
                    observed.project_found = true;
                },
                Step::UpToDate,
            ),
            (
                "the account has not been listed yet",
                |_, observed| {
                    observed.listing = ObservedListing::default();
                },
                Step::UpToDate,
            ),
        ],
    );
}

#[test]
fn a_tenant_waits_for_a_project_that_neon_cannot_read() {
    let mut observed = up_to_date();
    observed.listing.own = None;
    observed.listing.marked.clear();
    observed.listing.unavailable = true;
    assert!(matches!(
        provision(&observed),
        Step::Wait {
            until: None,
            issue: Issue {
                reason: Reason::ProjectUnavailable,
                ..
            },
            ..
        }
    ));
}

#[test]
fn a_database_is_migrated_only_for_another_schema_another_project_or_on_request() {
    let migrate = || Step::Migrate(id(OWN));
    check_cases(
        up_to_date,
        &[
            (
                "no schema recorded",
                |_, observed| observed.status.schema = None,
                migrate(),
            ),
            (
                "the class has a newer schema",
                |_, observed| {
                    observed.schema = Ok(SchemaTarget {
                        version: 4,
                        digest: "digest-4".to_owned(),
                        ..SchemaTarget::default()
                    });
                },
                migrate(),
            ),
            (
                "the same version with other content",
                |_, observed| {
                    observed.schema = Ok(SchemaTarget {
                        version: 3,
                        digest: "changed".to_owned(),
                        ..SchemaTarget::default()
                    });
                },
                migrate(),
            ),
            (
                "the database is ahead: the migration reports it",
                |_, observed| {
                    observed.schema = Ok(SchemaTarget {
                        version: 2,
                        digest: "digest-2".to_owned(),
                        ..SchemaTarget::default()
                    });
                },
                migrate(),
            ),
            (
                "the recorded schema belongs to another project",
                |_, observed| {
                    observed.status.schema.as_mut().unwrap().project_id =
                        Some(DUPLICATE.to_owned());
                },
                migrate(),
            ),
            (
                "an earlier migration failed halfway",
                |_, observed| {
                    observed.status.schema.as_mut().unwrap().version = Some(2);
                },
                migrate(),
            ),
            (
                "a migration is requested",
                |_, observed| observed.reconcile_at = Some("1".to_owned()),
                migrate(),
            ),
            (
                "another migration is requested",
                |_, observed| {
                    observed.status.last_reconcile_at = Some("1".to_owned());
                    observed.reconcile_at = Some("2".to_owned());
                },
                migrate(),
            ),
            (
                "the request was handled",
                |_, observed| {
                    observed.status.last_reconcile_at = Some("1".to_owned());
                    observed.reconcile_at = Some("1".to_owned());
                },
                Step::UpToDate,
            ),
            (
                "the annotation was removed",
                |_, observed| {
                    observed.status.last_reconcile_at = Some("1".to_owned());
                },
                Step::UpToDate,
            ),
            (
                "the Secret is written first",
                |_, observed| {
                    observed.reconcile_at = Some("1".to_owned());
                    observed.secret = ObservedSecret::Missing;
                },
                Step::WriteSecret(id(OWN)),
            ),
        ],
    );
}

#[test]
fn invalid_migrations_stall_only_the_schema() {
    let mut observed = up_to_date();
    observed.schema = Err(issue(Reason::MigrationsInvalid));
    assert_eq!(
        provision(&observed),
        Step::Stalled(issue(Reason::MigrationsInvalid))
    );
    observed.secret = ObservedSecret::Missing;
    assert_eq!(provision(&observed), Step::WriteSecret(id(OWN)));
    observed.status.project = None;
    observed.listing.marked.clear();
    assert_eq!(provision(&observed), Step::Create { attempt: 1 });
}

#[test]
fn a_suspended_tenant_is_not_changed_by_any_drift() {
    let drifts: [fn(&mut ObservedState); 6] = [
        |observed| observed.secret = ObservedSecret::Missing,
        |observed| observed.listing.own = None,
        |observed| observed.listing.marked.push(listed(DUPLICATE)),
        |observed| observed.status = crds::TenantStatus::default(),
        |observed| observed.account = class_missing(),
        |observed| observed.has_finalizer = false,
    ];
    for drift in drifts {
        let mut observed = up_to_date();
        observed.suspended = true;
        drift(&mut observed);
        assert_eq!(provision(&observed), Step::Suspended);
        assert_eq!(
            plan(
                &Intent::Provision(Err(issue(Reason::InvalidSpec))),
                &observed
            ),
            Step::Suspended
        );
    }
}

#[test]
fn an_invalid_spec_stalls_before_any_change() {
    let intent = Intent::Provision(Err(issue(Reason::ClassLimitExceeded)));
    for mut observed in [new_tenant(), up_to_date()] {
        observed.secret = ObservedSecret::Missing;
        assert_eq!(
            plan(&intent, &observed),
            Step::Stalled(issue(Reason::ClassLimitExceeded))
        );
    }
}

#[test]
fn an_invalid_recorded_project_id_stalls_instead_of_creating_another_project() {
    let mut observed = up_to_date();
    recorded_project(&mut observed).id = "no id!".to_owned();
    assert_eq!(
        stall_reason(&provision(&observed)),
        Some(Reason::ProjectNotFound)
    );
}

#[test]
fn a_database_is_backed_up_before_a_rollout_that_requires_it() {
    let before = |recorded: Option<BackupStatus>| {
        let mut observed = before_a_rollout_with_backups();
        observed.status.backup = recorded;
        observed
    };
    let backup = |rollout: &str, project: &str, branch: Option<&str>| {
        Some(BackupStatus {
            rollout: rollout.to_owned(),
            project_id: project.to_owned(),
            name: format!("before-{rollout}"),
            branch_id: branch.map(str::to_owned),
            snapshot_id: None,
            created_at: None,
            expires_at: None,
            attempt: 1,
            schema_version: Some(3),
            schema_checksum: Some("digest-3".to_owned()),
            restore: None,
        })
    };
    let snapshot = |id: &str| {
        backup("r4", OWN, None).map(|backup| BackupStatus {
            snapshot_id: Some(id.to_owned()),
            ..backup
        })
    };
    let (first, migrate) = (Step::BackUp(id(OWN)), Step::Migrate(id(OWN)));
    for (recorded, expected) in [
        (None, &first),
        (backup("r4", OWN, None), &first),
        (backup("r3", OWN, Some("br-1")), &first),
        (backup("r4", DUPLICATE, Some("br-1")), &first),
        (backup("r4", OWN, Some("br-1")), &migrate),
        (snapshot("snap-1"), &migrate),
    ] {
        let observed = before(recorded.clone());
        assert_eq!(provision(&observed), *expected, "{recorded:?}");
    }
    let mut requested = up_to_date();
    requested.reconcile_at = Some("now".to_owned());
    assert_eq!(provision(&requested), migrate);
}

/// An up-to-date Tenant that a rollout with backups is to migrate.
fn before_a_rollout_with_backups() -> ObservedState {
    let mut observed = up_to_date();
    observed.schema = Ok(SchemaTarget {
        rollout: Some("r4".to_owned()),
        version: 4,
        digest: "digest-4".to_owned(),
        backup: Some(RequiredBackup {
            kind: BackupKind::Branch,
            expiry_seconds: 3_600,
            restore_on_failure: false,
        }),
        asleep_before: None,
    });
    observed
}

#[test]
fn a_backup_that_has_expired_or_is_about_to_is_replaced() {
    let step = |seconds_left: i64| {
        let mut observed = before_a_rollout_with_backups();
        observed.status.backup = Some(BackupStatus {
            rollout: "r4".to_owned(),
            project_id: OWN.to_owned(),
            name: "before-r4".to_owned(),
            branch_id: Some("br-1".to_owned()),
            snapshot_id: None,
            created_at: None,
            expires_at: Some(Time(at(NOW + seconds_left))),
            attempt: 1,
            schema_version: Some(3),
            schema_checksum: Some("digest-3".to_owned()),
            restore: None,
        });
        provision(&observed)
    };
    assert_eq!(step(3_600), Step::Migrate(id(OWN)));
    assert_eq!(step(60), Step::BackUp(id(OWN)));
    assert_eq!(step(-3_600), Step::BackUp(id(OWN)));
}

#[test]
fn a_database_without_a_recorded_schema_is_backed_up_if_it_can_have_data() {
    type Change = fn(&mut TenantStatus);
    let mut new = before_a_rollout_with_backups();
    new.status.schema = None;
    assert_eq!(provision(&new), Step::Migrate(id(OWN)));
    let changes: [(&str, Change); 3] = [
        ("was ready", |status| {
            status.timings = Some(Timings {
                ready_ms: Some(1_000),
                ..Timings::default()
            });
        }),
        ("adopted", |status| {
            status.project.as_mut().unwrap().adopted = true;
        }),
        ("reclaimed", |status| {
            status.project.as_mut().unwrap().reclaimed = true;
        }),
    ];
    for (name, change) in changes {
        let mut observed = new.clone();
        change(&mut observed.status);
        let target = observed.schema.as_ref().unwrap();
        assert!(lacks_backup(&observed, target, OWN), "{name}");
    }
}

#[test]
fn a_tenant_is_asleep_if_neither_neon_nor_the_application_reports_a_use_since_the_rollout_started()
{
    let (before, start, after) = (Some(at(90)), Some(at(100)), Some(at(100)));
    for (asleep_before, last_active_at, used_at, expected) in [
        (start, before, None, true),
        (start, None, None, true),
        (start, before, before, true),
        (start, after, None, false),
        (start, None, after, false),
        // The rollout wakes all Tenants, or none assigns the schema.
        (None, before, None, false),
    ] {
        let mut observed = up_to_date();
        observed.schema = Ok(SchemaTarget {
            asleep_before,
            ..SchemaTarget::default()
        });
        observed.used_at = used_at;
        own_listed(&mut observed).last_active_at = last_active_at;
        observed.listing.as_of = start;
        let case = format!("{asleep_before:?} {last_active_at:?} {used_at:?}");
        assert_eq!(observed.is_asleep(), expected, "{case}");
        observed.listing.as_of = before;
        assert!(!observed.is_asleep(), "no listing since the start");
        observed.listing.as_of = start;
        observed.listing.own = None;
        assert!(!observed.is_asleep(), "no listing shows the project");
    }
}
