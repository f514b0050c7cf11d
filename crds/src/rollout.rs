//! The [`SchemaRollout`] resource: one content of a class's migrations on its way to the class's
//! Tenants. The controller creates it; users approve and pause it and skip Tenants.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct, with its `pub`, into a function"
)]
#![expect(
    clippy::duplicated_attributes,
    reason = "printer columns repeat their type"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rollout_plan::RolloutPlan;
use crate::rollout_settings::RolloutSettings;
use crate::validation;

/// Desired state of a SchemaRollout. Users may change `paused`, `approved` and `skip`.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "dbpertenant.dev",
    version = "v1alpha1",
    kind = "SchemaRollout",
    plural = "schemarollouts",
    shortname = "sro",
    category = "dbpertenant",
    status = "SchemaRolloutStatus",
    derive = "PartialEq",
    doc = "A SchemaRollout applies one revision of a TenantClass's migrations to the class's Tenants: first to a canary, then in waves. The controller creates one whenever the migrations change.",
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.className"),
    printcolumn(
        name = "Version",
        type_ = "integer",
        json_path = ".spec.target.version"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Wave", type_ = "integer", json_path = ".status.wave"),
    printcolumn(
        name = "Waves",
        type_ = "integer",
        json_path = ".status.waves",
        priority = 1
    ),
    printcolumn(name = "Updated", type_ = "integer", json_path = ".status.updated"),
    printcolumn(name = "Total", type_ = "integer", json_path = ".status.total"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failed"),
    printcolumn(
        name = "Skipped",
        type_ = "integer",
        json_path = ".status.skipped",
        priority = 1
    ),
    printcolumn(
        name = "RolledBack",
        type_ = "integer",
        json_path = ".status.rolledBack",
        priority = 1
    ),
    printcolumn(
        name = "Asleep",
        type_ = "integer",
        json_path = ".status.asleep",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("self.className == oldSelf.className && self.revision == oldSelf.revision")
        .message("className and revision are immutable, because the controller sets them; change paused, approved or skip only"),
    validation = Rule::new("self.target.version == oldSelf.target.version && self.target.digest == oldSelf.target.digest")
        .message("target is immutable; to roll out other migrations, change the migrations of the class"),
    validation = Rule::new("self.rollout == oldSelf.rollout")
        .message("rollout is a copy of the class's settings and immutable; change spec.rollout of the class for the next rollout")
)]
#[serde(rename_all = "camelCase")]
pub struct SchemaRolloutSpec {
    /// Name of the TenantClass. Immutable.
    #[schemars(with = "validation::ObjectName")]
    pub class_name: String,
    /// Number of the rollout within its class. The one with the highest number determines the schema
    /// of the class's Tenants. Immutable.
    #[schemars(with = "validation::PositiveCount")]
    pub revision: i64,
    /// Schema that the rollout brings to the Tenants. Immutable.
    pub target: RolloutTarget,
    /// The class's settings when the rollout was created. Immutable.
    #[serde(default)]
    pub rollout: RolloutSettings,
    /// Pauses the rollout: no further Tenant is migrated, those that are being migrated finish, and
    /// those that failed are retried. The controller sets it if too many Tenants fail. Set it to
    /// `false` to continue; failures up to then no longer count towards the budget.
    #[serde(default)]
    pub paused: bool,
    /// Starts a rollout whose `rollout.approval` is `Manual`.
    #[serde(default)]
    pub approved: bool,
    /// Tenants that keep their schema until they are removed from this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub skip: Vec<TenantReference>,
}

/// A set of migrations, identified by its content.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutTarget {
    /// Version of the last migration.
    pub version: i64,
    /// Digest of all migrations, as in `status.schema.checksum` of a Tenant.
    #[schemars(with = "validation::SchemaDigest")]
    pub digest: String,
    /// Versions of all migrations. New Tenants get these during a later rollout.
    #[serde(default)]
    #[schemars(with = "validation::SchemaVersions")]
    pub versions: Vec<i64>,
}

/// A Tenant.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantReference {
    /// Namespace of the Tenant.
    #[schemars(with = "validation::NamespaceName")]
    pub namespace: String,
    /// Name of the Tenant.
    #[schemars(with = "validation::ObjectName")]
    pub name: String,
}

