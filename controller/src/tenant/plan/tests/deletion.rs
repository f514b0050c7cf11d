//! Deletion of a Tenant: it waits only for the account, and never leaves a project behind
//! unnoticed.

use crds::{DeletionPolicy, Reason, TenantStatus};
use jiff::Timestamp;

use super::fixtures::*;
use crate::accounts::{ObservedListing, ObservedProject};
use crate::cache::ObservedSecret;
use crate::issue::Issue;
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::{ReleaseReason, Step};

fn with_pending_creation(settled_after_now: i64) -> ObservedState {
    let mut observed = new_tenant();
    observed.status.creation = Some(pending_creation(settled_after_now));
    observed
}

/// A Tenant in every state in which it can be deleted.
fn every_state() -> Vec<(&'static str, ObservedState)> {
    let mut just_listed = with_pending_creation(90);
    just_listed.listing.as_of = Some(at(NOW));
    let mut appeared = with_pending_creation(90);
    appeared.listing.marked = vec![ObservedProject {
        created_at: at(NOW - 30),
        ..unused(DUPLICATE)
    }];
    let mut status_lost = up_to_date();
    status_lost.status = TenantStatus::default();
    let mut missing = up_to_date();
    missing.listing = ObservedListing {
        as_of: Some(at(NOW)),
        ..ObservedListing::default()
    };
    let mut two = up_to_date();
    two.status.lost_creations = vec![lost_creation()];
    two.listing.marked = vec![listed(OWN), unused(DUPLICATE)];
    let mut unlisted = new_tenant();
    unlisted.listing = ObservedListing::default();
    let mut adopted = up_to_date();
    adopted.status.project.as_mut().unwrap().adopted = true;
    adopted.adoptable = [id(OWN)].into();
    adopted.listing.marked.clear();
    vec![
        ("new", new_tenant()),
        ("without a status, never listed", unlisted),
        ("creation pending, not listed", with_pending_creation(90)),
        ("creation pending, just listed", just_listed),
        (
            "creation pending, window expired",
            with_pending_creation(-1),
        ),
        ("creation pending, project appeared", appeared),
        ("with a project", up_to_date()),
        ("with a project, status lost", status_lost),
        ("with a project that is missing", missing),
        ("with two projects", two),
        ("with an adopted project", adopted),
    ]
}

#[test]
fn a_retained_project_needs_no_account() {
    for (description, mut observed) in every_state() {
        if observed.status.creation.is_some() {
            continue;
        }
        for account in [Ok(()), class_missing()] {
            observed.account = account;
            let step = delete(DeletionPolicy::Retain, &observed);
            assert_eq!(
                step,
                Step::RemoveFinalizer(ReleaseReason::Retained),
                "{description}"
            );
        }
    }
}

#[test]
fn a_project_that_was_never_recorded_is_not_retained() {
    for (description, mut observed) in every_state() {
        if observed.status.creation.is_none() {
            continue;
        }
        for account in [Ok(()), class_missing()] {
            observed.account = account;
            let step = delete(DeletionPolicy::Retain, &observed);
            let expected = match delete(DeletionPolicy::Delete, &observed) {
                Step::DeleteProject(project) => Step::DeleteDuplicate {
                    project,
                    named: false,
                },
                step => step,
            };
            assert_eq!(step, expected, "{description}");
        }
    }
}

#[test]
fn the_delete_policy_has_a_step_for_each_state() {
    let steps: Vec<_> = every_state()
        .into_iter()
        .map(|(description, observed)| (description, delete(DeletionPolicy::Delete, &observed)))
        .collect();
    let wait = steps[3].1.clone();
    assert!(
        matches!(
            wait,
            Step::Wait {
                until: Some(_),
                issue: Issue {
                    reason: Reason::VerifyingCreation,
                    ..
                },
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
                "without a status, never listed",
                Step::List {
                    since: Timestamp::MIN
                }
            ),
            (
                "creation pending, not listed",
                Step::List { since: at(NOW) }
            ),
            ("creation pending, just listed", wait),
            (
                "creation pending, window expired",
                Step::List { since: at(NOW - 1) }
            ),
            (
                "creation pending, project appeared",
                Step::DeleteProject(id(DUPLICATE))
            ),
            ("with a project", Step::DeleteProject(id(OWN))),
            ("with a project, status lost", Step::DeleteProject(id(OWN))),
            (
                "with a project that is missing",
                Step::DeleteProject(id(OWN))
            ),
            (
                "with two projects",
                Step::DeleteDuplicate {
                    project: id(DUPLICATE),
                    named: false
                }
            ),
            ("with an adopted project", Step::DeleteProject(id(OWN))),
        ]
    );
}

