//! The port to the Kubernetes API: all writes, and the few reads that no cache serves.
//!
//! [`KubeCluster`] implements it with a real client; simulations implement it as well. Every write
//! names the resource version or the UID of the object. The API server therefore rejects the writes
//! of a process that lost its Lease or used an outdated cache.

mod claim_lease;
mod connection_secret;
mod kube_cluster;

use std::collections::BTreeMap;

use crds::{
    SchemaRollout, SchemaRolloutStatus, Tenant, TenantClass, TenantClassStatus, TenantStatus,
};
use futures::future::BoxFuture;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use neon_client::ids::ProjectId;

use crate::cache::NamespacedName;
use crate::identity::TenantUid;

pub use kube_cluster::KubeCluster;

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

/// The claim of a project that a Tenant adopts or takes back: a Lease in the controller's namespace.
/// Only one Tenant can create it, so no two Tenants get the same project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectClaim {
    pub project: ProjectId,
    pub holder: ClaimHolder,
    /// UID and resource version of the Lease.
    pub uid: String,
    pub version: String,
}

/// The Tenant that holds a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimHolder {
    pub tenant: NamespacedName,
    pub uid: TenantUid,
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

pub type ClusterCall<'a, T> = BoxFuture<'a, Result<T, ClusterError>>;

/// The calls that the controller makes.
pub trait ClusterApi: Send + Sync {
    /// The controller's own namespace.
    fn namespace(&self) -> &str;

    /// UID of the namespace `kube-system`, which identifies the cluster.
    fn cluster_uid(&self) -> ClusterCall<'_, String>;

    /// Reads a Tenant from the API server instead of the cache.
    fn tenant<'a>(&'a self, key: &'a NamespacedName) -> ClusterCall<'a, Tenant>;

    /// Sets the Tenant's finalizers, if its resource version has not changed.
    fn set_finalizers<'a>(
        &'a self,
        tenant: &'a Tenant,
        finalizers: &'a [String],
    ) -> ClusterCall<'a, Tenant>;

    /// Writes the Tenant's status, if its resource version has not changed.
    fn write_status<'a>(
        &'a self,
        tenant: &'a Tenant,
        status: &'a TenantStatus,
    ) -> ClusterCall<'a, Tenant>;

    /// Sets the annotation with the id of the Tenant's project, if the Tenant's resource version has
    /// not changed.
    fn annotate_project<'a>(
        &'a self,
        tenant: &'a Tenant,
        project: &'a str,
    ) -> ClusterCall<'a, Tenant>;

    /// Reads the claim of a project. `None` if no Tenant has claimed it.
    fn claim<'a>(&'a self, project: &'a ProjectId) -> ClusterCall<'a, Option<ProjectClaim>>;

    /// Creates the claim of a project. Fails if it exists.
    fn create_claim<'a>(
        &'a self,
        project: &'a ProjectId,
        holder: &'a ClaimHolder,
    ) -> ClusterCall<'a, ()>;

    /// Gives a claim to another holder, if its resource version has not changed.
    fn transfer_claim<'a>(
        &'a self,
        claim: &'a ProjectClaim,
        holder: &'a ClaimHolder,
    ) -> ClusterCall<'a, ()>;

    /// Deletes a claim, if its resource version has not changed.
    fn delete_claim<'a>(&'a self, claim: &'a ProjectClaim) -> ClusterCall<'a, ()>;

    /// Reads the Secret of that name, regardless of its owner.
    fn secret<'a>(&'a self, key: &'a NamespacedName) -> ClusterCall<'a, Option<Secret>>;

    /// Creates an empty Secret that the Tenant owns. Fails if a Secret of that name exists, so that
    /// the controller never writes to a Secret that it does not own.
    fn reserve_secret<'a>(&'a self, tenant: &'a Tenant, name: &'a str) -> ClusterCall<'a, Secret>;

    /// Writes the content to the Secret with this UID, and fails if another Secret has taken its
    /// name.
    fn write_secret<'a>(
        &'a self,
        tenant: &'a Tenant,
        uid: &'a str,
        content: SecretToWrite<'a>,
    ) -> ClusterCall<'a, Secret>;

    /// Reads a Secret in the controller's namespace.
    fn own_secret<'a>(&'a self, name: &'a str) -> ClusterCall<'a, Option<Secret>>;

    /// Reads a ConfigMap in the controller's namespace.
    fn own_config_map<'a>(&'a self, name: &'a str) -> ClusterCall<'a, Option<ConfigMap>>;

    /// Sets a class's finalizers, if its resource version has not changed.
    fn set_class_finalizers<'a>(
        &'a self,
        class: &'a TenantClass,
        finalizers: &'a [String],
    ) -> ClusterCall<'a, TenantClass>;

    /// Writes a class's status, if its resource version has not changed.
    fn write_class_status<'a>(
        &'a self,
        class: &'a TenantClass,
        status: &'a TenantClassStatus,
    ) -> ClusterCall<'a, TenantClass>;

    /// Creates a rollout. Fails if one of its name exists.
    fn create_rollout<'a>(&'a self, rollout: &'a SchemaRollout) -> ClusterCall<'a, SchemaRollout>;

    /// Sets `spec.paused` of a rollout, if its resource version has not changed.
    fn pause_rollout<'a>(&'a self, rollout: &'a SchemaRollout) -> ClusterCall<'a, SchemaRollout>;

    /// Writes a rollout's status, if its resource version has not changed.
    fn write_rollout_status<'a>(
        &'a self,
        rollout: &'a SchemaRollout,
        status: &'a SchemaRolloutStatus,
    ) -> ClusterCall<'a, SchemaRollout>;

    /// Deletes a rollout, if its resource version has not changed.
    fn delete_rollout<'a>(&'a self, rollout: &'a SchemaRollout) -> ClusterCall<'a, ()>;
}
