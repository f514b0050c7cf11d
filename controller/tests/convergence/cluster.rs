//! The simulated Kubernetes API: one TenantClass, one Tenant and its Secrets.
//!
//! It checks resource versions and UIDs, counts generations, keeps deleted objects until their
//! finalizers are removed, and collects the Secrets of a deleted Tenant after a moment.

mod objects;

use std::collections::BTreeMap;
use std::io;

use controller::cache::NamespacedName;
use controller::cluster::{
    ClaimHolder, ClusterApi, ClusterCall, ClusterError, ProjectClaim, SecretToWrite,
};
use crds::{
    FIELD_MANAGER, SECRET_TYPE, SchemaRollout, SchemaRolloutStatus, Tenant, TenantClass,
    TenantClassStatus, TenantStatus, annotations, finalizers,
};
use futures::FutureExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, Time};
use kube::api::ObjectMeta;
use kube::{Resource as _, ResourceExt as _};
use neon_client::ids::ProjectId;
use serde_json::json;

pub(crate) use objects::secret_owner;

use crate::world::{Outcome, State, World, uid_text};

pub(crate) const NAMESPACE: &str = "acme";
pub(crate) const TENANT: &str = "one";

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
            "onExistingProject": "Ignore",
            "rollout": { "backup": "Branch" },
        },
    }))
    .expect("a valid class")
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
            state.status_edited = false;
            state.take_back(&stored, status.as_ref());
            state.check_recorded_project(&stored, status.as_ref());
            stored.status = status;
            Ok(state.store_tenant(stored))
        })
        .boxed()
    }

    fn annotate_project<'a>(
        &'a self,
        tenant: &'a Tenant,
        project: &'a str,
    ) -> ClusterCall<'a, Tenant> {
        let what = "patch tenant annotations";
        self.write(what, move |state| {
            let mut stored = state.unchanged_tenant(tenant, what)?;
            stored
                .annotations_mut()
                .insert(annotations::PROJECT_ID.to_owned(), project.to_owned());
            Ok(state.store_tenant(stored))
        })
        .boxed()
    }

    fn claim<'a>(&'a self, project: &'a ProjectId) -> ClusterCall<'a, Option<ProjectClaim>> {
        self.read(|state| Ok(state.claims.get(project).cloned()))
            .boxed()
    }

    fn create_claim<'a>(
        &'a self,
        project: &'a ProjectId,
        holder: &'a ClaimHolder,
    ) -> ClusterCall<'a, ()> {
        let what = "create project claim";
        self.write(what, move |state| {
            if state.claims.contains_key(project) {
                return Err(ClusterError::Exists { what });
            }
            state.store_claim(project, holder);
            Ok(())
        })
        .boxed()
    }

    fn transfer_claim<'a>(
        &'a self,
        claim: &'a ProjectClaim,
        holder: &'a ClaimHolder,
    ) -> ClusterCall<'a, ()> {
        let what = "replace project claim";
        self.write(what, move |state| {
            if state.claims.get(&claim.project) != Some(claim) {
                return Err(ClusterError::Conflict { what });
            }
            state.store_claim(&claim.project, holder);
            Ok(())
        })
        .boxed()
    }

    fn delete_claim<'a>(&'a self, claim: &'a ProjectClaim) -> ClusterCall<'a, ()> {
        let what = "delete project claim";
        self.write(what, move |state| {
            if state.claims.get(&claim.project) != Some(claim) {
                return Err(ClusterError::Conflict { what });
            }
            state.claims.remove(&claim.project);
            Ok(())
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
        self.read(|state| {
            let key = ByteString(state.key.text().as_bytes().to_vec());
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

    fn create_rollout<'a>(&'a self, rollout: &'a SchemaRollout) -> ClusterCall<'a, SchemaRollout> {
        let what = "create schema rollout";
        self.write(what, move |state| {
            if state.rollouts.contains_key(&rollout.name_any()) {
                return Err(ClusterError::Exists { what });
            }
            let mut created = rollout.clone();
            created.metadata.uid = Some(format!("rollout-{}", rollout.spec.revision));
            created.metadata.generation = Some(1);
            created.metadata.creation_timestamp = Some(Time(state.now()));
            Ok(state.store_rollout(created))
        })
        .boxed()
    }

    fn pause_rollout<'a>(&'a self, rollout: &'a SchemaRollout) -> ClusterCall<'a, SchemaRollout> {
        let what = "pause schema rollout";
        self.write(what, move |state| {
            let mut stored = state.unchanged_rollout(rollout, what)?;
            stored.spec.paused = true;
            Ok(state.store_rollout(stored))
        })
        .boxed()
    }

    fn write_rollout_status<'a>(
        &'a self,
        rollout: &'a SchemaRollout,
        status: &'a SchemaRolloutStatus,
    ) -> ClusterCall<'a, SchemaRollout> {
        let what = "apply schema rollout status";
        self.write(what, move |state| {
            let mut stored = state.unchanged_rollout(rollout, what)?;
            let json = serde_json::to_value(status).expect("a valid status");
            stored.status = Some(serde_json::from_value(json).expect("a valid status"));
            Ok(state.store_rollout(stored))
        })
        .boxed()
    }

    fn delete_rollout<'a>(&'a self, rollout: &'a SchemaRollout) -> ClusterCall<'a, ()> {
        let what = "delete schema rollout";
        self.write(what, move |state| {
            let stored = state.unchanged_rollout(rollout, what)?;
            state.rollouts.remove(&stored.name_any());
            Ok(())
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
