//! All calls to the Kubernetes API except the watches. The client limits each of them to
//! [`CALL_TIMEOUT`].
//!
//! Tenants are written by server-side apply, which preserves fields set by others. Every update and
//! deletion names the UID, so a Tenant of the same name created by someone else is never touched.

use std::time::Duration;

use crds::{Tenant, annotations, labels};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, Resource as _};
use serde_json::{Value, json};

use super::view::{TenantName, TenantView, WORKSPACE_LABEL};
use crate::domain::Workspace;

/// Field manager of the app's server-side applies, and the `app.kubernetes.io/managed-by` label of
/// its Tenants.
pub const FIELD_MANAGER: &str = "chat-app";
/// Timeout for one API call.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("failed to {call}: a Tenant of this name exists and belongs to something else")]
    NotOwned { call: &'static str },
    /// The API server rejected the request, by validation or authorization.
    #[error("failed to {call}: the API server rejected the request: {message}")]
    Rejected { call: &'static str, message: String },
    /// No usable response. A retry may succeed.
    #[error("failed to {call}: the API server is unavailable")]
    Unavailable {
        call: &'static str,
        #[source]
        source: kube::Error,
    },
}

/// Result of [`Cluster::apply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedTenant {
    pub tenant: TenantView,
    /// False if the Tenant already existed, possibly with an older display name.
    pub is_new: bool,
}

/// A Tenant as read from the API server, for a conditional update.
#[derive(Debug)]
pub struct ObservedTenant(Tenant);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameOutcome {
    /// The Tenant has the name.
    Renamed,
    /// The Tenant changed after it was observed. Observe it again and retry.
    Conflict,
    /// The Tenant does not exist, or does not belong to the workspace.
    NotFound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// The deletion was accepted. The controller deletes the project and then removes its
    /// finalizer.
    InProgress,
    /// No Tenant has this name and UID.
    NotFound,
}

#[derive(Clone)]
pub(super) struct Cluster {
    tenants: Api<Tenant>,
    secrets: Api<Secret>,
}

