//! What holds of every plan, whatever the facts.

use crds::{CreationIntent, DeletionPolicy, Reason};
use neon_client::ids::ProjectId;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::fixtures::*;
use crate::tenant::desired::{AdoptWish, Wish};
use crate::tenant::observed::{AccountFacts, Facts, ListingFacts, Schema, SecretFacts};
use crate::tenant::plan::{Farewell, Goal, Step, plan};

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

fn listings() -> impl Strategy<Value = ListingFacts> {
    let as_of = proptest::option::of((-250_i64..=0).prop_map(|ago| at(NOW + ago)));
    let own = select(vec![None, Some("v1"), Some("v2")]);
    (
        as_of,
        own,
        subsequence(vec![OWN, TWIN, THIRD], 0..=3),
        any::<bool>(),
    )
        .prop_map(|(as_of, own, marked, unavailable)| ListingFacts {
            as_of,
            done_at: as_of,
            own: own.map(|version| crate::tenant::observed::Seen {
                updated_at: version.to_owned(),
                ..seen(OWN)
            }),
            marked: marked.into_iter().map(seen).collect(),
            unavailable,
        })
}

fn accounts() -> impl Strategy<Value = AccountFacts> {
    prop_oneof![3 => Just(AccountFacts::Usable), 1 => Just(no_class())]
}

fn secrets() -> impl Strategy<Value = SecretFacts> {
    prop_oneof![
        Just(SecretFacts::Missing),
        Just(SecretFacts::Foreign),
        (any::<bool>(), projects()).prop_map(|(intact, project)| SecretFacts::Ours {
            intact,
            project,
            ca_digest: None
        }),
    ]
}

fn all_facts() -> impl Strategy<Value = Facts> {
    let status = (
        projects(),
        any::<bool>(),
        intents(),
        any::<bool>(),
        any::<bool>(),
    );
    let hand = (any::<bool>(), any::<bool>(), projects(), any::<bool>());
    let flags = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (status, listings(), accounts(), secrets(), hand, flags).prop_map(
        |(status, listing, account, secret, hand, flags)| {
            let (project, adopted, creation, effective, schema) = status;
            let (looked, confirmed, deleted, rejected) = hand;
            let (has_finalizer, suspended, abandon, class_guarded, taken) = flags;
            let mut facts = resting();
            facts.status.project = project.map(|project| crds::ProjectStatus {
                adopted,
                ..project_status(project.as_str())
            });
            facts.status.creation = creation;
            if !effective {
                facts.status.effective = None;
            }
            if !schema {
                facts.schema = Schema::Unusable(refusal(Reason::MigrationsInvalid));
            }
            Facts {
                listing,
                account,
                secret,
                has_finalizer,
                suspended,
                abandon,
                class_guarded,
                endpoint: looked.then(|| endpoint(compute(8))),
                confirmed,
                deleted,
                password_rejected: rejected,
                taken_by: taken.then(|| "acme/other".to_owned()),
                ..facts
            }
        },
    )
}

fn goals() -> impl Strategy<Value = Goal> {
    let adopting = || Wish {
        adopt: Some(AdoptWish {
            project: id(OWN),
            reset_password: false,
        }),
        ..wish()
    };
    prop_oneof![
        4 => Just(Goal::Live(Ok(wish()))),
        1 => Just(Goal::Live(Ok(adopting()))),
        1 => Just(Goal::Live(Err(refusal(Reason::InvalidSpec)))),
        4 => Just(Goal::Go(DeletionPolicy::Delete)),
        1 => Just(Goal::Go(DeletionPolicy::Retain)),
    ]
}

fn recorded(facts: &Facts) -> Option<ProjectId> {
    facts.status.project.as_ref().map(|project| id(&project.id))
}

fn marked(facts: &Facts) -> impl Iterator<Item = &ProjectId> {
    facts.listing.marked.iter().map(|seen| &seen.id)
}

