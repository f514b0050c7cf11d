//! What goes astray on a Tenant that was at rest, and the step that mends it.

use crds::Reason;

use super::fixtures::*;
use crate::tenant::desired::{ComputeWish, QuotaWish};
use crate::tenant::observed::{Schema, SchemaTarget, SecretFacts};
use crate::tenant::plan::{Goal, Step, plan};

#[test]
fn a_tenant_that_has_everything_is_left_alone() {
    assert_eq!(live(&resting()), Step::Rest);
}

#[test]
fn the_secret_of_an_earlier_tenant_of_the_name_is_waited_out() {
    let mut facts = resting();
    facts.secret = SecretFacts::Leftover;
    assert!(matches!(
        live(&facts),
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
                |_, facts| own_seen(facts).updated_at = "v2".to_owned(),
                Step::Inspect(id(OWN)),
            ),
            (
                "never looked at",
                |_, facts| own_status(facts).checked_at = None,
                Step::Inspect(id(OWN)),
            ),
            (
                "looked at: nothing that was wished is different",
                |wish, facts| {
                    own_seen(facts).updated_at = "v2".to_owned();
                    facts.endpoint = Some(endpoint(wish.compute));
                },
                Step::Rest,
            ),
            (
                "renamed",
                |wish, facts| {
                    own_seen(facts).updated_at = "v2".to_owned();
                    own_seen(facts).name = "mine now".to_owned();
                    facts.endpoint = Some(endpoint(wish.compute));
                },
                update(false),
            ),
            (
                "quota changed",
                |wish, facts| {
                    own_seen(facts).updated_at = "v2".to_owned();
                    own_seen(facts).quota = Some(QuotaWish::default());
                    facts.endpoint = Some(endpoint(wish.compute));
                },
                update(false),
            ),
            (
                "allow list changed",
                |wish, facts| {
                    own_seen(facts).updated_at = "v2".to_owned();
                    own_seen(facts).allowed_ips = Some(["0.0.0.0/0".to_owned()].into());
                    facts.endpoint = Some(endpoint(wish.compute));
                },
                update(false),
            ),
            (
                "history changed",
                |wish, facts| {
                    own_seen(facts).updated_at = "v2".to_owned();
                    own_seen(facts).history_retention_seconds = Some(60);
                    facts.endpoint = Some(endpoint(wish.compute));
                },
                update(false),
            ),
            (
                "compute resized",
                |_, facts| {
                    own_seen(facts).updated_at = "v2".to_owned();
                    facts.endpoint = Some(endpoint(compute(8)));
                },
                update(true),
            ),
            (
                "compute and settings changed",
                |_, facts| {
                    own_seen(facts).updated_at = "v2".to_owned();
                    own_seen(facts).quota = None;
                    own_seen(facts).name = "mine now".to_owned();
                    facts.endpoint = Some(endpoint(ComputeWish {
                        suspend_timeout_seconds: Some(-1),
                        ..compute(4)
                    }));
                },
                update(true),
            ),
            (
                "what a listing does not show is taken as right",
                |wish, facts| {
                    own_seen(facts).updated_at = "v2".to_owned();
                    own_seen(facts).quota = None;
                    own_seen(facts).allowed_ips = None;
                    own_seen(facts).history_retention_seconds = None;
                    facts.endpoint = Some(endpoint(wish.compute));
                },
                Step::Rest,
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
                |_, facts| {
                    facts.listing.own = None;
                    facts.listing.marked.clear();
                },
                Step::ConfirmGone(id(OWN)),
            ),
            (
                "also while the wish changed",
                |wish, facts| {
                    facts.listing.own = None;
                    wish.quota = QuotaWish::default();
                },
                Step::ConfirmGone(id(OWN)),
            ),
            (
                "it answered when it was asked for",
                |_, facts| {
                    facts.listing.own = None;
                    facts.confirmed = true;
                },
                Step::Rest,
            ),
            (
                "no listing yet, so nothing is known to be missing",
                |_, facts| {
                    facts.listing = crate::tenant::observed::ListingFacts::default();
                },
                Step::Rest,
            ),
        ],
    );
}

#[test]
fn a_project_that_neon_cannot_read_is_waited_for_and_never_replaced() {
    let mut facts = resting();
    facts.listing.own = None;
    facts.listing.marked.clear();
    facts.listing.unavailable = true;
    assert!(matches!(
        live(&facts),
        Step::Wait {
            until: None,
            reason: Reason::ProjectUnavailable,
            ..
        }
    ));
}

