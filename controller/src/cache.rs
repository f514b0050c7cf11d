//! Compact caches of Tenants and Secrets: ten thousand Tenants and their Secrets take a few
//! megabytes.
//!
//! A Tenant is cached as compressed JSON, without the fields that no reconciliation reads, and is
//! decompressed when it is reconciled. Of Secrets the controller watches only the metadata, and
//! caches who owns the Secret and whether it is unmodified.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crds::{FIELD_MANAGER, Phase, ProjectStatus, Tenant, annotations, keys, labels};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::Resource;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use neon_client::ids::ProjectId;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer};

use crate::identity::{ProjectMark, TenantUid};
use compressed::Compressed;

mod compressed;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A Tenant in the cache.
#[derive(Clone, Debug)]
pub struct CachedTenant {
    metadata: ObjectMeta,
    class_name: Box<str>,
    adopted_project: Option<Box<str>>,
    recorded_project: Option<Box<str>>,
    record_is_own: bool,
    annotated_project: Option<Box<str>>,
    phase: Option<Phase>,
    deletion_requested_at: Option<Timestamp>,
    status_edited: bool,
    spec_hash: u64,
    json: Compressed,
}

impl CachedTenant {
    /// The Tenant. `None` only if the memory is corrupt.
    pub fn decompress(&self) -> Option<Tenant> {
        serde_json::from_slice(&self.json.decompress()?).ok()
    }

