//! Several projects carry the Tenant's mark.

use crds::{DeletionPolicy, Reason, TenantStatus};

use super::fixtures::*;
use crate::accounts::ObservedProject;
use crate::cache::ObservedSecret;
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::{MAX_VERIFICATION_LISTING_AGE, ReleaseReason, Step};

fn delete_duplicate(project: &str, named: bool) -> Step {
    Step::DeleteDuplicate {
        project: id(project),
        named,
    }
}

/// An up-to-date Tenant with an unused duplicate that its own request created.
fn with_unused_duplicate() -> ObservedState {
    let mut observed = up_to_date();
    observed.status.lost_creations = vec![lost_creation()];
    observed.listing.marked = vec![listed(OWN), unused(DUPLICATE)];
    observed
}

fn duplicate(observed: &mut ObservedState) -> &mut ObservedProject {
    observed.listing.marked.last_mut().unwrap()
}

#[test]
fn an_unused_duplicate_of_a_lost_request_is_deleted_before_any_other_step() {
    let mut observed = with_unused_duplicate();
    observed.secret = ObservedSecret::Missing;
    assert_eq!(provision(&observed), delete_duplicate(DUPLICATE, false));
}

#[test]
fn without_proof_a_duplicate_is_never_deleted() {
    type Change = fn(&mut ObservedState);
    let doubts: [(&str, Change); 6] = [
        ("no lost request", |observed| {
            observed.status.lost_creations.clear();
        }),
        ("created before the request", |observed| {
            duplicate(observed).created_at = at(LOST_REQUEST - 2);
        }),
        ("created after the window", |observed| {
            duplicate(observed).created_at = at(LOST_REQUEST + 131);
        }),
        ("used", |observed| duplicate(observed).unused = false),
        ("the Secret holds its credentials", |observed| {
            observed.secret = ObservedSecret::Owned {
                intact: true,
                project: Some(id(DUPLICATE)),
                ca_digest: None,
                resource_version: None,
            };
        }),
        ("the status is older than the project", |observed| {
            observed.status.lost_creations.clear();
            observed.status.project = Some(project_status(OWN));
        }),
    ];
    for (doubt, change) in doubts {
        let mut observed = with_unused_duplicate();
        change(&mut observed);
        let Step::Stalled(issue) = provision(&observed) else {
            panic!("{doubt}: the plan does not stall")
        };
        assert_eq!(issue.reason, Reason::DuplicateProject, "{doubt}");
        insta::allow_duplicates!(
            insta::assert_snapshot!(issue.message, @"the names of projects calm-sea-1 and late-sea-2 all identify this Tenant (its status records calm-sea-1), and each of them may contain data: to delete one, set the annotation dbpertenant.dev/delete-duplicate to its id; to keep one that is not this Tenant's, rename it in Neon")
        );
    }
}

#[test]
fn a_duplicate_is_deleted_only_if_the_same_complete_listing_shows_the_recorded_project() {
    let mut observed = with_unused_duplicate();
    observed.listing.own_confirmed = false;
    observed.listing.done_at = observed.listing.as_of;
    assert_eq!(provision(&observed), Step::List { since: at(NOW) });
    observed.listing.done_at = Some(at(NOW));
    let Step::Wait { until, .. } = provision(&observed) else {
        panic!("the plan does not wait")
    };
    assert_eq!(until, Some(at(NOW) + MAX_VERIFICATION_LISTING_AGE));
    observed.listing.unavailable = true;
    assert!(
        matches!(provision(&observed), Step::Wait { issue, .. } if issue.reason == Reason::ProjectUnavailable)
    );
    observed.listing.unavailable = false;
    observed.listing.own = None;
    assert_eq!(provision(&observed), Step::VerifyMissing(id(OWN)));
}

#[test]
fn a_deletion_takes_no_copy_for_the_project_that_the_annotation_names() {
    let mut observed = up_to_date();
    observed.status.project = None;
    observed.listing.own = None;
    observed.listing.marked = vec![listed(DUPLICATE)];
    assert_eq!(
        stall_reason(&delete(DeletionPolicy::Delete, &observed)),
        Some(Reason::DuplicateProject)
    );
}

#[test]
fn a_user_names_the_project_to_delete() {
    let mut observed = up_to_date();
    observed.listing.marked = vec![listed(OWN), listed(DUPLICATE)];
    observed.delete_duplicate = Some(id(DUPLICATE));
    assert_eq!(provision(&observed), delete_duplicate(DUPLICATE, true));
    // The user keeps the other one, which is recorded once this one is deleted.
    observed.delete_duplicate = Some(id(OWN));
    assert_eq!(provision(&observed), delete_duplicate(OWN, true));
    // A listing without the recorded project does not show that it was deleted.
    observed.listing.own = None;
    observed.listing.marked = vec![listed(DUPLICATE)];
    assert_eq!(provision(&observed), delete_duplicate(OWN, true));
    observed.deleted = Some(id(OWN));
    assert_eq!(provision(&observed), Step::RecoverCreated(id(DUPLICATE)));
    observed.deleted = None;
    observed.listing.own = Some(listed(OWN));
    observed.delete_duplicate = Some(id("strange-sea-9"));
    assert_eq!(
        stall_reason(&provision(&observed)),
        Some(Reason::DuplicateProject)
    );
}

