//! The [`TenantClass`] resource. It is to Tenants what a `StorageClass` is to volumes: the platform
//! team configures the Neon account, the defaults and the limits once.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct, with its `pub`, into a function"
)]
#![expect(
    clippy::duplicated_attributes,
    reason = "printer columns repeat their type"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::meta::DEFAULT_CONTROLLER_NAME;
use crate::project_settings::{Compute, Database, DeletionPolicy, Quota};
use crate::rollout_settings::RolloutSettings;
use crate::selector::selects;
use crate::validation;

/// Desired state of a TenantClass: the Neon account, the defaults and the limits of its Tenants.
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
    doc = "A TenantClass configures the Neon account, the defaults and the limits of the Tenants that reference it.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Tenants", type_ = "integer", json_path = ".status.tenants"),
    printcolumn(name = "Plan", type_ = "string", json_path = ".status.account.plan"),
    printcolumn(
        name = "Projects",
        type_ = "integer",
        json_path = ".status.account.projectsUsed"
    ),
    printcolumn(
        name = "Orphaned",
        type_ = "integer",
        json_path = ".status.orphanedProjects.count"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("self.controllerName == oldSelf.controllerName")
        .message("controllerName is immutable, because two controllers would disagree about the class's Tenants; create a new TenantClass for another controller")
)]
#[serde(rename_all = "camelCase")]
pub struct TenantClassSpec {
    /// Name of the controller that reconciles the class and its Tenants: the value of the
    /// controller's setting `controller-name`. Controllers with other names ignore them. Defaults to
    /// `dbpertenant.dev/tenant-controller`. Immutable.
    #[serde(default = "default_controller_name")]
    #[schemars(with = "validation::ControllerName")]
    pub controller_name: String,
    /// Neon account in which the class's projects are created, and how to reach its API.
    pub neon: NeonAccount,
    /// Values for the fields that a Tenant omits.
    #[serde(default)]
    pub defaults: TenantDefaults,
    /// Limits on the values that a Tenant may request.
    #[serde(default)]
    pub limits: ClassLimits,
    /// Namespaces whose Tenants may use the class. If omitted, Tenants in every namespace may use it.
    /// Tenants in a namespace that is no longer allowed become `Stalled`; their databases remain
    /// available, and the Tenants can be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// Existing Neon projects that Tenants of the class may adopt.
    #[serde(default)]
    pub adoption: Adoption,
    /// What happens to a new Tenant if the account contains a project that belonged to an earlier
    /// Tenant of the same namespace and name, for example because that Tenant was deleted with the
    /// policy `Retain`, or because the cluster was rebuilt. Defaults to `Stall`.
    // With the type `OnExistingProject` the schema would contain the enum's description, not this
    // one.
    #[serde(default)]
    pub on_existing_project: OnExistingProject,
    /// Deletion policy of Tenants that do not set their own. Defaults to `Delete`. The default does
    /// not apply to adopted projects, which are retained unless their Tenant sets `deletionPolicy`.
    // With the type `Option<DeletionPolicy>` the schema would contain the enum's description, not
    // this one.
    #[schemars(with = "DeletionPolicy")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Deletion protection of Tenants that do not set their own. Defaults to `false`.
    #[serde(default)]
    pub deletion_protection: bool,
    /// How many Tenants may be deleted within a minute before the controller waits for a
    /// confirmation.
    #[serde(default)]
    pub mass_deletion: MassDeletion,
    /// Source of the SQL migrations that are applied to every tenant database.
    #[serde(default)]
    pub migrations: Migrations,
    /// How new migrations reach the Tenants: first a canary, then waves. Whenever the migrations
    /// change, the controller creates a SchemaRollout with a copy of these settings, so a change here
    /// applies to the next one.
    #[serde(default)]
    pub rollout: RolloutSettings,
}

fn default_controller_name() -> String {
    DEFAULT_CONTROLLER_NAME.to_owned()
}

/// Deletions of Tenants that count as a mass deletion. If more Tenants of the class than both values
/// allow are deleted within a minute, the controller deletes no further project of the class until a
/// user confirms the deletions with the annotation `dbpertenant.dev/confirm-deletions`. Both values
/// must be exceeded, so with the defaults, a class with 10 Tenants or fewer is not protected; set a
/// lower `maxTenantsPerMinute` for such a class.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MassDeletion {
    /// Number of Tenants that may be deleted within a minute, whatever their share is. Defaults to 10.
    /// With 0, only the share counts.
    #[serde(default = "default_max_tenants")]
    #[schemars(with = "validation::TenantCount")]
    pub max_tenants_per_minute: i64,
    /// Share of the class's Tenants, in percent, that may be deleted within a minute, whatever their
    /// number is. Defaults to 10. With 0, only the number counts; with 100, the controller never waits
    /// for a confirmation.
    #[serde(default = "default_max_percent")]
    #[schemars(with = "validation::Percent")]
    pub max_percent_per_minute: i64,
}

