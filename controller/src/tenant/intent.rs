//! What a reconciliation works towards, resolved from the Tenant and its class. Pure.

use std::collections::BTreeMap;

use crds::{DeletionPolicy, Reason, Tenant, TenantClass, TenantStatus};

use crate::issue::{Component, Issue};
use crate::tenant::desired::{DesiredState, TenantName, deletion_policy, resolve_desired};

/// What a reconciliation works towards.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per running reconciliation"
)]
pub enum Intent {
    /// Reach the desired state, or report why it cannot be resolved.
    Provision(Result<DesiredState, Issue>),
    /// Delete the Tenant, and its project by this policy.
    Delete(DeletionPolicy),
}

impl Intent {
    /// `namespace_labels` are the labels of the Tenant's namespace; `None` if they are not known.
    pub fn resolve(
        tenant: &Tenant,
        status: &TenantStatus,
        class: Option<&TenantClass>,
        namespace_labels: Option<&BTreeMap<String, String>>,
    ) -> Self {
        let spec = &tenant.spec;
        if tenant.metadata.deletion_timestamp.is_some() {
            let in_effect = status
                .effective
                .as_ref()
                .map(|effective| effective.deletion_policy);
            return Self::Delete(deletion_policy(
                spec,
                class.map(|class| &class.spec),
                in_effect,
            ));
        }
        let Some(class) = class else {
            return Self::Provision(Err(class_not_found(&spec.class_name)));
        };
        if class.metadata.deletion_timestamp.is_some()
            && status.project.is_none()
            && status.creation.is_none()
        {
            return Self::Provision(Err(Issue::new(
                Component::Project,
                Reason::ClassTerminating,
                format!(
                    "TenantClass {} is being deleted and accepts no new Tenants",
                    spec.class_name
                ),
            )));
        }
        let name = TenantName {
            namespace: tenant.metadata.namespace.as_deref().unwrap_or_default(),
            name: tenant.metadata.name.as_deref().unwrap_or_default(),
        };
        if let Some(issue) = namespace_issue(name.namespace, class, namespace_labels) {
            return Self::Provision(Err(issue));
        }
        let immutable = status.project.as_ref().and(status.effective.as_ref());
        Self::Provision(resolve_desired(name, spec, &class.spec, immutable))
    }

    /// The desired state, if there is a valid one.
    pub fn desired(&self) -> Option<&DesiredState> {
        match self {
            Self::Provision(Ok(desired)) => Some(desired),
            Self::Provision(Err(_)) | Self::Delete(_) => None,
        }
    }
}

/// Why the Tenants of a namespace may not use the class.
fn namespace_issue(
    namespace: &str,
    class: &TenantClass,
    labels: Option<&BTreeMap<String, String>>,
) -> Option<Issue> {
    let allowed = class.spec.allowed_namespaces.as_ref()?;
    let name = class.metadata.name.as_deref().unwrap_or_default();
    match allowed.allows(namespace, labels) {
        Some(true) => None,
        Some(false) => Some(Issue::new(
            Component::Project,
            Reason::NamespaceNotAllowed,
            format!(
                "TenantClass {name} does not allow Tenants of namespace {namespace}: use another class, or ask an \
                 administrator to add the namespace to spec.allowedNamespaces of the class"
            ),
        )),
        None => Some(Issue::new(
            Component::Project,
            Reason::Waiting,
            format!("the labels of namespace {namespace} have not been read yet"),
        )),
    }
}

pub(super) fn class_not_found(name: &str) -> Issue {
    Issue::new(
        Component::Project,
        Reason::ClassNotFound,
        format!(
            "TenantClass {name} does not exist: create it, or create a new Tenant with another spec.className"
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_that_the_class_does_not_allow_gets_no_desired_state() {
        let mut tenant = Tenant::new("shop", crds::TenantSpec::default());
        tenant.metadata.namespace = Some("acme".to_owned());
        let labels = BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
        let resolve = |allowed: serde_json::Value, labels: Option<&BTreeMap<String, String>>| {
            let spec = serde_json::from_value(json!({
                "neon": { "apiKeySecretRef": { "name": "neon", "key": "api-key" } },
                "defaults": { "region": "aws-eu-central-1" },
                "allowedNamespaces": allowed,
            }));
            let class = TenantClass::new("standard", spec.unwrap());
            let status = TenantStatus::default();
            match Intent::resolve(&tenant, &status, Some(&class), labels) {
                Intent::Provision(result) => result.map(|_| ()).map_err(|issue| issue.reason),
                Intent::Delete(_) => panic!("the Tenant is not being deleted"),
            }
        };
        let by_label = json!({ "selector": { "matchLabels": { "team": "blue" } } });
        assert_eq!(resolve(json!({ "names": ["acme"] }), None), Ok(()));
        assert_eq!(
            resolve(json!({ "names": ["other"] }), None),
            Err(Reason::NamespaceNotAllowed)
        );
        assert_eq!(resolve(by_label.clone(), Some(&labels)), Ok(()));
        assert_eq!(
            resolve(by_label.clone(), Some(&BTreeMap::new())),
            Err(Reason::NamespaceNotAllowed)
        );
        assert_eq!(resolve(by_label, None), Err(Reason::Waiting));
    }
}