    /// `None` if the API server assigned no valid UID.
    pub fn uid(&self) -> Option<TenantUid> {
        TenantUid::parse(self.metadata.uid.as_deref()?)
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

    /// The deletion timestamp.
    pub fn deletion_requested_at(&self) -> Option<Timestamp> {
        self.deletion_requested_at
    }

    /// Changes when the spec, the finalizers, the annotations or the deletion timestamp change, and
    /// not when the status changes, so that the controller's own status writes cause no
    /// reconciliation.
    pub fn spec_hash(&self) -> u64 {
        self.spec_hash
    }

    /// Whether another client than the controller wrote a field of the status.
    pub fn is_status_edited(&self) -> bool {
        self.status_edited
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
    entries.iter().any(|entry| {
        entry.subresource.as_deref() == Some("status")
            && entry.manager.as_deref() != Some(FIELD_MANAGER)
    })
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
            status_edited,
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
                uid: tenant.metadata.uid,
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

/// What the cache knows about a Tenant's connection Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedSecret {
    Missing,
    /// A Secret of that name exists and another owner, or none, controls it.
    NotOwned,
    /// A Secret of that name exists and an earlier Tenant of the same name owns it; garbage
    /// collection will delete it.
    OwnedByPredecessor,
    /// The controller wrote the Secret for a Tenant of the same name, and it has no owner: it was
    /// restored from a backup.
    Restored {
        /// The project that the credentials belong to.
        project: Option<ProjectId>,
    },
    /// The Tenant owns the Secret.
    Owned {
        /// Whether every key still has the value that the controller wrote.
        intact: bool,
        /// The project that the credentials belong to.
        project: Option<ProjectId>,
        /// Digest of the CA certificates in the Secret.
        ca_digest: Option<String>,
        resource_version: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct CachedSecret {
    /// The Tenant that controls the Secret.
    owner: Option<TenantUid>,
    owner_name: Box<str>,
    /// The Tenant that the Secret was written for, if the Secret has no owner.
    restored_for: Option<Box<str>>,
    intact: bool,
    project: Option<ProjectId>,
    ca_digest: Option<Box<str>>,
    resource_version: Option<Box<str>>,
}

/// The connection Secrets.
#[derive(Debug, Default)]
pub struct SecretCache {
    current: Mutex<HashMap<NamespacedName, CachedSecret>>,
    /// The Secrets of a list that has not completed yet.
    relisting: Mutex<HashMap<NamespacedName, CachedSecret>>,
}

impl SecretCache {
    /// Applies an event of the watch of the namespace `scope`, or of all namespaces with `None`.
    /// Returns the Tenants that the event may concern.
    pub fn apply_event(
        &self,
        scope: Option<&str>,
        event: Event<PartialObjectMeta<Secret>>,
    ) -> Vec<ObjectRef<CachedTenant>> {
        match event {
            Event::Init => {
                let in_scope =
                    |key: &NamespacedName| scope.is_none_or(|scope| *key.namespace == *scope);
                self.relisting.lock().retain(|key, _| !in_scope(key));
                Vec::new()
            }
            Event::InitApply(secret) => {
                self.relisting.lock().insert(
                    NamespacedName::of(&secret),
                    CachedSecret::from_metadata(&secret.metadata),
                );
                Vec::new()
            }
            Event::InitDone => self.finish_relist(scope),
            Event::Apply(secret) => {
                let key = NamespacedName::of(&secret);
                let new = CachedSecret::from_metadata(&secret.metadata);
                let old = self.current.lock().insert(key.clone(), new.clone());
                // The watch delivers the controller's own write.
                if old.as_ref() == Some(&new) {
                    return Vec::new();
                }
                // A change of the owner concerns both owners.
                let mut owners: Vec<_> = old
                    .iter()
                    .chain([&new])
                    .filter_map(|secret| owner_ref(&key, secret))
                    .collect();
                owners.dedup();
                owners
            }
            Event::Delete(secret) => {
                let key = NamespacedName::of(&secret);
                let old = self.current.lock().remove(&key);
                old.and_then(|old| owner_ref(&key, &old))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// Replaces the Secrets in `scope` by those of the completed list. Returns the Tenants whose
    /// Secret differs.
    fn finish_relist(&self, scope: Option<&str>) -> Vec<ObjectRef<CachedTenant>> {
        let mut relisting = self.relisting.lock();
        let mut current = self.current.lock();
        let in_scope = |key: &NamespacedName| scope.is_none_or(|scope| *key.namespace == *scope);
        let (old, others): (HashMap<_, _>, _) = current.drain().partition(|(key, _)| in_scope(key));
        let (new, rest): (HashMap<_, _>, _) = relisting.drain().partition(|(key, _)| in_scope(key));
        // The list of another watch may still be in progress.
        *relisting = rest;
        let removed_or_changed = old.iter().filter(|(key, old)| new.get(key) != Some(old));
        let added_or_changed = new.iter().filter(|(key, new)| old.get(key) != Some(new));
        let mut affected: Vec<_> = removed_or_changed
            .chain(added_or_changed)
            .filter_map(|(key, secret)| owner_ref(key, secret))
            .collect();
        affected.sort_unstable_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        affected.dedup();
        *current = others;
        current.extend(new);
        affected
    }

    /// What the cache knows about a Tenant's connection Secret. It does not contain Secrets without
    /// the controller's label; writing to such a Secret returns a conflict.
    pub fn lookup(
        &self,
        key: &NamespacedName,
        tenant: TenantUid,
        tenant_name: &str,
    ) -> ObservedSecret {
        match self.current.lock().get(key) {
            None => ObservedSecret::Missing,
            Some(secret)
                if secret.owner.is_some_and(|owner| owner != tenant)
                    && *secret.owner_name == *tenant_name =>
            {
                ObservedSecret::OwnedByPredecessor
            }
            Some(secret) if secret.restored_for.as_deref() == Some(tenant_name) => {
                ObservedSecret::Restored {
                    project: secret.project.clone(),
                }
            }
            Some(secret) if secret.owner != Some(tenant) => ObservedSecret::NotOwned,
            Some(secret) => ObservedSecret::Owned {
                intact: secret.intact,
                project: secret.project.clone(),
                ca_digest: secret.ca_digest.as_deref().map(str::to_owned),
                resource_version: secret.resource_version.as_deref().map(str::to_owned),
            },
        }
    }

    /// Records a Secret that the controller wrote, before the watch delivers it.
    pub fn record_write(&self, secret: &Secret) {
        self.current.lock().insert(
            NamespacedName::of(secret),
            CachedSecret::from_metadata(&secret.metadata),
        );
    }

    pub fn len(&self) -> usize {
        self.current.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn owner_ref(key: &NamespacedName, secret: &CachedSecret) -> Option<ObjectRef<CachedTenant>> {
    secret.owner?;
    Some(ObjectRef::new(&secret.owner_name).within(&key.namespace))
}

impl CachedSecret {
    fn from_metadata(meta: &ObjectMeta) -> Self {
        let owner = controller_of(meta);
        let annotation = |key: &str| meta.annotations.as_ref().and_then(|all| all.get(key));
        let ca_digest = annotation(annotations::CA_DIGEST);
        Self {
            owner: owner.and_then(|(_, uid)| TenantUid::parse(uid)),
            owner_name: owner.map(|(name, _)| name).unwrap_or_default().into(),
            restored_for: restored_for(meta).map(Into::into),
            intact: is_intact(
                meta.managed_fields.as_deref().unwrap_or_default(),
                ca_digest.is_some(),
            ),
            project: annotation(annotations::PROJECT_ID).and_then(|id| id.parse().ok()),
            ca_digest: ca_digest.map(|digest| digest.as_str().into()),
            resource_version: meta.resource_version.as_deref().map(Into::into),
        }
    }
}

/// Name of the Tenant that a Secret was written for, if the Secret has no owner. A backup keeps its
/// labels, and a restore removes its owner.
pub fn restored_for(meta: &ObjectMeta) -> Option<&str> {
    let all = meta.labels.as_ref()?;
    let unowned = meta.owner_references.as_ref().is_none_or(Vec::is_empty);
    let ours = all
        .get(labels::MANAGED_BY)
        .is_some_and(|name| name == FIELD_MANAGER);
    all.get(labels::TENANT)
        .filter(|_| unowned && ours)
        .map(String::as_str)
}

/// Name and UID of the Tenant that controls an object.
pub fn controller_of(meta: &ObjectMeta) -> Option<(&str, &str)> {
    let kind = Tenant::kind(&());
    meta.owner_references
        .as_deref()
        .unwrap_or_default()
        .iter()
        .find(|owner| owner.controller == Some(true) && owner.kind == kind)
        .map(|owner| (owner.name.as_str(), owner.uid.as_str()))
}

/// Whether every key of the Secret exists and has the value that the controller wrote last. The
/// values need not be read for that: if another client changes or removes a key, server-side apply
/// removes the key from the controller's entry in `managedFields`. A client that applies the same
/// value becomes an additional owner of the key and changes nothing.
fn is_intact(entries: &[ManagedFieldsEntry], with_certificates: bool) -> bool {
    let ours = |entry: &&ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
    };
    let owns = |entry: &ManagedFieldsEntry, key: &str| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields
            .and_then(|fields| fields.get("f:data")?.get(format!("f:{key}")))
            .is_some()
    };
    keys::ALL
        .iter()
        .filter(|key| with_certificates || **key != keys::CA_CRT)
        .all(|key| entries.iter().filter(ours).any(|entry| owns(entry, key)))
}

/// The Tenants that the controller wrote, as the API server returned them, until the watch delivers
/// those versions.
#[derive(Debug, Default)]
pub struct WriteThroughCache(Mutex<HashMap<TenantUid, Tenant>>);

impl WriteThroughCache {
    /// Records the object that a write returned.
    pub fn record_write(&self, uid: TenantUid, tenant: Tenant) {
        self.0.lock().insert(uid, tenant);
    }

    /// The newer of the controller's own last write and the version in the watch's cache. `cached`
    /// is called last: a write that [`WriteThroughCache::evict_observed`] has removed is in the
    /// watch's cache by then.
    pub fn newest(
        &self,
        uid: TenantUid,
        cached: impl FnOnce() -> Option<Tenant>,
    ) -> Option<Tenant> {
        let own = self.0.lock().get(&uid).cloned();
        match (own, cached()) {
            (Some(own), Some(cached))
                if version_of(&own.metadata) <= version_of(&cached.metadata) =>
            {
                Some(cached)
            }
            (own, cached) => own.or(cached),
        }
    }

    /// Removes the own write if the watch has delivered this version or a newer one.
    pub fn evict_observed(&self, tenant: &CachedTenant) {
        let Some(uid) = tenant.metadata.uid.as_deref().and_then(TenantUid::parse) else {
            return;
        };
        let mut writes = self.0.lock();
        if writes
            .get(&uid)
            .is_some_and(|own| version_of(&own.metadata) <= version_of(&tenant.metadata))
        {
            writes.remove(&uid);
        }
    }

    /// Removes a deleted Tenant.
    pub fn remove(&self, uid: TenantUid) {
        self.0.lock().remove(&uid);
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

#[cfg(test)]
mod tests;