impl Cluster {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            tenants: Api::namespaced(client.clone(), namespace),
            secrets: Api::namespaced(client, namespace),
        }
    }

    /// Creates the workspace's Tenant unless it exists, and returns it. Only for workspaces without
    /// a recorded Tenant UID.
    pub(super) async fn apply(&self, workspace: &Workspace) -> Result<AppliedTenant, ClusterError> {
        const CALL: &str = "apply the Tenant";
        let name = TenantName::of(&workspace.id);
        // An apply would merge into any existing Tenant of this name.
        if let Some(existing) = self.tenant(&name).await? {
            return if existing.belongs_to(&workspace.id, None) {
                Ok(AppliedTenant {
                    tenant: existing,
                    is_new: false,
                })
            } else {
                Err(ClusterError::NotOwned { call: CALL })
            };
        }
        let body = body(
            workspace,
            &workspace.class_name,
            workspace.region.as_deref(),
        );
        let params = PatchParams::apply(FIELD_MANAGER);
        let body = Patch::Apply(&body);
        let applied = self.tenants.patch(name.as_str(), &params, &body);
        Ok(AppliedTenant {
            tenant: TenantView::of(applied.await.map_err(classify(CALL))?),
            is_new: true,
        })
    }

    pub(super) async fn observe(
        &self,
        name: &TenantName,
    ) -> Result<Option<ObservedTenant>, ClusterError> {
        let found = self
            .tenants
            .get_opt(name.as_str())
            .await
            .map_err(classify("get the Tenant"))?;
        Ok(found.map(ObservedTenant))
    }

    /// Sets the Tenant's display name to the workspace's name. All other applied fields keep their
    /// observed values. The UID and resource version make the update conditional, so this never
    /// creates a Tenant.
    pub(super) async fn rename(
        &self,
        workspace: &Workspace,
        ObservedTenant(observed): ObservedTenant,
    ) -> Result<RenameOutcome, ClusterError> {
        const CALL: &str = "rename the Tenant";
        let (meta, spec) = (observed.metadata.clone(), observed.spec.clone());
        let view = TenantView::of(observed);
        if !view.belongs_to(&workspace.id, workspace.tenant_uid.as_deref()) || view.is_deleting {
            return Ok(RenameOutcome::NotFound);
        }
        if spec.display_name.as_deref() == Some(&workspace.name) {
            return Ok(RenameOutcome::Renamed);
        }
        let region = workspace.region.is_some().then_some(spec.region).flatten();
        let mut body = body(workspace, &spec.class_name, region.as_deref());
        body["metadata"]["uid"] = json!(meta.uid);
        body["metadata"]["resourceVersion"] = json!(meta.resource_version);
        // The workspace's name takes precedence over a display name set by another field manager.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let body = Patch::Apply(&body);
        let request = self.tenants.patch(view.name.as_str(), &params, &body);
        match request.await {
            Ok(_) => Ok(RenameOutcome::Renamed),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                Ok(RenameOutcome::Conflict)
            }
            Err(error) => Err(classify(CALL)(error)),
        }
    }

    pub(super) async fn tenant(
        &self,
        name: &TenantName,
    ) -> Result<Option<TenantView>, ClusterError> {
        let found = self
            .tenants
            .get_opt(name.as_str())
            .await
            .map_err(classify("get the Tenant"))?;
        Ok(found.map(TenantView::of))
    }

    pub(super) async fn delete(
        &self,
        name: &TenantName,
        uid: &str,
    ) -> Result<DeleteOutcome, ClusterError> {
        const CALL: &str = "delete the Tenant";
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let request = self.tenants.delete(name.as_str(), &params);
        match request.await {
            Ok(_) => Ok(DeleteOutcome::InProgress),
            // 409: the Tenant of this name has another UID.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                Ok(DeleteOutcome::NotFound)
            }
            Err(error) => Err(classify(CALL)(error)),
        }
    }

    /// Asks the controller to check the database, including its password.
    pub(super) async fn request_reconcile(&self, tenant: &TenantView) -> Result<(), ClusterError> {
        self.set_to_now(tenant, annotations::RECONCILE_AT).await
    }

    /// Tells the controller that the database is in use.
    pub(super) async fn record_use(&self, tenant: &TenantView) -> Result<(), ClusterError> {
        self.set_to_now(tenant, annotations::USED_AT).await
    }

    /// Sets an annotation to the current time.
    async fn set_to_now(&self, tenant: &TenantView, annotation: &str) -> Result<(), ClusterError> {
        let patch = json!({ "metadata": {
            "uid": tenant.uid,
            "annotations": { (annotation): Timestamp::now().to_string() },
        } });
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&patch);
        let request = self.tenants.patch(tenant.name.as_str(), &params, &patch);
        request
            .await
            .map(|_| ())
            .map_err(classify("annotate the Tenant"))
    }

    pub(super) async fn secret(&self, name: &str) -> Result<Option<ReadSecret>, ClusterError> {
        let secret = self
            .secrets
            .get_opt(name)
            .await
            .map_err(classify("get the Secret"))?;
        Ok(secret.map(|secret| ReadSecret {
            version: secret.metadata.resource_version.unwrap_or_default().into(),
            data: secret.data.unwrap_or_default(),
        }))
    }
}

/// All fields that the app applies to a Tenant. Server-side apply removes fields that an earlier
/// apply set and this one omits.
fn body(workspace: &Workspace, class_name: &str, region: Option<&str>) -> Value {
    let mut spec = json!({ "className": class_name, "displayName": workspace.name });
    if let Some(region) = region {
        spec["region"] = json!(region);
    }
    json!({
        "apiVersion": Tenant::api_version(&()),
        "kind": Tenant::kind(&()),
        "metadata": {
            "name": TenantName::of(&workspace.id).as_str(),
            "labels": {
                (labels::MANAGED_BY): FIELD_MANAGER,
                (WORKSPACE_LABEL): workspace.id.as_str(),
            },
        },
        "spec": spec,
    })
}

/// The content of a Secret. It contains a password and must not be logged.
pub(super) struct ReadSecret {
    pub(super) version: Box<str>,
    data: std::collections::BTreeMap<String, ByteString>,
}

impl ReadSecret {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        str::from_utf8(&self.data.get(key)?.0).ok()
    }
}

/// For `map_err`: names the call, and distinguishes rejections from failures for which a retry may
/// help.
fn classify(call: &'static str) -> impl Fn(kube::Error) -> ClusterError {
    move |error| match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 401 | 403 | 404 | 405 | 422) => {
            ClusterError::Rejected {
                call,
                message: status.message.clone(),
            }
        }
        source => ClusterError::Unavailable { call, source },
    }
}