#[test]
fn a_project_without_duplicate_is_not_deleted_by_the_annotation() {
    let mut observed = up_to_date();
    observed.delete_duplicate = Some(id(OWN));
    assert_eq!(provision(&observed), Step::UpToDate);
}

/// A Tenant that lost its status and whose mark these projects carry.
fn without_status(marked: Vec<ObservedProject>) -> ObservedState {
    let mut observed = up_to_date();
    observed.status = TenantStatus::default();
    observed.secret = ObservedSecret::Missing;
    observed.listing.own = None;
    observed.listing.marked = marked;
    observed
}

#[test]
fn of_several_unused_projects_of_lost_requests_the_oldest_is_recorded() {
    let (mut first, mut second) = (unused(THIRD), unused(OWN));
    (first.created_at, second.created_at) = (at(LOST_REQUEST + 1), at(LOST_REQUEST + 2));
    for marked in [vec![first.clone(), second.clone()], vec![second, first]] {
        let mut observed = without_status(marked);
        observed.status.lost_creations = vec![lost_creation()];
        assert_eq!(provision(&observed), Step::RecoverCreated(id(THIRD)));
    }
    let mut observed = without_status(vec![unused(OWN), unused(DUPLICATE)]);
    observed.status.lost_creations = vec![lost_creation()];
    assert_eq!(
        provision(&observed),
        Step::RecoverCreated(id(OWN)),
        "created at the same time"
    );
}

#[test]
fn without_a_status_one_of_several_projects_is_not_chosen_by_a_guess() {
    let mut observed = without_status(vec![listed(OWN), unused(DUPLICATE)]);
    for lost_creations in [Vec::new(), vec![lost_creation()]] {
        observed.status.lost_creations = lost_creations;
        assert_eq!(
            stall_reason(&provision(&observed)),
            Some(Reason::DuplicateProject)
        );
    }
    // The Secret shows which project applications use.
    observed.secret = ObservedSecret::Owned {
        intact: true,
        project: Some(id(OWN)),
        ca_digest: None,
        resource_version: Some(SECRET_VERSION.to_owned()),
    };
    assert_eq!(provision(&observed), Step::RecoverCreated(id(OWN)));
    observed.secret = ObservedSecret::Missing;
    observed.delete_duplicate = Some(id(OWN));
    assert_eq!(provision(&observed), delete_duplicate(OWN, true));
    observed.listing.marked.truncate(1);
    assert_eq!(
        provision(&observed),
        Step::RecoverCreated(id(OWN)),
        "the annotation does not delete the only project"
    );
}

#[test]
fn duplicates_of_an_adopted_project_are_ignored() {
    let mut observed = up_to_date();
    observed.listing.marked = vec![listed(DUPLICATE)];
    recorded_project(&mut observed).adopted = true;
    observed.adoptable = [id(OWN)].into();
    assert_eq!(provision(&observed), Step::UpToDate);
}

#[test]
fn a_deletion_removes_the_duplicate_first_then_the_recorded_project() {
    let mut observed = with_unused_duplicate();
    observed.listing.own_confirmed = false;
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        delete_duplicate(DUPLICATE, false)
    );
    observed.listing.marked.pop();
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::DeleteProject(id(OWN))
    );
    observed.deleted = Some(id(OWN));
    observed.listing.own = None;
    observed.listing.marked.clear();
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::RemoveFinalizer(ReleaseReason::Deleted)
    );
}

#[test]
fn a_deletion_stalls_on_a_second_project_that_may_hold_data() {
    let mut observed = up_to_date();
    observed.listing.marked = vec![listed(OWN), listed(DUPLICATE)];
    for project in [Some(project_status(OWN)), None] {
        observed.status.project = project;
        assert_eq!(
            stall_reason(&delete(DeletionPolicy::Delete, &observed)),
            Some(Reason::DuplicateProject)
        );
    }
    observed.delete_duplicate = Some(id(DUPLICATE));
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        delete_duplicate(DUPLICATE, true)
    );
}

#[test]
fn the_retain_policy_keeps_a_used_project_although_a_creation_is_recorded() {
    let mut observed = without_status(vec![listed(OWN)]);
    observed.status.creation = Some(pending_creation(-90));
    observed.listing.as_of = Some(at(NOW));
    assert_eq!(
        delete(DeletionPolicy::Retain, &observed),
        Step::RemoveFinalizer(ReleaseReason::Retained)
    );
    observed.listing.marked = vec![ObservedProject {
        created_at: at(NOW - 100),
        ..unused(OWN)
    }];
    assert_eq!(
        delete(DeletionPolicy::Retain, &observed),
        Step::DeleteDuplicate {
            project: id(OWN),
            named: false,
        }
    );
}
