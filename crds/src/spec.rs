//! The [`Tenant`] resource. Every field of its spec is optional; an omitted field is filled in from
//! the class.
//!
//! The types in [`crate::validation`] validate single values. Rules that compare several fields, or
//! the new value with the old one, are on the struct that contains the fields. A rule on an
//! optional field does not run when the field is added or removed, so immutability rules use
//! `has()` on the parent.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct, with its `pub`, into a function"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::project_settings::{Compute, Database, DeletionPolicy, Quota};
use crate::status::TenantStatus;
use crate::validation;

/// Class of a Tenant whose spec does not set `className`.
pub const DEFAULT_CLASS: &str = "default";
/// Database name if neither the Tenant nor its class sets one. It is Neon's default too.
pub const DEFAULT_DATABASE: &str = "neondb";
/// Name of the role that owns the database if neither the Tenant nor its class sets one. It is
/// Neon's default too.
pub const DEFAULT_OWNER: &str = "neondb_owner";

/// Desired state of a Tenant. Every field is optional; omitted fields are filled in from the
/// TenantClass.
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
    doc = "A Tenant is a dedicated Postgres database on Neon. The controller creates a Neon project, applies the schema, writes the credentials to a Secret and the connection details to the status.",
    selectable = ".spec.className",
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("a Tenant's name must be at most 63 characters long, because it becomes a label value on the Secret; choose a shorter name"),
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
        .message("className is immutable, because the project stays in the Neon account of its class; create a new Tenant with the class you want"),
    validation = Rule::new("has(self.region) == has(oldSelf.region) && (!has(self.region) || self.region == oldSelf.region)")
        .message("region cannot be set, changed or removed after creation, because Neon cannot move a project between regions; create a new Tenant with the region you want"),
    validation = Rule::new("has(self.postgresVersion) == has(oldSelf.postgresVersion) && (!has(self.postgresVersion) || self.postgresVersion == oldSelf.postgresVersion)")
        .message("postgresVersion cannot be set, changed or removed after creation; create a new Tenant with the version you want"),
    validation = Rule::new("has(self.database) == has(oldSelf.database) && (!has(self.database) || self.database == oldSelf.database)")
        .message("database cannot be set, changed or removed after creation; create a new Tenant with the names you want"),
    validation = Rule::new("has(self.adopt) == has(oldSelf.adopt) && (!has(self.adopt) || self.adopt.projectId == oldSelf.adopt.projectId)")
        .message("adopt.projectId cannot be set, changed or removed after creation; create a new Tenant that adopts the project you want")
)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// Name of the TenantClass, which configures the Neon account and fills in the fields omitted
    /// here. Defaults to `default`. Immutable.
    #[serde(default = "default_class")]
    #[schemars(with = "validation::ObjectName")]
    pub class_name: String,
    /// Human-readable name. It becomes the first part of the project's name in Neon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::DisplayName>")]
    pub display_name: Option<String>,
    /// Neon region, such as `aws-eu-central-1`. Immutable, because Neon cannot move a project
    /// between regions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::Region>")]
    pub region: Option<String>,
    /// Postgres major version. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::PostgresVersion>")]
    pub postgres_version: Option<i32>,
    /// Compute size and suspend timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<Compute>,
    /// Consumption limits per billing period. When a quota is used up, Neon suspends the project's
    /// computes until the quota is raised or the next billing period starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Restore window in seconds, from 0 to 2592000 (30 days): how far back Neon can restore the
    /// project.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::HistoryRetention>")]
    pub history_retention_seconds: Option<i64>,
    /// Addresses, CIDR blocks and address ranges (`198.51.100.20-198.51.100.50`) that may connect.
    /// If omitted in both the Tenant and the class, or if empty, connections from every address are
    /// allowed.
    #[serde(rename = "allowedIPs", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::AllowedIps>")]
    pub allowed_ips: Option<Vec<String>>,
    /// Names of the database and of the role that owns it. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// Whether the Neon project is deleted or retained when the Tenant is deleted. If omitted, the
    /// class's policy applies, which defaults to `Delete`; an adopted project is retained.
    // With the type `Option<DeletionPolicy>` the schema would contain the enum's description, not
    // this one.
    #[schemars(with = "DeletionPolicy")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Refuses the deletion of the Tenant while `true`: the API server rejects the request if the
    /// chart's `ValidatingAdmissionPolicy` is installed, and the controller keeps the Tenant and its
    /// project until the field is `false`. If omitted, the class's value applies, which defaults to
    /// `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
    /// Existing Neon project to adopt instead of creating one. The class must allow it in
    /// `adoption.allowed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
    /// Suspends reconciliation. While `true`, the controller changes nothing in Neon or in the
    /// database, `Ready` keeps its last value, and the condition `Suspended` is `True`. Deletion is
    /// not suspended.
    #[serde(default)]
    pub suspend: bool,
    /// Secret to which the credentials are written. Defaults to a Secret named
    /// `<tenant>-connection`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_secret: Option<ConnectionSecret>,
}

fn default_class() -> String {
    DEFAULT_CLASS.to_owned()
}

impl Default for TenantSpec {
    /// The spec of a Tenant that sets no field and takes every value from the class `default`.
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
            deletion_protection: None,
            adopt: None,
            suspend: false,
            connection_secret: None,
        }
    }
}

/// An existing Neon project that the Tenant adopts.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// Id of the Neon project, such as `quiet-river-12345678`. Immutable.
    #[schemars(with = "validation::ProjectId")]
    pub project_id: String,
    /// Allows the controller to reset the owner role's password if Neon does not reveal it. Clients
    /// that use the old password can then no longer connect. Defaults to `false`.
    #[serde(default)]
    pub reset_password: bool,
}

/// Secret to which the credentials are written.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionSecret {
    /// Name of the Secret, in the Tenant's namespace.
    #[schemars(with = "validation::ObjectName")]
    pub name: String,
}
