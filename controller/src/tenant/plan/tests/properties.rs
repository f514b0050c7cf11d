//! Properties of every plan.

use std::collections::BTreeSet;

use crds::{CreationIntent, DeletionPolicy, Reason};
use neon_client::ids::ProjectId;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::fixtures::*;
use crate::accounts::{ObservedListing, ObservedProject};
use crate::cache::ObservedSecret;
use crate::issue::Issue;
use crate::tenant::desired::{AdoptionSpec, DesiredState};
use crate::tenant::intent::Intent;
use crate::tenant::observed::{Holder, ObservedState};
use crate::tenant::plan::{ReleaseReason, Step, plan};

const CASES: u32 = 4_096;

fn projects() -> impl Strategy<Value = Option<ProjectId>> {
    select(vec![
        None,
        Some(id(OWN)),
        Some(id(DUPLICATE)),
        Some(id(THIRD)),
    ])
}

fn pending_creations() -> impl Strategy<Value = Option<CreationIntent>> {
    proptest::option::of(
        (-200_i64..200, 1..5_i32).prop_map(|(settled, attempt)| CreationIntent {
            attempt,
            ..pending_creation(settled)
        }),
    )
}

fn index_of(project: &str) -> usize {
    [OWN, DUPLICATE, THIRD]
        .iter()
        .position(|one| *one == project)
        .unwrap_or_default()
}

fn listings() -> impl Strategy<Value = ObservedListing> {
    let as_of = proptest::option::of((-250_i64..=0).prop_map(|ago| at(NOW + ago)));
    let own = select(vec![None, Some("v1"), Some("v2")]);
    (
        as_of,
        own,
        subsequence(vec![OWN, DUPLICATE, THIRD], 0..=3),
        (any::<bool>(), any::<bool>()),
        (0..8_u8, -200_i64..400),
    )
        .prop_map(
            |(as_of, own, marked, (unavailable, own_confirmed), (unused_mask, created_after))| {
                ObservedListing {
                    as_of,
                    done_at: as_of,
                    own: own.map(|version| ObservedProject {
                        updated_at: version.to_owned(),
                        ..listed(OWN)
                    }),
                    marked: marked
                        .into_iter()
                        .map(|project| {
                            let unused = unused_mask & 1 << index_of(project) != 0;
                            let created_at = at(LOST_REQUEST + created_after);
                            ObservedProject {
                                created_at,
                                unused,
                                ..listed(project)
                            }
                        })
                        .collect(),
                    namesakes: Vec::new(),
                    unavailable,
                    own_confirmed,
                }
            },
        )
}

fn accounts() -> impl Strategy<Value = Result<(), Issue>> {
    prop_oneof![3 => Just(Ok(())), 1 => Just(class_missing())]
}

fn secrets() -> impl Strategy<Value = ObservedSecret> {
    prop_oneof![
        Just(ObservedSecret::Missing),
        Just(ObservedSecret::NotOwned),
        (any::<bool>(), projects()).prop_map(|(intact, project)| ObservedSecret::Owned {
            intact,
            project,
            ca_digest: None,
            resource_version: Some(SECRET_VERSION.to_owned()),
        }),
    ]
}

fn observed_states() -> impl Strategy<Value = ObservedState> {
    let status = (
        projects(),
        any::<bool>(),
        pending_creations(),
        any::<bool>(),
        any::<bool>(),
    );
    let state = (
        any::<bool>(),
        any::<bool>(),
        projects(),
        any::<bool>(),
        projects(),
        any::<bool>(),
        projects(),
    );
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
            let (inspected, project_found, deleted, rejected, delete_duplicate, lost, annotated) =
                state;
            let (has_finalizer, suspended, orphan, class_has_finalizer, claimed) = flags;
            let mut observed = up_to_date();
            observed.status.project = project.map(|project| crds::ProjectStatus {
                adopted,
                ..project_status(project.as_str())
            });
            observed.status.creation = creation;
            observed
                .status
                .lost_creations
                .extend(lost.then(lost_creation));
            if !effective {
                observed.status.effective = None;
            }
            if !schema {
                observed.schema = Err(issue(Reason::MigrationsInvalid));
            }
            ObservedState {
                listing,
                account,
                secret,
                has_finalizer,
                suspended,
                deletion_protected: false,
                deletion_held: None,
                orphan,
                class_has_finalizer,
                compute: inspected.then(|| observed_compute(compute_settings(8))),
                project_found,
                deleted,
                delete_duplicate,
                annotated_project: annotated,
                password_rejected: rejected,
                holders: claimed
                    .then(|| {
                        let tenant = "acme/other".to_owned();
                        (
                            id(OWN),
                            Holder {
                                tenant,
                                adopted: true,
                            },
                        )
                    })
                    .into_iter()
                    .collect(),
                adoptable: BTreeSet::from([id(OWN), id(DUPLICATE), id(THIRD)]),
                ..observed
            }
        },
    )
}

fn intents() -> impl Strategy<Value = Intent> {
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
    observed.listing.marked.iter().map(|project| &project.id)
}

