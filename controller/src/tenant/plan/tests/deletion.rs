//! A Tenant on its way out: it waits for nothing but the account, and never leaves a project behind unnoticed.

use crds::{DeletionPolicy, Reason, TenantStatus};
use jiff::Timestamp;

use super::fixtures::*;
use crate::tenant::observed::{AccountFacts, Facts, ListingFacts, Schema, SecretFacts};
use crate::tenant::plan::{Farewell, Step};

fn half_created(settled_after_now: i64) -> Facts {
    let mut facts = new();
    facts.status.creation = Some(intent(settled_after_now));
    facts
}

/// A Tenant in every state that it can be deleted in.
fn every_state() -> Vec<(&'static str, Facts)> {
    let mut listed = half_created(90);
    listed.listing.as_of = Some(at(NOW));
    let mut landed = half_created(90);
    landed.listing.marked = vec![seen(TWIN)];
    let mut status_lost = resting();
    status_lost.status = TenantStatus::default();
    let mut gone = resting();
    gone.listing = ListingFacts {
        as_of: Some(at(NOW)),
        ..ListingFacts::default()
    };
    let mut two = resting();
    two.listing.marked = vec![seen(OWN), seen(TWIN)];
    let mut unlisted = new();
    unlisted.listing = ListingFacts::default();
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
    for (what, mut facts) in every_state() {
        if facts.status.creation.is_some() {
            continue;
        }
        for account in [AccountFacts::Usable, no_class()] {
            facts.account = account;
            let step = go(DeletionPolicy::Retain, &facts);
            assert_eq!(step, Step::LetGo(Farewell::Retained), "{what}");
        }
    }
}

#[test]
fn nothing_is_retained_that_nobody_ever_saw() {
    for (what, mut facts) in every_state() {
        if facts.status.creation.is_none() {
            continue;
        }
        for account in [AccountFacts::Usable, no_class()] {
            facts.account = account;
            let step = go(DeletionPolicy::Retain, &facts);
            assert_eq!(step, go(DeletionPolicy::Delete, &facts), "{what}");
        }
    }
}

#[test]
fn with_policy_delete_each_state_has_its_step() {
    let steps: Vec<_> = every_state()
        .into_iter()
        .map(|(what, facts)| (what, go(DeletionPolicy::Delete, &facts)))
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
            ("new", Step::LetGo(Farewell::Gone)),
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
    let ways: [fn(&mut Facts); 7] = [
        |facts| facts.suspended = true,
        |facts| facts.class_guarded = false,
        |facts| facts.secret = SecretFacts::Foreign,
        |facts| facts.schema = Schema::Unusable(refusal(Reason::MigrationsInvalid)),
        |facts| facts.listing.unavailable = true,
        |facts| facts.taken_by = Some("acme/other".to_owned()),
        |facts| facts.status.effective = None,
    ];
    for way in ways {
        let mut facts = resting();
        way(&mut facts);
        assert_eq!(
            go(DeletionPolicy::Delete, &facts),
            Step::DeleteProject(id(OWN))
        );
        let mut facts = new();
        way(&mut facts);
        assert_eq!(
            go(DeletionPolicy::Delete, &facts),
            Step::LetGo(Farewell::Gone)
        );
    }
}

#[test]
fn without_the_account_a_tenant_with_a_project_stays_until_a_person_lets_it_go() {
    for (what, mut facts) in every_state() {
        facts.account = no_class();
        let may_have_project = facts.status.project.is_some()
            || facts.status.creation.is_some()
            || !facts.listing.marked.is_empty();
        let expected = if may_have_project {
            Step::Stall(refusal(Reason::ClassNotFound))
        } else {
            Step::LetGo(Farewell::Gone)
        };
        assert_eq!(go(DeletionPolicy::Delete, &facts), expected, "{what}");
        facts.abandon = true;
        let farewell = if may_have_project {
            Farewell::Abandoned
        } else {
            Farewell::Gone
        };
        assert_eq!(
            go(DeletionPolicy::Delete, &facts),
            Step::LetGo(farewell),
            "{what}"
        );
    }
}

#[test]
fn the_word_abandon_spares_no_project_that_can_be_deleted() {
    let mut facts = resting();
    facts.abandon = true;
    assert_eq!(
        go(DeletionPolicy::Delete, &facts),
        Step::DeleteProject(id(OWN))
    );
}

#[test]
fn after_the_project_its_twin_goes_and_then_the_tenant() {
    let mut facts = resting();
    facts.listing.marked = vec![seen(TWIN), seen(OWN)];
    assert_eq!(
        go(DeletionPolicy::Delete, &facts),
        Step::DeleteProject(id(OWN))
    );
    facts.deleted = Some(id(OWN));
    facts.listing.own = None;
    facts.listing.marked = vec![seen(TWIN)];
    assert_eq!(
        go(DeletionPolicy::Delete, &facts),
        Step::DeleteProject(id(TWIN))
    );
    facts.listing.marked.clear();
    assert_eq!(
        go(DeletionPolicy::Delete, &facts),
        Step::LetGo(Farewell::Gone)
    );
}

#[test]
fn a_project_that_landed_and_is_deleted_does_not_end_the_wait_for_others() {
    let mut facts = half_created(90);
    facts.deleted = Some(id(TWIN));
    assert_eq!(
        go(DeletionPolicy::Delete, &facts),
        Step::List { since: at(NOW) }
    );
}

#[test]
fn a_request_that_settled_without_a_project_lets_the_tenant_go() {
    let mut facts = half_created(-90);
    facts.listing.as_of = Some(at(NOW - 90));
    assert_eq!(
        go(DeletionPolicy::Delete, &facts),
        Step::LetGo(Farewell::Gone)
    );
    facts.listing.as_of = Some(at(NOW - 91));
    assert_eq!(
        go(DeletionPolicy::Delete, &facts),
        Step::List {
            since: at(NOW - 90)
        }
    );
}

#[test]
fn a_tenant_whose_project_is_gone_is_let_go_once_neon_said_so() {
    let mut facts = resting();
    facts.listing = ListingFacts {
        as_of: Some(at(NOW)),
        ..ListingFacts::default()
    };
    facts.deleted = Some(id(OWN));
    assert_eq!(
        go(DeletionPolicy::Delete, &facts),
        Step::LetGo(Farewell::Gone)
    );
}