impl Default for MassDeletion {
    fn default() -> Self {
        Self {
            max_tenants_per_minute: default_max_tenants(),
            max_percent_per_minute: default_max_percent(),
        }
    }
}

fn default_max_tenants() -> i64 {
    10
}

fn default_max_percent() -> i64 {
    10
}

/// Neon account and how to reach its API.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("has(self.orgId) == has(oldSelf.orgId) && (!has(self.orgId) || self.orgId == oldSelf.orgId)")
        .message("orgId cannot be set, changed or removed after creation, because existing projects stay in their organization; create a new TenantClass for another organization"),
    validation = Rule::new("has(self.baseUrl) == has(oldSelf.baseUrl) && (!has(self.baseUrl) || self.baseUrl == oldSelf.baseUrl)")
        .message("baseUrl cannot be set, changed or removed after creation, because existing projects can be reached through their own API only; create a new TenantClass for another API")
)]
#[serde(rename_all = "camelCase")]
pub struct NeonAccount {
    /// Reference to the Neon API key: a key of a Secret in the controller's namespace. The
    /// reference may be changed at any time, for example to rotate the API key.
    pub api_key_secret_ref: ApiKeySecretRef,
    /// Id of the Neon organization in which projects are created. Required if the API key is a
    /// personal key. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::OrgId>")]
    pub org_id: Option<String>,
    /// Base URL of the Neon API. Defaults to Neon's public API. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::BaseUrl>")]
    pub base_url: Option<String>,
    /// PEM certificates used to verify the TLS certificates of the databases. They are copied into
    /// every connection Secret as `ca.crt`. If omitted, the publicly trusted root certificates are
    /// used, which is right for Neon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::CaBundle>")]
    pub ca_bundle: Option<String>,
}

/// Reference to a key of a Secret in the controller's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySecretRef {
    /// Name of the Secret.
    #[schemars(with = "validation::ObjectName")]
    pub name: String,
    /// Key in the Secret's data. Defaults to `api-key`.
    #[serde(default = "default_api_key")]
    #[schemars(with = "validation::SecretKey")]
    pub key: String,
}

fn default_api_key() -> String {
    "api-key".to_owned()
}

/// Values for the fields that a Tenant omits. Each field has the meaning of the Tenant's field of
/// the same name.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantDefaults {
    /// Neon region, such as `aws-eu-central-1`. Changing it affects only Tenants that have no
    /// project yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::Region>")]
    pub region: Option<String>,
    /// Postgres major version. Changing it affects only Tenants that have no project yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::PostgresVersion>")]
    pub postgres_version: Option<i32>,
    /// Compute size and suspend timeout. Each field is defaulted separately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<Compute>,
    /// Consumption limits per billing period. Each field is defaulted separately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Restore window in seconds: how far back Neon can restore the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::HistoryRetention>")]
    pub history_retention_seconds: Option<i64>,
    /// Addresses, CIDR blocks and address ranges that may connect.
    #[serde(rename = "allowedIPs", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::AllowedIps>")]
    pub allowed_ips: Option<Vec<String>>,
    /// Names of the database and its owner role. Each field is defaulted separately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
}

