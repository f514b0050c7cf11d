//! A Tenant on its way out: it waits for nothing but the account, and never leaves a project behind unnoticed.

use crds::{DeletionPolicy, Reason, TenantStatus};
use jiff::Timestamp;

use super::fixtures::*;
use crate::tenant::observed::{
    ObservedAccount, ObservedListing, ObservedSecret, ObservedState, Schema,
};
use crate::tenant::plan::{ReleaseReason, Step};

fn half_created(settled_after_now: i64) -> ObservedState {
    let mut observed = new();
    observed.status.creation = Some(intent(settled_after_now));
    observed
}

/// A Tenant in every state that it can be deleted in.
fn every_state() -> Vec<(&'static str, ObservedState)> {
    let mut listed = half_created(90);
    listed.listing.as_of = Some(at(NOW));
    let mut landed = half_created(90);
    landed.listing.marked = vec![seen(TWIN)];
    let mut status_lost = resting();
    status_lost.status = TenantStatus::default();
    let mut gone = resting();
    gone.listing = ObservedListing {
        as_of: Some(at(NOW)),
        ..ObservedListing::default()
    };
    let mut two = resting();
    two.listing.marked = vec![seen(OWN), seen(TWIN)];
    let mut unlisted = new();
    unlisted.listing = ObservedListing::default();
    let mut adopted = resting();
    adopted.status.project.as_mut().unwrap().adopted = true;
    adopted.listing.marked.clear();
    vec![
        ("new", new()),
        ("without status, never listed", unlisted),
        ("half created, not listed", half_created(90)),
        ("half created, just listed", listed),
        ("half created, the window is over", half_created(-1)),
        ("half created, the project landed", landed),
        ("with a project", resting()),
        ("with a project and no status", status_lost),
        ("with a project that is gone", gone),
        ("with two projects", two),
        ("with an adopted project", adopted),
    ]
}

#[test]
fn a_retained_project_is_never_waited_for() {
    for (what, mut observed) in every_state() {
        if observed.status.creation.is_some() {
            continue;
        }
        for account in [ObservedAccount::Usable, no_class()] {
            observed.account = account;
            let step = go(DeletionPolicy::Retain, &observed);
            assert_eq!(
                step,
                Step::RemoveFinalizer(ReleaseReason::Retained),
                "{what}"
            );
        }
    }
}

#[test]
fn nothing_is_retained_that_nobody_ever_saw() {
    for (what, mut observed) in every_state() {
        if observed.status.creation.is_none() {
            continue;
        }
        for account in [ObservedAccount::Usable, no_class()] {
            observed.account = account;
            let step = go(DeletionPolicy::Retain, &observed);
            assert_eq!(step, go(DeletionPolicy::Delete, &observed), "{what}");
        }
    }
}

#[test]
fn with_policy_delete_each_state_has_its_step() {
    let steps: Vec<_> = every_state()
        .into_iter()
        .map(|(what, observed)| (what, go(DeletionPolicy::Delete, &observed)))
        .collect();
    let wait = steps[3].1.clone();
    assert!(
        matches!(
            wait,
            Step::Wait {
                until: Some(_),
                reason: Reason::VerifyingCreation,
                ..
            }
        ),
        "{wait:?}"
    );
    assert_eq!(
        steps,
        [
            ("new", Step::RemoveFinalizer(ReleaseReason::Deleted)),
            (
                "without status, never listed",
                Step::List {
                    since: Timestamp::MIN
                }
            ),
            ("half created, not listed", Step::List { since: at(NOW) }),
            ("half created, just listed", wait),
            (
                "half created, the window is over",
                Step::List { since: at(NOW - 1) }
            ),
            (
                "half created, the project landed",
                Step::DeleteProject(id(TWIN))
            ),
            ("with a project", Step::DeleteProject(id(OWN))),
            ("with a project and no status", Step::DeleteProject(id(OWN))),
            ("with a project that is gone", Step::DeleteProject(id(OWN))),
            ("with two projects", Step::DeleteProject(id(OWN))),
            ("with an adopted project", Step::DeleteProject(id(OWN))),
        ]
    );
}

