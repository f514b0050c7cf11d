//! The custom resource definitions as they are installed: the generated schemas, adjusted where the
//! Rust types cannot express what is needed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt as _;

use crate::{ConditionType, DEFAULT_CLASS, Reason, SchemaRollout, Tenant, TenantClass};

/// Returns the `CustomResourceDefinition` of `Tenant`.
pub fn tenant_crd() -> CustomResourceDefinition {
    let mut crd = protected(Tenant::crd());
    for root in schemas(&mut crd) {
        make_spec_optional(root);
        finish(root);
    }
    crd
}

/// Returns the `CustomResourceDefinition` of `TenantClass`.
pub fn tenant_class_crd() -> CustomResourceDefinition {
    let mut crd = protected(TenantClass::crd());
    schemas(&mut crd).for_each(finish);
    crd
}

/// Returns the `CustomResourceDefinition` of `SchemaRollout`.
pub fn schema_rollout_crd() -> CustomResourceDefinition {
    let mut crd = protected(SchemaRollout::crd());
    schemas(&mut crd).for_each(finish);
    crd
}

/// Adds the annotations that keep Helm and Argo CD from deleting the definition: with it, the API
/// server would delete every object of the kind.
fn protected(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    crd.metadata.annotations = Some(
        [
            ("helm.sh/resource-policy", "keep"),
            (
                "argocd.argoproj.io/sync-options",
                "Delete=false,Prune=false",
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
    );
    crd
}

fn schemas(crd: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    crd.spec.versions.iter_mut().filter_map(|version| {
        version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
    })
}

/// Makes the spec optional, with a default that sets the class. A Tenant needs only a name, and
/// clients always read a spec with a class. The default has to include `className`, because the API
/// server validates it before it applies the defaults of the fields.
fn make_spec_optional(root: &mut JSONSchemaProps) {
    // `spec` was the only required property.
    root.required = None;
    if let Some(spec) = property(root, "spec") {
        spec.default = Some(JSON(serde_json::json!({ "className": DEFAULT_CLASS })));
    }
}

fn finish(root: &mut JSONSchemaProps) {
    root.title = None;
    for_each_schema(root, &mut |schema| {
        // Otherwise a field could be null besides being set or absent, and every rule would have to
        // handle that.
        schema.nullable = None;
        if let Some(text) = &mut schema.description {
            *text = unwrap_lines(text);
        }
        if schema.type_.as_deref() == Some("array") && schema.x_kubernetes_list_type.is_none() {
            schema.x_kubernetes_list_type = Some("atomic".to_owned());
        }
    });
    if let Some(status) = property(root, "status") {
        // Without a status, tools that follow kstatus would consider an object as current before
        // the controller has seen it.
        status.default = Some(JSON(serde_json::json!({
            "observedGeneration": -1,
            "conditions": [{
                "type": ConditionType::Ready.as_str(),
                "status": "Unknown",
                "reason": Reason::Waiting.as_str(),
                "message": "waiting for the controller",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            }],
        })));
    }
    // Only the controller writes the status. A validation rule could only prevent it from reporting
    // what it observed.
    if let Some(status) = property(root, "status") {
        for_each_schema(status, &mut |schema| {
            schema.x_kubernetes_validations = None;
            schema.minimum = None;
            schema.maximum = None;
            schema.min_length = None;
            schema.max_length = None;
            schema.max_items = None;
            if schema.x_kubernetes_list_type.as_deref() == Some("set") {
                schema.x_kubernetes_list_type = Some("atomic".to_owned());
            }
        });
    }
}

fn property<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> Option<&'a mut JSONSchemaProps> {
    schema.properties.as_mut()?.get_mut(name)
}

/// Calls `visit` for the schema and, recursively, for every schema in it.
fn for_each_schema(schema: &mut JSONSchemaProps, visit: &mut impl FnMut(&mut JSONSchemaProps)) {
    visit(schema);
    for property in schema.properties.iter_mut().flat_map(|p| p.values_mut()) {
        for_each_schema(property, visit);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => for_each_schema(items, visit),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => {
            for item in items {
                for_each_schema(item, visit);
            }
        }
        None => {}
    }
}

/// Joins the lines of each paragraph. Doc comments are wrapped for the source file, and
/// `kubectl explain` wraps the text itself.
fn unwrap_lines(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests;
