//! The custom resource definitions as they are installed: what the types generate, and a few words that the types
//! cannot say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt as _;

use crate::{DEFAULT_CLASS, Tenant, TenantClass};

/// The definition of `Tenant`.
pub fn tenant_crd() -> CustomResourceDefinition {
    let mut crd = Tenant::crd();
    for root in schemas(&mut crd) {
        spec_may_be_left_out(root);
        finish(root);
    }
    crd
}

/// The definition of `TenantClass`.
pub fn tenant_class_crd() -> CustomResourceDefinition {
    let mut crd = TenantClass::crd();
    schemas(&mut crd).for_each(finish);
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

/// A Tenant needs nothing but a name; readers always find a spec with a class. The class stands in the default of the
/// spec too, because the API server checks that default against the rules before it fills in those of the fields.
fn spec_may_be_left_out(root: &mut JSONSchemaProps) {
    // Nothing else is required of the whole.
    root.required = None;
    if let Some(spec) = property(root, "spec") {
        spec.default = Some(JSON(serde_json::json!({ "className": DEFAULT_CLASS })));
    }
}

fn finish(root: &mut JSONSchemaProps) {
    root.title = None;
    for_each_schema(root, &mut |schema| {
        // A stored `null` would be a third state beside a value and none, and every rule would have to reckon with it.
        schema.nullable = None;
        if let Some(text) = &mut schema.description {
            *text = unwrap_lines(text);
        }
        if schema.type_.as_deref() == Some("array") && schema.x_kubernetes_list_type.is_none() {
            schema.x_kubernetes_list_type = Some("atomic".to_owned());
        }
    });
    // Only the controller writes the status, and it reports what it found. A rule there could only stop it from
    // saying so.
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

/// Calls `visit` for the schema and for every schema within it.
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

/// Joins the lines of a paragraph: documentation comments are wrapped for the source, `kubectl explain` wraps anew.
fn unwrap_lines(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests;
