//! The status of a Tenant. It never contains a password, an API key or a connection string with a
//! password.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::project_settings::{Compute, Database, DeletionPolicy, Quota};

/// Observed state of a Tenant.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TenantStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the Tenant. The types are `Ready`, `Reconciling`, `Stalled`, `Suspended`,
    /// `Available`, `ProjectReady`, `SchemaReady` and `CredentialsReady`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Summary of the conditions for display. Programs should evaluate the conditions instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Neon project of the Tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectStatus>,
    /// Request to create a project whose outcome is not known yet. Removed when the project is
    /// recorded in `project`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation: Option<CreationIntent>,
    /// Requests to create a project whose response was lost, oldest first. A project that was created
    /// within the window of such a request can be an unused duplicate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost_creations: Vec<LostCreation>,
    /// Values in effect after the class's defaults were applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
    /// Connection details without the password. The credentials are in the Secret that `binding`
    /// references.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// Reference to the connection Secret, as defined by the Service Binding Specification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// Schema version of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaStatus>,
    /// Backup of the database from before the last rollout that has `rollout.backup`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// Time that provisioning took until the Tenant first became `Ready`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// Value of the annotation `dbpertenant.dev/reconcile-at` that the controller last acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reconcile_at: Option<String>,
}

/// Summary of the conditions for display.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Phase {
    /// The controller is checking the prerequisites, such as the class and its account.
    Pending,
    /// The project is being created or updated.
    Provisioning,
    /// Migrations are being applied.
    Migrating,
    /// The latest spec and schema are in effect.
    Ready,
    /// `spec.suspend` is true.
    Suspended,
    /// Manual intervention is required. The condition `Stalled` describes the problem.
    Stalled,
    /// The Tenant is being deleted.
    Deleting,
}

/// The Neon project of a Tenant.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectStatus {
    /// Id of the project.
    pub id: String,
    /// Region of the project.
    pub region: String,
    /// Name of the project in Neon.
    pub name: String,
    /// Id of the project's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<String>,
    /// Id of the read-write compute endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<String>,
    /// Whether the project was adopted rather than created by the controller.
    #[serde(default)]
    pub adopted: bool,
    /// Whether the Tenant took the project back: it belonged to an earlier Tenant with the same
    /// namespace and name, or to this Tenant before its status was lost or it was restored from a
    /// backup.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reclaimed: bool,
    /// Neon's `updated_at` of the project when the controller last read its compute. Without it, the
    /// compute is read next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<String>,
}

/// A branch or a snapshot with the database as it was before a rollout.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// Name of the SchemaRollout.
    pub rollout: String,
    /// Id of the project.
    pub project_id: String,
    /// Name of the branch or the snapshot in Neon.
    pub name: String,
    /// Id of the branch, if the backup is one. Absent until Neon has confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<String>,
    /// Id of the snapshot, if the backup is one. Absent until Neon has confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// Time at which the backup was created. A restore discards what was written since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// Time at which Neon deletes the backup. Absent if Neon keeps it, because the database was restored
    /// from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Number of the backup for this rollout, starting at 1. Before a further attempt to migrate the
    /// database, a backup is replaced if the database was restored from it, or if it expires soon.
    #[serde(default = "first_attempt")]
    pub attempt: i32,
    /// Version of the last applied migration in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<i64>,
    /// Digest of the applied migrations in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_checksum: Option<String>,
    /// The restore of the database from this backup, after a migration failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreStatus>,
}

fn first_attempt() -> i32 {
    1
}

impl BackupStatus {
    /// The id of the branch or the snapshot, once Neon has confirmed it.
    pub fn id(&self) -> Option<&str> {
        self.branch_id.as_deref().or(self.snapshot_id.as_deref())
    }
}

/// A restore of a database from its backup, recorded before the request is sent. The Tenant is not
/// migrated again for the same rollout unless a user requests it.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreStatus {
    /// Time at which the migration failed.
    pub requested_at: Time,
    /// Name of the branch that keeps the database as it was before the restore, with everything that
    /// was written since the backup.
    pub failed_branch_name: String,
    /// Reason of the failure, as in the condition `Ready`.
    pub reason: String,
    /// Message of the failure.
    pub message: String,
    /// Time at which the database was restored. Absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Time>,
    /// Time at which the controller decided not to restore the database, because the backup is more than
    /// an hour old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned_at: Option<Time>,
}

