//! The stored objects: what users and the API server do with them.

use controller::cluster::{ClaimHolder, ClusterError, ProjectClaim};
use controller::identity::{TenantUid, marked_tenant};
use controller::tenant::desired::deletion_policy;
use crds::{
    DeletionPolicy, FIELD_MANAGER, OnExistingProject, SchemaRollout, Tenant, TenantClass,
    TenantStatus, annotations,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, Time};
use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use neon_client::ids::ProjectId;
use serde_json::{Value, json};

use super::{NAMESPACE, TENANT};
use crate::world::{SimulatedProject, State, WatchEvent, installation, uid_text};

/// From the deletion of a Tenant to the deletion of its Secrets.
const GARBAGE_COLLECTION_DELAY: SignedDuration = SignedDuration::from_secs(3);

impl State {
    /// A user applies the Tenant, if there is none.
    pub(crate) fn apply_tenant(&mut self) {
        if self.tenant.is_some() {
            return;
        }
        self.uids_made += 1;
        // The API server records whole seconds.
        let created_at = Timestamp::from_second(self.now().as_second()).expect("a valid time");
        let tenant = serde_json::from_value(json!({
            "apiVersion": "dbpertenant.dev/v1alpha1",
            "kind": "Tenant",
            "metadata": {
                "name": TENANT,
                "namespace": NAMESPACE,
                "uid": uid_text(self.uids_made),
                "generation": 1,
                "creationTimestamp": Time(created_at),
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
        if tenant.metadata.deletion_timestamp.is_some()
            && self.policy_of(&tenant) == DeletionPolicy::Delete
        {
            let uid = tenant.metadata.uid.as_deref().and_then(TenantUid::parse);
            self.ordered_deletions.extend(uid);
        }
        self.store_tenant(tenant);
    }

    /// Stores a version of the Tenant and returns it, or deletes the Tenant once its last finalizer
    /// is removed.
    pub(super) fn store_tenant(&mut self, mut tenant: Tenant) -> Tenant {
        tenant.metadata.resource_version = Some(self.next_resource_version());
        let unfinished = tenant.metadata.finalizers.as_deref().unwrap_or_default();
        if tenant.metadata.deletion_timestamp.is_some() && unfinished.is_empty() {
            self.tenant = None;
            self.garbage_collection = Some(self.now() + GARBAGE_COLLECTION_DELAY);
            let watched = self.watched(tenant.clone());
            self.watch_events
                .push_back(WatchEvent::TenantDeleted(watched));
        } else {
            self.tenant = Some(tenant.clone());
            let watched = self.watched(tenant.clone());
            self.watch_events.push_back(WatchEvent::Tenant(watched));
        }
        tenant
    }

    /// The Tenant with its managed fields, as a watch returns it.
    pub(crate) fn watched(&self, mut tenant: Tenant) -> Tenant {
        let mut owned = serde_json::to_value(&tenant.status).expect("a valid status");
        if self.status_edited
            && let Some(connection) = owned.get_mut("connection")
        {
            *connection = json!({});
        }
        tenant.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
            manager: Some(FIELD_MANAGER.to_owned()),
            operation: Some("Apply".to_owned()),
            subresource: Some("status".to_owned()),
            fields_v1: Some(FieldsV1(json!({ "f:status": field_set(&owned) }))),
            ..ManagedFieldsEntry::default()
        }]);
        tenant
    }

    /// Another client changes the connection in the status.
    pub(crate) fn edit_connection(&mut self) {
        let status = self
            .tenant
            .as_ref()
            .and_then(|tenant| tenant.status.as_ref());
        if status.is_none_or(|status| status.connection.is_none()) {
            return;
        }
        self.status_edited = true;
        self.edit_tenant(|tenant| {
            let status = tenant.status.as_mut();
            if let Some(connection) = status.and_then(|status| status.connection.as_mut()) {
                "elsewhere.example.com".clone_into(&mut connection.host);
            }
        });
    }

    /// The deletion policy that applies to the Tenant.
    pub(crate) fn policy_of(&self, tenant: &Tenant) -> DeletionPolicy {
        let in_effect = tenant
            .status
            .as_ref()
            .and_then(|status| status.effective.as_ref())
            .map(|effective| effective.deletion_policy);
        deletion_policy(&tenant.spec, Some(&self.class.spec), in_effect)
    }

    /// Restores the status of the Tenant, or a deleted Tenant, from the backup.
    pub(crate) fn restore(&mut self, deleted: bool) {
        let Some(mut backup) = self.backup.clone() else {
            return;
        };
        let recorded = |tenant: &Tenant| Some(tenant.status.as_ref()?.project.as_ref()?.id.clone());
        if recorded(&backup).is_none() && !self.can_find_project_without_status() {
            return;
        }
        match (&self.tenant, deleted) {
            (Some(current), false) if current.metadata.uid == backup.metadata.uid => {
                let pending = current
                    .status
                    .as_ref()
                    .is_some_and(|status| status.creation.is_some());
                if !pending {
                    let connection = |tenant: &Tenant| tenant.status.as_ref()?.connection.clone();
                    // The client that restores takes over the fields that it changes.
                    self.status_edited |= connection(current) != connection(&backup);
                    self.edit_tenant(|tenant| tenant.status = backup.status);
                }
            }
            (None, true) if self.in_flight.is_empty() => {
                let uid = backup.metadata.uid.as_deref().and_then(TenantUid::parse);
                let projects = &self.projects;
                // Without the finalizer, the Tenant can be deleted again unnoticed.
                let is_unnoticed = backup.finalizers().is_empty();
                self.retained.retain(|id| {
                    let is_its = |project: &SimulatedProject| project.made_for == uid;
                    is_unnoticed || !projects.get(id).is_some_and(is_its)
                });
                backup.metadata.deletion_timestamp = None;
                // The user also requests a check, because the password may have changed since the
                // backup.
                let request = format!("restored-{}", self.next_resource_version());
                backup
                    .annotations_mut()
                    .insert(annotations::RECONCILE_AT.to_owned(), request);
                self.status_edited = true;
                self.store_tenant(backup);
            }
            _ => {}
        }
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

    pub(super) fn store_claim(&mut self, project: &ProjectId, holder: &ClaimHolder) {
        let version = self.next_resource_version();
        let claim = ProjectClaim {
            project: project.clone(),
            holder: holder.clone(),
            uid: format!("claim-{project}"),
            version,
        };
        self.claims.insert(project.clone(), claim);
    }

    /// The stored Tenant, if it is the version that the controller read.
    pub(super) fn unchanged_tenant(
        &self,
        read: &Tenant,
        what: &'static str,
    ) -> Result<Tenant, ClusterError> {
        let stored = self.tenant.clone().ok_or(ClusterError::NotFound { what })?;
        let identity = |meta: &ObjectMeta| (meta.uid.clone(), meta.resource_version.clone());
        if identity(&stored.metadata) == identity(&read.metadata) {
            Ok(stored)
        } else {
            Err(ClusterError::Conflict { what })
        }
    }

    pub(super) fn unchanged_class(
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

    /// An administrator lets Tenants take back the projects of earlier ones.
    pub(crate) fn adopt_existing_projects(&mut self) {
        let mut class = self.class.clone();
        class.spec.on_existing_project = OnExistingProject::Adopt;
        self.store_class(class);
    }

    pub(super) fn store_class(&mut self, mut class: TenantClass) -> TenantClass {
        class.metadata.resource_version = Some(self.next_resource_version());
        self.class = class.clone();
        self.watch_events
            .push_back(WatchEvent::Class(class.clone()));
        class
    }

    /// The stored rollout, if it is the version that the controller read.
    pub(super) fn unchanged_rollout(
        &self,
        read: &SchemaRollout,
        what: &'static str,
    ) -> Result<SchemaRollout, ClusterError> {
        let stored = self.rollouts.get(&read.name_any());
        let stored = stored.ok_or(ClusterError::NotFound { what })?;
        if stored.metadata.resource_version == read.metadata.resource_version {
            Ok(stored.clone())
        } else {
            Err(ClusterError::Conflict { what })
        }
    }

    pub(super) fn store_rollout(&mut self, mut rollout: SchemaRollout) -> SchemaRollout {
        rollout.metadata.resource_version = Some(self.next_resource_version());
        self.rollouts.insert(rollout.name_any(), rollout.clone());
        rollout
    }

    /// A Tenant that records a project of an earlier Tenant, which outlived that Tenant by its policy,
    /// takes the project back.
    pub(super) fn take_back(&mut self, tenant: &Tenant, status: Option<&TenantStatus>) {
        let recorded = status.and_then(|status| status.project.as_ref());
        let Some(id) = recorded.and_then(|project| project.id.parse::<ProjectId>().ok()) else {
            return;
        };
        if self.retained.remove(&id)
            && let Some(project) = self.projects.get_mut(&id)
        {
            project.made_for = tenant.metadata.uid.as_deref().and_then(TenantUid::parse);
        }
    }

    /// Panics if the Tenant would have a project that was not created for it.
    pub(super) fn check_recorded_project(&self, tenant: &Tenant, status: Option<&TenantStatus>) {
        let Some(recorded) = status.and_then(|status| status.project.as_ref()) else {
            return;
        };
        let uid = tenant.metadata.uid.as_deref().and_then(TenantUid::parse);
        let made_for = recorded
            .id
            .parse()
            .ok()
            .and_then(|id| self.projects.get::<ProjectId>(&id))
            .and_then(|project| project.made_for);
        assert_eq!(
            made_for, uid,
            "the Tenant has another's project {}",
            recorded.id
        );
    }

    /// Panics if the Tenant would leave a project behind that its policy does not retain.
    pub(super) fn check_release(&mut self, tenant: &Tenant) {
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
            .projects
            .values()
            .filter(|project| !project.deleted && project.made_for.is_some())
            .map(|project| &project.project)
            .filter(|project| is_own(project.id.as_str(), &project.name))
            .map(|project| project.id.clone())
            .collect();
        let policy = self.policy_of(tenant);
        assert!(
            remaining.is_empty() || policy == DeletionPolicy::Retain,
            "the finalizer is removed while {remaining:?} exist"
        );
        self.retained.extend(remaining);
    }
}

/// The set of all fields of a value, as `managedFields` contains it.
fn field_set(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (format!("f:{name}"), field_set(value)))
            .collect(),
        _ => json!({}),
    }
}

/// UID of the Tenant that owns the Secret.
pub(crate) fn secret_owner(secret: &Secret) -> Option<String> {
    let owners = secret.metadata.owner_references.as_ref()?;
    owners.first().map(|owner| owner.uid.clone())
}