#[test]
fn a_protected_tenant_is_not_deleted_whatever_its_policy() {
    for (description, mut observed) in every_state() {
        observed.deletion_protected = true;
        observed.orphan = true;
        for policy in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
            let step = delete(policy, &observed);
            assert!(
                matches!(&step, Step::Stalled(issue) if issue.reason == Reason::DeletionProtected),
                "{description}: {step:?}"
            );
        }
    }
}

#[test]
fn a_held_deletion_deletes_no_project_and_releases_a_retained_one() {
    for (description, mut observed) in every_state() {
        let unheld = [DeletionPolicy::Delete, DeletionPolicy::Retain]
            .map(|policy| delete(policy, &observed));
        observed.deletion_held = Some(issue(Reason::MassDeletion));
        let held = [DeletionPolicy::Delete, DeletionPolicy::Retain]
            .map(|policy| delete(policy, &observed));
        for (unheld, held) in unheld.into_iter().zip(held) {
            let expected = match unheld {
                Step::DeleteProject(_) => Step::Stalled(issue(Reason::MassDeletion)),
                other => other,
            };
            assert_eq!(held, expected, "{description}");
        }
    }
}

#[test]
fn only_the_account_can_delay_a_deletion() {
    let obstacles: [fn(&mut ObservedState); 7] = [
        |observed| observed.suspended = true,
        |observed| observed.class_has_finalizer = false,
        |observed| observed.secret = ObservedSecret::NotOwned,
        |observed| observed.schema = Err(issue(Reason::MigrationsInvalid)),
        |observed| observed.listing.unavailable = true,
        |observed| hold(observed, OWN, true),
        |observed| observed.status.effective = None,
    ];
    for obstacle in obstacles {
        let mut observed = up_to_date();
        obstacle(&mut observed);
        assert_eq!(
            delete(DeletionPolicy::Delete, &observed),
            Step::DeleteProject(id(OWN))
        );
        let mut observed = new_tenant();
        obstacle(&mut observed);
        assert_eq!(
            delete(DeletionPolicy::Delete, &observed),
            Step::RemoveFinalizer(ReleaseReason::Deleted)
        );
    }
}

#[test]
fn without_an_account_a_deletion_stalls_until_the_tenant_is_orphaned() {
    for (description, mut observed) in every_state() {
        for account in [class_missing(), Ok(())] {
            observed.orphan = false;
            if account.is_err() {
                observed.account = account.clone();
                assert_eq!(
                    delete(DeletionPolicy::Delete, &observed),
                    Step::Stalled(issue(Reason::ClassNotFound)),
                    "{description}"
                );
            }
            observed.account = account;
            observed.orphan = true;
            assert_eq!(
                delete(DeletionPolicy::Delete, &observed),
                Step::RemoveFinalizer(ReleaseReason::Orphaned),
                "{description}"
            );
        }
    }
}

#[test]
fn a_deleted_project_does_not_end_the_verification_of_a_pending_creation() {
    let mut observed = with_pending_creation(90);
    observed.deleted = Some(id(DUPLICATE));
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::List { since: at(NOW) }
    );
}

#[test]
fn a_creation_without_effect_allows_the_removal_of_the_finalizer() {
    let mut observed = with_pending_creation(-90);
    observed.listing.as_of = Some(at(NOW - 90));
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::RemoveFinalizer(ReleaseReason::Deleted)
    );
    observed.listing.as_of = Some(at(NOW - 91));
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::List {
            since: at(NOW - 90)
        }
    );
}

#[test]
fn a_project_that_only_its_name_identifies_is_annotated_before_it_is_deleted() {
    let mut observed = up_to_date();
    observed.status = TenantStatus::default();
    observed.annotated_project = None;
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::AnnotateProject(id(OWN))
    );
    // Once it is deleted, another user's copy is not taken for it.
    observed.annotated_project = Some(id(OWN));
    observed.listing.marked = vec![listed(DUPLICATE)];
    let step = delete(DeletionPolicy::Delete, &observed);
    assert_eq!(stall_reason(&step), Some(Reason::DuplicateProject));
}

#[test]
fn deleting_a_tenant_whose_project_is_gone_removes_the_finalizer() {
    let mut observed = up_to_date();
    observed.listing = ObservedListing {
        as_of: Some(at(NOW)),
        ..ObservedListing::default()
    };
    observed.deleted = Some(id(OWN));
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::RemoveFinalizer(ReleaseReason::Deleted)
    );
}
