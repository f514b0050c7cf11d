//! What a [`Tenant`] wishes for. Every field but the name may be left out and then comes from its class.
//!
//! What concerns one value is checked by the types of [`crate::bounds`]; what concerns several, or the value from
//! before, is a rule on the struct that holds them. A rule on an optional field itself would not run when the field is
//! added or removed: hence `has()` on the parent.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct, with its `pub`, into a function"
)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::status::TenantStatus;

/// The class a Tenant belongs to when it names none.
pub const DEFAULT_CLASS: &str = "default";
/// Name of the database when neither Tenant nor class names one; Neon's own default.
pub const DEFAULT_DATABASE: &str = "neondb";
/// Name of the role that owns the database when neither Tenant nor class names one; Neon's own default.
pub const DEFAULT_OWNER: &str = "neondb_owner";

/// A tenant: one Neon project, with the schema applied, the credentials in a Secret and the connection details in
/// the status.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "dbpertenant.dev",
    version = "v1alpha1",
    kind = "Tenant",
    plural = "tenants",
    shortname = "tn",
    category = "dbpertenant",
    namespaced,
    status = "TenantStatus",
    derive = "PartialEq",
    doc = "A Tenant is a Postgres database of its own on Neon: a project with the schema applied, credentials in a Secret, connection details in the status.",
    selectable = ".spec.className",
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("a Tenant's name has at most 63 characters, because it becomes a label of the Secret; choose a shorter one"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Region",
        type_ = "string",
        json_path = ".status.project.region"
    ),
    printcolumn(name = "Project", type_ = "string", json_path = ".status.project.id"),
    printcolumn(
        name = "Schema",
        type_ = "integer",
        json_path = ".status.schema.version"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Host",
        type_ = "string",
        json_path = ".status.connection.host",
        priority = 1
    ),
    printcolumn(
        name = "Class",
        type_ = "string",
        json_path = ".spec.className",
        priority = 1
    ),
    printcolumn(
        name = "Ready ms",
        type_ = "integer",
        json_path = ".status.timings.readyMs",
        priority = 1
    )
)]
#[x_kube(
    validation = Rule::new("self.className == oldSelf.className")
        .message("className cannot be changed: the project lives in the account of its class; create a new Tenant with the class you want"),
    validation = Rule::new("has(self.region) == has(oldSelf.region) && (!has(self.region) || self.region == oldSelf.region)")
        .message("region cannot be set, changed or removed later: data does not move between regions; create a new Tenant with the region you want"),
    validation = Rule::new("has(self.postgresVersion) == has(oldSelf.postgresVersion) && (!has(self.postgresVersion) || self.postgresVersion == oldSelf.postgresVersion)")
        .message("postgresVersion cannot be set, changed or removed later; create a new Tenant with the version you want"),
    validation = Rule::new("has(self.database) == has(oldSelf.database) && (!has(self.database) || self.database == oldSelf.database)")
        .message("database cannot be set, changed or removed later; create a new Tenant with the names you want"),
    validation = Rule::new("has(self.adopt) == has(oldSelf.adopt) && (!has(self.adopt) || self.adopt.projectId == oldSelf.adopt.projectId)")
        .message("adopt.projectId cannot be set, changed or removed later; create a new Tenant that adopts the project you want")
)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// The TenantClass that names the Neon account and fills in what is left out here. It cannot be changed.
    #[serde(default = "default_class")]
    #[schemars(with = "bounds::ObjectName")]
    pub class_name: String,
    /// A name for people; it stands in front of the project's name in Neon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::DisplayName>")]
    pub display_name: Option<String>,
    /// Neon region, such as `aws-eu-central-1`. It cannot be changed: data does not move between regions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::Region>")]
    pub region: Option<String>,
    /// Postgres major version. It cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::PostgresVersion>")]
    pub postgres_version: Option<i32>,
    /// Size of the compute and when it goes to sleep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<Compute>,
    /// Limits of use in a billing period; a used-up quota suspends the compute until the quota changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// How far back Neon can restore, in seconds: 0 to 2592000 (30 days).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::HistoryRetention>")]
    pub history_retention_seconds: Option<i64>,
    /// Who may connect: addresses, CIDR blocks or ranges (`198.51.100.20-198.51.100.50`). Left out or empty: anybody.
    #[serde(rename = "allowedIPs", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::AllowedIps>")]
    pub allowed_ips: Option<Vec<String>>,
    /// Names of the database and of the role that owns it. They cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// What becomes of the Neon project when the Tenant is deleted. Left out: as the class says, and that defaults to
    /// `Delete`; for an adopted project, `Retain`.
    // The schema of an optional enum would have the enum's words in place of these.
    #[schemars(with = "DeletionPolicy")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Take over a project that exists, instead of creating one. The class must allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
    /// While true, nothing is changed in Neon or in the database, except that deletion goes on.
    #[serde(default)]
    pub suspend: bool,
    /// The Secret that the credentials are written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_secret: Option<ConnectionSecret>,
}

