//! Compact caches of Tenants, Secrets and rollouts: ten thousand Tenants and their Secrets take a few
//! megabytes.
//!
//! A Tenant is cached as compressed JSON, without the fields that no reconciliation reads, and is
//! decompressed when it is reconciled. Of Secrets the controller watches only the metadata, and
//! caches who owns the Secret and whether it is unmodified.

mod compressed;
mod rollouts;
mod secret;
mod status_edits;
mod tenant;
mod write_through;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;

pub use rollouts::{ClassRollouts, RolloutCache};
pub use secret::{ObservedSecret, SecretCache, controller_of, restored_for};
pub use tenant::{CachedSchema, CachedTenant, ProblemSubject, SchemaProblem, prune, record_is_own};
pub use write_through::WriteThroughCache;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespacedName {
    pub namespace: Box<str>,
    pub name: Box<str>,
}

impl std::fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl NamespacedName {
    pub fn of<K: Resource>(object: &K) -> Self {
        Self {
            namespace: object
                .meta()
                .namespace
                .as_deref()
                .unwrap_or_default()
                .into(),
            name: object.meta().name.as_deref().unwrap_or_default().into(),
        }
    }
}

/// The resource version as a number, which orders the versions of one object; 0 if it is not a
/// number.
fn version_of(meta: &ObjectMeta) -> u64 {
    meta.resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}
