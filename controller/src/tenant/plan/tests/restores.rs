//! Tenants that were restored from a backup, copied, or applied again under the same name.

use crds::{DeletionPolicy, OnExistingProject, Reason};

use super::fixtures::*;
use crate::accounts::ObservedProject;
use crate::cache::ObservedSecret;
use crate::tenant::desired::DesiredState;
use crate::tenant::intent::Intent;
use crate::tenant::observed::{ObservedClaim, ObservedState};
use crate::tenant::plan::{ReleaseReason, Step, plan};

/// The name of a project of an earlier Tenant with the same namespace and name.
const EARLIER: &str = "acme/one dbpt-test/00000000-0000-0000-0000-000000000009/acme/one";
/// The name of a project of a Tenant in another namespace.
const ELSEWHERE: &str = "other/one dbpt-test/00000000-0000-0000-0000-000000000009/other/one";
/// The name of a project of another installation.
const OTHER_CLUSTER: &str = "acme/one dbpt-other/00000000-0000-0000-0000-000000000009/acme/one";

fn named(project: &str, name: &str) -> ObservedProject {
    ObservedProject {
        name: name.to_owned(),
        ..listed(project)
    }
}

/// A new Tenant whose account contains a project of an earlier one.
fn with_earlier_project() -> ObservedState {
    let mut observed = new_tenant();
    observed.listing.namesakes = vec![named(OWN, EARLIER)];
    observed
}

/// A Tenant without a status whose annotation names a project.
fn without_status(name: &str) -> ObservedState {
    let mut observed = new_tenant();
    observed.annotated_project = Some(id(OWN));
    observed.named_project = Some(id(OWN));
    observed.listing.own = Some(named(OWN, name));
    observed
}

/// A Tenant whose status was written for another Tenant object.
fn with_status(name: &str) -> ObservedState {
    let mut observed = up_to_date();
    name.clone_into(&mut recorded_project(&mut observed).name);
    observed.listing.own = Some(named(OWN, name));
    observed.listing.marked.clear();
    observed
}

fn provision_with(on_existing_project: OnExistingProject, observed: &ObservedState) -> Step {
    let desired = DesiredState {
        on_existing_project,
        ..desired()
    };
    plan(&Intent::Provision(Ok(desired)), observed)
}

#[test]
fn the_class_decides_about_the_project_of_an_earlier_tenant() {
    use OnExistingProject::{Adopt, Ignore, Stall};
    let observed = with_earlier_project();
    let Step::Stalled(issue) = provision_with(Stall, &observed) else {
        panic!("the plan does not stall")
    };
    assert_eq!(issue.reason, Reason::ExistingProject);
    insta::assert_snapshot!(issue.message, @"project calm-sea-1 of an earlier Tenant with this namespace and name still exists: to take it back, annotate this Tenant with dbpertenant.dev/project-id=calm-sea-1; to start with an empty database, annotate this Tenant with dbpertenant.dev/ignore-project=calm-sea-1, or delete the project in Neon");
    assert_eq!(provision_with(Adopt, &observed), Step::Reclaim(id(OWN)));
    assert_eq!(
        provision_with(Ignore, &observed),
        Step::Create { attempt: 1 }
    );
}

#[test]
fn several_projects_of_earlier_tenants_are_never_taken_back_by_a_guess() {
    let mut observed = with_earlier_project();
    observed.listing.namesakes.push(named(DUPLICATE, EARLIER));
    for policy in [OnExistingProject::Stall, OnExistingProject::Adopt] {
        let Step::Stalled(issue) = provision_with(policy, &observed) else {
            panic!("the plan does not stall")
        };
        assert_eq!(issue.reason, Reason::ExistingProject);
        insta::allow_duplicates!(
            insta::assert_snapshot!(issue.message, @"projects calm-sea-1,late-sea-2 of an earlier Tenant with this namespace and name still exist: to take one back, annotate this Tenant with dbpertenant.dev/project-id=ID; to start with an empty database, annotate this Tenant with dbpertenant.dev/ignore-project=calm-sea-1,late-sea-2, or delete the projects in Neon")
        );
    }
    observed.ignored_projects = [id(DUPLICATE)].into();
    assert_eq!(
        provision_with(OnExistingProject::Adopt, &observed),
        Step::Reclaim(id(OWN))
    );
    observed.ignored_projects.insert(id(OWN));
    assert_eq!(provision(&observed), Step::Create { attempt: 1 });
}

#[test]
fn a_project_that_another_tenant_has_is_not_an_existing_one() {
    let mut observed = with_earlier_project();
    hold(&mut observed, OWN, true);
    assert_eq!(provision(&observed), Step::Create { attempt: 1 });
}

#[test]
fn existing_projects_are_known_only_from_a_listing() {
    let mut observed = with_earlier_project();
    observed.listing.as_of = None;
    assert!(matches!(provision(&observed), Step::List { .. }));
}

