//! The connection Secret as it is written. Pure.

use std::collections::BTreeMap;

use crds::{FIELD_MANAGER, SECRET_TYPE, Tenant, annotations, labels};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use kube::{Resource as _, ResourceExt as _};

use super::SecretToWrite;

/// A Secret that reserves the name.
pub(super) fn empty(tenant: &Tenant, name: &str) -> Secret {
    Secret {
        metadata: metadata(tenant, name),
        type_: Some(SECRET_TYPE.to_owned()),
        ..Secret::default()
    }
}

/// `uid` is the UID of the reserved Secret.
pub(super) fn with_content(tenant: &Tenant, uid: &str, content: SecretToWrite<'_>) -> Secret {
    let mut annotations = BTreeMap::from([(
        annotations::PROJECT_ID.to_owned(),
        content.project.to_owned(),
    )]);
    annotations.extend(
        content
            .ca_digest
            .map(|digest| (annotations::CA_DIGEST.to_owned(), digest.to_owned())),
    );
    Secret {
        metadata: ObjectMeta {
            uid: Some(uid.to_owned()),
            annotations: Some(annotations),
            ..metadata(tenant, content.name)
        },
        data: Some(content.data),
        ..empty(tenant, content.name)
    }
}

fn metadata(tenant: &Tenant, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: tenant.namespace(),
        labels: Some(BTreeMap::from([
            (labels::MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned()),
            (labels::TENANT.to_owned(), label_value(&tenant.name_any())),
        ])),
        owner_references: tenant.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// Shortens a name to a valid label value: the API server allows 63 characters there, and 253 in a
/// name.
fn label_value(name: &str) -> String {
    const MAX_LABEL_VALUE_CHARS: usize = 63;
    let cut: String = name.chars().take(MAX_LABEL_VALUE_CHARS).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_short_and_end_with_an_alphanumeric() {
        assert_eq!(label_value("acme"), "acme");
        let long = format!("{}.tail", "a".repeat(62));
        assert_eq!(label_value(&long), "a".repeat(62));
    }
}
