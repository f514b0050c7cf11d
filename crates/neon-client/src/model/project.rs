//! Projects.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DefaultEndpointSettings, ProjectSettings};
use crate::ids::{OrgId, ProjectId, RegionId};

/// A project: a PostgreSQL server with its branches, computes, settings and quota.
///
/// Lists and single answers share this type. A list leaves out the consumption of the period and the owner; a single answer
/// leaves out `active_time`, `org_name`, `deleted_at` and `recoverable_until`. Counters start again with each billing period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// Its identifier, given by the platform.
    pub id: ProjectId,
    /// Its name, chosen by whoever made it. Names are not unique.
    pub name: String,
    /// Where it runs.
    pub region_id: RegionId,
    /// The cloud it runs on: `aws`.
    #[serde(default)]
    pub platform_id: String,
    /// PostgreSQL's major version.
    pub pg_version: u16,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it or its settings last changed.
    pub updated_at: Timestamp,
    /// The organization it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_id: Option<OrgId>,
    /// That organization's name. Lists only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_name: Option<String>,
    /// Who pays for it: a user or an organization.
    #[serde(default)]
    pub owner_id: String,
    /// More about the owner. Single answers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<ProjectOwner>,
    /// Its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<ProjectSettings>,
    /// What new computes start with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_endpoint_settings: Option<DefaultEndpointSettings>,
    /// Seconds of history that can be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_retention_seconds: Option<u32>,
    /// Whether the platform keeps the roles' passwords, so that they can be revealed.
    #[serde(default)]
    pub store_passwords: bool,
    /// The host suffix of its endpoints: `us-east-2.aws.neon.tech`.
    #[serde(default)]
    pub proxy_host: String,
    /// How its computes are run: `k8s-neonvm`.
    #[serde(default)]
    pub provisioner: String,
    /// Who made it: `console`, `neonctl` and the like.
    #[serde(default)]
    pub creation_source: String,
    /// The limit of a branch's data, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_logical_size_limit: Option<i64>,
    /// The limit of a branch's data, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_logical_size_limit_bytes: Option<i64>,
    /// Bytes it occupies: data and history of all branches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic_storage_size: Option<i64>,
    /// Seconds with an active compute, in this period. Lists only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_time: Option<i64>,
    /// CPU seconds, in this period. The older name of `compute_time_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_used_sec: Option<i64>,
    /// Seconds with an active compute, in this period. Single answers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_time_seconds: Option<i64>,
    /// CPU seconds, in this period. Single answers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_time_seconds: Option<i64>,
    /// Bytes written, in this period. Single answers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_data_bytes: Option<i64>,
    /// Bytes sent to clients, in this period. Single answers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_transfer_bytes: Option<i64>,
    /// Byte-hours stored, in this period. Single answers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_storage_bytes_hour: Option<i64>,
    /// When this billing period began. Single answers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumption_period_start: Option<Timestamp>,
    /// When this billing period ends. Single answers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumption_period_end: Option<Timestamp>,
    /// When the quota starts again. The older name of `consumption_period_end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_reset_at: Option<Timestamp>,
    /// When a compute of it was last active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_last_active_at: Option<Timestamp>,
    /// When maintenance begins: its computes restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_starts_at: Option<Timestamp>,
    /// When an update of it is scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_scheduled_for: Option<Timestamp>,
    /// When it was deleted. Only in lists of recoverable projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Until when a deleted project can be recovered. Only in lists of recoverable projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recoverable_until: Option<Timestamp>,
}

/// Who owns a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectOwner {
    /// Mail address.
    #[serde(default)]
    pub email: String,
    /// Name.
    #[serde(default)]
    pub name: String,
    /// How many branches a project of theirs may have.
    #[serde(default)]
    pub branches_limit: i64,
    /// The plan they are on.
    #[serde(default)]
    pub subscription_type: String,
}
