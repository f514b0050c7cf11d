//! Adoption of an existing project. Whether the class allows it is checked when the desired state
//! is resolved.

use crds::Reason;

use super::fixtures::*;
use crate::accounts::ObservedProject;
use crate::tenant::desired::{AdoptionSpec, DesiredState};
use crate::tenant::intent::Intent;
use crate::tenant::observed::ObservedState;
use crate::tenant::plan::{Step, plan};

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
    observed.listing.own = Some(ObservedProject {
        name: "original name".to_owned(),
        ..listed(OWN)
    });
    observed.listing.marked.clear();
    observed
}

fn adopt_plan(observed: &ObservedState) -> Step {
    plan(&Intent::Provision(Ok(adopting())), observed)
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
    observed.claimed_by = Some("acme/other".to_owned());
    let Step::Stalled(issue) = adopt_plan(&observed) else {
        panic!("the plan does not stall")
    };
    assert_eq!(issue.reason, Reason::ProjectInUse);
    assert!(
        issue.message.contains("acme/other") && issue.message.contains(OWN),
        "{}",
        issue.message
    );
}

#[test]
fn a_tenant_whose_project_is_claimed_by_another_stalls_even_after_the_adoption() {
    let mut observed = adopted();
    observed.claimed_by = Some("acme/other".to_owned());
    assert_eq!(
        stall_reason(&adopt_plan(&observed)),
        Some(Reason::ProjectInUse)
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

#[test]
fn a_claim_of_another_tenant_does_not_concern_a_tenant_that_adopts_none() {
    let mut observed = up_to_date();
    observed.claimed_by = Some("acme/other".to_owned());
    assert_eq!(provision(&observed), Step::UpToDate);
}
