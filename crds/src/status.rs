//! What the controller says of a Tenant. No password, key or connection string with a password ever stands here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{Compute, Database, DeletionPolicy, Quota};

/// State of a Tenant as the controller last saw it.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TenantStatus {
    /// Generation of the spec that the status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling`, `Stalled`, `Available`, `ProjectReady`, `SchemaReady`, `CredentialsReady`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// One word for people; programs read the conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The Neon project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectStatus>,
    /// A request to create a project that is, or may be, on its way. Gone once its project is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation: Option<CreationIntent>,
    /// The values in effect after the class was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
    /// How to connect; the credentials are in the Secret that `binding` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// The Secret with the credentials, as the Service Binding Specification wants it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// The schema of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaStatus>,
    /// How long the way to the first `Ready` took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// The value of the annotation `dbpertenant.dev/reconcile-at` that was last acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reconcile_at: Option<String>,
}

/// One word for people.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Phase {
    /// What the Tenant needs first is being looked at.
    Pending,
    /// The project is being created or changed.
    Provisioning,
    /// The schema is being applied.
    Migrating,
    /// The newest spec and schema are in effect.
    Ready,
    /// `spec.suspend` is true.
    Suspended,
    /// A person has to mend something; the condition `Stalled` says what.
    Stalled,
    /// The Tenant is being deleted.
    Deleting,
}

/// The Neon project of a Tenant.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectStatus {
    /// Its id.
    pub id: String,
    /// Its region.
    pub region: String,
    /// Its name in Neon.
    pub name: String,
    /// Id of the default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<String>,
    /// Id of the read-write compute endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<String>,
    /// Whether it was there before the Tenant.
    #[serde(default)]
    pub adopted: bool,
    /// Neon's `updated_at` when its details were last compared with the wish; while it stands, nobody looks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<String>,
}

/// The record of a request to create a project, made before the request is sent: whoever finds it knows that a project
/// may exist, and until when one may still appear.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreationIntent {
    /// The name that the project bears if it came to be.
    pub project_name: String,
    /// The request is not sent after this moment.
    pub not_after: MicroTime,
    /// From this moment on, a complete listing without the project means that it will not come.
    pub settled_at: MicroTime,
    /// Counts the requests, from 1.
    pub attempt: i32,
}

/// The values in effect after the class was applied.
#[derive(JsonSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// The class.
    pub class_name: String,
    /// Neon region.
    pub region: String,
    /// Postgres major version.
    pub postgres_version: i32,
    /// Size and sleep of the compute.
    // Left out when empty: an object whose last field a server-side apply takes away becomes null, which the schema refuses.
    #[serde(default, skip_serializing_if = "is_default")]
    pub compute: Compute,
    /// Limits of use.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quota: Quota,
    /// How far back Neon can restore, in seconds; absent where Neon's own default stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_retention_seconds: Option<i64>,
    /// Addresses or CIDR blocks that may connect; empty: any.
    #[serde(rename = "allowedIPs", default)]
    pub allowed_ips: Vec<String>,
    /// Names of the database and its owner.
    pub database: Database,
    /// What becomes of the project when the Tenant is deleted.
    pub deletion_policy: DeletionPolicy,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How to connect, without the password.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Host of the compute: for migrations and whatever needs a session.
    pub host: String,
    /// Host of the pooler (transaction mode): for requests.
    pub pooled_host: String,
    /// Port of both.
    pub port: i32,
    /// Name of the database.
    pub database: String,
    /// Role that owns it.
    pub role: String,
    /// libpq's `sslmode` that a client needs at least.
    pub ssl_mode: String,
    /// libpq's `options` that a client must send, where the host name alone does not name the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
}

/// Reference to the Secret with the credentials.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Binding {
    /// Name of the Secret, in the Tenant's namespace.
    pub name: String,
}

/// The schema of the database.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaStatus {
    /// Version of the last migration that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Version that the class's migrations lead to.
    pub target: i64,
    /// Digest over the migrations that are applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// When the last of them was applied by this controller, or first seen applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Time>,
    /// Id of the project that this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
}

/// How long the way to the first `Ready` took, in milliseconds.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// When the controller took the Tenant up: the zero of the figures below. (A Tenant's creationTimestamp knows only
    /// whole seconds.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// From `startedAt` to the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_ms: Option<i64>,
    /// From the project to the schema applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_ms: Option<i64>,
    /// From `startedAt` to the first `Ready`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<i64>,
}