fn default_class() -> String {
    DEFAULT_CLASS.to_owned()
}

impl Default for TenantSpec {
    /// A Tenant that asks for nothing and takes everything from the class `default`.
    fn default() -> Self {
        Self {
            class_name: default_class(),
            display_name: None,
            region: None,
            postgres_version: None,
            compute: None,
            quota: None,
            history_retention_seconds: None,
            allowed_ips: None,
            database: None,
            deletion_policy: None,
            adopt: None,
            suspend: false,
            connection_secret: None,
        }
    }
}

/// Size of a compute in Neon's Compute Units (1 CU is about 1 vCPU and 4 GB of memory), and its sleep.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("!has(self.minCU) || !has(self.maxCU) || self.minCU <= self.maxCU")
        .message("minCU is larger than maxCU; lower minCU or raise maxCU"),
    validation = Rule::new("!has(self.minCU) || !has(self.maxCU) || self.minCU >= self.maxCU || (self.maxCU <= 16.0 && self.maxCU - self.minCU <= 8.0)")
        .message("autoscaling reaches up to 16 CU and spans at most 8 CU; raise minCU, lower maxCU, or set both to one size (fixed sizes go up to 56 CU)")
)]
#[serde(rename_all = "camelCase")]
pub struct Compute {
    /// Smallest size, in CU: a multiple of 0.25 up to 16; above that, both sizes are the same even number up to 56.
    #[serde(rename = "minCU", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::ComputeSize>")]
    pub min_cu: Option<f64>,
    /// Largest size, in CU: not under `minCU`, and at most 8 over it.
    #[serde(rename = "maxCU", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::ComputeSize>")]
    pub max_cu: Option<f64>,
    /// Seconds without a query until the compute sleeps: 60 to 604800, 0 for Neon's default, -1 for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::SuspendTimeout>")]
    pub suspend_timeout_seconds: Option<i64>,
}

/// Limits of use in a billing period. What is left out, or 0, is not limited.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Seconds that a compute may be awake.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::QuotaAmount>")]
    pub active_time_seconds: Option<i64>,
    /// CPU seconds that computes may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::QuotaAmount>")]
    pub compute_time_seconds: Option<i64>,
    /// Bytes that may be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::QuotaAmount>")]
    pub written_data_bytes: Option<i64>,
    /// Bytes that may be sent out of Neon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::QuotaAmount>")]
    pub data_transfer_bytes: Option<i64>,
    /// Largest logical size of a branch, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::QuotaAmount>")]
    pub logical_size_bytes: Option<i64>,
}

/// Names of the database and its owner.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Name of the database, at most 63 bytes; `neondb` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::DatabaseName>")]
    pub name: Option<String>,
    /// Name of the role that owns it, at most 63 bytes; `neondb_owner` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::RoleName>")]
    pub owner: Option<String>,
}

/// What becomes of the Neon project when its Tenant is deleted.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum DeletionPolicy {
    /// The project is deleted (Neon can recover it for 7 days).
    Delete,
    /// The project stays in Neon, and is paid for, until somebody deletes it there.
    Retain,
}

/// A project that exists and is to become this Tenant's.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// Id of the Neon project, such as `quiet-river-12345678`. It cannot be changed.
    #[schemars(with = "bounds::ProjectId")]
    pub project_id: String,
    /// Whether the owner's password may be reset if Neon does not reveal it. Whoever used the old password is then
    /// locked out; hence never by default.
    #[serde(default)]
    pub reset_password: bool,
}

/// The Secret that the credentials are written to.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionSecret {
    /// Its name, in the Tenant's namespace. Left out: `<tenant>-connection`.
    #[schemars(with = "bounds::ObjectName")]
    pub name: String,
}
