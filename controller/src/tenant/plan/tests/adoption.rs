//! Adoption of an existing project. Whether the class allows it is checked when the desired state
//! is resolved.

use crds::{DeletionPolicy, Reason};

use super::fixtures::*;
use crate::accounts::ObservedProject;
use crate::tenant::desired::{AdoptionSpec, DesiredState};
use crate::tenant::intent::Intent;
use crate::tenant::observed::{ObservedClaim, ObservedState};
use crate::tenant::plan::{ReleaseReason, Step, plan};

fn adopting() -> DesiredState {
    DesiredState {
        adopt: Some(AdoptionSpec {
            project: id(OWN),
            reset_password: false,
        }),
        ..desired()
    }
}

fn adopted() -> ObservedState {
    let mut observed = up_to_date();
    recorded_project(&mut observed).adopted = true;
    observed.adoptable = [id(OWN)].into();
    observed.listing.own = Some(ObservedProject {
        name: "original name".to_owned(),
        ..listed(OWN)
    });
    observed.listing.marked.clear();
    observed
}

fn adopt_plan(observed: &ObservedState) -> Step {
    let mut observed = observed.clone();
    observed.adoptable = [id(OWN)].into();
    plan(&Intent::Provision(Ok(adopting())), &observed)
}

#[test]
fn a_tenant_that_adopts_never_creates_a_project() {
    assert_eq!(adopt_plan(&new_tenant()), Step::Adopt(id(OWN)));
    let mut observed = new_tenant();
    observed.listing.marked = vec![listed(DUPLICATE)];
    assert_eq!(
        adopt_plan(&observed),
        Step::Adopt(id(OWN)),
        "even if a project carries its mark"
    );
    observed.status.creation = Some(pending_creation(-90));
    assert_eq!(adopt_plan(&observed), Step::Adopt(id(OWN)));
}

#[test]
fn a_project_of_another_tenant_is_not_adopted() {
    let mut observed = new_tenant();
    hold(&mut observed, OWN, true);
    let Step::Stalled(issue) = adopt_plan(&observed) else {
        panic!("the plan does not stall")
    };
    assert_eq!(issue.reason, Reason::ProjectInUse);
    insta::assert_snapshot!(issue.message, @"project calm-sea-1 belongs to Tenant acme/other, and a project can belong to only one Tenant: to get a new database instead, delete this Tenant, which does not affect the project, and apply it without the annotation dbpertenant.dev/project-id");
}

#[test]
fn the_claim_decides_between_tenants_that_adopted_the_same_project() {
    let mut observed = adopted();
    hold(&mut observed, OWN, true);
    let claim = |acquire| Step::Claim {
        project: id(OWN),
        acquire,
    };
    assert_eq!(adopt_plan(&observed), claim(true));
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        claim(false),
        "a deletion does not claim a project"
    );
    observed.claim = Some(ObservedClaim::Own);
    assert_eq!(adopt_plan(&observed), Step::UpToDate);
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::DeleteProject(id(OWN))
    );
    for other in [
        ObservedClaim::Other("acme/other".to_owned()),
        ObservedClaim::Free,
    ] {
        observed.claim = Some(other);
        assert_eq!(
            delete(DeletionPolicy::Delete, &observed),
            Step::RemoveFinalizer(ReleaseReason::NotOwned)
        );
    }
    observed.claim = Some(ObservedClaim::Other("acme/other".to_owned()));
    assert_eq!(
        stall_reason(&adopt_plan(&observed)),
        Some(Reason::ProjectInUse)
    );
}

#[test]
fn a_tenant_that_the_project_was_created_for_takes_precedence_over_a_claim() {
    let mut observed = adopted();
    hold(&mut observed, OWN, false);
    observed.claim = Some(ObservedClaim::Own);
    assert_eq!(
        stall_reason(&adopt_plan(&observed)),
        Some(Reason::ProjectInUse)
    );
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::RemoveFinalizer(ReleaseReason::NotOwned)
    );
}

#[test]
fn an_adopted_project_that_the_class_no_longer_allows_is_not_deleted() {
    let mut observed = adopted();
    observed.adoptable.clear();
    assert_eq!(
        delete(DeletionPolicy::Delete, &observed),
        Step::RemoveFinalizer(ReleaseReason::NotOwned)
    );
    observed.account = class_missing();
    assert_eq!(
        stall_reason(&delete(DeletionPolicy::Delete, &observed)),
        Some(Reason::ClassNotFound),
        "without a class, it is not known what it allows"
    );
}

#[test]
fn an_adopted_project_keeps_its_name() {
    let mut observed = adopted();
    assert_eq!(adopt_plan(&observed), Step::UpToDate);
    own_listed(&mut observed).updated_at = "v2".to_owned();
    observed.compute = Some(observed_compute(desired().compute));
    assert_eq!(adopt_plan(&observed), Step::UpToDate);
}
