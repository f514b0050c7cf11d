//! All writes to the Kubernetes API, and the few reads that no cache serves.
//!
//! The client gives each call a deadline and records it in the metrics. Every write names the
//! resource version or the UID of the object. The API server therefore rejects the writes of a
//! process that lost its Lease or used an outdated cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::{
    FIELD_MANAGER, SECRET_TYPE, Tenant, TenantClass, TenantClassStatus, TenantStatus, labels,
};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

use crate::cache::{NamespacedName, prune};

const API_VERSION: &str = "dbpertenant.dev/v1alpha1";

/// Why a call to the Kubernetes API failed. `what` names the call.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("{what}: the object has changed since it was read")]
    Conflict { what: &'static str },
    #[error("{what}: not found")]
    NotFound { what: &'static str },
    #[error("{what}: an object of that name exists")]
    Exists { what: &'static str },
    /// Validation or RBAC rejected the call.
    #[error("{what}: the API server rejected the request: {message}")]
    Rejected { what: &'static str, message: String },
    /// There was no response, a server error or an invalid response.
    #[error("{what}: the API server is unavailable")]
    Unavailable {
        what: &'static str,
        #[source]
        source: kube::Error,
    },
}

impl ClusterError {
    fn new(what: &'static str, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match (status.code, status.reason.as_str()) {
                (409, "AlreadyExists") => Self::Exists { what },
                (409, _) => Self::Conflict { what },
                (404, _) => Self::NotFound { what },
                (429 | 500..=599, _) => Self::Unavailable {
                    what,
                    source: kube::Error::Api(status),
                },
                _ => Self::Rejected {
                    what,
                    message: status.message.clone(),
                },
            },
            source => Self::Unavailable { what, source },
        }
    }
}

/// A client for the calls that the controller makes.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// The controller's own namespace.
    namespace: Arc<str>,
}

/// The content of a connection Secret.
pub struct SecretToWrite<'a> {
    /// Name of the Secret, in the Tenant's namespace.
    pub name: &'a str,
    pub data: BTreeMap<String, ByteString>,
    /// The project that the credentials belong to.
    pub project: &'a str,
    /// Digest of the CA certificates in `data`.
    pub ca_digest: Option<&'a str>,
}

