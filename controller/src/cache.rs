//! What the controller keeps of the cluster, small: ten thousand Tenants and their Secrets fit in a few megabytes.
//!
//! Tenants are kept as their own JSON, without what no pass reads and packed; a pass unpacks the one it works on. Of Secrets only the
//! metadata is ever asked for, and of that only the answer to one question is kept: is it ours and as we wrote it?

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crds::{FIELD_MANAGER, Phase, Tenant, annotations, keys};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::Resource;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use serde::{Deserialize, Deserializer};

use crate::identity::TenantUid;
use crate::tenant::observed::SecretFacts;
use packed::Packed;

mod packed;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A Tenant in the cache.
#[derive(Clone, Debug)]
pub struct PackedTenant {
    metadata: ObjectMeta,
    class_name: Box<str>,
    adopts: Option<Box<str>>,
    phase: Option<Phase>,
    wish_hash: u64,
    body: Packed,
}

impl PackedTenant {
    /// The whole Tenant. `None` only if the cache were corrupt.
    pub fn unpack(&self) -> Option<Tenant> {
        serde_json::from_slice(&self.body.unpack()?).ok()
    }

    /// The class it names.
    pub fn class_name(&self) -> &str {
        &self.class_name
    }

    /// Whether no pass has written its status yet.
    pub fn is_new(&self) -> bool {
        self.phase.is_none()
    }

    /// The phase that its status names.
    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }

    /// Changes with whatever people and programs ask of the Tenant, and not with its status: our own writes wake nobody.
    pub fn wish_hash(&self) -> u64 {
        self.wish_hash
    }

    /// The project that it adopts, if its spec says so.
    pub fn adopts(&self) -> Option<&str> {
        self.adopts.as_deref()
    }
}

