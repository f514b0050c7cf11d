//! The way from nothing to a project, and back to it after an answer was lost or the process died.

use crds::Reason;
use jiff::Timestamp;

use super::fixtures::*;
use crate::tenant::observed::{ObservedAccount, ObservedListing, ObservedSecret, Schema};
use crate::tenant::plan::{MAX_VERIFICATION_LISTING_AGE, Step};

#[test]
fn a_new_tenant_marks_its_class_then_itself_then_asks_for_a_project() {
    let mut observed = new();
    observed.has_finalizer = false;
    observed.class_has_finalizer = false;
    assert_eq!(live(&observed), Step::AddClassFinalizer);
    observed.class_has_finalizer = true;
    assert_eq!(live(&observed), Step::AddFinalizer);
    observed.has_finalizer = true;
    assert_eq!(live(&observed), Step::Create { attempt: 1 });
}

#[test]
fn without_a_usable_account_nothing_is_begun() {
    let mut observed = new();
    observed.has_finalizer = false;
    observed.class_has_finalizer = false;
    for reason in [Reason::ClassNotFound, Reason::ApiKeyInvalid] {
        observed.account = ObservedAccount::Unusable(issue(reason));
        assert_eq!(live(&observed), Step::Stalled(issue(reason)));
    }
}

#[test]
fn what_is_only_not_read_yet_is_waited_for_and_stalls_nobody() {
    let mut observed = new();
    observed.account = ObservedAccount::Unusable(issue(Reason::Waiting));
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
    assert!(waits(live(&observed)));
    let mut observed = resting();
    observed.schema = Schema::Unusable(issue(Reason::Waiting));
    assert!(waits(live(&observed)));
}

#[test]
fn after_the_project_come_the_secret_the_schema_and_rest() {
    let mut observed = new();
    let done = resting();
    observed.status.project.clone_from(&done.status.project);
    observed.status.effective.clone_from(&done.status.effective);
    observed.listing = done.listing;
    assert_eq!(live(&observed), Step::WriteSecret(id(OWN)));
    observed.secret = done.secret;
    observed.status.connection = done.status.connection;
    observed.status.binding = done.status.binding;
    assert_eq!(live(&observed), Step::Migrate(id(OWN)));
    observed.status.schema = done.status.schema;
    assert_eq!(live(&observed), Step::UpToDate);
}

/// Facts of a process that finds the record of a request on a Tenant without a project.
fn found_intent(
    settled_after_now: i64,
    listed_before_now: Option<i64>,
) -> crate::tenant::observed::ObservedState {
    let mut observed = new();
    observed.status.creation = Some(intent(settled_after_now));
    observed.listing.as_of = listed_before_now.map(|seconds| at(NOW - seconds));
    observed
}

#[test]
fn whoever_finds_an_unanswered_request_lists_the_account_before_anything_else() {
    let listing_age_max = MAX_VERIFICATION_LISTING_AGE.as_secs();
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
    assert_eq!(until, Some(at(NOW) + MAX_VERIFICATION_LISTING_AGE));
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
        let mut observed = new();
        observed.status.creation.clone_from(&intent);
        observed.listing.marked = vec![seen(OWN)];
        assert_eq!(live(&observed), Step::RecoverCreated(id(OWN)), "{intent:?}");
    }
}

#[test]
fn of_two_that_landed_the_first_is_taken_and_the_other_removed() {
    let (mut first, mut second) = (seen(THIRD), seen(OWN));
    (first.created_at, second.created_at) = (at(5), at(6));
    for marked in [vec![first.clone(), second.clone()], vec![second, first]] {
        let mut observed = new();
        observed.status.creation = Some(intent(90));
        observed.listing.marked = marked.clone();
        assert_eq!(live(&observed), Step::RecoverCreated(id(THIRD)));
        observed.status.creation = None;
        observed.status.project = Some(project_status(THIRD));
        observed.listing.own = marked.iter().find(|seen| seen.id == id(THIRD)).cloned();
        assert_eq!(live(&observed), Step::DeleteDuplicate(id(OWN)));
        observed.listing.marked.retain(|seen| seen.id == id(THIRD));
        assert_eq!(
            live(&observed),
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
        let mut observed = new();
        observed.listing.marked = marked;
        assert_eq!(live(&observed), Step::RecoverCreated(id(OWN)));
    }
}

#[test]
fn a_lost_status_does_not_lead_to_a_second_project() {
    let mut observed = resting();
    observed.status = crds::TenantStatus::default();
    observed.listing.own = None;
    assert_eq!(
        live(&observed),
        Step::RecoverCreated(id(OWN)),
        "the listing shows the first"
    );
    // A new process that finds the finalizer and no status cannot know before it has listed.
    observed.listing = ObservedListing::default();
    assert_eq!(
        live(&observed),
        Step::List {
            since: Timestamp::MIN
        },
        "nothing is listed yet, and any listing will do"
    );
}

#[test]
fn the_twin_of_a_project_is_told_by_the_mark_and_never_taken_from_an_adopted_one() {
    let mut observed = resting();
    observed.listing.marked = vec![seen(TWIN)];
    own_status(&mut observed).adopted = true;
    assert_eq!(live(&observed), Step::UpToDate);
    own_status(&mut observed).adopted = false;
    assert_eq!(live(&observed), Step::DeleteDuplicate(id(TWIN)));
}

#[test]
fn credentials_of_an_earlier_project_are_not_kept() {
    let mut observed = resting();
    observed.secret = ObservedSecret::Owned {
        intact: true,
        project: Some(id(OWN)),
        ca_digest: None,
    };
    observed.status.project = Some(project_status(TWIN));
    observed.listing.own = Some(seen(TWIN));
    observed.listing.marked = vec![seen(TWIN)];
    assert_eq!(live(&observed), Step::WriteSecret(id(TWIN)));
}
