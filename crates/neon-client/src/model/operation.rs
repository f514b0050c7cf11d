//! Operations: tasks that Neon's control plane executes after it has responded.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::string_enum::string_enum;
use crate::ids::{BranchId, EndpointId, OperationId, ProjectId};

string_enum! {
    /// Kind of an operation. Only the kinds that usually occur in a project have a variant.
    OperationAction {
        /// Creates a compute.
        CreateCompute = "create_compute",
        /// Creates the storage of a branch.
        CreateTimeline = "create_timeline",
        /// Starts a compute.
        StartCompute = "start_compute",
        /// Starts a compute from a reserve.
        StartReservedCompute = "start_reserved_compute",
        /// Suspends a compute.
        SuspendCompute = "suspend_compute",
        /// Applies roles, databases and settings to a compute.
        ApplyConfig = "apply_config",
        /// Applies settings to the storage.
        ApplyStorageConfig = "apply_storage_config",
        /// Checks whether a compute responds.
        CheckAvailability = "check_availability",
        /// Creates a branch.
        CreateBranch = "create_branch",
        /// Deletes the storage of a branch.
        DeleteTimeline = "delete_timeline",
        /// Archives a branch.
        TimelineArchive = "timeline_archive",
        /// Unarchives a branch.
        TimelineUnarchive = "timeline_unarchive",
    }
}

string_enum! {
    /// Status of an operation.
    OperationStatus {
        /// The operation is scheduled.
        Scheduling = "scheduling",
        /// The operation is running.
        Running = "running",
        /// The operation succeeded.
        Finished = "finished",
        /// The operation failed and Neon will retry it.
        Failed = "failed",
        /// The operation failed permanently.
        Error = "error",
        /// The operation is being cancelled.
        Cancelling = "cancelling",
        /// The operation was cancelled.
        Cancelled = "cancelled",
        /// The operation was not needed.
        Skipped = "skipped",
    }
}

impl OperationStatus {
    /// Whether the operation has ended, with any result, and no longer locks its project. An
    /// unknown status counts as not finished: another poll costs one request, but continuing too
    /// early causes an error.
    pub fn is_finished(&self) -> bool {
        matches!(
            self,
            Self::Finished | Self::Error | Self::Cancelled | Self::Skipped
        )
    }

    /// Whether the operation ended successfully.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Finished | Self::Skipped)
    }
}

/// An operation. While an operation is running, its project is locked: calls that would change it
/// fail with status 423.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Unique id.
    pub id: OperationId,
    /// Project that it belongs to.
    pub project_id: ProjectId,
    /// Branch that the operation affects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<BranchId>,
    /// Compute that the operation affects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<EndpointId>,
    /// Kind of the operation.
    pub action: OperationAction,
    /// Status.
    pub status: OperationStatus,
    /// Error message of Neon, if the operation failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Number of failed attempts.
    #[serde(default)]
    pub failures_count: i32,
    /// Time of the last retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last status change.
    pub updated_at: Timestamp,
    /// Duration so far, in milliseconds.
    #[serde(default)]
    pub total_duration_ms: i64,
}
