//! The Kubernetes API of a real cluster. The client gives each call a deadline and records it in the
//! metrics.

use std::fmt::Debug;
use std::sync::Arc;

use crds::{
    FIELD_MANAGER, SchemaRollout, SchemaRolloutStatus, Tenant, TenantClass, TenantClassStatus,
    TenantStatus,
};
use futures::FutureExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Resource, ResourceExt};
use neon_client::ids::ProjectId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    ClaimHolder, ClusterApi, ClusterCall, ClusterError, ProjectClaim, SecretToWrite, claim_lease,
    connection_secret,
};
use crate::cache::{NamespacedName, prune};

#[derive(Clone)]
pub struct KubeCluster {
    client: Client,
    /// The controller's own namespace.
    namespace: Arc<str>,
}

impl KubeCluster {
    /// `namespace` is the controller's own namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.into(),
        }
    }

    fn tenants(&self, namespace: &str) -> Api<Tenant> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn classes(&self) -> Api<TenantClass> {
        Api::all(self.client.clone())
    }

    fn rollouts(&self) -> Api<SchemaRollout> {
        Api::all(self.client.clone())
    }
}

fn post_params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

impl ClusterApi for KubeCluster {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn cluster_uid(&self) -> ClusterCall<'_, String> {
        async move {
            let api: Api<Namespace> = Api::all(self.client.clone());
            let namespace = api
                .get("kube-system")
                .await
                .map_err(|error| ClusterError::new("get namespace kube-system", error))?;
            namespace.metadata.uid.ok_or(ClusterError::NotFound {
                what: "get namespace kube-system",
            })
        }
        .boxed()
    }

    fn tenant<'a>(&'a self, key: &'a NamespacedName) -> ClusterCall<'a, Tenant> {
        async move {
            self.tenants(&key.namespace)
                .get(&key.name)
                .await
                .map_err(|error| ClusterError::new("get tenant", error))
                .map(pruned)
        }
        .boxed()
    }

    fn set_finalizers<'a>(
        &'a self,
        tenant: &'a Tenant,
        finalizers: &'a [String],
    ) -> ClusterCall<'a, Tenant> {
        async move {
            let api = self.tenants(tenant.namespace().as_deref().unwrap_or_default());
            patch_finalizers(&api, tenant, finalizers, "patch tenant finalizers")
                .await
                .map(pruned)
        }
        .boxed()
    }

    fn write_status<'a>(
        &'a self,
        tenant: &'a Tenant,
        status: &'a TenantStatus,
    ) -> ClusterCall<'a, Tenant> {
        async move {
            let api = self.tenants(tenant.namespace().as_deref().unwrap_or_default());
            apply_status(&api, tenant, status, "apply tenant status")
                .await
                .map(pruned)
        }
        .boxed()
    }

    fn annotate_project<'a>(
        &'a self,
        tenant: &'a Tenant,
        project: &'a str,
    ) -> ClusterCall<'a, Tenant> {
        async move {
            let patch = json!({ "metadata": {
                "resourceVersion": tenant.metadata.resource_version,
                "uid": tenant.metadata.uid,
                "annotations": { crds::annotations::PROJECT_ID: project },
            } });
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let api = self.tenants(tenant.namespace().as_deref().unwrap_or_default());
            api.patch(&tenant.name_any(), &params, &Patch::Merge(&patch))
                .await
                .map_err(|error| ClusterError::new("patch tenant annotations", error))
                .map(pruned)
        }
        .boxed()
    }

    fn claim<'a>(&'a self, project: &'a ProjectId) -> ClusterCall<'a, Option<ProjectClaim>> {
        async move {
            let lease = self
                .leases()
                .get_opt(&claim_lease::name(project))
                .await
                .map_err(|error| ClusterError::new("get project claim", error))?;
            Ok(lease.and_then(|lease| claim_lease::parse(project, lease)))
        }
        .boxed()
    }

    fn create_claim<'a>(
        &'a self,
        project: &'a ProjectId,
        holder: &'a ClaimHolder,
    ) -> ClusterCall<'a, ()> {
        async move {
            let lease = claim_lease::lease(project, holder, None);
            self.leases()
                .create(&post_params(), &lease)
                .await
                .map_err(|error| ClusterError::new("create project claim", error))
                .map(|_| ())
        }
        .boxed()
    }

    fn transfer_claim<'a>(
        &'a self,
        claim: &'a ProjectClaim,
        holder: &'a ClaimHolder,
    ) -> ClusterCall<'a, ()> {
        async move {
            let name = claim_lease::name(&claim.project);
            let lease = claim_lease::lease(&claim.project, holder, Some(claim));
            self.leases()
                .replace(&name, &post_params(), &lease)
                .await
                .map_err(|error| ClusterError::new("replace project claim", error))
                .map(|_| ())
        }
        .boxed()
    }

    fn delete_claim<'a>(&'a self, claim: &'a ProjectClaim) -> ClusterCall<'a, ()> {
        async move {
            let params = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: Some(claim.uid.clone()),
                    resource_version: Some(claim.version.clone()),
                }),
                ..DeleteParams::default()
            };
            self.leases()
                .delete(&claim_lease::name(&claim.project), &params)
                .await
                .map_err(|error| ClusterError::new("delete project claim", error))
                .map(|_| ())
        }
        .boxed()
    }

    fn secret<'a>(&'a self, key: &'a NamespacedName) -> ClusterCall<'a, Option<Secret>> {
        async move {
            self.secrets(&key.namespace)
                .get_opt(&key.name)
                .await
                .map_err(|error| ClusterError::new("get secret", error))
        }
        .boxed()
    }

    fn reserve_secret<'a>(&'a self, tenant: &'a Tenant, name: &'a str) -> ClusterCall<'a, Secret> {
        async move {
            let secret = connection_secret::empty(tenant, name);
            let api = self.secrets(tenant.namespace().as_deref().unwrap_or_default());
            api.create(&post_params(), &secret)
                .await
                .map_err(|error| ClusterError::new("create secret", error))
        }
        .boxed()
    }

    fn write_secret<'a>(
        &'a self,
        tenant: &'a Tenant,
        uid: &'a str,
        content: SecretToWrite<'a>,
    ) -> ClusterCall<'a, Secret> {
        async move {
            let name = content.name;
            let secret = connection_secret::with_content(tenant, uid, content);
            let api = self.secrets(tenant.namespace().as_deref().unwrap_or_default());
            let params = PatchParams::apply(FIELD_MANAGER).force();
            api.patch(name, &params, &Patch::Apply(&secret))
                .await
                .map_err(|error| ClusterError::new("apply secret", error))
        }
        .boxed()
    }

    fn own_secret<'a>(&'a self, name: &'a str) -> ClusterCall<'a, Option<Secret>> {
        async move {
            self.secrets(&self.namespace)
                .get_opt(name)
                .await
                .map_err(|error| ClusterError::new("get API key secret", error))
        }
        .boxed()
    }

    fn own_config_map<'a>(&'a self, name: &'a str) -> ClusterCall<'a, Option<ConfigMap>> {
        async move {
            let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
            api.get_opt(name)
                .await
                .map_err(|error| ClusterError::new("get migrations configmap", error))
        }
        .boxed()
    }

    fn set_class_finalizers<'a>(
        &'a self,
        class: &'a TenantClass,
        finalizers: &'a [String],
    ) -> ClusterCall<'a, TenantClass> {
        async move {
            patch_finalizers(&self.classes(), class, finalizers, "patch class finalizers").await
        }
        .boxed()
    }

    fn write_class_status<'a>(
        &'a self,
        class: &'a TenantClass,
        status: &'a TenantClassStatus,
    ) -> ClusterCall<'a, TenantClass> {
        async move { apply_status(&self.classes(), class, status, "apply class status").await }
            .boxed()
    }

    fn create_rollout<'a>(&'a self, rollout: &'a SchemaRollout) -> ClusterCall<'a, SchemaRollout> {
        async move {
            self.rollouts()
                .create(&post_params(), rollout)
                .await
                .map_err(|error| ClusterError::new("create schema rollout", error))
        }
        .boxed()
    }

    fn pause_rollout<'a>(&'a self, rollout: &'a SchemaRollout) -> ClusterCall<'a, SchemaRollout> {
        async move {
            let patch = json!({
                "metadata": {
                    "resourceVersion": rollout.metadata.resource_version,
                    "uid": rollout.metadata.uid,
                },
                "spec": { "paused": true },
            });
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            self.rollouts()
                .patch(&rollout.name_any(), &params, &Patch::Merge(&patch))
                .await
                .map_err(|error| ClusterError::new("pause schema rollout", error))
        }
        .boxed()
    }

    fn write_rollout_status<'a>(
        &'a self,
        rollout: &'a SchemaRollout,
        status: &'a SchemaRolloutStatus,
    ) -> ClusterCall<'a, SchemaRollout> {
        async move {
            apply_status(
                &self.rollouts(),
                rollout,
                status,
                "apply schema rollout status",
            )
            .await
        }
        .boxed()
    }

    fn delete_rollout<'a>(&'a self, rollout: &'a SchemaRollout) -> ClusterCall<'a, ()> {
        async move {
            let params = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: rollout.metadata.uid.clone(),
                    resource_version: rollout.metadata.resource_version.clone(),
                }),
                ..DeleteParams::default()
            };
            self.rollouts()
                .delete(&rollout.name_any(), &params)
                .await
                .map_err(|error| ClusterError::new("delete schema rollout", error))
                .map(|_| ())
        }
        .boxed()
    }
}

fn pruned(mut tenant: Tenant) -> Tenant {
    prune(&mut tenant);
    tenant
}

/// Sets the finalizers of an object that has not changed since it was read.
async fn patch_finalizers<K>(
    api: &Api<K>,
    object: &K,
    finalizers: &[String],
    what: &'static str,
) -> Result<K, ClusterError>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let patch = json!({ "metadata": {
        "resourceVersion": object.meta().resource_version,
        "uid": object.meta().uid,
        "finalizers": finalizers,
    } });
    let (name, params) = (object.name_any(), PatchParams::default());
    api.patch(&name, &params, &Patch::Merge(&patch))
        .await
        .map_err(|error| ClusterError::new(what, error))
}

/// Writes the status of an object that has not changed since it was read.
async fn apply_status<K>(
    api: &Api<K>,
    object: &K,
    status: &impl Serialize,
    what: &'static str,
) -> Result<K, ClusterError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {
            "resourceVersion": object.meta().resource_version,
            "uid": object.meta().uid,
        },
        "status": status,
    });
    let (name, params) = (object.name_any(), PatchParams::apply(FIELD_MANAGER).force());
    api.patch_status(&name, &params, &Patch::Apply(&patch))
        .await
        .map_err(|error| ClusterError::new(what, error))
}