/// Record of a request to create a project, written before the request is sent. It means that the
/// project may exist, and says until when it may still appear.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreationIntent {
    /// Name of the requested project.
    pub project_name: String,
    /// Time at which the request was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<MicroTime>,
    /// Time after which the request is not sent.
    pub not_after: MicroTime,
    /// Time after which a complete listing without the project proves that the request created
    /// none.
    pub settled_at: MicroTime,
    /// Number of the request, starting at 1.
    pub attempt: i32,
}

/// A request to create a project whose response was lost.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LostCreation {
    /// Time at which the request was recorded.
    pub requested_at: MicroTime,
    /// Time until which the request may have created a project.
    pub settled_at: MicroTime,
}

/// Values in effect after the class's defaults were applied.
#[derive(JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// Name of the TenantClass.
    pub class_name: String,
    /// Neon region.
    pub region: String,
    /// Postgres major version.
    pub postgres_version: i32,
    /// Compute size and suspend timeout.
    // Omitted when empty: server-side apply turns an object whose last field is removed into null,
    // which the schema rejects.
    #[serde(default, skip_serializing_if = "is_default")]
    pub compute: Compute,
    /// Consumption limits per billing period.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quota: Quota,
    /// Restore window in seconds. Absent if Neon's default applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_retention_seconds: Option<i64>,
    /// Addresses, CIDR blocks and address ranges that may connect. If empty, every address may
    /// connect.
    #[serde(rename = "allowedIPs", default)]
    pub allowed_ips: Vec<String>,
    /// Names of the database and of the role that owns it.
    pub database: Database,
    /// Whether the project is deleted or retained when the Tenant is deleted.
    pub deletion_policy: DeletionPolicy,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Connection details without the password.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Host name of the compute. Use it for migrations and for anything that needs session state.
    pub host: String,
    /// Host name of the connection pooler, which pools in transaction mode. Use it for application
    /// requests.
    pub pooled_host: String,
    /// Port of both hosts.
    pub port: i32,
    /// Name of the database.
    pub database: String,
    /// Role that owns the database.
    pub role: String,
    /// Minimum `sslmode` that clients must use.
    pub ssl_mode: String,
    /// Value of the connection parameter `options` that clients must send. Present only if the host
    /// name does not identify the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
}

/// Reference to the connection Secret.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Binding {
    /// Name of the Secret, in the Tenant's namespace.
    pub name: String,
    /// The Secret's `resourceVersion` when the controller last wrote or checked its content.
    #[serde(
        default,
        rename = "resourceVersion",
        skip_serializing_if = "Option::is_none"
    )]
    pub resource_version: Option<String>,
    /// Name of the Secret that `spec.connectionSecret` named before. It still holds the credentials:
    /// delete it once no workload uses it.
    #[serde(
        default,
        rename = "previousName",
        skip_serializing_if = "Option::is_none"
    )]
    pub previous_name: Option<String>,
}

/// Schema version of the database.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaStatus {
    /// Version of the last applied migration. Absent if none is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Target version of the schema: the one that the class's rollout has reached for this Tenant.
    /// Absent if the class applies no migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<i64>,
    /// Digest of the applied migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Time at which the controller applied the last migration or first observed it as applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Time>,
    /// Name of the SchemaRollout for which the database was last migrated, or is being migrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// Id of the project whose database this describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
}

impl SchemaStatus {
    /// Whether it says what the database has: migrations, or none because the class applied none when the
    /// database was first reached.
    pub fn is_known(&self) -> bool {
        self.version.is_some() || self.target.is_none() || self.project_id.is_some()
    }
}

/// Time that provisioning took until the Tenant first became `Ready`.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// Time at which the Tenant was created, within the second of its `creationTimestamp`. The
    /// durations start at this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// Milliseconds from `startedAt` until the project existed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_ms: Option<i64>,
    /// Milliseconds from the project's creation until the schema was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_ms: Option<i64>,
    /// Milliseconds from `startedAt` until the Tenant first became `Ready`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<i64>,
}
