use std::collections::BTreeSet;

use super::*;

fn definitions() -> [CustomResourceDefinition; 3] {
    [tenant_crd(), tenant_class_crd(), schema_rollout_crd()]
}

fn each_schema(visit: &mut impl FnMut(&mut JSONSchemaProps)) {
    for mut crd in definitions() {
        for root in schemas(&mut crd) {
            for_each_schema(root, visit);
        }
    }
}

#[test]
fn every_rule_has_a_one_line_message() {
    let mut seen = 0;
    each_schema(&mut |schema| {
        for rule in schema.x_kubernetes_validations.iter().flatten() {
            seen += 1;
            let message = rule.message.as_deref().unwrap_or_default();
            assert!(message.len() > 20, "{}: {message:?}", rule.rule);
            // The API server rejects messages with line breaks.
            assert!(!message.contains('\n'), "{message:?}");
        }
    });
    assert!(seen > 40, "found only {seen} rules");
}

#[test]
fn every_string_and_list_in_the_spec_has_an_upper_bound() {
    for mut crd in definitions() {
        for root in schemas(&mut crd) {
            let spec = property(root, "spec").expect("a spec");
            for_each_schema(spec, &mut |schema| {
                let bounded = match schema.type_.as_deref() {
                    Some("string") => schema.max_length.is_some() || schema.enum_.is_some(),
                    Some("array") => schema.max_items.is_some(),
                    _ => true,
                };
                assert!(bounded, "{:?}", schema.description);
            });
        }
    }
}

#[test]
fn the_status_has_no_validation_rules() {
    for mut crd in definitions() {
        for root in schemas(&mut crd) {
            let status = property(root, "status").expect("a status");
            for_each_schema(status, &mut |schema| {
                assert_eq!(schema.x_kubernetes_validations, None);
                assert_eq!(
                    (schema.minimum, schema.maximum, schema.max_length),
                    (None, None, None)
                );
            });
        }
    }
}

#[test]
fn every_list_declares_its_list_type() {
    let mut kinds = BTreeSet::new();
    each_schema(&mut |schema| {
        if schema.type_.as_deref() == Some("array") {
            kinds.insert(schema.x_kubernetes_list_type.clone().expect("a list type"));
        }
    });
    assert_eq!(kinds, ["atomic", "map", "set"].map(str::to_owned).into());
}

#[test]
fn the_spec_is_optional_for_tenants_only() {
    let required = |mut crd: CustomResourceDefinition| {
        schemas(&mut crd)
            .map(|root| root.required.clone().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    assert_eq!(required(tenant_crd()), [Vec::<String>::new()]);
    for crd in [tenant_class_crd(), schema_rollout_crd()] {
        assert_eq!(required(crd), [vec!["spec".to_owned()]]);
    }
}

#[test]
fn an_object_without_a_status_is_not_current_for_kstatus() {
    for mut crd in definitions() {
        let default = schemas(&mut crd)
            .find_map(|root| property(root, "status")?.default.clone())
            .expect("a default");
        let status: crate::TenantClassStatus = serde_json::from_value(default.0).expect("a status");
        assert_eq!(status.observed_generation, Some(-1));
        let ready = crate::find_condition(&status.conditions, ConditionType::Ready);
        assert_eq!(ready.expect("a condition").status, "Unknown");
    }
}

#[test]
fn helm_and_argo_cd_keep_the_definitions() {
    for crd in definitions() {
        let annotations = crd.metadata.annotations.expect("annotations");
        assert_eq!(annotations["helm.sh/resource-policy"], "keep");
        assert_eq!(
            annotations["argocd.argoproj.io/sync-options"],
            "Delete=false,Prune=false"
        );
    }
}

#[test]
fn the_default_spec_equals_the_default_of_the_rust_type() {
    let mut crd = tenant_crd();
    let default = schemas(&mut crd)
        .find_map(|root| property(root, "spec")?.default.clone())
        .expect("a default");
    let spec: crate::TenantSpec = serde_json::from_value(default.0).expect("a spec");
    assert_eq!(spec, crate::TenantSpec::default());
}

#[test]
fn the_committed_definitions_are_up_to_date() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for (name, crd) in [
        ("tenant.yaml", tenant_crd()),
        ("tenantclass.yaml", tenant_class_crd()),
        ("schemarollout.yaml", schema_rollout_crd()),
    ] {
        for folder in ["crds", "charts/tenant-controller/crds"] {
            let path = format!("{root}/{folder}/{name}");
            let text = std::fs::read_to_string(&path).expect("the committed definition");
            let committed: CustomResourceDefinition =
                serde_yaml::from_str(&text).expect("a definition");
            assert_eq!(committed, crd, "{path} is stale: run `make generate`");
        }
    }
}
