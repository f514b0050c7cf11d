//! A Tenant as the cache holds it.

mod schema;

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use crds::{Phase, ProjectStatus, Tenant, annotations};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Deserializer};

pub use schema::{CachedSchema, ProblemSubject, SchemaProblem};

use super::compressed::Compressed;
use super::status_edits::{discard_edits, is_own, is_status};
use super::version_of;
use crate::identity::{ProjectMark, TenantUid};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A Tenant in the cache.
#[derive(Clone, Debug)]
pub struct CachedTenant {
    /// The namespace, the name, and the resource version, with which the watcher resumes. Without the
    /// UID, which kube-runtime would copy into each of its references.
    metadata: ObjectMeta,
    uid: Option<TenantUid>,
    class_name: Box<str>,
    adopted_project: Option<Box<str>>,
    recorded_project: Option<Box<str>>,
    record_is_own: bool,
    annotated_project: Option<Box<str>>,
    phase: Option<Phase>,
    deletion_requested_at: Option<Timestamp>,
    status_edited: bool,
    spec_hash: u64,
    schema: CachedSchema,
    json: Compressed,
}

impl CachedTenant {
    /// The Tenant. `None` only if the memory is corrupt.
    pub fn decompress(&self) -> Option<Tenant> {
        serde_json::from_slice(&self.json.decompress()?).ok()
    }

    /// `None` if the API server assigned no valid UID.
    pub fn uid(&self) -> Option<TenantUid> {
        self.uid
    }

    /// The resource version as a number.
    pub fn version(&self) -> u64 {
        version_of(&self.metadata)
    }

    pub fn class_name(&self) -> &str {
        &self.class_name
    }

    /// Whether the status has not been written yet.
    pub fn is_new(&self) -> bool {
        self.phase.is_none()
    }

    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }

    pub fn deletion_requested_at(&self) -> Option<Timestamp> {
        self.deletion_requested_at
    }

    /// Changes when the UID, the spec, the finalizers, the annotations or the deletion timestamp
    /// change, and not when the status changes, so that the controller's own status writes cause no
    /// reconciliation.
    pub fn spec_hash(&self) -> u64 {
        self.spec_hash
    }

    /// Whether a client other than the controller wrote a field of the status.
    pub fn is_status_edited(&self) -> bool {
        self.status_edited
    }

    /// What a rollout needs to know about the Tenant.
    pub fn schema(&self) -> &CachedSchema {
        &self.schema
    }

    /// The project id in `spec.adopt`.
    pub fn adopted_project(&self) -> Option<&str> {
        self.adopted_project.as_deref()
    }

    /// The project id in the status.
    pub fn recorded_project(&self) -> Option<&str> {
        self.recorded_project.as_deref()
    }

    /// Whether the controller recorded the project in the status of this very Tenant. Otherwise the
    /// status was restored from a backup or copied from another Tenant.
    pub fn record_is_own(&self) -> bool {
        self.record_is_own
    }

    /// The project id in the annotation.
    pub fn annotated_project(&self) -> Option<&str> {
        self.annotated_project.as_deref()
    }
}

/// Whether a project was recorded in the status of the Tenant with this UID: the recorded name
/// contains the UID, or the Tenant adopted the project.
pub fn record_is_own(project: &ProjectStatus, uid: TenantUid, adopts: Option<&str>) -> bool {
    if project.adopted {
        return adopts == Some(project.id.as_str());
    }
    ProjectMark::parse(&project.name).is_some_and(|mark| mark.tenant == uid)
}

fn spec_hash(meta: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    (
        &meta.uid,
        meta.generation,
        meta.deletion_timestamp.is_some(),
    )
        .hash(&mut hasher);
    (&meta.finalizers, &meta.annotations).hash(&mut hasher);
    hasher.finish()
}

fn is_status_edited(meta: &ObjectMeta) -> bool {
    let entries = meta.managed_fields.as_deref().unwrap_or_default();
    entries
        .iter()
        .any(|entry| is_status(entry) && !is_own(entry))
}

/// Removes the fields that no reconciliation reads.
pub fn prune(tenant: &mut Tenant) {
    tenant.metadata.managed_fields = None;
    if let Some(annotations) = &mut tenant.metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

impl TryFrom<Tenant> for CachedTenant {
    type Error = serde_json::Error;

    fn try_from(mut tenant: Tenant) -> Result<Self, serde_json::Error> {
        let status_edited = is_status_edited(&tenant.metadata);
        discard_edits(&mut tenant);
        prune(&mut tenant);
        let adopts = tenant
            .spec
            .adopt
            .as_ref()
            .map(|adopt| adopt.project_id.as_str());
        let uid = tenant.metadata.uid.as_deref().and_then(TenantUid::parse);
        let project = tenant
            .status
            .as_ref()
            .and_then(|status| status.project.as_ref());
        let annotated = tenant.metadata.annotations.as_ref();
        Ok(Self {
            uid,
            status_edited,
            schema: CachedSchema::of(&tenant),
            json: Compressed::new(&serde_json::to_vec(&tenant)?),
            recorded_project: project.map(|project| project.id.as_str().into()),
            record_is_own: project
                .zip(uid)
                .is_some_and(|(project, uid)| record_is_own(project, uid, adopts)),
            annotated_project: annotated
                .and_then(|all| all.get(annotations::PROJECT_ID))
                .map(|id| id.as_str().into()),
            spec_hash: spec_hash(&tenant.metadata),
            phase: tenant.status.as_ref().and_then(|status| status.phase),
            deletion_requested_at: tenant
                .metadata
                .deletion_timestamp
                .as_ref()
                .map(|time| time.0),
            class_name: tenant.spec.class_name.into_boxed_str(),
            adopted_project: tenant
                .spec
                .adopt
                .map(|adopt| adopt.project_id.into_boxed_str()),
            metadata: ObjectMeta {
                name: tenant.metadata.name,
                namespace: tenant.metadata.namespace,
                resource_version: tenant.metadata.resource_version,
                ..ObjectMeta::default()
            },
        })
    }
}

impl<'de> Deserialize<'de> for CachedTenant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Tenant::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Resource for CachedTenant {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Tenant::kind(&())
    }
    fn group((): &()) -> Cow<'_, str> {
        Tenant::group(&())
    }
    fn version((): &()) -> Cow<'_, str> {
        Tenant::version(&())
    }
    fn plural((): &()) -> Cow<'_, str> {
        Tenant::plural(&())
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
pub(super) mod tests;
