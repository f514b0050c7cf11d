//! Projects.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DefaultEndpointSettings, ProjectSettings};
use crate::ids::{OrgId, ProjectId, RegionId};

/// A project: branches with their computes, and the settings and the quota that they share.
///
/// Lists and calls for a single project share this type. Lists omit the consumption of the billing
/// period and the owner. Calls for a single project omit `active_time`, `org_name`, `deleted_at`
/// and `recoverable_until`. Counters start at zero in each billing period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// Unique id, assigned by Neon.
    pub id: ProjectId,
    /// Name, chosen by the creator. Names are not unique.
    pub name: String,
    /// Region.
    pub region_id: RegionId,
    /// Cloud platform, such as `aws`.
    #[serde(default)]
    pub platform_id: String,
    /// PostgreSQL major version.
    pub pg_version: u16,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last update of the project or its settings.
    pub updated_at: Timestamp,
    /// Organization that the project belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_id: Option<OrgId>,
    /// Name of the organization. Only in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_name: Option<String>,
    /// User or organization that is billed for the project.
    #[serde(default)]
    pub owner_id: String,
    /// Details of the owner. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<ProjectOwner>,
    /// Settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<ProjectSettings>,
    /// Default settings of new computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_endpoint_settings: Option<DefaultEndpointSettings>,
    /// Restore window in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_retention_seconds: Option<u32>,
    /// Whether Neon stores the roles' passwords, so that they can be revealed.
    #[serde(default)]
    pub store_passwords: bool,
    /// Domain of the endpoints' hosts, such as `us-east-2.aws.neon.tech`.
    #[serde(default)]
    pub proxy_host: String,
    /// Provisioner of the computes, such as `k8s-neonvm`.
    #[serde(default)]
    pub provisioner: String,
    /// Client that created the project, such as `console` or `neonctl`.
    #[serde(default)]
    pub creation_source: String,
    /// Maximum logical size of a branch, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_logical_size_limit: Option<i64>,
    /// Maximum logical size of a branch, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_logical_size_limit_bytes: Option<i64>,
    /// Storage size in bytes: data and history of all branches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic_storage_size: Option<i64>,
    /// Active compute time in this billing period, in seconds. Only in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_time: Option<i64>,
    /// CPU time in this billing period, in seconds. Older name of `compute_time_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_used_sec: Option<i64>,
    /// Active compute time in this billing period, in seconds. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_time_seconds: Option<i64>,
    /// CPU time in this billing period, in seconds. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_time_seconds: Option<i64>,
    /// Bytes written in this billing period. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_data_bytes: Option<i64>,
    /// Bytes transferred to clients in this billing period. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_transfer_bytes: Option<i64>,
    /// Storage in this billing period, in byte-hours. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_storage_bytes_hour: Option<i64>,
    /// Start of this billing period. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumption_period_start: Option<Timestamp>,
    /// End of this billing period. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumption_period_end: Option<Timestamp>,
    /// Time at which the quota is reset. Older name of `consumption_period_end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_reset_at: Option<Timestamp>,
    /// Time of the last activity of a compute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_last_active_at: Option<Timestamp>,
    /// Start of maintenance, which restarts the computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_starts_at: Option<Timestamp>,
    /// Time of a scheduled update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_scheduled_for: Option<Timestamp>,
    /// Time of the deletion. Only in lists of recoverable projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Time until which the deleted project can be recovered. Only in lists of recoverable
    /// projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recoverable_until: Option<Timestamp>,
}

/// Owner of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectOwner {
    /// Email address.
    #[serde(default)]
    pub email: String,
    /// Name.
    #[serde(default)]
    pub name: String,
    /// Maximum number of branches per project.
    #[serde(default)]
    pub branches_limit: i64,
    /// Subscription plan.
    #[serde(default)]
    pub subscription_type: String,
}