/// Whether a request on record may still lead to a project.
fn unsettled(facts: &Facts) -> bool {
    facts.status.creation.as_ref().is_some_and(|intent| {
        facts
            .listing
            .as_of
            .is_none_or(|as_of| as_of < intent.settled_at.0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn a_project_is_asked_for_only_where_there_is_none_and_none_can_come(goal in goals(), facts in all_facts()) {
        if let Step::Create { attempt } = plan(&goal, &facts) {
            prop_assert_eq!(recorded(&facts), None);
            prop_assert_eq!(marked(&facts).next(), None);
            prop_assert!(!unsettled(&facts));
            prop_assert!(facts.has_finalizer && facts.class_guarded);
            prop_assert!(facts.listing.as_of.is_some(), "whether there is one already shows only in a listing");
            prop_assert_eq!(attempt, facts.status.creation.as_ref().map_or(0, |intent| intent.attempt) + 1);
        }
    }

    #[test]
    fn a_project_is_deleted_only_if_it_is_recorded_or_bears_the_mark(goal in goals(), facts in all_facts()) {
        match plan(&goal, &facts) {
            Step::DeleteProject(project) => {
                let half_created = recorded(&facts).is_none() && facts.status.creation.is_some();
                let retain = goal == Goal::Go(DeletionPolicy::Retain);
                prop_assert!(goal == Goal::Go(DeletionPolicy::Delete) || retain && half_created);
                prop_assert!(recorded(&facts).as_ref() == Some(&project) || marked(&facts).any(|one| *one == project));
                prop_assert_ne!(Some(&project), facts.deleted.as_ref(), "what is deleted is deleted once");
            }
            Step::RemoveTwin(project) => {
                prop_assert!(recorded(&facts).is_some_and(|own| own != project));
                prop_assert!(marked(&facts).any(|one| *one == project));
                prop_assert!(facts.status.project.as_ref().is_some_and(|own| !own.adopted));
            }
            _ => {}
        }
    }

    #[test]
    fn no_tenant_is_let_go_before_its_project_and_all_that_may_still_come(facts in all_facts()) {
        let step = plan(&Goal::Go(DeletionPolicy::Delete), &facts);
        if let Step::LetGo(farewell) = step {
            let left = recorded(&facts).into_iter().chain(marked(&facts).cloned())
                .any(|project| Some(&project) != facts.deleted.as_ref());
            let may_cost = left || unsettled(&facts);
            if facts.account == AccountFacts::Usable {
                prop_assert_eq!(farewell, Farewell::Gone);
                prop_assert!(!may_cost);
            } else {
                prop_assert!(!may_cost || facts.abandon);
            }
        }
    }

    #[test]
    fn a_policy_to_retain_spares_only_a_project_that_somebody_saw(facts in all_facts()) {
        let step = plan(&Goal::Go(DeletionPolicy::Retain), &facts);
        if recorded(&facts).is_none() && facts.status.creation.is_some() {
            prop_assert_eq!(step, plan(&Goal::Go(DeletionPolicy::Delete), &facts));
        } else {
            prop_assert_eq!(step, Step::LetGo(Farewell::Retained));
        }
    }

    #[test]
    fn a_suspended_tenant_is_held_and_its_deletion_is_not(goal in goals(), facts in all_facts()) {
        let facts = Facts { suspended: true, ..facts };
        let step = plan(&goal, &facts);
        match goal {
            Goal::Live(_) => prop_assert_eq!(step, Step::Hold),
            Goal::Go(_) => prop_assert_eq!(step, plan(&goal, &Facts { suspended: false, ..facts })),
        }
    }

    #[test]
    fn a_deletion_ends_waits_or_deletes_and_nothing_else(facts in all_facts()) {
        let step = plan(&Goal::Go(DeletionPolicy::Delete), &facts);
        let fits = matches!(
            step,
            Step::LetGo(_) | Step::DeleteProject(_) | Step::List { .. } | Step::Wait { .. } | Step::Stall(_)
        );
        prop_assert!(fits, "{:?}", step);
    }

    #[test]
    fn a_wait_for_a_request_to_settle_ends_after_now_and_with_its_window(goal in goals(), facts in all_facts()) {
        if let Step::Wait { until: Some(until), .. } = plan(&goal, &facts) {
            prop_assert!(until > facts.now);
            prop_assert!(facts.status.creation.as_ref().is_some_and(|intent| until <= intent.settled_at.0));
        }
    }
}