#[test]
fn nothing_but_the_account_holds_a_deletion_up() {
    let ways: [fn(&mut ObservedState); 7] = [
        |observed| observed.suspended = true,
        |observed| observed.class_has_finalizer = false,
        |observed| observed.secret = ObservedSecret::NotOwned,
        |observed| observed.schema = Schema::Unusable(issue(Reason::MigrationsInvalid)),
        |observed| observed.listing.unavailable = true,
        |observed| observed.taken_by = Some("acme/other".to_owned()),
        |observed| observed.status.effective = None,
    ];
    for way in ways {
        let mut observed = resting();
        way(&mut observed);
        assert_eq!(
            go(DeletionPolicy::Delete, &observed),
            Step::DeleteProject(id(OWN))
        );
        let mut observed = new();
        way(&mut observed);
        assert_eq!(
            go(DeletionPolicy::Delete, &observed),
            Step::RemoveFinalizer(ReleaseReason::Deleted)
        );
    }
}

#[test]
fn without_the_account_a_tenant_with_a_project_stays_until_a_person_lets_it_go() {
    for (what, mut observed) in every_state() {
        observed.account = no_class();
        let may_have_project = observed.status.project.is_some()
            || observed.status.creation.is_some()
            || !observed.listing.marked.is_empty();
        let expected = if may_have_project {
            Step::Stalled(issue(Reason::ClassNotFound))
        } else {
            Step::RemoveFinalizer(ReleaseReason::Deleted)
        };
        assert_eq!(go(DeletionPolicy::Delete, &observed), expected, "{what}");
        observed.orphan = true;
        let reason = if may_have_project {
            ReleaseReason::Orphaned
        } else {
            ReleaseReason::Deleted
        };
        assert_eq!(
            go(DeletionPolicy::Delete, &observed),
            Step::RemoveFinalizer(reason),
            "{what}"
        );
    }
}

#[test]
fn the_word_abandon_spares_no_project_that_can_be_deleted() {
    let mut observed = resting();
    observed.orphan = true;
    assert_eq!(
        go(DeletionPolicy::Delete, &observed),
        Step::DeleteProject(id(OWN))
    );
}

#[test]
fn after_the_project_its_twin_goes_and_then_the_tenant() {
    let mut observed = resting();
    observed.listing.marked = vec![seen(TWIN), seen(OWN)];
    assert_eq!(
        go(DeletionPolicy::Delete, &observed),
        Step::DeleteProject(id(OWN))
    );
    observed.deleted = Some(id(OWN));
    observed.listing.own = None;
    observed.listing.marked = vec![seen(TWIN)];
    assert_eq!(
        go(DeletionPolicy::Delete, &observed),
        Step::DeleteProject(id(TWIN))
    );
    observed.listing.marked.clear();
    assert_eq!(
        go(DeletionPolicy::Delete, &observed),
        Step::RemoveFinalizer(ReleaseReason::Deleted)
    );
}

#[test]
fn a_project_that_landed_and_is_deleted_does_not_end_the_wait_for_others() {
    let mut observed = half_created(90);
    observed.deleted = Some(id(TWIN));
    assert_eq!(
        go(DeletionPolicy::Delete, &observed),
        Step::List { since: at(NOW) }
    );
}

#[test]
fn a_request_that_settled_without_a_project_lets_the_tenant_go() {
    let mut observed = half_created(-90);
    observed.listing.as_of = Some(at(NOW - 90));
    assert_eq!(
        go(DeletionPolicy::Delete, &observed),
        Step::RemoveFinalizer(ReleaseReason::Deleted)
    );
    observed.listing.as_of = Some(at(NOW - 91));
    assert_eq!(
        go(DeletionPolicy::Delete, &observed),
        Step::List {
            since: at(NOW - 90)
        }
    );
}

#[test]
fn a_tenant_whose_project_is_gone_is_let_go_once_neon_said_so() {
    let mut observed = resting();
    observed.listing = ObservedListing {
        as_of: Some(at(NOW)),
        ..ObservedListing::default()
    };
    observed.deleted = Some(id(OWN));
    assert_eq!(
        go(DeletionPolicy::Delete, &observed),
        Step::RemoveFinalizer(ReleaseReason::Deleted)
    );
}
