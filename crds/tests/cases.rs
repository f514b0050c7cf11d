//! Checks the validation cases in `cases/*.yaml` without an API server, above all that every rule
//! has a case that it rejects. The end-to-end tests run the cases against a real API server.

#![expect(
    clippy::expect_used,
    reason = "a test file; the lint exempts only test functions"
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
    /// Only the end-to-end test reads this.
    #[serde(default, rename = "object")]
    _object: Option<String>,
    steps: Vec<Option<Value>>,
    #[serde(default)]
    refused: Option<String>,
    #[serde(default)]
    stored: Option<Value>,
}

fn files() -> [(File, CustomResourceDefinition); 3] {
    [
        (include_str!("cases/tenant.yaml"), crds::tenant_crd()),
        (
            include_str!("cases/tenantclass.yaml"),
            crds::tenant_class_crd(),
        ),
        (
            include_str!("cases/schemarollout.yaml"),
            crds::schema_rollout_crd(),
        ),
    ]
    .map(|(text, crd)| (serde_yaml::from_str(text).expect("cases"), crd))
}

/// Collects the messages of all rules in a schema.
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
fn every_rule_has_a_case_that_it_rejects() {
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
fn cases_have_unique_names_and_consistent_expectations() {
    for (file, crd) in files() {
        assert_eq!(file.kind, crd.spec.names.kind);
        let mut names = BTreeSet::new();
        for case in &file.cases {
            assert!(names.insert(&case.name), "duplicate case: {}", case.name);
            assert!(!case.steps.is_empty(), "case without steps: {}", case.name);
            assert!(
                case.refused.is_none() || case.stored.is_none(),
                "a rejected case cannot have a stored spec: {}",
                case.name
            );
        }
    }
}
