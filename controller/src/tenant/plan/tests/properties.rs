//! What holds of every plan, whatever the facts.

use crds::{CreationIntent, DeletionPolicy, Reason};
use neon_client::ids::ProjectId;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::fixtures::*;
use crate::tenant::desired::{AdoptionSpec, DesiredState};
use crate::tenant::observed::{
    ObservedAccount, ObservedListing, ObservedSecret, ObservedState, Schema,
};
use crate::tenant::plan::{Intent, ReleaseReason, Step, plan};

/// Cases of each property.
const CASES: u32 = 4_096;

fn projects() -> impl Strategy<Value = Option<ProjectId>> {
    select(vec![None, Some(id(OWN)), Some(id(TWIN)), Some(id(THIRD))])
}

fn intents() -> impl Strategy<Value = Option<CreationIntent>> {
    proptest::option::of(
        (-200_i64..200, 1..5_i32).prop_map(|(settled, attempt)| CreationIntent {
            attempt,
            ..intent(settled)
        }),
    )
}

fn listings() -> impl Strategy<Value = ObservedListing> {
    let as_of = proptest::option::of((-250_i64..=0).prop_map(|ago| at(NOW + ago)));
    let own = select(vec![None, Some("v1"), Some("v2")]);
    (
        as_of,
        own,
        subsequence(vec![OWN, TWIN, THIRD], 0..=3),
        any::<bool>(),
    )
        .prop_map(|(as_of, own, marked, unavailable)| ObservedListing {
            as_of,
            done_at: as_of,
            own: own.map(|version| crate::tenant::observed::ObservedProject {
                updated_at: version.to_owned(),
                ..seen(OWN)
            }),
            marked: marked.into_iter().map(seen).collect(),
            unavailable,
        })
}

fn accounts() -> impl Strategy<Value = ObservedAccount> {
    prop_oneof![3 => Just(ObservedAccount::Usable), 1 => Just(no_class())]
}

fn secrets() -> impl Strategy<Value = ObservedSecret> {
    prop_oneof![
        Just(ObservedSecret::Missing),
        Just(ObservedSecret::NotOwned),
        (any::<bool>(), projects()).prop_map(|(intact, project)| ObservedSecret::Owned {
            intact,
            project,
            ca_digest: None
        }),
    ]
}

fn all_facts() -> impl Strategy<Value = ObservedState> {
    let status = (
        projects(),
        any::<bool>(),
        intents(),
        any::<bool>(),
        any::<bool>(),
    );
    let state = (any::<bool>(), any::<bool>(), projects(), any::<bool>());
    let flags = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (status, listings(), accounts(), secrets(), state, flags).prop_map(
        |(status, listing, account, secret, state, flags)| {
            let (project, adopted, creation, effective, schema) = status;
            let (looked, project_found, deleted, rejected) = state;
            let (has_finalizer, suspended, orphan, class_has_finalizer, taken) = flags;
            let mut observed = resting();
            observed.status.project = project.map(|project| crds::ProjectStatus {
                adopted,
                ..project_status(project.as_str())
            });
            observed.status.creation = creation;
            if !effective {
                observed.status.effective = None;
            }
            if !schema {
                observed.schema = Schema::Unusable(issue(Reason::MigrationsInvalid));
            }
            ObservedState {
                listing,
                account,
                secret,
                has_finalizer,
                suspended,
                orphan,
                class_has_finalizer,
                endpoint: looked.then(|| endpoint(compute(8))),
                project_found,
                deleted,
                password_rejected: rejected,
                taken_by: taken.then(|| "acme/other".to_owned()),
                ..observed
            }
        },
    )
}

fn goals() -> impl Strategy<Value = Intent> {
    let adopting = || DesiredState {
        adopt: Some(AdoptionSpec {
            project: id(OWN),
            reset_password: false,
        }),
        ..desired()
    };
    prop_oneof![
        4 => Just(Intent::Provision(Ok(desired()))),
        1 => Just(Intent::Provision(Ok(adopting()))),
        1 => Just(Intent::Provision(Err(issue(Reason::InvalidSpec)))),
        4 => Just(Intent::Delete(DeletionPolicy::Delete)),
        1 => Just(Intent::Delete(DeletionPolicy::Retain)),
    ]
}

fn recorded(observed: &ObservedState) -> Option<ProjectId> {
    observed
        .status
        .project
        .as_ref()
        .map(|project| id(&project.id))
}

fn marked(observed: &ObservedState) -> impl Iterator<Item = &ProjectId> {
    observed.listing.marked.iter().map(|seen| &seen.id)
}

