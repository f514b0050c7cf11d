//! Operations: the work that the control plane does after it has answered.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::words::words;
use crate::ids::{BranchId, EndpointId, OperationId, ProjectId};

words! {
    /// What an operation does. Only the kinds that a project's life usually meets have names here.
    OperationAction {
        /// Make a compute.
        CreateCompute = "create_compute",
        /// Make a branch's storage.
        CreateTimeline = "create_timeline",
        /// Start a compute.
        StartCompute = "start_compute",
        /// Start a compute that was kept in reserve.
        StartReservedCompute = "start_reserved_compute",
        /// Suspend a compute.
        SuspendCompute = "suspend_compute",
        /// Bring roles, databases and settings into a compute.
        ApplyConfig = "apply_config",
        /// Bring settings into the storage.
        ApplyStorageConfig = "apply_storage_config",
        /// See whether a compute answers.
        CheckAvailability = "check_availability",
        /// Make a branch.
        CreateBranch = "create_branch",
        /// Remove a branch's storage.
        DeleteTimeline = "delete_timeline",
        /// Put a branch away.
        TimelineArchive = "timeline_archive",
        /// Bring a branch back.
        TimelineUnarchive = "timeline_unarchive",
    }
}

words! {
    /// How far an operation is.
    OperationStatus {
        /// It waits for its turn.
        Scheduling = "scheduling",
        /// It is under way.
        Running = "running",
        /// It is done.
        Finished = "finished",
        /// It failed and will be tried again by the platform.
        Failed = "failed",
        /// It failed for good.
        Error = "error",
        /// It is being cancelled.
        Cancelling = "cancelling",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// It was not needed.
        Skipped = "skipped",
    }
}

impl OperationStatus {
    /// Whether the operation is over and holds no lock on its project any more, whatever its end. A word that this version does
    /// not know counts as not over: to look again costs one call, to go on too early costs a failure.
    pub fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Finished | Self::Error | Self::Cancelled | Self::Skipped
        )
    }

    /// Whether it ended as it should.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Finished | Self::Skipped)
    }
}

/// An operation. While one runs, the project is locked: calls that would change it answer 423.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its identifier.
    pub id: OperationId,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// The branch it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<BranchId>,
    /// The compute it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<EndpointId>,
    /// What it does.
    pub action: OperationAction,
    /// How far it is.
    pub status: OperationStatus,
    /// Why it failed, in the platform's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How often it failed.
    #[serde(default)]
    pub failures_count: i32,
    /// When it was last tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
    /// Milliseconds it took so far.
    #[serde(default)]
    pub total_duration_ms: i64,
}