/// Limits on the values that a Tenant may request. A Tenant that exceeds a limit becomes `Stalled`,
/// and its condition names the limit.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("!has(self.minCU) || !has(self.maxCU) || self.minCU <= self.maxCU")
        .message("minCU must not be greater than maxCU; lower minCU or raise maxCU"),
    validation = Rule::new("!has(self.minSuspendTimeoutSeconds) || !has(self.maxSuspendTimeoutSeconds) || self.minSuspendTimeoutSeconds <= self.maxSuspendTimeoutSeconds")
        .message("minSuspendTimeoutSeconds must not be greater than maxSuspendTimeoutSeconds; lower the first or raise the second")
)]
#[serde(rename_all = "camelCase")]
pub struct ClassLimits {
    /// Smallest value allowed for `compute.minCU`.
    #[serde(rename = "minCU", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::ComputeSize>")]
    pub min_cu: Option<f64>,
    /// Largest value allowed for `compute.maxCU`.
    #[serde(rename = "maxCU", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::ComputeSize>")]
    pub max_cu: Option<f64>,
    /// Smallest value allowed for `compute.suspendTimeoutSeconds`. If set, `0` (Neon's default of
    /// 300 seconds) counts as 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::SuspendTimeoutLimit>")]
    pub min_suspend_timeout_seconds: Option<i64>,
    /// Largest value allowed for `compute.suspendTimeoutSeconds`. If set, a Tenant cannot use `-1`
    /// (never suspend), and `0` (Neon's default of 300 seconds) counts as 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::SuspendTimeoutLimit>")]
    pub max_suspend_timeout_seconds: Option<i64>,
    /// Largest value allowed for `historyRetentionSeconds`. A Tenant that sets none, and whose class
    /// has no default, gets at most this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::HistoryRetention>")]
    pub max_history_retention_seconds: Option<i64>,
    /// Addresses, CIDR blocks and address ranges within which every entry of a Tenant's `allowedIPs`
    /// must lie. If set, a Tenant cannot allow every address. If neither the Tenant nor the class's
    /// defaults set `allowedIPs`, this list applies.
    #[serde(rename = "allowedIPs", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::AllowedIps>")]
    pub allowed_ips: Option<Vec<String>>,
    /// Allowed regions. If omitted or empty, every region is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::Regions>")]
    pub regions: Option<Vec<String>>,
    /// Allowed Postgres major versions. If omitted or empty, every version that Neon supports is
    /// allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::PostgresVersions>")]
    pub postgres_versions: Option<Vec<i32>>,
    /// Largest allowed quota, per field. A Tenant that omits a limited field gets the limit as its
    /// quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
}

/// Namespaces whose Tenants may use a class: those in `names`, and those that `selector` selects.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("has(self.names) || has(self.selector)")
        .message("set names, selector or both; to allow every namespace, remove allowedNamespaces")
)]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// Names of namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<validation::NamespaceNames>")]
    pub names: Vec<String>,
    /// Selects namespaces by their labels. An empty selector selects every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::ObjectSelector>")]
    pub selector: Option<LabelSelector>,
}

impl AllowedNamespaces {
    /// Whether Tenants of a namespace may use the class. `labels` are those of the namespace;
    /// `None` if they are not known. Returns `None` if the answer depends on unknown labels.
    pub fn allows(
        &self,
        namespace: &str,
        labels: Option<&BTreeMap<String, String>>,
    ) -> Option<bool> {
        if self.names.iter().any(|name| name == namespace) {
            return Some(true);
        }
        match (&self.selector, labels) {
            (None, _) => Some(false),
            (Some(_), None) => None,
            (Some(selector), Some(labels)) => Some(selects(selector, labels)),
        }
    }
}

/// Existing Neon projects that Tenants of the class may adopt.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Adoption {
    /// Projects that may be adopted, and by which Tenants. If empty, Tenants of the class cannot
    /// adopt projects.
    // The list is atomic, so that a single manifest contains every project that may be adopted.
    #[serde(default)]
    #[schemars(extend("maxItems" = 1024, "x-kubernetes-list-type" = "atomic"))]
    pub allowed: Vec<AllowedAdoption>,
}

impl Adoption {
    /// Whether a Tenant may adopt a project.
    pub fn allows(&self, project: &str, namespace: &str, name: &str) -> bool {
        self.allowed
            .iter()
            .any(|allowed| allowed.project_id == project && allowed.allows(namespace, name))
    }
}

/// A project that may be adopted.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedAdoption {
    /// Id of the Neon project, such as `quiet-river-12345678`.
    #[schemars(with = "validation::ProjectId")]
    pub project_id: String,
    /// Namespace of the Tenant.
    #[schemars(with = "validation::NamespaceName")]
    pub namespace: String,
    /// Name of the Tenant. If omitted, one Tenant of any name in the namespace may adopt the
    /// project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::ObjectName>")]
    pub name: Option<String>,
}

impl AllowedAdoption {
    /// Whether a Tenant may adopt this project.
    pub fn allows(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name.as_deref().is_none_or(|only| only == name)
    }
}

/// What happens to a new Tenant if a project of an earlier Tenant of its namespace and name exists.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum OnExistingProject {
    /// The Tenant becomes `Stalled`, and its condition names the project. A user chooses with an
    /// annotation on the Tenant: `dbpertenant.dev/project-id` takes the project back,
    /// `dbpertenant.dev/ignore-project` starts with an empty database.
    #[default]
    Stall,
    /// The Tenant takes the project back. If there are several projects, it becomes `Stalled`.
    Adopt,
    /// The Tenant starts with an empty database, and the project remains in Neon.
    Ignore,
}