/// Observed state of a SchemaRollout.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SchemaRolloutStatus {
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the rollout. `Ready` is `True` once it is completed or superseded.
    /// `Reconciling` and `Stalled` follow kstatus; a rollout that waits for a user is `Stalled`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Summary of the conditions for display. Programs should evaluate the conditions instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<RolloutPhase>,
    /// Number of the current wave; 0 is the canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave: Option<i64>,
    /// Number of waves, including the canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waves: Option<i64>,
    /// Position that the rollout has reached in the fixed order of the Tenants. Tenants up to this
    /// position should have the new schema. Absent until the rollout reaches the first Tenant. With `wake: OnUse`, only
    /// new Tenants follow it while the rollout is running; the others follow `admitted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<String>,
    /// With `wake: OnUse`: UIDs of the Tenants that may begin to migrate now, at most 256.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admitted: Vec<String>,
    /// Time at which the next wave starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soak_until: Option<Time>,
    /// With `wake: OnUse`: time at which the rollout migrates the Tenants that are still asleep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake_by: Option<Time>,
    /// Number of Tenants in the rollout: those whose database already had a schema.
    pub total: i64,
    /// Tenants with the new schema.
    pub updated: i64,
    /// Tenants that are to be migrated, including those in progress.
    pub pending: i64,
    /// Tenants that are being migrated.
    pub in_progress: i64,
    /// Largest number of Tenants that may currently be migrated at the same time: `maxConcurrent`, or
    /// fewer while databases are slow or Neon limits the account's calls. Present only while a rollout
    /// with the strategy `Waves` has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<i64>,
    /// Tenants whose migration failed, or that were not migrated within
    /// `progressDeadlineSeconds`. The controller keeps retrying.
    pub failed: i64,
    /// Of the Tenants without the new schema, those whose database was restored from its backup after
    /// their migration had failed. The controller does not retry them.
    pub rolled_back: i64,
    /// Tenants that cannot be migrated now: they are in `spec.skip`, suspended, or stalled for
    /// a reason other than their schema.
    pub skipped: i64,
    /// With `wake: OnUse`: Tenants that have not been used since the rollout started. They are
    /// migrated when they are used, or at `wakeBy`, and do not count as pending.
    pub asleep: i64,
    /// Estimated cost of migrating now the Tenants that are asleep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake_cost: Option<WakeCost>,
    /// Failed Tenants that do not count towards the budget, because a user continued the rollout
    /// after they had failed.
    pub tolerated_failures: i64,
    /// Time at which the rollout was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Time at which the rollout was completed or superseded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What the rollout applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<RolloutPlan>,
    /// Failed Tenants, at most 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<RolloutFailure>,
}

/// What it would cost to start the computes of Tenants.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WakeCost {
    /// Number of computes that would start.
    pub cold_starts: i64,
    /// Compute time in seconds if each compute runs for 60 seconds, which is Neon's shortest suspend
    /// timeout. At 0.25 CU, 14,400 seconds are one CU-hour.
    pub compute_seconds: i64,
}

/// Summary of the state of a rollout.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum RolloutPhase {
    /// The rollout waits until a user sets `spec.approved`.
    AwaitingApproval,
    /// The first Tenants are being migrated.
    Canary,
    /// The Tenants of a later wave are being migrated.
    Progressing,
    /// The current wave has been migrated, and the next one has not started yet.
    Soaking,
    /// The rollout waits until its window opens, or, with `wake: OnUse`, until a Tenant is used.
    Waiting,
    /// `spec.paused` is true.
    Paused,
    /// All Tenants have been migrated, or were skipped or failed within the budget.
    Completed,
    /// A newer rollout has replaced this one.
    Superseded,
    /// With the strategy `AllAtOnce`: more Tenants failed than the budget allows.
    Failed,
}

impl RolloutPhase {
    /// Whether the rollout has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Superseded)
    }
}

/// A Tenant whose migration failed.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutFailure {
    /// Namespace of the Tenant.
    pub namespace: String,
    /// Name of the Tenant.
    pub name: String,
    /// Reason of the Tenant's condition `Ready`.
    pub reason: String,
    /// Message of the Tenant's condition `Ready`.
    pub message: String,
}