#[test]
fn a_listing_that_began_before_the_tenant_was_created_shows_no_existing_project_yet() {
    let mut observed = new_tenant();
    observed.created_at = at(NOW - 59);
    assert_eq!(
        provision(&observed),
        Step::List {
            since: at(NOW - 59)
        }
    );
    observed.listing.as_of = Some(at(NOW - 59));
    assert_eq!(provision(&observed), Step::Create { attempt: 1 });
}

#[test]
fn a_tenant_restored_without_its_status_takes_its_project_back() {
    assert_eq!(
        provision(&without_status(EARLIER)),
        Step::Reclaim(id(OWN)),
        "whatever the class says about projects that nothing names"
    );
    let mut observed = without_status(EARLIER);
    observed.listing.own = None;
    assert_eq!(provision(&observed), Step::FindNamed(id(OWN)));
    observed.listing.unavailable = true;
    assert!(matches!(provision(&observed), Step::Wait { .. }));
    observed.ignored_projects = [id(OWN)].into();
    assert_eq!(provision(&observed), Step::Create { attempt: 1 });
}

#[test]
fn a_project_of_another_tenant_namespace_or_installation_is_not_taken() {
    type Case = (&'static str, fn(&mut ObservedState), &'static str, Reason);
    let cases: [Case; 5] = [
        (
            "living",
            |observed| hold(observed, OWN, false),
            EARLIER,
            Reason::ProjectInUse,
        ),
        ("elsewhere", |_| {}, ELSEWHERE, Reason::AdoptionRefused),
        ("other cluster", |_| {}, OTHER_CLUSTER, Reason::ProjectInUse),
        ("no mark", |_| {}, "by hand", Reason::AdoptionRefused),
        (
            "claimed",
            |observed| observed.claim = Some(ObservedClaim::Other("acme/other".to_owned())),
            EARLIER,
            Reason::ProjectInUse,
        ),
    ];
    for (description, change, name, reason) in cases {
        for mut observed in [without_status(name), with_status(name)] {
            change(&mut observed);
            assert_eq!(
                stall_reason(&provision(&observed)),
                Some(reason),
                "{description}"
            );
            let deletion = delete(DeletionPolicy::Delete, &observed);
            assert!(
                matches!(deletion, Step::RemoveFinalizer(_)),
                "{description}: {deletion:?}"
            );
        }
    }
}

#[test]
fn the_class_can_allow_a_project_to_move_to_another_namespace() {
    for name in [ELSEWHERE, OTHER_CLUSTER, "by hand"] {
        let mut observed = without_status(name);
        observed.adoptable = [id(OWN)].into();
        assert_eq!(provision(&observed), Step::Reclaim(id(OWN)), "{name}");
        let mut observed = with_status(name);
        observed.adoptable = [id(OWN)].into();
        assert!(
            matches!(provision(&observed), Step::Update { .. }),
            "{name}"
        );
    }
}

#[test]
fn a_tenant_restored_with_its_status_renames_its_project() {
    let mut observed = with_status(EARLIER);
    assert_eq!(provision(&observed), update(false));
    observed.listing.as_of = None;
    observed.listing.own = None;
    assert!(
        matches!(provision(&observed), Step::List { .. }),
        "only a listing shows whose project it is now"
    );
}

#[test]
fn a_copied_status_is_recognized_before_the_project_is_recovered_or_deleted() {
    let mut observed = with_status(ELSEWHERE);
    observed.listing.own = None;
    assert_eq!(
        stall_reason(&provision(&observed)),
        Some(Reason::AdoptionRefused)
    );
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::RemoveFinalizer(ReleaseReason::NotOwned)
    );
    observed.listing.as_of = None;
    assert!(matches!(
        delete(DeletionPolicy::Delete, &observed),
        Step::List { .. }
    ));
}

#[test]
fn a_project_that_a_stranger_renamed_gets_its_name_back() {
    let mut observed = up_to_date();
    observed.listing.own = Some(named(OWN, ELSEWHERE));
    observed.listing.marked.clear();
    assert_eq!(provision(&observed), update(false));
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::DeleteProject(id(OWN))
    );
}

#[test]
fn the_annotation_follows_the_status() {
    let mut observed = up_to_date();
    for other in [None, Some(id(DUPLICATE))] {
        observed.annotated_project = other;
        assert_eq!(provision(&observed), Step::AnnotateProject(id(OWN)));
    }
}

#[test]
fn a_restored_secret_is_taken_over_only_for_the_same_project() {
    let mut observed = up_to_date();
    observed.secret = ObservedSecret::Restored {
        project: Some(id(OWN)),
    };
    assert_eq!(provision(&observed), Step::WriteSecret(id(OWN)));
    for project in [None, Some(id(DUPLICATE))] {
        observed.secret = ObservedSecret::Restored { project };
        assert_eq!(
            stall_reason(&provision(&observed)),
            Some(Reason::SecretConflict)
        );
    }
}
