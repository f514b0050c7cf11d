//! What goes astray on a Tenant that was at rest, and the step that mends it.

use crds::Reason;

use super::fixtures::*;
use crate::tenant::desired::{ComputeSettings, Quota};
use crate::tenant::observed::{ObservedSecret, Schema, SchemaTarget};
use crate::tenant::plan::{Intent, Step, plan};

#[test]
fn a_tenant_that_has_everything_is_left_alone() {
    assert_eq!(live(&resting()), Step::UpToDate);
}

#[test]
fn the_secret_of_an_earlier_tenant_of_the_name_is_waited_out() {
    let mut observed = resting();
    observed.secret = ObservedSecret::OwnedByPredecessor;
    assert!(matches!(
        live(&observed),
        Step::Wait {
            reason: Reason::UpdatingSecret,
            ..
        }
    ));
}

#[test]
fn settings_changed_in_neon_are_looked_at_and_then_put_right() {
    each(
        resting,
        &[
            (
                "changed, and not looked at yet",
                |_, observed| own_seen(observed).updated_at = "v2".to_owned(),
                Step::Inspect(id(OWN)),
            ),
            (
                "never looked at",
                |_, observed| own_status(observed).checked_at = None,
                Step::Inspect(id(OWN)),
            ),
            (
                "looked at: nothing that was wished is different",
                |desired, observed| {
                    own_seen(observed).updated_at = "v2".to_owned();
                    observed.endpoint = Some(endpoint(desired.compute));
                },
                Step::UpToDate,
            ),
            (
                "renamed",
                |desired, observed| {
                    own_seen(observed).updated_at = "v2".to_owned();
                    own_seen(observed).name = "mine now".to_owned();
                    observed.endpoint = Some(endpoint(desired.compute));
                },
                update(false),
            ),
            (
                "quota changed",
                |desired, observed| {
                    own_seen(observed).updated_at = "v2".to_owned();
                    own_seen(observed).quota = Some(Quota::default());
                    observed.endpoint = Some(endpoint(desired.compute));
                },
                update(false),
            ),
            (
                "allow list changed",
                |desired, observed| {
                    own_seen(observed).updated_at = "v2".to_owned();
                    own_seen(observed).allowed_ips = Some(["0.0.0.0/0".to_owned()].into());
                    observed.endpoint = Some(endpoint(desired.compute));
                },
                update(false),
            ),
            (
                "history changed",
                |desired, observed| {
                    own_seen(observed).updated_at = "v2".to_owned();
                    own_seen(observed).history_retention_seconds = Some(60);
                    observed.endpoint = Some(endpoint(desired.compute));
                },
                update(false),
            ),
            (
                "compute resized",
                |_, observed| {
                    own_seen(observed).updated_at = "v2".to_owned();
                    observed.endpoint = Some(endpoint(compute(8)));
                },
                update(true),
            ),
            (
                "compute and settings changed",
                |_, observed| {
                    own_seen(observed).updated_at = "v2".to_owned();
                    own_seen(observed).quota = None;
                    own_seen(observed).name = "mine now".to_owned();
                    observed.endpoint = Some(endpoint(ComputeSettings {
                        suspend_timeout_seconds: Some(-1),
                        ..compute(4)
                    }));
                },
                update(true),
            ),
            (
                "what a listing does not show is taken as right",
                |desired, observed| {
                    own_seen(observed).updated_at = "v2".to_owned();
                    own_seen(observed).quota = None;
                    own_seen(observed).allowed_ips = None;
                    own_seen(observed).history_retention_seconds = None;
                    observed.endpoint = Some(endpoint(desired.compute));
                },
                Step::UpToDate,
            ),
        ],
    );
}

#[test]
fn a_project_that_is_gone_is_looked_for_by_id_before_anything_else() {
    each(
        resting,
        &[
            (
                "the listings lack it",
                |_, observed| {
                    observed.listing.own = None;
                    observed.listing.marked.clear();
                },
                Step::VerifyMissing(id(OWN)),
            ),
            (
                "also while the wish changed",
                |desired, observed| {
                    observed.listing.own = None;
                    desired.quota = Quota::default();
                },
                Step::VerifyMissing(id(OWN)),
            ),
            (
                "it answered when it was asked for",
                |_, observed| {
                    observed.listing.own = None;
                    observed.project_found = true;
                },
                Step::UpToDate,
            ),
            (
                "no listing yet, so nothing is known to be missing",
                |_, observed| {
                    observed.listing = crate::tenant::observed::ObservedListing::default();
                },
                Step::UpToDate,
            ),
        ],
    );
}