/// Whether a request on record may still lead to a project.
fn unsettled(observed: &ObservedState) -> bool {
    observed.status.creation.as_ref().is_some_and(|intent| {
        observed
            .listing
            .as_of
            .is_none_or(|as_of| as_of < intent.settled_at.0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn a_project_is_asked_for_only_where_there_is_none_and_none_can_come(intent in goals(), observed in all_facts()) {
        if let Step::Create { attempt } = plan(&intent, &observed) {
            prop_assert_eq!(recorded(&observed), None);
            prop_assert_eq!(marked(&observed).next(), None);
            prop_assert!(!unsettled(&observed));
            prop_assert!(observed.has_finalizer && observed.class_has_finalizer);
            prop_assert!(observed.listing.as_of.is_some(), "whether there is one already shows only in a listing");
            prop_assert_eq!(attempt, observed.status.creation.as_ref().map_or(0, |intent| intent.attempt) + 1);
        }
    }

    #[test]
    fn a_project_is_deleted_only_if_it_is_recorded_or_bears_the_mark(intent in goals(), observed in all_facts()) {
        match plan(&intent, &observed) {
            Step::DeleteProject(project) => {
                let half_created = recorded(&observed).is_none() && observed.status.creation.is_some();
                let retain = intent == Intent::Delete(DeletionPolicy::Retain);
                prop_assert!(intent == Intent::Delete(DeletionPolicy::Delete) || retain && half_created);
                prop_assert!(recorded(&observed).as_ref() == Some(&project) || marked(&observed).any(|one| *one == project));
                prop_assert_ne!(Some(&project), observed.deleted.as_ref(), "what is deleted is deleted once");
            }
            Step::DeleteDuplicate(project) => {
                prop_assert!(recorded(&observed).is_some_and(|own| own != project));
                prop_assert!(marked(&observed).any(|one| *one == project));
                prop_assert!(observed.status.project.as_ref().is_some_and(|own| !own.adopted));
            }
            _ => {}
        }
    }

    #[test]
    fn no_tenant_is_let_go_before_its_project_and_all_that_may_still_come(observed in all_facts()) {
        let step = plan(&Intent::Delete(DeletionPolicy::Delete), &observed);
        if let Step::RemoveFinalizer(reason) = step {
            let left = recorded(&observed).into_iter().chain(marked(&observed).cloned())
                .any(|project| Some(&project) != observed.deleted.as_ref());
            let may_cost = left || unsettled(&observed);
            if observed.account == ObservedAccount::Usable {
                prop_assert_eq!(reason, ReleaseReason::Deleted);
                prop_assert!(!may_cost);
            } else {
                prop_assert!(!may_cost || observed.orphan);
            }
        }
    }

    #[test]
    fn a_policy_to_retain_spares_only_a_project_that_somebody_saw(observed in all_facts()) {
        let step = plan(&Intent::Delete(DeletionPolicy::Retain), &observed);
        if recorded(&observed).is_none() && observed.status.creation.is_some() {
            prop_assert_eq!(step, plan(&Intent::Delete(DeletionPolicy::Delete), &observed));
        } else {
            prop_assert_eq!(step, Step::RemoveFinalizer(ReleaseReason::Retained));
        }
    }

    #[test]
    fn a_suspended_tenant_is_held_and_its_deletion_is_not(intent in goals(), observed in all_facts()) {
        let observed = ObservedState { suspended: true, ..observed };
        let step = plan(&intent, &observed);
        match intent {
            Intent::Provision(_) => prop_assert_eq!(step, Step::Suspended),
            Intent::Delete(_) => prop_assert_eq!(step, plan(&intent, &ObservedState { suspended: false, ..observed })),
        }
    }

    #[test]
    fn a_deletion_ends_waits_or_deletes_and_nothing_else(observed in all_facts()) {
        let step = plan(&Intent::Delete(DeletionPolicy::Delete), &observed);
        let fits = matches!(
            step,
            Step::RemoveFinalizer(_) | Step::DeleteProject(_) | Step::List { .. } | Step::Wait { .. } | Step::Stalled(_)
        );
        prop_assert!(fits, "{:?}", step);
    }

    #[test]
    fn a_wait_for_a_request_to_settle_ends_after_now_and_with_its_window(intent in goals(), observed in all_facts()) {
        if let Step::Wait { until: Some(until), .. } = plan(&intent, &observed) {
            prop_assert!(until > observed.now);
            prop_assert!(observed.status.creation.as_ref().is_some_and(|intent| until <= intent.settled_at.0));
        }
    }
}
