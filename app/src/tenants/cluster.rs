//! Every call to the Kubernetes API but the watches, each with a deadline.
//!
//! A Tenant is applied by server-side apply, so that what others set on it survives. Whatever changes or deletes one names its uid:
//! a Tenant of the same name that somebody else made is never touched.

use std::time::Duration;

use crds::{Tenant, annotations, labels};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, Resource as _};
use serde_json::{Value, json};

use super::view::{TenantName, TenantView, WORKSPACE_LABEL};
use crate::workspaces::Workspace;

/// Field manager under which the app applies Tenants, and their `app.kubernetes.io/managed-by`.
pub const FIELD_MANAGER: &str = "chat-app";
/// How long one call may take.
pub const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A Tenant of the name is there, and it is not this workspace's.
    #[error("{what}: a Tenant of that name is there and belongs to something else")]
    NotOurs {
        /// The call.
        what: &'static str,
    },
    /// The API server refuses: its rules, or the app's rights.
    #[error("{what}: the API server refuses: {message}")]
    Refused {
        /// The call.
        what: &'static str,
        /// Its words.
        message: String,
    },
    /// No answer, or none that can be used. Time may mend it.
    #[error("{what}: the API server does not answer")]
    Unavailable {
        /// The call.
        what: &'static str,
        /// What went wrong underneath; `None`: the deadline passed.
        #[source]
        source: Option<kube::Error>,
    },
}

/// The workspace's Tenant, and whether it was made just now, as the workspace is called now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The Tenant.
    pub tenant: TenantView,
    /// False: it was there, perhaps under an older name.
    pub is_new: bool,
}

/// A Tenant as it was at one moment, to be changed only if it still is so.
#[derive(Debug)]
pub struct Seen(Tenant);

/// What became of a Tenant that was to get another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renaming {
    /// It has the name.
    Done,
    /// It was changed since it was seen; it has to be looked at again.
    Changed,
    /// It is gone, or not this workspace's: there is nothing to name.
    NotThere,
}

/// What became of a Tenant that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Asked for; the controller takes the project away and then lets go.
    UnderWay,
    /// It is not there (any more), or another has its name.
    Gone,
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

    /// Makes the workspace's Tenant if it is not there, and returns it. Only for workspaces whose Tenant's uid is not known yet.
    pub(super) async fn apply(&self, workspace: &Workspace) -> Result<Applied, ClusterError> {
        const WHAT: &str = "apply tenant";
        let name = TenantName::of(&workspace.id);
        // An apply would merge into whatever bears the name.
        if let Some(there) = self.tenant(&name).await? {
            return if there.belongs_to(&workspace.id, None) {
                Ok(Applied {
                    tenant: there,
                    is_new: false,
                })
            } else {
                Err(ClusterError::NotOurs { what: WHAT })
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
        Ok(Applied {
            tenant: TenantView::of(limited(WHAT, applied).await?),
            is_new: true,
        })
    }

    pub(super) async fn see(&self, name: &TenantName) -> Result<Option<Seen>, ClusterError> {
        let found = limited("get tenant", self.tenants.get_opt(name.as_str())).await?;
        Ok(found.map(Seen))
    }

    /// Gives the workspace's Tenant its display name. The rest of what the app applies stays as it was seen, so that the name is all
    /// that can change, and uid and version make sure that it is that Tenant in that state: none is made by this.
    pub(super) async fn rename(
        &self,
        workspace: &Workspace,
        Seen(seen): Seen,
    ) -> Result<Renaming, ClusterError> {
        const WHAT: &str = "rename tenant";
        let (meta, spec) = (seen.metadata.clone(), seen.spec.clone());
        let view = TenantView::of(seen);
        if !view.belongs_to(&workspace.id, workspace.tenant_uid.as_deref()) || view.is_deleting {
            return Ok(Renaming::NotThere);
        }
        if spec.display_name.as_deref() == Some(&workspace.name) {
            return Ok(Renaming::Done);
        }
        let region = workspace.region.is_some().then_some(spec.region).flatten();
        let mut body = body(workspace, &spec.class_name, region.as_deref());
        body["metadata"]["uid"] = json!(meta.uid);
        body["metadata"]["resourceVersion"] = json!(meta.resource_version);
        // What people call their workspace stands above what somebody called its Tenant.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let body = Patch::Apply(&body);
        let call = self.tenants.patch(view.name.as_str(), &params, &body);
        match tokio::time::timeout(CALL_DEADLINE, call).await {
            Ok(Ok(_)) => Ok(Renaming::Done),
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                Ok(Renaming::Changed)
            }
            Ok(Err(error)) => Err(failure(WHAT, error)),
            Err(_) => Err(timed_out(WHAT)),
        }
    }

    pub(super) async fn tenant(
        &self,
        name: &TenantName,
    ) -> Result<Option<TenantView>, ClusterError> {
        let found = limited("get tenant", self.tenants.get_opt(name.as_str())).await?;
        Ok(found.map(TenantView::of))
    }

    /// Asks for the deletion of the Tenant with this uid.
    pub(super) async fn delete(
        &self,
        name: &TenantName,
        uid: &str,
    ) -> Result<Deletion, ClusterError> {
        const WHAT: &str = "delete tenant";
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let call = self.tenants.delete(name.as_str(), &params);
        match tokio::time::timeout(CALL_DEADLINE, call).await {
            Ok(Ok(_)) => Ok(Deletion::UnderWay),
            // 409: the Tenant of this name has another uid.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                Ok(Deletion::Gone)
            }
            Ok(Err(error)) => Err(failure(WHAT, error)),
            Err(_) => Err(timed_out(WHAT)),
        }
    }

    /// Asks the controller to look at the database itself, the password included.
    pub(super) async fn ask_for_reconcile(
        &self,
        name: &TenantName,
        uid: &str,
        now: jiff::Timestamp,
    ) -> Result<(), ClusterError> {
        let patch = json!({ "metadata": {
            "uid": uid,
            "annotations": { (annotations::RECONCILE_AT): now.to_string() },
        } });
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&patch);
        let call = self.tenants.patch(name.as_str(), &params, &patch);
        limited("annotate tenant", call).await.map(|_| ())
    }

    /// The Secret's version and content.
    pub(super) async fn secret(&self, name: &str) -> Result<Option<ReadSecret>, ClusterError> {
        let secret = limited("get secret", self.secrets.get_opt(name)).await?;
        Ok(secret.map(|secret| ReadSecret {
            version: secret.metadata.resource_version.unwrap_or_default().into(),
            data: secret.data.unwrap_or_default(),
        }))
    }
}

/// All that the app says of a Tenant: what an apply leaves out, the API server takes away.
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

/// A Secret, as read. It holds a password: never printed.
pub(super) struct ReadSecret {
    pub(super) version: Box<str>,
    data: std::collections::BTreeMap<String, ByteString>,
}

impl ReadSecret {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        str::from_utf8(&self.data.get(key)?.0).ok()
    }
}

async fn limited<T>(
    what: &'static str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ClusterError> {
    match tokio::time::timeout(CALL_DEADLINE, call).await {
        Ok(answer) => answer.map_err(|error| failure(what, error)),
        Err(_) => Err(timed_out(what)),
    }
}

fn timed_out(what: &'static str) -> ClusterError {
    ClusterError::Unavailable { what, source: None }
}

fn failure(what: &'static str, error: kube::Error) -> ClusterError {
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 401 | 403 | 404 | 405 | 422) => {
            ClusterError::Refused {
                what,
                message: status.message.clone(),
            }
        }
        source => ClusterError::Unavailable {
            what,
            source: Some(source),
        },
    }
}
