//! What projects and branches used up.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Pagination, nulls, words::words};
use crate::ids::{BranchId, ProjectId};

words! {
    /// What is measured.
    Metric {
        /// Seconds of computes, times their size in compute units.
        ComputeUnitSeconds = "compute_unit_seconds",
        /// Bytes of root branches, over the time.
        RootBranchBytesMonth = "root_branch_bytes_month",
        /// Bytes of child branches, over the time.
        ChildBranchBytesMonth = "child_branch_bytes_month",
        /// Bytes of history, over the time.
        InstantRestoreBytesMonth = "instant_restore_bytes_month",
        /// Bytes sent to clients over the public internet.
        PublicNetworkTransferBytes = "public_network_transfer_bytes",
        /// Bytes sent to clients in private networks.
        PrivateNetworkTransferBytes = "private_network_transfer_bytes",
        /// Branches beyond those that the plan includes, over the time.
        ExtraBranchesMonth = "extra_branches_month",
        /// Bytes of snapshots, over the time.
        SnapshotStorageBytesMonth = "snapshot_storage_bytes_month",
    }
}

words! {
    /// How long one measurement is.
    Granularity {
        /// An hour; of the last 168 hours.
        Hourly = "hourly",
        /// A day; of the last 60 days.
        Daily = "daily",
        /// A month; of the last year.
        Monthly = "monthly",
    }
}

/// What a project used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectConsumption {
    /// The project.
    pub project_id: ProjectId,
    /// By period of billing.
    #[serde(deserialize_with = "nulls::as_default")]
    pub periods: Vec<ConsumptionPeriod>,
}

/// What a branch used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchConsumption {
    /// The project.
    pub project_id: ProjectId,
    /// The branch.
    pub branch_id: BranchId,
    /// By period of billing.
    #[serde(deserialize_with = "nulls::as_default")]
    pub periods: Vec<ConsumptionPeriod>,
}

/// One period of billing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumptionPeriod {
    /// Its identifier.
    pub period_id: Uuid,
    /// The plan that held in it.
    #[serde(default)]
    pub period_plan: String,
    /// When it began.
    pub period_start: Timestamp,
    /// When it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<Timestamp>,
    /// The measurements, oldest first.
    #[serde(deserialize_with = "nulls::as_default")]
    pub consumption: Vec<ConsumptionTimeframe>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumptionTimeframe {
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeframe_start: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeframe_end: Option<Timestamp>,
    /// The values.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub metrics: Vec<MetricValue>,
}

/// How much of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricValue {
    /// What was measured.
    pub metric_name: Metric,
    /// How much.
    pub value: i64,
}

/// One page of what projects used up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectConsumptionPage {
    /// By project, newest project first.
    #[serde(deserialize_with = "nulls::as_default")]
    pub projects: Vec<ProjectConsumption>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
}

/// One page of what branches used up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchConsumptionPage {
    /// By branch.
    #[serde(deserialize_with = "nulls::as_default")]
    pub branches: Vec<BranchConsumption>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
}
