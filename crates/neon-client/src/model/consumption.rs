//! Consumption of projects and branches.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Pagination, nulls, string_enum::string_enum};
use crate::ids::{BranchId, ProjectId};

string_enum! {
    /// Consumption metric.
    Metric {
        /// Active compute time in seconds multiplied by the size in CU.
        ComputeUnitSeconds = "compute_unit_seconds",
        /// Storage of root branches over time.
        RootBranchBytesMonth = "root_branch_bytes_month",
        /// Storage of child branches over time.
        ChildBranchBytesMonth = "child_branch_bytes_month",
        /// Storage of the restore history over time.
        InstantRestoreBytesMonth = "instant_restore_bytes_month",
        /// Bytes transferred over the public internet.
        PublicNetworkTransferBytes = "public_network_transfer_bytes",
        /// Bytes transferred over private networks.
        PrivateNetworkTransferBytes = "private_network_transfer_bytes",
        /// Branches in excess of those included in the plan, over time.
        ExtraBranchesMonth = "extra_branches_month",
        /// Storage of snapshots over time.
        SnapshotStorageBytesMonth = "snapshot_storage_bytes_month",
    }
}

string_enum! {
    /// Length of the interval of a measurement.
    Granularity {
        /// One hour. Available for the last 168 hours.
        Hourly = "hourly",
        /// One day. Available for the last 60 days.
        Daily = "daily",
        /// One month. Available for the last year.
        Monthly = "monthly",
    }
}

/// Consumption of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectConsumption {
    /// Id of the project.
    pub project_id: ProjectId,
    /// Consumption by billing period.
    #[serde(deserialize_with = "nulls::as_default")]
    pub periods: Vec<ConsumptionPeriod>,
}

/// Consumption of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchConsumption {
    /// Id of the project.
    pub project_id: ProjectId,
    /// Id of the branch.
    pub branch_id: BranchId,
    /// Consumption by billing period.
    #[serde(deserialize_with = "nulls::as_default")]
    pub periods: Vec<ConsumptionPeriod>,
}

/// Consumption in one billing period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumptionPeriod {
    /// Unique id.
    pub period_id: Uuid,
    /// Subscription plan in the period.
    #[serde(default)]
    pub period_plan: String,
    /// Start time.
    pub period_start: Timestamp,
    /// End time. Absent if the period has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<Timestamp>,
    /// Measurements, oldest first.
    #[serde(deserialize_with = "nulls::as_default")]
    pub consumption: Vec<ConsumptionTimeframe>,
}

/// Measurements of one interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumptionTimeframe {
    /// Start time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeframe_start: Option<Timestamp>,
    /// End time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeframe_end: Option<Timestamp>,
    /// Values by metric.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub metrics: Vec<MetricValue>,
}

/// Value of one metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricValue {
    /// The metric.
    pub metric_name: Metric,
    /// The value, in the metric's unit.
    pub value: i64,
}

/// One page of consumption by project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectConsumptionPage {
    /// Consumption by project, newest project first.
    #[serde(deserialize_with = "nulls::as_default")]
    pub projects: Vec<ProjectConsumption>,
    /// Cursor of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
}

/// One page of consumption by branch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchConsumptionPage {
    /// Consumption by branch.
    #[serde(deserialize_with = "nulls::as_default")]
    pub branches: Vec<BranchConsumption>,
    /// Cursor of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
}
