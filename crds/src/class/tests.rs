//! Which Tenants may use a class, and adopt a project.

use serde_json::{Value, json};

use super::*;

#[test]
fn a_namespace_is_allowed_by_its_name_or_its_labels() {
    let labels = BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
    let allows = |allowed: Value, labels: Option<&BTreeMap<String, String>>| {
        let allowed: AllowedNamespaces = serde_json::from_value(allowed).unwrap();
        allowed.allows("acme", labels)
    };
    let expression = |operator: &str, values: &[&str]| {
        let mut requirement = json!({ "key": "team", "operator": operator });
        if !values.is_empty() {
            requirement["values"] = json!(values);
        }
        json!({ "selector": { "matchExpressions": [requirement] } })
    };
    for (allowed, expected) in [
        (json!({ "names": ["other", "acme"] }), true),
        (json!({ "names": ["other"] }), false),
        (
            json!({ "selector": { "matchLabels": { "team": "blue" } } }),
            true,
        ),
        (
            json!({ "selector": { "matchLabels": { "team": "green" } } }),
            false,
        ),
        (
            json!({ "selector": { "matchLabels": { "team": "blue", "tier": "1" } } }),
            false,
        ),
        (expression("In", &["green", "blue"]), true),
        (expression("In", &["green"]), false),
        (expression("NotIn", &["green"]), true),
        (expression("NotIn", &["blue"]), false),
        (expression("Exists", &[]), true),
        (expression("DoesNotExist", &[]), false),
        (expression("Near", &["blue"]), false),
    ] {
        assert_eq!(
            allows(allowed.clone(), Some(&labels)),
            Some(expected),
            "{allowed}"
        );
    }
    // Only a selector needs the labels.
    let by_label = json!({ "names": ["other"], "selector": { "matchLabels": { "team": "blue" } } });
    assert_eq!(allows(by_label, None), None);
    assert_eq!(allows(json!({ "names": ["acme"] }), None), Some(true));
    assert_eq!(allows(json!({ "names": ["other"] }), None), Some(false));
}

#[test]
fn an_adoption_is_allowed_to_one_namespace_and_name() {
    let adoption: Adoption = serde_json::from_value(json!({ "allowed": [
        { "projectId": "calm-sea-1", "namespace": "acme" },
        { "projectId": "late-sea-2", "namespace": "acme", "name": "shop" },
    ] }))
    .unwrap();
    for (project, namespace, name, expected) in [
        ("calm-sea-1", "acme", "any", true),
        ("calm-sea-1", "other", "any", false),
        ("late-sea-2", "acme", "shop", true),
        ("late-sea-2", "acme", "any", false),
        ("late-sea-2", "other", "shop", false),
        ("deep-sea-3", "acme", "shop", false),
    ] {
        assert_eq!(
            adoption.allows(project, namespace, name),
            expected,
            "{project} {namespace}/{name}"
        );
    }
}
