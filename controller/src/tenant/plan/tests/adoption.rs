//! Taking over a project that was there before the Tenant. Whether the class allows it is the wish's business.

use crds::Reason;

use super::fixtures::*;
use crate::tenant::desired::{AdoptWish, Wish};
use crate::tenant::observed::{Facts, Seen};
use crate::tenant::plan::{Goal, Step, plan};

fn adopting() -> Wish {
    Wish {
        adopt: Some(AdoptWish {
            project: id(OWN),
            reset_password: false,
        }),
        ..wish()
    }
}

fn adopted() -> Facts {
    let mut facts = resting();
    own_status(&mut facts).adopted = true;
    facts.listing.own = Some(Seen {
        name: "their own name".to_owned(),
        ..seen(OWN)
    });
    facts.listing.marked.clear();
    facts
}

fn adopt_plan(facts: &Facts) -> Step {
    plan(&Goal::Live(Ok(adopting())), facts)
}

#[test]
fn an_adopting_tenant_never_creates() {
    assert_eq!(adopt_plan(&new()), Step::Adopt(id(OWN)));
    let mut facts = new();
    facts.listing.marked = vec![seen(TWIN)];
    assert_eq!(
        adopt_plan(&facts),
        Step::Adopt(id(OWN)),
        "also where another project bears its mark"
    );
    facts.status.creation = Some(intent(-90));
    assert_eq!(adopt_plan(&facts), Step::Adopt(id(OWN)));
}

#[test]
fn a_project_that_another_tenant_has_is_not_taken() {
    let mut facts = new();
    facts.taken_by = Some("acme/other".to_owned());
    let Step::Stall(refusal) = adopt_plan(&facts) else {
        panic!("not stalled")
    };
    assert_eq!(refusal.reason, Reason::ProjectInUse);
    assert!(
        refusal.message.contains("acme/other") && refusal.message.contains(OWN),
        "{}",
        refusal.message
    );
}

#[test]
fn of_two_tenants_with_one_project_the_second_stalls_even_after_it_adopted() {
    let mut facts = adopted();
    facts.taken_by = Some("acme/other".to_owned());
    assert_eq!(stalled_by(&adopt_plan(&facts)), Some(Reason::ProjectInUse));
}

#[test]
fn an_adopted_project_keeps_its_name() {
    let mut facts = adopted();
    assert_eq!(adopt_plan(&facts), Step::Rest);
    own_seen(&mut facts).updated_at = "v2".to_owned();
    facts.endpoint = Some(endpoint(wish().compute));
    assert_eq!(adopt_plan(&facts), Step::Rest);
}

#[test]
fn who_holds_a_project_does_not_matter_to_a_tenant_that_adopts_none() {
    let mut facts = resting();
    facts.taken_by = Some("acme/other".to_owned());
    assert_eq!(live(&facts), Step::Rest);
}