#[test]
fn a_twin_goes_before_anything_else_is_done() {
    let mut facts = resting();
    facts.listing.marked = vec![seen(OWN), seen(TWIN)];
    facts.secret = SecretFacts::Missing;
    assert_eq!(live(&facts), Step::RemoveTwin(id(TWIN)));
    facts.listing.unavailable = true;
    assert_eq!(live(&facts), Step::RemoveTwin(id(TWIN)));
}

#[test]
fn a_database_is_opened_for_another_schema_another_project_or_on_request_only() {
    let migrate = || Step::Migrate(id(OWN));
    each(
        resting,
        &[
            (
                "no schema yet",
                |_, facts| facts.status.schema = None,
                migrate(),
            ),
            (
                "the class has a newer one",
                |_, facts| {
                    facts.schema = Schema::Target(SchemaTarget {
                        version: 4,
                        digest: "digest-4".to_owned(),
                    });
                },
                migrate(),
            ),
            (
                "the same version with another text",
                |_, facts| {
                    facts.schema = Schema::Target(SchemaTarget {
                        version: 3,
                        digest: "changed".to_owned(),
                    });
                },
                migrate(),
            ),
            (
                "the database is ahead: it is asked again, which says so",
                |_, facts| {
                    facts.schema = Schema::Target(SchemaTarget {
                        version: 2,
                        digest: "digest-2".to_owned(),
                    });
                },
                migrate(),
            ),
            (
                "the schema is another project's",
                |_, facts| {
                    facts.status.schema.as_mut().unwrap().project_id = Some(TWIN.to_owned());
                },
                migrate(),
            ),
            (
                "a migration failed on the way",
                |_, facts| {
                    facts.status.schema.as_mut().unwrap().version = Some(2);
                },
                migrate(),
            ),
            (
                "somebody asks",
                |_, facts| facts.reconcile_at = Some("1".to_owned()),
                migrate(),
            ),
            (
                "somebody asks anew",
                |_, facts| {
                    facts.status.last_reconcile_at = Some("1".to_owned());
                    facts.reconcile_at = Some("2".to_owned());
                },
                migrate(),
            ),
            (
                "that was answered",
                |_, facts| {
                    facts.status.last_reconcile_at = Some("1".to_owned());
                    facts.reconcile_at = Some("1".to_owned());
                },
                Step::Rest,
            ),
            (
                "the request was taken back",
                |_, facts| {
                    facts.status.last_reconcile_at = Some("1".to_owned());
                },
                Step::Rest,
            ),
            (
                "the Secret comes first",
                |_, facts| {
                    facts.reconcile_at = Some("1".to_owned());
                    facts.secret = SecretFacts::Missing;
                },
                Step::WriteSecret(id(OWN)),
            ),
        ],
    );
}

#[test]
fn migrations_that_cannot_be_read_stall_the_schema_after_everything_else_is_right() {
    let mut facts = resting();
    facts.schema = Schema::Unusable(refusal(Reason::MigrationsInvalid));
    assert_eq!(
        live(&facts),
        Step::Stall(refusal(Reason::MigrationsInvalid))
    );
    facts.secret = SecretFacts::Missing;
    assert_eq!(live(&facts), Step::WriteSecret(id(OWN)));
    facts.status.project = None;
    facts.listing.marked.clear();
    assert_eq!(live(&facts), Step::Create { attempt: 1 });
}

#[test]
fn a_suspended_tenant_is_held_whatever_went_astray() {
    let all_astray: [fn(&mut crate::tenant::observed::Facts); 6] = [
        |facts| facts.secret = SecretFacts::Missing,
        |facts| facts.listing.own = None,
        |facts| facts.listing.marked.push(seen(TWIN)),
        |facts| facts.status = crds::TenantStatus::default(),
        |facts| facts.account = no_class(),
        |facts| facts.has_finalizer = false,
    ];
    for astray in all_astray {
        let mut facts = resting();
        facts.suspended = true;
        astray(&mut facts);
        assert_eq!(live(&facts), Step::Hold);
        assert_eq!(
            plan(&Goal::Live(Err(refusal(Reason::InvalidSpec))), &facts),
            Step::Hold
        );
    }
}

#[test]
fn a_wish_that_cannot_be_granted_stalls_and_changes_nothing() {
    let goal = Goal::Live(Err(refusal(Reason::ClassLimitExceeded)));
    for mut facts in [new(), resting()] {
        facts.secret = SecretFacts::Missing;
        assert_eq!(
            plan(&goal, &facts),
            Step::Stall(refusal(Reason::ClassLimitExceeded))
        );
    }
}

#[test]
fn a_recorded_id_that_is_none_stalls_instead_of_creating_another_project() {
    let mut facts = resting();
    own_status(&mut facts).id = "no id!".to_owned();
    assert_eq!(stalled_by(&live(&facts)), Some(Reason::ProjectNotFound));
}
