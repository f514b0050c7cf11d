//! Branches.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Lsn, string_enum::string_enum};
use crate::ids::{BranchId, ProjectId};

string_enum! {
    /// State of a branch.
    BranchState {
        /// The branch is being created.
        Init = "init",
        /// The branch can be used.
        Ready = "ready",
        /// The branch is archived. It is unarchived when it is used.
        Archived = "archived",
    }
}

/// A branch: a version of a project's data with its own history. A new project has one branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// Unique id.
    pub id: BranchId,
    /// Project that it belongs to.
    pub project_id: ProjectId,
    /// Parent branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<BranchId>,
    /// LSN in the parent's history at which the branch starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_lsn: Option<Lsn>,
    /// Time in the parent's history at which the branch starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_timestamp: Option<Timestamp>,
    /// Name.
    pub name: String,
    /// Current state.
    pub current_state: BranchState,
    /// State that it is changing to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_state: Option<BranchState>,
    /// Time of the last state change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_changed_at: Option<Timestamp>,
    /// Logical size of the data, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_size: Option<i64>,
    /// Client that created it.
    #[serde(default)]
    pub creation_source: String,
    /// Older name of `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<bool>,
    /// Whether this is the project's default branch.
    #[serde(default)]
    pub default: bool,
    /// Whether the branch is protected.
    #[serde(default)]
    pub protected: bool,
    /// CPU time in this billing period, in seconds. Older name of `compute_time_seconds`.
    #[serde(default)]
    pub cpu_used_sec: i64,
    /// CPU time in this billing period, in seconds.
    #[serde(default)]
    pub compute_time_seconds: i64,
    /// Active compute time in this billing period, in seconds.
    #[serde(default)]
    pub active_time_seconds: i64,
    /// Bytes written in this billing period.
    #[serde(default)]
    pub written_data_bytes: i64,
    /// Bytes transferred to clients in this billing period.
    #[serde(default)]
    pub data_transfer_bytes: i64,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last update.
    pub updated_at: Timestamp,
    /// Source of the initial data: `parent-data` or `schema-only`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_source: Option<String>,
    /// Time at which Neon deletes the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Seconds from the creation, or from the last change of `expires_at`, to the deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_interval_seconds: Option<i64>,
    /// Time at which the branch was last reset to its parent's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reset_at: Option<Timestamp>,
    /// Branch to whose state it was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
    /// Details of the deletion. Only in lists that include deleted branches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<BranchRecovery>,
}

/// Details of a deleted branch that can be recovered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchRecovery {
    /// Time of the deletion.
    pub deleted_at: Timestamp,
    /// Time until which the branch can be recovered.
    pub recoverable_until: Timestamp,
    /// Cause of the deletion: `user`, or `ttl` if the branch expired.
    pub deletion_method: String,
}
