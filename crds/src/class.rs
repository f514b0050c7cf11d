//! A [`TenantClass`] is for Tenants what a `StorageClass` is for volumes: the platform team says once which account,
//! which defaults and which limits.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct, with its `pub`, into a function"
)]
#![expect(
    clippy::duplicated_attributes,
    reason = "two printer columns may have one type"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::spec::{Compute, Database, DeletionPolicy, Quota};

/// The Neon account, defaults and limits of the Tenants that name this class.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "dbpertenant.dev",
    version = "v1alpha1",
    kind = "TenantClass",
    plural = "tenantclasses",
    shortname = "tnc",
    category = "dbpertenant",
    status = "TenantClassStatus",
    derive = "PartialEq",
    doc = "A TenantClass names the Neon account, the defaults and the limits of the Tenants that refer to it.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Tenants", type_ = "integer", json_path = ".status.tenants"),
    printcolumn(
        name = "Unowned",
        type_ = "integer",
        json_path = ".status.orphanedProjects.count"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct TenantClassSpec {
    /// How the Neon account is reached.
    pub neon: NeonAccount,
    /// What a Tenant gets that it does not ask for itself.
    #[serde(default)]
    pub defaults: TenantDefaults,
    /// What a Tenant may ask for at most.
    #[serde(default)]
    pub limits: ClassLimits,
    /// Which existing projects Tenants may adopt.
    #[serde(default)]
    pub adoption: Adoption,
    /// What becomes of a project when its Tenant is deleted and does not say so itself. Left out: `Delete`.
    // The schema of an optional enum would have the enum's words in place of these.
    #[schemars(with = "DeletionPolicy")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Where the schema comes from that every tenant database gets.
    #[serde(default)]
    pub migrations: Migrations,
}

/// How a Neon account is reached.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("has(self.orgId) == has(oldSelf.orgId) && (!has(self.orgId) || self.orgId == oldSelf.orgId)")
        .message("orgId cannot be set, changed or removed later: projects are looked for where they were created; create a new TenantClass for another organisation"),
    validation = Rule::new("has(self.baseUrl) == has(oldSelf.baseUrl) && (!has(self.baseUrl) || self.baseUrl == oldSelf.baseUrl)")
        .message("baseUrl cannot be set, changed or removed later: projects are looked for where they were created; create a new TenantClass for another API")
)]
#[serde(rename_all = "camelCase")]
pub struct NeonAccount {
    /// The API key: a key of a Secret in the controller's own namespace. It may be changed at any time (rotation).
    pub api_key_secret_ref: ApiKeySecretRef,
    /// The organisation that projects are created in. Needed with personal keys. It cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::OrgId>")]
    pub org_id: Option<String>,
    /// Base URL of the API; Neon's own when left out. It cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::BaseUrl>")]
    pub base_url: Option<String>,
    /// PEM certificates that the databases' certificates are checked against, and that are handed on as `ca.crt` in
    /// the Secrets. Left out: publicly trusted roots, as Neon's databases need.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::CaBundle>")]
    pub ca_bundle: Option<String>,
}

/// A key of a Secret in the controller's own namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySecretRef {
    /// Name of the Secret.
    #[schemars(with = "bounds::ObjectName")]
    pub name: String,
    /// Key within it; `api-key` when left out.
    #[serde(default = "default_api_key")]
    #[schemars(with = "bounds::SecretKey")]
    pub key: String,
}

fn default_api_key() -> String {
    "api-key".to_owned()
}

/// What a Tenant gets that it does not ask for itself; each field as in the Tenant's spec.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantDefaults {
    /// Neon region.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::Region>")]
    pub region: Option<String>,
    /// Postgres major version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::PostgresVersion>")]
    pub postgres_version: Option<i32>,
    /// Size and sleep of the compute, field by field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<Compute>,
    /// Limits of use, field by field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// How far back Neon can restore, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::HistoryRetention>")]
    pub history_retention_seconds: Option<i64>,
    /// Who may connect: addresses, CIDR blocks or ranges.
    #[serde(rename = "allowedIPs", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::AllowedIps>")]
    pub allowed_ips: Option<Vec<String>>,
    /// Names of the database and its owner, field by field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
}

/// What a Tenant of the class may ask for. A Tenant outside becomes `Stalled` and says which limit it crossed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("!has(self.minCU) || !has(self.maxCU) || self.minCU <= self.maxCU")
        .message("minCU is larger than maxCU; lower minCU or raise maxCU")
)]
#[serde(rename_all = "camelCase")]
pub struct ClassLimits {
    /// Smallest `minCU`.
    #[serde(rename = "minCU", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::ComputeSize>")]
    pub min_cu: Option<f64>,
    /// Largest `maxCU`.
    #[serde(rename = "maxCU", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::ComputeSize>")]
    pub max_cu: Option<f64>,
    /// Regions to choose from. Left out or empty: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::Regions>")]
    pub regions: Option<Vec<String>>,
    /// Postgres major versions to choose from. Left out or empty: any that Neon has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bounds::PostgresVersions>")]
    pub postgres_versions: Option<Vec<i32>>,
    /// Largest quota, field by field. Where a limit stands, a Tenant without that quota gets the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
}

/// Which existing projects Tenants of the class may adopt.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Adoption {
    /// Ids of projects. Empty: none.
    #[serde(default)]
    #[schemars(with = "bounds::ProjectIds")]
    pub allowed_project_ids: Vec<String>,
}

/// Where the schema of tenant databases comes from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("self.source != 'ConfigMap' || has(self.configMap)")
        .message("the source ConfigMap needs configMap.name: the ConfigMap, in the controller's namespace, that holds the SQL files"),
    validation = Rule::new("self.source == 'ConfigMap' || !has(self.configMap)")
        .message("configMap is only read when source is ConfigMap; set source to ConfigMap or remove configMap")
)]
#[serde(rename_all = "camelCase")]
pub struct Migrations {
    /// The kind of source.
    #[serde(default)]
    pub source: MigrationsSource,
    /// The ConfigMap, when the source is `ConfigMap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapName>,
}

/// Kinds of sources of migrations.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum MigrationsSource {
    /// What the controller brings along: the SQL built into it, or the directory it was started with.
    #[default]
    BuiltIn,
    /// A ConfigMap in the controller's namespace: a key a file, such as `0001_documents.sql`.
    ConfigMap,
}

/// A ConfigMap in the controller's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapName {
    /// Its name.
    #[schemars(with = "bounds::ObjectName")]
    pub name: String,
}

/// What the controller knows of a class.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TenantClassStatus {
    /// Generation of the spec that the status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: the account answers and the migrations can be read.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Number of Tenants that name this class.
    pub tenants: i64,
    /// Projects that bear this installation's mark and belong to no Tenant. They are left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphaned_projects: Option<OrphanedProjects>,
}

/// Projects that bear this installation's mark and belong to no Tenant.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrphanedProjects {
    /// How many.
    pub count: i64,
    /// The first of their ids, at most 20.
    #[serde(default)]
    pub ids: Vec<String>,
}
