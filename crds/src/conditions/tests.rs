use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const TYPES: [ConditionType; 7] = [
    ConditionType::Ready,
    ConditionType::Reconciling,
    ConditionType::Stalled,
    ConditionType::Available,
    ConditionType::ProjectReady,
    ConditionType::SchemaReady,
    ConditionType::CredentialsReady,
];

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).expect("a valid timestamp"))
}

fn condition(kind: ConditionType, status: &str, reason: Reason) -> Condition {
    Condition {
        last_transition_time: at(0),
        message: String::new(),
        observed_generation: None,
        reason: reason.to_string(),
        status: status.to_owned(),
        type_: kind.to_string(),
    }
}

/// Whether `value` has the format that the Kubernetes API requires of a condition's reason.
fn is_camel_case(value: &str) -> bool {
    value.starts_with(|c: char| c.is_ascii_uppercase())
        && value.chars().all(|c| c.is_ascii_alphanumeric())
}

#[test]
fn reasons_and_types_are_unique_and_in_camel_case() {
    let reasons: BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(reasons.len(), Reason::ALL.len());
    let types: BTreeSet<_> = TYPES.iter().map(|t| t.as_str()).collect();
    assert_eq!(types.len(), TYPES.len());
    for value in reasons.iter().chain(&types) {
        assert!(is_camel_case(value), "{value}");
    }
}

#[test]
fn a_missing_or_unknown_condition_is_not_true() {
    assert!(!is_true(&[], ConditionType::Ready));
    let unknown = [condition(
        ConditionType::Ready,
        "Unknown",
        Reason::Progressing,
    )];
    assert!(!is_true(&unknown, ConditionType::Ready));
    assert!(find_condition(&unknown, ConditionType::Stalled).is_none());
}

#[test]
fn a_new_reason_with_the_same_status_keeps_the_transition_time() {
    let mut conditions = Vec::new();
    let kind = ConditionType::Ready;
    set_condition(
        &mut conditions,
        condition(kind, "False", Reason::CreatingProject),
        &at(10),
    );
    set_condition(
        &mut conditions,
        condition(kind, "False", Reason::Migrating),
        &at(20),
    );
    assert_eq!(conditions[0].last_transition_time, at(10));
    assert_eq!(conditions[0].reason, "Migrating");
    set_condition(
        &mut conditions,
        condition(kind, "True", Reason::ReconcileSucceeded),
        &at(30),
    );
    assert_eq!(conditions[0].last_transition_time, at(30));
    assert!(is_true(&conditions, kind));
}

proptest! {
    #[test]
    fn the_transition_time_is_the_time_of_the_last_status_change(
        sets in proptest::collection::vec((0..TYPES.len(), prop::sample::select(vec!["True", "False", "Unknown"])), 1..40)
    ) {
        let mut conditions = Vec::new();
        let mut expected = std::collections::BTreeMap::new();
        for (second, (index, status)) in (1_i64..).zip(sets) {
            let kind = TYPES[index];
            set_condition(&mut conditions, condition(kind, status, Reason::Progressing), &at(second));
            let entry = expected.entry(kind.as_str()).or_insert((status, second));
            if entry.0 != status {
                *entry = (status, second);
            }
        }
        prop_assert_eq!(conditions.len(), expected.len());
        for c in conditions {
            let (status, second) = expected[c.type_.as_str()];
            prop_assert_eq!(c.status, status);
            prop_assert_eq!(c.last_transition_time, at(second));
        }
    }
}

#[test]
fn every_reason_parses_from_its_own_name_and_others_are_rejected() {
    for reason in Reason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(*reason));
    }
    let error = "Later".parse::<Reason>().expect_err("not a reason");
    assert!(error.to_string().contains("Later"), "{error}");
}
