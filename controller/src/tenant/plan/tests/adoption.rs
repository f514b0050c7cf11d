//! Taking over a project that was there before the Tenant. Whether the class allows it is the wish's business.

use crds::Reason;

use super::fixtures::*;
use crate::tenant::desired::{AdoptionSpec, DesiredState};
use crate::tenant::observed::{ObservedProject, ObservedState};
use crate::tenant::plan::{Intent, Step, plan};

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
    let mut observed = resting();
    own_status(&mut observed).adopted = true;
    observed.listing.own = Some(ObservedProject {
        name: "their own name".to_owned(),
        ..seen(OWN)
    });
    observed.listing.marked.clear();
    observed
}

fn adopt_plan(observed: &ObservedState) -> Step {
    plan(&Intent::Provision(Ok(adopting())), observed)
}

#[test]
fn an_adopting_tenant_never_creates() {
    assert_eq!(adopt_plan(&new()), Step::Adopt(id(OWN)));
    let mut observed = new();
    observed.listing.marked = vec![seen(TWIN)];
    assert_eq!(
        adopt_plan(&observed),
        Step::Adopt(id(OWN)),
        "also where another project bears its mark"
    );
    observed.status.creation = Some(intent(-90));
    assert_eq!(adopt_plan(&observed), Step::Adopt(id(OWN)));
}

#[test]
fn a_project_that_another_tenant_has_is_not_taken() {
    let mut observed = new();
    observed.taken_by = Some("acme/other".to_owned());
    let Step::Stalled(issue) = adopt_plan(&observed) else {
        panic!("not stalled")
    };
    assert_eq!(issue.reason, Reason::ProjectInUse);
    assert!(
        issue.message.contains("acme/other") && issue.message.contains(OWN),
        "{}",
        issue.message
    );
}

#[test]
fn of_two_tenants_with_one_project_the_second_stalls_even_after_it_adopted() {
    let mut observed = adopted();
    observed.taken_by = Some("acme/other".to_owned());
    assert_eq!(
        stalled_by(&adopt_plan(&observed)),
        Some(Reason::ProjectInUse)
    );
}

#[test]
fn an_adopted_project_keeps_its_name() {
    let mut observed = adopted();
    assert_eq!(adopt_plan(&observed), Step::UpToDate);
    own_seen(&mut observed).updated_at = "v2".to_owned();
    observed.endpoint = Some(endpoint(desired().compute));
    assert_eq!(adopt_plan(&observed), Step::UpToDate);
}

#[test]
fn who_holds_a_project_does_not_matter_to_a_tenant_that_adopts_none() {
    let mut observed = resting();
    observed.taken_by = Some("acme/other".to_owned());
    assert_eq!(live(&observed), Step::UpToDate);
}