impl Cluster {
    /// `namespace` is the controller's own namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.into(),
        }
    }

    /// The underlying client, for watches.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The controller's own namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// UID of the namespace `kube-system`, which identifies the cluster.
    pub async fn cluster_uid(&self) -> Result<String, ClusterError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = api
            .get("kube-system")
            .await
            .map_err(|error| ClusterError::new("get namespace kube-system", error))?;
        namespace.metadata.uid.ok_or(ClusterError::NotFound {
            what: "get namespace kube-system",
        })
    }

    /// Reads a Tenant from the API server instead of the cache.
    pub async fn tenant(&self, key: &NamespacedName) -> Result<Tenant, ClusterError> {
        self.tenants(&key.namespace)
            .get(&key.name)
            .await
            .map_err(|error| ClusterError::new("get tenant", error))
            .map(pruned)
    }

    /// Sets the Tenant's finalizers, if its resource version has not changed.
    pub async fn set_finalizers(
        &self,
        tenant: &Tenant,
        finalizers: &[String],
    ) -> Result<Tenant, ClusterError> {
        let patch = json!({ "metadata": {
            "resourceVersion": tenant.metadata.resource_version,
            "uid": tenant.metadata.uid,
            "finalizers": finalizers,
        } });
        let api = self.tenants(tenant.namespace().as_deref().unwrap_or_default());
        let (name, params) = (tenant.name_any(), PatchParams::default());
        api.patch(&name, &params, &Patch::Merge(&patch))
            .await
            .map_err(|error| ClusterError::new("patch tenant finalizers", error))
            .map(pruned)
    }

    /// Writes the Tenant's status, if its resource version has not changed.
    pub async fn write_status(
        &self,
        tenant: &Tenant,
        status: &TenantStatus,
    ) -> Result<Tenant, ClusterError> {
        let patch = json!({
            "apiVersion": API_VERSION,
            "kind": Tenant::kind(&()),
            "metadata": { "resourceVersion": tenant.metadata.resource_version, "uid": tenant.metadata.uid },
            "status": status,
        });
        let api = self.tenants(tenant.namespace().as_deref().unwrap_or_default());
        let (name, params) = (tenant.name_any(), PatchParams::apply(FIELD_MANAGER).force());
        api.patch_status(&name, &params, &Patch::Apply(&patch))
            .await
            .map_err(|error| ClusterError::new("apply tenant status", error))
            .map(pruned)
    }

    /// Reads the Secret of that name, regardless of its owner.
    pub async fn secret(&self, key: &NamespacedName) -> Result<Option<Secret>, ClusterError> {
        self.secrets(&key.namespace)
            .get_opt(&key.name)
            .await
            .map_err(|error| ClusterError::new("get secret", error))
    }

    /// Creates an empty Secret that the Tenant owns. Fails if a Secret of that name exists, so that
    /// the controller never writes to a Secret that it does not own.
    pub async fn reserve_secret(
        &self,
        tenant: &Tenant,
        name: &str,
    ) -> Result<Secret, ClusterError> {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..secret_meta(tenant)
            },
            type_: Some(SECRET_TYPE.to_owned()),
            ..Secret::default()
        };
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let api = self.secrets(tenant.namespace().as_deref().unwrap_or_default());
        api.create(&params, &secret)
            .await
            .map_err(|error| ClusterError::new("create secret", error))
    }

    /// Writes the content to the Secret with this UID, and fails if another Secret has taken its
    /// name.
    pub async fn write_secret(
        &self,
        tenant: &Tenant,
        uid: &str,
        content: SecretToWrite<'_>,
    ) -> Result<Secret, ClusterError> {
        let mut annotations = BTreeMap::from([(
            crds::annotations::PROJECT_ID.to_owned(),
            content.project.to_owned(),
        )]);
        annotations.extend(
            content
                .ca_digest
                .map(|digest| (crds::annotations::CA_DIGEST.to_owned(), digest.to_owned())),
        );
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(content.name.to_owned()),
                uid: Some(uid.to_owned()),
                annotations: Some(annotations),
                ..secret_meta(tenant)
            },
            type_: Some(SECRET_TYPE.to_owned()),
            data: Some(content.data),
            ..Secret::default()
        };
        let api = self.secrets(tenant.namespace().as_deref().unwrap_or_default());
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(content.name, &params, &Patch::Apply(&secret))
            .await
            .map_err(|error| ClusterError::new("apply secret", error))
    }

    /// Reads a Secret in the controller's namespace.
    pub async fn own_secret(&self, name: &str) -> Result<Option<Secret>, ClusterError> {
        self.secrets(&self.namespace)
            .get_opt(name)
            .await
            .map_err(|error| ClusterError::new("get API key secret", error))
    }

    /// Reads a ConfigMap in the controller's namespace.
    pub async fn own_config_map(&self, name: &str) -> Result<Option<ConfigMap>, ClusterError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get_opt(name)
            .await
            .map_err(|error| ClusterError::new("get migrations configmap", error))
    }

    /// Sets a class's finalizers, if its resource version has not changed.
    pub async fn set_class_finalizers(
        &self,
        class: &TenantClass,
        finalizers: &[String],
    ) -> Result<TenantClass, ClusterError> {
        let patch = json!({ "metadata": {
            "resourceVersion": class.metadata.resource_version,
            "uid": class.metadata.uid,
            "finalizers": finalizers,
        } });
        let (name, params) = (class.name_any(), PatchParams::default());
        self.classes()
            .patch(&name, &params, &Patch::Merge(&patch))
            .await
            .map_err(|error| ClusterError::new("patch class finalizers", error))
    }

    /// Writes a class's status, if its resource version has not changed.
    pub async fn write_class_status(
        &self,
        class: &TenantClass,
        status: &TenantClassStatus,
    ) -> Result<TenantClass, ClusterError> {
        let patch = json!({
            "apiVersion": API_VERSION,
            "kind": TenantClass::kind(&()),
            "metadata": { "resourceVersion": class.metadata.resource_version, "uid": class.metadata.uid },
            "status": status,
        });
        let (name, params) = (class.name_any(), PatchParams::apply(FIELD_MANAGER).force());
        self.classes()
            .patch_status(&name, &params, &Patch::Apply(&patch))
            .await
            .map_err(|error| ClusterError::new("apply class status", error))
    }

    fn tenants(&self, namespace: &str) -> Api<Tenant> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn classes(&self) -> Api<TenantClass> {
        Api::all(self.client.clone())
    }
}

fn secret_meta(tenant: &Tenant) -> ObjectMeta {
    ObjectMeta {
        namespace: tenant.namespace(),
        labels: Some(BTreeMap::from([
            (labels::MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned()),
            (labels::TENANT.to_owned(), label_value(&tenant.name_any())),
        ])),
        owner_references: tenant.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

fn pruned(mut tenant: Tenant) -> Tenant {
    prune(&mut tenant);
    tenant
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
    use crds::GROUP;

    #[test]
    fn the_api_version_matches_the_types() {
        assert_eq!(API_VERSION, Tenant::api_version(&()));
        assert!(API_VERSION.starts_with(GROUP));
        assert_eq!(API_VERSION, TenantClass::api_version(&()));
    }

    #[test]
    fn label_values_are_short_and_end_with_an_alphanumeric() {
        assert_eq!(label_value("acme"), "acme");
        let long = format!("{}.tail", "a".repeat(62));
        assert_eq!(label_value(&long), "a".repeat(62));
    }
}
