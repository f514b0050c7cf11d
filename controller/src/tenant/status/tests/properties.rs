//! Properties of every status.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn outcomes() -> impl Strategy<Value = StatusOutcome> {
    let component = select(vec![
        Component::Project,
        Component::Credentials,
        Component::Schema,
    ]);
    (0..4_u8, component, select(Reason::ALL)).prop_map(|(kind, component, reason)| match kind {
        0 => StatusOutcome::Ready,
        1 => StatusOutcome::Suspended,
        2 => StatusOutcome::InProgress(issue(component, reason)),
        _ => StatusOutcome::Stalled(issue(component, reason)),
    })
}

fn statuses() -> impl Strategy<Value = TenantStatus> {
    (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        proptest::option::of((outcomes(), any::<bool>(), any::<bool>())),
    )
        .prop_map(|(project, schema, timed, before)| {
            let mut status = complete();
            status.project = status.project.filter(|_| project);
            status.schema = status.schema.filter(|_| schema);
            status.timings = timed.then(|| Timings {
                started_at: Some(MicroTime(at(1))),
                ..Timings::default()
            });
            match before {
                Some((outcome, credentials, schema)) => {
                    build_status(status, &outcome, input(credentials, schema, 50))
                }
                None => status,
            }
        })
}

proptest! {
    #[test]
    fn building_the_same_status_again_changes_nothing(
        status in statuses(), outcome in outcomes(), credentials: bool, schema: bool, later in 0..1_000_i64,
    ) {
        let first = build_status(status, &outcome, input(credentials, schema, 100));
        let again = build_status(first.clone(), &outcome, input(credentials, schema, 100 + later));
        prop_assert_eq!(first, again);
    }

    #[test]
    fn conditions_follow_the_rules_of_the_api_server_and_kstatus(
        status in statuses(), outcome in outcomes(), credentials: bool, schema: bool,
    ) {
        let status = build_status(status, &outcome, input(credentials, schema, 100));
        let mut kinds: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
        let count = kinds.len();
        kinds.sort_unstable();
        kinds.dedup();
        prop_assert_eq!(kinds.len(), count, "each type occurs once");
        prop_assert!(find_condition(&status.conditions, ConditionType::Ready).is_some());
        prop_assert!(status.conditions.iter().all(|condition| !condition.reason.is_empty()));
        for abnormal in [ConditionType::Reconciling, ConditionType::Stalled, ConditionType::Suspended] {
            let present = find_condition(&status.conditions, abnormal).is_some();
            prop_assert_eq!(present, is_true(&status.conditions, abnormal), "present only while true");
        }
        prop_assert!(!(is_true(&status.conditions, ConditionType::Ready)
            && (is_true(&status.conditions, ConditionType::Stalled)
                || is_true(&status.conditions, ConditionType::Reconciling))));
    }
}
