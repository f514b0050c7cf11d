//! The way from nothing to a project, and back to it after an answer was lost or the process died.

use crds::Reason;
use jiff::Timestamp;

use super::fixtures::*;
use crate::tenant::observed::{AccountFacts, ListingFacts, Schema, SecretFacts};
use crate::tenant::plan::{SETTLE_LISTING_AGE_MAX, Step};

#[test]
fn a_new_tenant_marks_its_class_then_itself_then_asks_for_a_project() {
    let mut facts = new();
    facts.has_finalizer = false;
    facts.class_guarded = false;
    assert_eq!(live(&facts), Step::GuardClass);
    facts.class_guarded = true;
    assert_eq!(live(&facts), Step::AddFinalizer);
    facts.has_finalizer = true;
    assert_eq!(live(&facts), Step::Create { attempt: 1 });
}

#[test]
fn without_a_usable_account_nothing_is_begun() {
    let mut facts = new();
    facts.has_finalizer = false;
    facts.class_guarded = false;
    for reason in [Reason::ClassNotFound, Reason::ApiKeyInvalid] {
        facts.account = AccountFacts::Unusable(refusal(reason));
        assert_eq!(live(&facts), Step::Stall(refusal(reason)));
    }
}

#[test]
fn what_is_only_not_read_yet_is_waited_for_and_stalls_nobody() {
    let mut facts = new();
    facts.account = AccountFacts::Unusable(refusal(Reason::Waiting));
    let waits = |step| {
        matches!(
            step,
            Step::Wait {
                until: None,
                reason: Reason::Waiting,
                ..
            }
        )
    };
    assert!(waits(live(&facts)));
    let mut facts = resting();
    facts.schema = Schema::Unusable(refusal(Reason::Waiting));
    assert!(waits(live(&facts)));
}

#[test]
fn after_the_project_come_the_secret_the_schema_and_rest() {
    let mut facts = new();
    let done = resting();
    facts.status.project.clone_from(&done.status.project);
    facts.status.effective.clone_from(&done.status.effective);
    facts.listing = done.listing;
    assert_eq!(live(&facts), Step::WriteSecret(id(OWN)));
    facts.secret = done.secret;
    facts.status.connection = done.status.connection;
    facts.status.binding = done.status.binding;
    assert_eq!(live(&facts), Step::Migrate(id(OWN)));
    facts.status.schema = done.status.schema;
    assert_eq!(live(&facts), Step::Rest);
}

/// Facts of a process that finds the record of a request on a Tenant without a project.
fn found_intent(
    settled_after_now: i64,
    listed_before_now: Option<i64>,
) -> crate::tenant::observed::Facts {
    let mut facts = new();
    facts.status.creation = Some(intent(settled_after_now));
    facts.listing.as_of = listed_before_now.map(|seconds| at(NOW - seconds));
    facts
}

#[test]
fn whoever_finds_an_unanswered_request_lists_the_account_before_anything_else() {
    let listing_age_max = SETTLE_LISTING_AGE_MAX.as_secs();
    assert_eq!(
        live(&found_intent(90, None)),
        Step::List {
            since: Timestamp::MIN
        }
    );
    for listed_before_now in [60, listing_age_max] {
        let step = live(&found_intent(90, Some(listed_before_now)));
        assert_eq!(step, Step::List { since: at(NOW) }, "{listed_before_now}");
    }
}

#[test]
fn while_a_project_may_still_land_it_waits_for_the_next_listing() {
    let Step::Wait {
        until,
        reason,
        message,
    } = live(&found_intent(90, Some(0)))
    else {
        panic!("no wait")
    };
    assert_eq!(until, Some(at(NOW) + SETTLE_LISTING_AGE_MAX));
    assert_eq!(reason, Reason::VerifyingCreation);
    assert!(message.contains("request 1"), "{message}");
    // Towards the end the last moment counts.
    let Step::Wait { until, .. } = live(&found_intent(2, Some(0))) else {
        panic!("no wait")
    };
    assert_eq!(until, Some(at(NOW + 2)));
}

#[test]
fn only_a_listing_that_began_after_the_window_shows_that_nothing_landed() {
    for settled_before_now in [0, 30] {
        let step =
            |listed_before_now| live(&found_intent(-settled_before_now, Some(listed_before_now)));
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
fn a_project_that_landed_is_taken_up_whether_or_not_its_request_is_on_record() {
    let intents = [None, Some(intent(90)), Some(intent(0)), Some(intent(-90))];
    for intent in intents {
        let mut facts = new();
        facts.status.creation.clone_from(&intent);
        facts.listing.marked = vec![seen(OWN)];
        assert_eq!(live(&facts), Step::TakeUp(id(OWN)), "{intent:?}");
    }
}

#[test]
fn of_two_that_landed_the_first_is_taken_and_the_other_removed() {
    let (mut first, mut second) = (seen(THIRD), seen(OWN));
    (first.created_at, second.created_at) = (at(5), at(6));
    for marked in [vec![first.clone(), second.clone()], vec![second, first]] {
        let mut facts = new();
        facts.status.creation = Some(intent(90));
        facts.listing.marked = marked.clone();
        assert_eq!(live(&facts), Step::TakeUp(id(THIRD)));
        facts.status.creation = None;
        facts.status.project = Some(project_status(THIRD));
        facts.listing.own = marked.iter().find(|seen| seen.id == id(THIRD)).cloned();
        assert_eq!(live(&facts), Step::RemoveTwin(id(OWN)));
        facts.listing.marked.retain(|seen| seen.id == id(THIRD));
        assert_eq!(
            live(&facts),
            Step::Update {
                project: id(THIRD),
                compute: Some(endpoint_id())
            }
        );
    }
}

#[test]
fn of_two_created_in_one_moment_every_process_takes_the_same() {
    for marked in [vec![seen(OWN), seen(TWIN)], vec![seen(TWIN), seen(OWN)]] {
        let mut facts = new();
        facts.listing.marked = marked;
        assert_eq!(live(&facts), Step::TakeUp(id(OWN)));
    }
}

#[test]
fn a_lost_status_does_not_lead_to_a_second_project() {
    let mut facts = resting();
    facts.status = crds::TenantStatus::default();
    facts.listing.own = None;
    assert_eq!(
        live(&facts),
        Step::TakeUp(id(OWN)),
        "the listing shows the first"
    );
    // A new process that finds the finalizer and no status cannot know before it has listed.
    facts.listing = ListingFacts::default();
    assert_eq!(
        live(&facts),
        Step::List {
            since: Timestamp::MIN
        },
        "nothing is listed yet, and any listing will do"
    );
}

#[test]
fn the_twin_of_a_project_is_told_by_the_mark_and_never_taken_from_an_adopted_one() {
    let mut facts = resting();
    facts.listing.marked = vec![seen(TWIN)];
    own_status(&mut facts).adopted = true;
    assert_eq!(live(&facts), Step::Rest);
    own_status(&mut facts).adopted = false;
    assert_eq!(live(&facts), Step::RemoveTwin(id(TWIN)));
}

#[test]
fn credentials_of_an_earlier_project_are_not_kept() {
    let mut facts = resting();
    facts.secret = SecretFacts::Ours {
        intact: true,
        project: Some(id(OWN)),
        ca_digest: None,
    };
    facts.status.project = Some(project_status(TWIN));
    facts.listing.own = Some(seen(TWIN));
    facts.listing.marked = vec![seen(TWIN)];
    assert_eq!(live(&facts), Step::WriteSecret(id(TWIN)));
}