/// Source of the SQL migrations that are applied to every tenant database.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("self.source != 'ConfigMap' || has(self.configMap)")
        .message("configMap.name is required when source is ConfigMap: set it to the name of a ConfigMap with SQL files in the controller's namespace"),
    validation = Rule::new("self.source == 'ConfigMap' || !has(self.configMap)")
        .message("configMap is not allowed unless source is ConfigMap; set source to ConfigMap or remove configMap"),
    validation = Rule::new("self.source != 'ConfigMaps' || (has(self.configMaps) && self.configMaps.size() > 0)")
        .message("configMaps is required when source is ConfigMaps: list the names of ConfigMaps with SQL files in the controller's namespace"),
    validation = Rule::new("self.source == 'ConfigMaps' || !has(self.configMaps)")
        .message("configMaps is not allowed unless source is ConfigMaps; set source to ConfigMaps or remove configMaps")
)]
#[serde(rename_all = "camelCase")]
pub struct Migrations {
    /// Kind of source. Defaults to `BuiltIn`.
    #[serde(default)]
    pub source: MigrationsSource,
    /// ConfigMap with the migrations. Required if and only if `source` is `ConfigMap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapRef>,
    /// `ConfigMap`s with the migrations, if they do not fit into one. Each must contain higher
    /// versions than the ones before it. Required if and only if `source` is `ConfigMaps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub config_maps: Option<Vec<ConfigMapRef>>,
}

impl Migrations {
    /// Every `ConfigMap` with migrations, in order.
    pub fn all_config_maps(&self) -> impl Iterator<Item = &ConfigMapRef> {
        self.config_map
            .iter()
            .chain(self.config_maps.iter().flatten())
    }
}

/// Kind of source of the migrations.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum MigrationsSource {
    /// The migrations built into the controller, or those in the directory that it was configured
    /// with.
    #[default]
    BuiltIn,
    /// A ConfigMap in the controller's namespace with one key per file, such as
    /// `0001_documents.sql`.
    ConfigMap,
    /// More than one ConfigMap in the controller's namespace, in order.
    ConfigMaps,
    /// No migrations: the controller does not change the schema, and a Tenant is ready when its
    /// database accepts connections.
    None,
}

/// Reference to a ConfigMap in the controller's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapRef {
    /// Name of the ConfigMap.
    #[schemars(with = "validation::ObjectName")]
    pub name: String,
}

/// Observed state of a TenantClass.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TenantClassStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the class. `Ready` is `True` when the Neon account can be reached with the API
    /// key and the migrations are valid. `Reconciling` and `Stalled` follow kstatus.
    /// `DeletionsHeld` is `True` while the controller waits for a confirmation of deletions, and
    /// `PlanExceeded` while the account's plan does not allow some defaults or limits of the class.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Neon account that owns the class's projects, recorded when the API key is first used. The
    /// controller does not use an API key of another account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountStatus>,
    /// Number of Tenants that reference the class.
    pub tenants: i64,
    /// Projects in the account that this installation created and that belong to no Tenant. The
    /// controller does not delete them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphaned_projects: Option<OrphanedProjects>,
    /// Name of the newest SchemaRollout of the class. Absent if the class applies no migrations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// Mass deletions of the class's Tenants. Absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mass_deletion: Option<MassDeletionStatus>,
}

/// Mass deletions of a class's Tenants.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MassDeletionStatus {
    /// Time since which deletions have been waiting for confirmation. To confirm them, set the
    /// annotation `dbpertenant.dev/confirm-deletions` of the class to this value. Absent if no
    /// deletions are waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Time>,
    /// Time of the last confirmation. Deletions requested by then are executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Time>,
}

/// Neon account that owns the projects of a class.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatus {
    /// Id of the user or the organization.
    pub id: String,
    /// Plan of the account, such as `free` or `scale`, read at most once an hour. Absent if the API
    /// key has no access to it, like the two fields below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Number of projects in the account, including those that are not this installation's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects_used: Option<i64>,
    /// Number of projects that the plan allows. Absent if it is unlimited or not known. For an
    /// organization, it is the plan's usual number, which Neon may have raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects_allowed: Option<i64>,
}

/// Projects that this installation created and that belong to no Tenant.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrphanedProjects {
    /// Number of orphaned projects.
    pub count: i64,
    /// Ids of the orphaned projects, at most 20.
    #[serde(default)]
    pub ids: Vec<String>,
}

#[cfg(test)]
mod tests;
