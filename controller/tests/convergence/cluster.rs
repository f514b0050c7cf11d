//! The simulated Kubernetes API: one TenantClass, one Tenant and its Secrets.
//!
//! It checks resource versions and UIDs, counts generations, keeps deleted objects until their
//! finalizers are removed, and collects the Secrets of a deleted Tenant after a moment.

use std::collections::BTreeMap;
use std::io;

use controller::cache::NamespacedName;
use controller::cluster::{ClusterApi, ClusterCall, ClusterError, SecretToWrite};
use controller::identity::{TenantUid, marked_tenant};
use controller::tenant::desired::deletion_policy;
use crds::{
    DeletionPolicy, FIELD_MANAGER, SECRET_TYPE, Tenant, TenantClass, TenantClassStatus,
    TenantStatus, annotations, finalizers,
};
use futures::FutureExt as _;
use jiff::SignedDuration;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, Time};
use kube::Resource as _;
use kube::api::ObjectMeta;
use serde_json::json;

use crate::world::{Outcome, State, WatchEvent, World, installation, uid_text};

pub(crate) const NAMESPACE: &str = "acme";
pub(crate) const TENANT: &str = "one";
/// From the deletion of a Tenant to the deletion of its Secrets.
const GARBAGE_COLLECTION_DELAY: SignedDuration = SignedDuration::from_secs(3);

#[derive(Clone, Debug)]
pub(crate) struct SimulatedCluster(pub(crate) World);

/// The class of the Tenant.
pub(crate) fn class() -> TenantClass {
    serde_json::from_value(json!({
        "apiVersion": "dbpertenant.dev/v1alpha1",
        "kind": "TenantClass",
        "metadata": { "name": "default", "uid": uid_text(999), "generation": 1, "resourceVersion": "1" },
        "spec": {
            "neon": { "apiKeySecretRef": { "name": "neon", "key": "api-key" } },
            "defaults": {
                "region": "aws-eu-central-1",
                "compute": { "minCU": 0.25, "maxCU": 1.0 },
            },
            "migrations": { "source": "ConfigMap", "configMap": { "name": "migrations" } },
        },
    }))
    .expect("a valid class")
}

impl State {
    /// A user applies the Tenant, if there is none.
    pub(crate) fn apply_tenant(&mut self) {
        if self.tenant.is_some() {
            return;
        }
        self.uids_made += 1;
        let tenant = serde_json::from_value(json!({
            "apiVersion": "dbpertenant.dev/v1alpha1",
            "kind": "Tenant",
            "metadata": {
                "name": TENANT,
                "namespace": NAMESPACE,
                "uid": uid_text(self.uids_made),
                "generation": 1,
                "creationTimestamp": Time(self.now()),
            },
            "spec": {},
        }))
        .expect("a valid Tenant");
        self.store_tenant(tenant);
    }

    /// A user deletes the Tenant.
    pub(crate) fn delete_tenant(&mut self) {
        let Some(mut tenant) = self.tenant.clone() else {
            return;
        };
        if tenant.metadata.deletion_timestamp.is_some() {
            return;
        }
        tenant.metadata.deletion_timestamp = Some(Time(self.now()));
        self.edit_tenant(|stored| *stored = tenant);
    }

    /// A client changes the Tenant's spec or metadata.
    pub(crate) fn edit_tenant(&mut self, edit: impl FnOnce(&mut Tenant)) {
        let Some(mut tenant) = self.tenant.clone() else {
            return;
        };
        let (spec, deleting) = (
            tenant.spec.clone(),
            tenant.metadata.deletion_timestamp.is_some(),
        );
        edit(&mut tenant);
        if tenant.spec != spec || tenant.metadata.deletion_timestamp.is_some() != deleting {
            tenant.metadata.generation =
                tenant.metadata.generation.map(|generation| generation + 1);
        }
        self.store_tenant(tenant);
    }

