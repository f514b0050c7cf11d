//! Creation of a project, also after a lost answer or a crash.

use crds::Reason;
use jiff::Timestamp;

use super::fixtures::*;
use crate::accounts::ObservedListing;
use crate::cache::ObservedSecret;
use crate::issue::Issue;
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::{MAX_VERIFICATION_LISTING_AGE, Step};

#[test]
fn a_new_tenant_gets_the_class_finalizer_then_its_own_then_a_project() {
    let mut observed = new_tenant();
    observed.has_finalizer = false;
    observed.class_has_finalizer = false;
    assert_eq!(provision(&observed), Step::AddClassFinalizer);
    observed.class_has_finalizer = true;
    assert_eq!(provision(&observed), Step::AddFinalizer);
    observed.has_finalizer = true;
    assert_eq!(provision(&observed), Step::Create { attempt: 1 });
}

#[test]
fn a_tenant_without_a_usable_account_stalls_before_any_change() {
    let mut observed = new_tenant();
    observed.has_finalizer = false;
    observed.class_has_finalizer = false;
    for reason in [Reason::ClassNotFound, Reason::ApiKeyInvalid] {
        observed.account = Err(issue(reason));
        assert_eq!(provision(&observed), Step::Stalled(issue(reason)));
    }
}

#[test]
fn a_class_that_has_not_been_read_yet_makes_the_tenant_wait() {
    let mut observed = new_tenant();
    observed.account = Err(issue(Reason::Waiting));
    let waits = |step| {
        matches!(
            step,
            Step::Wait {
                until: None,
                issue: Issue {
                    reason: Reason::Waiting,
                    ..
                },
                ..
            }
        )
    };
    assert!(waits(provision(&observed)));
    let mut observed = up_to_date();
    observed.schema = Err(issue(Reason::Waiting));
    assert!(waits(provision(&observed)));
}

#[test]
fn the_secret_follows_the_project_and_the_schema_follows_the_secret() {
    let mut observed = new_tenant();
    let done = up_to_date();
    observed.status.project.clone_from(&done.status.project);
    observed.status.effective.clone_from(&done.status.effective);
    observed.listing = done.listing;
    assert_eq!(provision(&observed), Step::AnnotateProject(id(OWN)));
    observed.annotated_project = done.annotated_project;
    assert_eq!(provision(&observed), Step::WriteSecret(id(OWN)));
    observed.secret = done.secret;
    observed.status.connection = done.status.connection;
    observed.status.binding = done.status.binding;
    assert_eq!(provision(&observed), Step::Migrate(id(OWN)));
    observed.status.schema = done.status.schema;
    assert_eq!(provision(&observed), Step::UpToDate);
}

/// A Tenant without a project whose status records a creation request.
fn unanswered_creation(settled_after_now: i64, listed_before_now: Option<i64>) -> ObservedState {
    let mut observed = new_tenant();
    observed.status.creation = Some(pending_creation(settled_after_now));
    observed.listing.as_of = listed_before_now.map(|seconds| at(NOW - seconds));
    observed
}

#[test]
fn an_unanswered_creation_needs_a_recent_listing() {
    let max_age = MAX_VERIFICATION_LISTING_AGE.as_secs();
    assert_eq!(
        provision(&unanswered_creation(90, None)),
        Step::List {
            since: Timestamp::MIN
        }
    );
    for listed_before_now in [60, max_age] {
        let step = provision(&unanswered_creation(90, Some(listed_before_now)));
        assert_eq!(step, Step::List { since: at(NOW) }, "{listed_before_now}");
    }
}

#[test]
fn an_unanswered_creation_waits_while_its_project_may_still_appear() {
    let Step::Wait { until, issue } = provision(&unanswered_creation(90, Some(0))) else {
        panic!("the plan does not wait")
    };
    assert_eq!(until, Some(at(NOW) + MAX_VERIFICATION_LISTING_AGE));
    assert_eq!(issue.reason, Reason::VerifyingCreation);
    insta::assert_snapshot!(issue.message, @"no response to creation request 1; its project may still appear until 1970-01-01T02:48:10Z");
    // Near the end of the window, the wait ends with the window.
    let Step::Wait { until, .. } = provision(&unanswered_creation(2, Some(0))) else {
        panic!("the plan does not wait")
    };
    assert_eq!(until, Some(at(NOW + 2)));
}

#[test]
fn only_a_listing_that_started_after_the_window_allows_another_creation() {
    for settled_before_now in [0, 30] {
        let step = |listed_before_now| {
            provision(&unanswered_creation(
                -settled_before_now,
                Some(listed_before_now),
            ))
        };
        assert_eq!(
            step(settled_before_now + 1),
            Step::List {
                since: at(NOW - settled_before_now)
            }
        );
        assert_eq!(step(settled_before_now), Step::Create { attempt: 2 });
    }
}

#[test]
fn a_marked_project_is_recovered_with_or_without_a_recorded_request() {
    let requests = [
        None,
        Some(pending_creation(90)),
        Some(pending_creation(0)),
        Some(pending_creation(-90)),
    ];
    for request in requests {
        let mut observed = new_tenant();
        observed.status.creation.clone_from(&request);
        observed.listing.marked = vec![listed(OWN)];
        assert_eq!(
            provision(&observed),
            Step::RecoverCreated(id(OWN)),
            "{request:?}"
        );
    }
}

#[test]
fn a_lost_status_does_not_lead_to_a_second_project() {
    let mut observed = up_to_date();
    observed.status = crds::TenantStatus::default();
    observed.listing.own = None;
    assert_eq!(
        provision(&observed),
        Step::RecoverCreated(id(OWN)),
        "the listing contains the first project"
    );
    // A new process that finds the finalizer but no status must list the account first.
    observed.listing = ObservedListing::default();
    assert_eq!(
        provision(&observed),
        Step::List {
            since: Timestamp::MIN
        },
        "any listing is recent enough"
    );
}

#[test]
fn credentials_of_an_earlier_project_are_replaced() {
    let mut observed = up_to_date();
    observed.secret = ObservedSecret::Owned {
        intact: true,
        project: Some(id(OWN)),
        ca_digest: None,
        resource_version: Some(SECRET_VERSION.to_owned()),
    };
    observed.status.project = Some(project_status(DUPLICATE));
    observed.annotated_project = Some(id(DUPLICATE));
    observed.listing.own = Some(listed(DUPLICATE));
    observed.listing.marked = vec![listed(DUPLICATE)];
    assert_eq!(provision(&observed), Step::WriteSecret(id(DUPLICATE)));
}