#[test]
fn a_project_that_neon_cannot_read_is_waited_for_and_never_replaced() {
    let mut observed = resting();
    observed.listing.own = None;
    observed.listing.marked.clear();
    observed.listing.unavailable = true;
    assert!(matches!(
        live(&observed),
        Step::Wait {
            until: None,
            reason: Reason::ProjectUnavailable,
            ..
        }
    ));
}

#[test]
fn a_twin_goes_before_anything_else_is_done() {
    let mut observed = resting();
    observed.listing.marked = vec![seen(OWN), seen(TWIN)];
    observed.secret = ObservedSecret::Missing;
    assert_eq!(live(&observed), Step::DeleteDuplicate(id(TWIN)));
    observed.listing.unavailable = true;
    assert_eq!(live(&observed), Step::DeleteDuplicate(id(TWIN)));
}

#[test]
fn a_database_is_opened_for_another_schema_another_project_or_on_request_only() {
    let migrate = || Step::Migrate(id(OWN));
    each(
        resting,
        &[
            (
                "no schema yet",
                |_, observed| observed.status.schema = None,
                migrate(),
            ),
            (
                "the class has a newer one",
                |_, observed| {
                    observed.schema = Schema::Target(SchemaTarget {
                        version: 4,
                        digest: "digest-4".to_owned(),
                    });
                },
                migrate(),
            ),
            (
                "the same version with another text",
                |_, observed| {
                    observed.schema = Schema::Target(SchemaTarget {
                        version: 3,
                        digest: "changed".to_owned(),
                    });
                },
                migrate(),
            ),
            (
                "the database is ahead: it is asked again, which says so",
                |_, observed| {
                    observed.schema = Schema::Target(SchemaTarget {
                        version: 2,
                        digest: "digest-2".to_owned(),
                    });
                },
                migrate(),
            ),
            (
                "the schema is another project's",
                |_, observed| {
                    observed.status.schema.as_mut().unwrap().project_id = Some(TWIN.to_owned());
                },
                migrate(),
            ),
            (
                "a migration failed on the way",
                |_, observed| {
                    observed.status.schema.as_mut().unwrap().version = Some(2);
                },
                migrate(),
            ),
            (
                "somebody asks",
                |_, observed| observed.reconcile_at = Some("1".to_owned()),
                migrate(),
            ),
            (
                "somebody asks anew",
                |_, observed| {
                    observed.status.last_reconcile_at = Some("1".to_owned());
                    observed.reconcile_at = Some("2".to_owned());
                },
                migrate(),
            ),
            (
                "that was answered",
                |_, observed| {
                    observed.status.last_reconcile_at = Some("1".to_owned());
                    observed.reconcile_at = Some("1".to_owned());
                },
                Step::UpToDate,
            ),
            (
                "the request was taken back",
                |_, observed| {
                    observed.status.last_reconcile_at = Some("1".to_owned());
                },
                Step::UpToDate,
            ),
            (
                "the Secret comes first",
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
fn migrations_that_cannot_be_read_stall_the_schema_after_everything_else_is_right() {
    let mut observed = resting();
    observed.schema = Schema::Unusable(issue(Reason::MigrationsInvalid));
    assert_eq!(
        live(&observed),
        Step::Stalled(issue(Reason::MigrationsInvalid))
    );
    observed.secret = ObservedSecret::Missing;
    assert_eq!(live(&observed), Step::WriteSecret(id(OWN)));
    observed.status.project = None;
    observed.listing.marked.clear();
    assert_eq!(live(&observed), Step::Create { attempt: 1 });
}

#[test]
fn a_suspended_tenant_is_held_whatever_went_astray() {
    let all_astray: [fn(&mut crate::tenant::observed::ObservedState); 6] = [
        |observed| observed.secret = ObservedSecret::Missing,
        |observed| observed.listing.own = None,
        |observed| observed.listing.marked.push(seen(TWIN)),
        |observed| observed.status = crds::TenantStatus::default(),
        |observed| observed.account = no_class(),
        |observed| observed.has_finalizer = false,
    ];
    for astray in all_astray {
        let mut observed = resting();
        observed.suspended = true;
        astray(&mut observed);
        assert_eq!(live(&observed), Step::Suspended);
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
fn a_wish_that_cannot_be_granted_stalls_and_changes_nothing() {
    let intent = Intent::Provision(Err(issue(Reason::ClassLimitExceeded)));
    for mut observed in [new(), resting()] {
        observed.secret = ObservedSecret::Missing;
        assert_eq!(
            plan(&intent, &observed),
            Step::Stalled(issue(Reason::ClassLimitExceeded))
        );
    }
}

#[test]
fn a_recorded_id_that_is_none_stalls_instead_of_creating_another_project() {
    let mut observed = resting();
    own_status(&mut observed).id = "no id!".to_owned();
    assert_eq!(stalled_by(&live(&observed)), Some(Reason::ProjectNotFound));
}