    /// Stores a version of the Tenant and returns it, or deletes the Tenant once its last finalizer
    /// is removed.
    fn store_tenant(&mut self, mut tenant: Tenant) -> Tenant {
        tenant.metadata.resource_version = Some(self.next_resource_version());
        let unfinished = tenant.metadata.finalizers.as_deref().unwrap_or_default();
        if tenant.metadata.deletion_timestamp.is_some() && unfinished.is_empty() {
            self.tenant = None;
            self.garbage_collection = Some(self.now() + GARBAGE_COLLECTION_DELAY);
            self.watch_events
                .push_back(WatchEvent::TenantDeleted(tenant.clone()));
        } else {
            self.tenant = Some(tenant.clone());
            self.watch_events
                .push_back(WatchEvent::Tenant(tenant.clone()));
        }
        tenant
    }

    /// Deletes the Secrets whose owner no longer exists.
    pub(crate) fn collect_garbage(&mut self) {
        self.garbage_collection = None;
        let owner = self
            .tenant
            .as_ref()
            .and_then(|tenant| tenant.metadata.uid.clone());
        let orphaned: Vec<String> = self
            .secrets
            .iter()
            .filter(|(_, secret)| secret_owner(secret) != owner)
            .map(|(name, _)| name.clone())
            .collect();
        for name in orphaned {
            self.delete_secret(&name);
        }
    }

    pub(crate) fn delete_secret(&mut self, name: &str) {
        if let Some(secret) = self.secrets.remove(name) {
            self.watch_events
                .push_back(WatchEvent::SecretDeleted(secret));
        }
    }

    pub(crate) fn store_secret(&mut self, mut secret: Secret) -> Secret {
        secret.metadata.resource_version = Some(self.next_resource_version());
        let name = secret.metadata.name.clone().unwrap_or_default();
        self.secrets.insert(name, secret.clone());
        self.watch_events
            .push_back(WatchEvent::Secret(secret.clone()));
        secret
    }

    /// The stored Tenant, if it is the version that the controller read.
    fn unchanged_tenant(&self, read: &Tenant, what: &'static str) -> Result<Tenant, ClusterError> {
        let stored = self.tenant.clone().ok_or(ClusterError::NotFound { what })?;
        let identity = |meta: &ObjectMeta| (meta.uid.clone(), meta.resource_version.clone());
        if identity(&stored.metadata) == identity(&read.metadata) {
            Ok(stored)
        } else {
            Err(ClusterError::Conflict { what })
        }
    }

    fn unchanged_class(
        &self,
        read: &TenantClass,
        what: &'static str,
    ) -> Result<TenantClass, ClusterError> {
        if self.class.metadata.resource_version == read.metadata.resource_version {
            Ok(self.class.clone())
        } else {
            Err(ClusterError::Conflict { what })
        }
    }

    fn store_class(&mut self, mut class: TenantClass) -> TenantClass {
        class.metadata.resource_version = Some(self.next_resource_version());
        self.class = class.clone();
        self.watch_events
            .push_back(WatchEvent::Class(class.clone()));
        class
    }

    /// Panics if the Tenant would leave a project behind that its policy does not retain.
    fn check_release(&mut self, tenant: &Tenant) {
        let status = tenant.status.clone().unwrap_or_default();
        let uid = tenant.metadata.uid.as_deref().and_then(TenantUid::parse);
        let is_own = |id: &str, name: &str| {
            status
                .project
                .as_ref()
                .is_some_and(|project| project.id == id)
                || marked_tenant(name, &installation()) == uid
        };
        let in_flight: Vec<_> = self
            .in_flight
            .iter()
            .map(|(_, late)| &late.project)
            .filter(|project| is_own(project.id.as_str(), &project.name))
            .map(|project| &project.id)
            .collect();
        assert!(
            in_flight.is_empty(),
            "the finalizer is removed while {in_flight:?} can still appear"
        );
        let remaining: Vec<_> = self
            .listed()
            .into_iter()
            .filter(|project| is_own(project.id.as_str(), &project.name))
            .map(|project| project.id)
            .collect();
        let in_effect = status
            .effective
            .as_ref()
            .map(|effective| effective.deletion_policy);
        let policy = deletion_policy(&tenant.spec, Some(&self.class.spec), in_effect);
        assert!(
            remaining.is_empty() || policy == DeletionPolicy::Retain && status.creation.is_none(),
            "the finalizer is removed while {remaining:?} exist"
        );
        self.retained.extend(remaining);
    }
}

