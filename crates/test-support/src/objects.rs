//! Reads statuses, conditions and Secrets, and applies merge patches.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use crds::{ConditionType, Tenant, TenantStatus, find_condition, is_true};
use k8s_openapi::api::core::v1::Secret;
use neon_client::ids::ProjectId;
use serde_json::{Value, json};

/// Applies a JSON merge patch (RFC 7396).
pub fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            if let Some(object) = into.as_object_mut() {
                object.remove(&key);
            }
        } else {
            merge(&mut into[key], value);
        }
    }
}

/// A Secret's data as text.
pub fn secret_text(secret: &Secret) -> Result<BTreeMap<String, String>> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| Ok((key.clone(), String::from_utf8(value.0.clone())?)))
        .collect()
}

pub fn status(tenant: &Tenant) -> Option<&TenantStatus> {
    tenant.status.as_ref()
}

/// A condition of a Tenant.
pub fn condition(
    tenant: &Tenant,
    kind: ConditionType,
) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    find_condition(&status(tenant)?.conditions, kind)
}

/// Whether the status is of the current generation.
pub fn is_current(tenant: &Tenant) -> bool {
    status(tenant).is_some_and(|status| status.observed_generation == tenant.metadata.generation)
}

/// Whether the current generation is `Ready`.
pub fn is_ready(tenant: &Tenant) -> bool {
    is_current(tenant)
        && status(tenant).is_some_and(|status| is_true(&status.conditions, ConditionType::Ready))
}

pub fn is_available(tenant: &Tenant) -> bool {
    status(tenant).is_some_and(|status| is_true(&status.conditions, ConditionType::Available))
}

/// The id of a Tenant's project.
pub fn project_id(tenant: &Tenant) -> Result<ProjectId> {
    let project = status(tenant)
        .and_then(|status| status.project.as_ref())
        .context("the status names no project")?;
    project.id.parse().context("invalid status.project.id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_adds_replaces_and_removes() {
        let mut value = json!({"kept": 1, "removed": 2, "deep": {"kept": 3, "other": 4}});
        merge(
            &mut value,
            json!({"removed": null, "new": {"a": [1]}, "deep": {"other": 5}}),
        );
        assert_eq!(
            value,
            json!({"kept": 1, "new": {"a": [1]}, "deep": {"kept": 3, "other": 5}})
        );
    }
}