/// Whether a request of the Tenant whose response was lost created the project, which was never
/// used.
fn is_unused_request(observed: &ObservedState, project: &ProjectId) -> bool {
    let requests = &observed.status.lost_creations;
    let pending = observed
        .status
        .creation
        .iter()
        .filter_map(|request| Some((request.requested_at.as_ref()?.0, request.settled_at.0)));
    let windows: Vec<_> = requests
        .iter()
        .map(|request| (request.requested_at.0, request.settled_at.0))
        .chain(pending)
        .collect();
    observed.listing.marked.iter().any(|listed| {
        let second = jiff::SignedDuration::from_secs(1);
        let in_window = |(start, end): &(jiff::Timestamp, jiff::Timestamp)| {
            *start <= listed.created_at + second && listed.created_at <= *end
        };
        listed.id == *project && listed.unused && windows.iter().any(in_window)
    })
}

/// Whether the project of a recorded creation request may still appear.
fn creation_pending(observed: &ObservedState) -> bool {
    observed.status.creation.as_ref().is_some_and(|request| {
        observed
            .listing
            .as_of
            .is_none_or(|as_of| as_of < request.settled_at.0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn a_project_is_created_only_if_none_exists_and_none_can_appear(intent in intents(), observed in observed_states()) {
        if let Step::Create { attempt } = plan(&intent, &observed) {
            prop_assert_eq!(recorded(&observed), None);
            prop_assert_eq!(marked(&observed).next(), None);
            prop_assert!(!creation_pending(&observed));
            prop_assert!(observed.has_finalizer && observed.class_has_finalizer);
            prop_assert!(observed.listing.as_of >= Some(observed.created_at), "only a later listing proves that there is none");
            prop_assert_eq!(attempt, observed.status.creation.as_ref().map_or(0, |request| request.attempt) + 1);
        }
    }

    #[test]
    fn only_a_recorded_or_marked_project_is_deleted(intent in intents(), observed in observed_states()) {
        match plan(&intent, &observed) {
            Step::DeleteProject(project) => {
                let retain = intent == Intent::Delete(DeletionPolicy::Retain);
                prop_assert!(intent == Intent::Delete(DeletionPolicy::Delete) || retain && is_unused_request(&observed, &project));
                prop_assert!(recorded(&observed).as_ref() == Some(&project) || marked(&observed).any(|one| *one == project));
                prop_assert_ne!(Some(&project), observed.deleted.as_ref(), "a project is deleted once");
            }
            Step::DeleteDuplicate { project, named } => {
                if named {
                    prop_assert_eq!(observed.delete_duplicate.as_ref(), Some(&project));
                } else {
                    prop_assert_ne!(recorded(&observed), Some(project.clone()));
                    prop_assert!(marked(&observed).any(|one| *one == project));
                    prop_assert!(is_unused_request(&observed, &project));
                    prop_assert!(observed.listing.own_confirmed || matches!(intent, Intent::Delete(_)));
                }
            }
            _ => {}
        }
    }

    #[test]
    fn the_finalizer_stays_while_a_project_exists_or_may_still_appear(observed in observed_states()) {
        let step = plan(&Intent::Delete(DeletionPolicy::Delete), &observed);
        if let Step::RemoveFinalizer(reason) = step {
            let project_left = recorded(&observed).into_iter().chain(marked(&observed).cloned())
                .any(|project| Some(&project) != observed.deleted.as_ref());
            let may_cost = project_left || creation_pending(&observed);
            if observed.orphan {
                prop_assert_eq!(reason, ReleaseReason::Orphaned);
            } else {
                prop_assert_eq!(reason, ReleaseReason::Deleted);
                prop_assert!(observed.account.is_ok() && !may_cost);
            }
        }
    }

    #[test]
    fn the_retain_policy_needs_no_account_for_a_recorded_project(observed in observed_states()) {
        let step = plan(&Intent::Delete(DeletionPolicy::Retain), &observed);
        if recorded(&observed).is_some() || observed.status.creation.is_none() {
            prop_assert_eq!(step, Step::RemoveFinalizer(ReleaseReason::Retained));
        }
    }

    #[test]
    fn suspension_stops_provisioning_but_not_deletion(intent in intents(), observed in observed_states()) {
        let observed = ObservedState { suspended: true, ..observed };
        let step = plan(&intent, &observed);
        match intent {
            Intent::Provision(_) => prop_assert_eq!(step, Step::Suspended),
            Intent::Delete(_) => prop_assert_eq!(step, plan(&intent, &ObservedState { suspended: false, ..observed })),
        }
    }

    #[test]
    fn a_deletion_only_lists_waits_stalls_annotates_deletes_or_completes(observed in observed_states()) {
        let step = plan(&Intent::Delete(DeletionPolicy::Delete), &observed);
        let fits = matches!(
            step,
            Step::RemoveFinalizer(_) | Step::AnnotateProject(_) | Step::DeleteProject(_) | Step::DeleteDuplicate { .. } | Step::Claim { acquire: false, .. } | Step::List { .. } | Step::Wait { .. } | Step::Stalled(_)
        );
        prop_assert!(fits, "{:?}", step);
    }

    #[test]
    fn a_wait_for_a_pending_creation_ends_in_the_future_and_within_its_window(intent in intents(), observed in observed_states()) {
        if let Step::Wait { until: Some(until), .. } = plan(&intent, &observed) {
            prop_assert!(until > observed.now);
            let creation = observed.status.creation.as_ref();
            prop_assert!(!observed.status.lost_creations.is_empty() || creation.is_some_and(|request| until <= request.settled_at.0));
        }
    }
}
