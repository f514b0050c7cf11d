//! The connection Secrets, of which only metadata is watched.

use std::collections::HashMap;

use crds::{FIELD_MANAGER, Tenant, annotations, keys, labels};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use neon_client::ids::ProjectId;
use parking_lot::Mutex;

use super::NamespacedName;
use super::tenant::CachedTenant;
use crate::identity::TenantUid;

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

#[cfg(test)]
mod tests;