fn wish_hash(meta: &ObjectMeta) -> u64 {
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

/// Takes out of a Tenant what no pass reads.
pub fn prune(tenant: &mut Tenant) {
    tenant.metadata.managed_fields = None;
    if let Some(annotations) = &mut tenant.metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

impl TryFrom<Tenant> for PackedTenant {
    type Error = serde_json::Error;

    fn try_from(mut tenant: Tenant) -> Result<Self, serde_json::Error> {
        prune(&mut tenant);
        Ok(Self {
            body: Packed::new(&serde_json::to_vec(&tenant)?),
            wish_hash: wish_hash(&tenant.metadata),
            phase: tenant.status.as_ref().and_then(|status| status.phase),
            class_name: tenant.spec.class_name.into_boxed_str(),
            adopts: tenant
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

impl<'de> Deserialize<'de> for PackedTenant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Tenant::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Resource for PackedTenant {
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

/// Name of a namespaced object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl Key {
    /// The key of an object.
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

/// What is kept of one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeptSecret {
    owner: Option<TenantUid>,
    owner_name: Box<str>,
    intact: bool,
    project: Option<neon_client::ids::ProjectId>,
    ca_digest: Option<Box<str>>,
}

/// The connection Secrets, by what their metadata tells.
#[derive(Debug, Default)]
pub struct Secrets {
    kept: Mutex<HashMap<Key, KeptSecret>>,
    listed: Mutex<HashMap<Key, KeptSecret>>,
}

impl Secrets {
    /// Takes in what a watch says. `scope` is the namespace it watches, `None` for all. Returns the Tenants that may
    /// have something to do because of it.
    pub fn observe(
        &self,
        scope: Option<&str>,
        event: Event<PartialObjectMeta<Secret>>,
    ) -> Vec<ObjectRef<PackedTenant>> {
        match event {
            Event::Init => {
                let in_scope = |key: &Key| scope.is_none_or(|scope| *key.namespace == *scope);
                lock(&self.listed).retain(|key, _| !in_scope(key));
                Vec::new()
            }
            Event::InitApply(secret) => {
                lock(&self.listed).insert(Key::of(&secret), keep(&secret.metadata));
                Vec::new()
            }
            Event::InitDone => self.swap(scope),
            Event::Apply(secret) => {
                let key = Key::of(&secret);
                let now = keep(&secret.metadata);
                let before = lock(&self.kept).insert(key.clone(), now.clone());
                // Whoever adds a label to a Secret changes nothing that concerns us.
                if before.as_ref() == Some(&now) {
                    return Vec::new();
                }
                // A Secret that changed hands concerns both.
                let mut owners: Vec<_> = before
                    .iter()
                    .chain([&now])
                    .filter_map(|one| owner_ref(&key, one))
                    .collect();
                owners.dedup();
                owners
            }
            Event::Delete(secret) => {
                let key = Key::of(&secret);
                let before = lock(&self.kept).remove(&key);
                before
                    .and_then(|before| owner_ref(&key, &before))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// After a fresh list: whatever differs from what was kept concerns its Tenant.
    fn swap(&self, scope: Option<&str>) -> Vec<ObjectRef<PackedTenant>> {
        let mut listed = lock(&self.listed);
        let mut kept = lock(&self.kept);
        let in_scope = |key: &Key| scope.is_none_or(|scope| *key.namespace == *scope);
        let (old, others): (HashMap<_, _>, _) = kept.drain().partition(|(key, _)| in_scope(key));
        let (new, rest): (HashMap<_, _>, _) = listed.drain().partition(|(key, _)| in_scope(key));
        // Another watch may be in the middle of its own list.
        *listed = rest;
        let lost = old.iter().filter(|(key, old)| new.get(key) != Some(old));
        let gained = new.iter().filter(|(key, new)| old.get(key) != Some(new));
        let mut touched: Vec<_> = lost
            .chain(gained)
            .filter_map(|(key, kept)| owner_ref(key, kept))
            .collect();
        touched.sort_unstable_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        touched.dedup();
        *kept = others;
        kept.extend(new);
        touched
    }

    /// What is known of the Secret that a Tenant's credentials go to. A Secret without our label is not known here; the
    /// write finds it.
    pub fn facts(&self, key: &Key, tenant: TenantUid, tenant_name: &str) -> SecretFacts {
        match lock(&self.kept).get(key) {
            None => SecretFacts::Missing,
            Some(kept)
                if kept.owner.is_some_and(|owner| owner != tenant)
                    && *kept.owner_name == *tenant_name =>
            {
                SecretFacts::Leftover
            }
            Some(kept) if kept.owner != Some(tenant) => SecretFacts::Foreign,
            Some(kept) => SecretFacts::Ours {
                intact: kept.intact,
                project: kept.project.clone(),
                ca_digest: kept.ca_digest.as_deref().map(str::to_owned),
            },
        }
    }

    /// Takes in a Secret that we just wrote, before the watch tells of it.
    pub fn wrote(&self, secret: &Secret) {
        lock(&self.kept).insert(Key::of(secret), keep(&secret.metadata));
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        lock(&self.kept).len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A poisoned lock means that a thread panicked between two map operations, each of which is whole in itself.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn owner_ref(key: &Key, kept: &KeptSecret) -> Option<ObjectRef<PackedTenant>> {
    kept.owner?;
    Some(ObjectRef::new(&kept.owner_name).within(&key.namespace))
}

fn keep(meta: &ObjectMeta) -> KeptSecret {
    let owner = controller_of(meta);
    let noted = |key: &str| meta.annotations.as_ref().and_then(|all| all.get(key));
    let ca_digest = noted(annotations::CA_DIGEST);
    KeptSecret {
        owner: owner.and_then(|(_, uid)| TenantUid::parse(uid)),
        owner_name: owner.map(|(name, _)| name).unwrap_or_default().into(),
        intact: intact(
            meta.managed_fields.as_deref().unwrap_or_default(),
            ca_digest.is_some(),
        ),
        project: noted(annotations::PROJECT_ID).and_then(|id| id.parse().ok()),
        ca_digest: ca_digest.map(|digest| digest.as_str().into()),
    }
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

/// Whether every key of the contract is there and as we wrote it last. Server-side apply keeps the books on that: whoever
/// changes or removes a key takes it out of our entry in `managedFields`, so the values need not be read to know. One who
/// applies the very same value shares the key with us and changed nothing.
fn intact(entries: &[ManagedFieldsEntry], with_certificates: bool) -> bool {
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

/// The Tenants' own latest versions, as the API server returned them, for as long as the watch lags behind.
#[derive(Debug, Default)]
pub struct Recent(Mutex<HashMap<TenantUid, Tenant>>);

impl Recent {
    /// Remembers what a write returned.
    pub fn wrote(&self, uid: TenantUid, tenant: Tenant) {
        lock(&self.0).insert(uid, tenant);
    }

    /// The newer of our own last write and the cached version. The cache is read last: whatever the watch made us forget
    /// here is in it by then.
    pub fn newest(
        &self,
        uid: TenantUid,
        cached: impl FnOnce() -> Option<Tenant>,
    ) -> Option<Tenant> {
        let own = lock(&self.0).get(&uid).cloned();
        match (own, cached()) {
            (Some(own), Some(cached))
                if version_of(&own.metadata) <= version_of(&cached.metadata) =>
            {
                Some(cached)
            }
            (own, cached) => own.or(cached),
        }
    }

    /// The watch tells of a Tenant: what we wrote before is not needed any more.
    pub fn saw(&self, tenant: &PackedTenant) {
        let Some(uid) = tenant.metadata.uid.as_deref().and_then(TenantUid::parse) else {
            return;
        };
        let mut recent = lock(&self.0);
        if recent
            .get(&uid)
            .is_some_and(|own| version_of(&own.metadata) <= version_of(&tenant.metadata))
        {
            recent.remove(&uid);
        }
    }

    /// Forgets a Tenant that is gone.
    pub fn forget(&self, uid: TenantUid) {
        lock(&self.0).remove(&uid);
    }
}

/// Versions of one object can be compared as numbers; one that is not a number counts as the oldest.
fn version_of(meta: &ObjectMeta) -> u64 {
    meta.resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