/// UID of the Tenant that owns the Secret.
pub(crate) fn secret_owner(secret: &Secret) -> Option<String> {
    let owners = secret.metadata.owner_references.as_ref()?;
    owners.first().map(|owner| owner.uid.clone())
}

impl SimulatedCluster {
    /// A write: waits while the controller is paused, and fails as the outcomes say.
    async fn write<T>(
        &self,
        what: &'static str,
        change: impl FnOnce(&mut State) -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        self.0.start_call().await;
        let outcome = self.0.state().cluster_outcomes.pop_front();
        if outcome == Some(Outcome::Refused) {
            return Err(unavailable(what));
        }
        self.0.crash_point().await;
        let result = change(&mut self.0.state());
        self.0.crash_point().await;
        self.0.half_call().await;
        if outcome == Some(Outcome::Lost) {
            return Err(unavailable(what));
        }
        result
    }

    async fn read<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        self.0.half_call().await;
        read(&mut self.0.state())
    }
}

fn unavailable(what: &'static str) -> ClusterError {
    ClusterError::Unavailable {
        what,
        source: kube::Error::Service(Box::new(io::Error::other("no answer"))),
    }
}

impl ClusterApi for SimulatedCluster {
    fn namespace(&self) -> &'static str {
        "controller"
    }

    fn cluster_uid(&self) -> ClusterCall<'_, String> {
        async { Ok(uid_text(0)) }.boxed()
    }

    fn tenant<'a>(&'a self, _: &'a NamespacedName) -> ClusterCall<'a, Tenant> {
        let what = "get tenant";
        self.read(move |state| state.tenant.clone().ok_or(ClusterError::NotFound { what }))
            .boxed()
    }

    fn set_finalizers<'a>(
        &'a self,
        tenant: &'a Tenant,
        finalizers: &'a [String],
    ) -> ClusterCall<'a, Tenant> {
        let what = "patch tenant finalizers";
        self.write(what, move |state| {
            let mut stored = state.unchanged_tenant(tenant, what)?;
            let has_finalizer = |list: &[String]| list.iter().any(|one| one == finalizers::PROJECT);
            let before = stored.metadata.finalizers.take().unwrap_or_default();
            let deleting = stored.metadata.deletion_timestamp.is_some();
            if deleting && has_finalizer(finalizers) && !has_finalizer(&before) {
                let message = "no new finalizers can be added while deleting".to_owned();
                return Err(ClusterError::Rejected { what, message });
            }
            if has_finalizer(&before) && !has_finalizer(finalizers) {
                state.check_release(&stored);
            }
            stored.metadata.finalizers = Some(finalizers.to_vec());
            Ok(state.store_tenant(stored))
        })
        .boxed()
    }

    fn write_status<'a>(
        &'a self,
        tenant: &'a Tenant,
        status: &'a TenantStatus,
    ) -> ClusterCall<'a, Tenant> {
        let what = "apply tenant status";
        self.write(what, move |state| {
            let mut stored = state.unchanged_tenant(tenant, what)?;
            // The API server stores what the JSON contains: times lose precision.
            let json = serde_json::to_value(status).expect("a valid status");
            let status = Some(serde_json::from_value(json).expect("a valid status"));
            if stored.status == status {
                return Ok(stored);
            }
            stored.status = status;
            Ok(state.store_tenant(stored))
        })
        .boxed()
    }

    fn secret<'a>(&'a self, key: &'a NamespacedName) -> ClusterCall<'a, Option<Secret>> {
        self.read(|state| Ok(state.secrets.get(&*key.name).cloned()))
            .boxed()
    }

    fn reserve_secret<'a>(&'a self, tenant: &'a Tenant, name: &'a str) -> ClusterCall<'a, Secret> {
        let what = "create secret";
        self.write(what, move |state| {
            if state.secrets.contains_key(name) {
                return Err(ClusterError::Exists { what });
            }
            let uid = format!("secret-{}", state.next_resource_version());
            Ok(state.store_secret(Secret {
                metadata: ObjectMeta {
                    name: Some(name.to_owned()),
                    namespace: tenant.metadata.namespace.clone(),
                    uid: Some(uid),
                    owner_references: tenant.controller_owner_ref(&()).map(|owner| vec![owner]),
                    ..ObjectMeta::default()
                },
                type_: Some(SECRET_TYPE.to_owned()),
                ..Secret::default()
            }))
        })
        .boxed()
    }

    fn write_secret<'a>(
        &'a self,
        _: &'a Tenant,
        uid: &'a str,
        content: SecretToWrite<'a>,
    ) -> ClusterCall<'a, Secret> {
        let what = "apply secret";
        self.write(what, move |state| {
            let stored = state.secrets.get(content.name).cloned();
            let mut secret = stored
                .filter(|secret| secret.metadata.uid.as_deref() == Some(uid))
                .ok_or(ClusterError::Conflict { what })?;
            secret.metadata.annotations = Some(BTreeMap::from([(
                annotations::PROJECT_ID.to_owned(),
                content.project.to_owned(),
            )]));
            secret.metadata.managed_fields = Some(vec![owned_keys(&content.data)]);
            secret.data = Some(content.data);
            Ok(state.store_secret(secret))
        })
        .boxed()
    }

    fn own_secret<'a>(&'a self, _: &'a str) -> ClusterCall<'a, Option<Secret>> {
        let key = ByteString(b"napi_test".to_vec());
        self.read(|_| {
            Ok(Some(Secret {
                data: Some(BTreeMap::from([("api-key".to_owned(), key)])),
                ..Secret::default()
            }))
        })
        .boxed()
    }

    fn own_config_map<'a>(&'a self, _: &'a str) -> ClusterCall<'a, Option<ConfigMap>> {
        self.read(|state| {
            let files = (1..=state.schema)
                .map(|version| (format!("{version}_step.sql"), format!("select {version}")));
            Ok(Some(ConfigMap {
                data: Some(files.collect()),
                ..ConfigMap::default()
            }))
        })
        .boxed()
    }

    fn set_class_finalizers<'a>(
        &'a self,
        class: &'a TenantClass,
        finalizers: &'a [String],
    ) -> ClusterCall<'a, TenantClass> {
        let what = "patch class finalizers";
        self.write(what, move |state| {
            let mut stored = state.unchanged_class(class, what)?;
            stored.metadata.finalizers = Some(finalizers.to_vec());
            Ok(state.store_class(stored))
        })
        .boxed()
    }

    fn write_class_status<'a>(
        &'a self,
        class: &'a TenantClass,
        status: &'a TenantClassStatus,
    ) -> ClusterCall<'a, TenantClass> {
        let what = "apply class status";
        self.write(what, move |state| {
            let mut stored = state.unchanged_class(class, what)?;
            stored.status = Some(status.clone());
            Ok(state.store_class(stored))
        })
        .boxed()
    }
}

/// The entry of `managedFields` that makes the controller the owner of these keys.
fn owned_keys(data: &BTreeMap<String, ByteString>) -> ManagedFieldsEntry {
    let keys: serde_json::Map<_, _> = data
        .keys()
        .map(|key| (format!("f:{key}"), json!({})))
        .collect();
    ManagedFieldsEntry {
        manager: Some(FIELD_MANAGER.to_owned()),
        operation: Some("Apply".to_owned()),
        fields_v1: Some(FieldsV1(json!({ "f:data": keys }))),
        ..ManagedFieldsEntry::default()
    }
}
