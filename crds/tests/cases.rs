//! The cases in `cases/*.yaml` are run against a real API server by the end-to-end tests. What can be said of them
//! without one is checked here: above all that no rule is without a case that it refuses.

#![expect(
    clippy::expect_used,
    reason = "a test file; the lint knows test functions only"
)]

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct File {
    kind: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Read by the end-to-end test only.
    #[serde(default, rename = "object")]
    _object: Option<String>,
    steps: Vec<Option<Value>>,
    #[serde(default)]
    refused: Option<String>,
    #[serde(default)]
    stored: Option<Value>,
}

fn files() -> [(File, CustomResourceDefinition); 2] {
    [
        (include_str!("cases/tenant.yaml"), crds::tenant_crd()),
        (
            include_str!("cases/tenantclass.yaml"),
            crds::tenant_class_crd(),
        ),
    ]
    .map(|(text, crd)| (serde_yaml::from_str(text).expect("cases"), crd))
}

/// The messages of all rules within a schema.
fn messages(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for rule in fields
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                found.extend(rule["message"].as_str().map(str::to_owned));
            }
            fields.values().for_each(|field| messages(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| messages(item, found)),
        _ => {}
    }
}

#[test]
fn every_rule_has_a_case_that_it_refuses() {
    let mut rules = BTreeSet::new();
    let mut refused = Vec::new();
    for (file, crd) in files() {
        messages(
            &serde_json::to_value(crd).expect("a definition"),
            &mut rules,
        );
        refused.extend(file.cases.into_iter().filter_map(|case| case.refused));
    }
    assert!(!rules.is_empty());
    let untested: Vec<_> = rules
        .iter()
        .filter(|message| !refused.iter().any(|part| message.contains(part)))
        .collect();
    assert!(untested.is_empty(), "rules without a case: {untested:#?}");
}

#[test]
fn cases_are_told_apart_by_their_names() {
    for (file, crd) in files() {
        assert_eq!(file.kind, crd.spec.names.kind);
        let mut names = BTreeSet::new();
        for case in &file.cases {
            assert!(names.insert(&case.name), "twice: {}", case.name);
            assert!(!case.steps.is_empty(), "nothing to apply: {}", case.name);
            assert!(
                case.refused.is_none() || case.stored.is_none(),
                "what is refused is not stored: {}",
                case.name
            );
        }
    }
}
