//! Branches.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Lsn, words::words};
use crate::ids::{BranchId, ProjectId};

words! {
    /// What a branch is doing.
    BranchState {
        /// It is being made.
        Init = "init",
        /// It can be used.
        Ready = "ready",
        /// It is kept away and comes back when it is used.
        Archived = "archived",
    }
}

/// A branch: one line of history of a project's data. A new project has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// Its identifier.
    pub id: BranchId,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// The branch it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<BranchId>,
    /// The position in the parent's history that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_lsn: Option<Lsn>,
    /// The moment in the parent's history that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_timestamp: Option<Timestamp>,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub current_state: BranchState,
    /// What it will be doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_state: Option<BranchState>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_changed_at: Option<Timestamp>,
    /// Bytes of data in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logical_size: Option<i64>,
    /// Who made it.
    #[serde(default)]
    pub creation_source: String,
    /// The older name of `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<bool>,
    /// Whether it is the project's default branch.
    #[serde(default)]
    pub default: bool,
    /// Whether it is protected.
    #[serde(default)]
    pub protected: bool,
    /// CPU seconds, in this period. The older name of `compute_time_seconds`.
    #[serde(default)]
    pub cpu_used_sec: i64,
    /// CPU seconds, in this period.
    #[serde(default)]
    pub compute_time_seconds: i64,
    /// Seconds with an active compute, in this period.
    #[serde(default)]
    pub active_time_seconds: i64,
    /// Bytes written, in this period.
    #[serde(default)]
    pub written_data_bytes: i64,
    /// Bytes sent to clients, in this period.
    #[serde(default)]
    pub data_transfer_bytes: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// How it was filled: `parent-data` or `schema-only`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_source: Option<String>,
    /// When the platform will delete it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Seconds from its creation, or the last change of `expires_at`, to its deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_interval_seconds: Option<i64>,
    /// When it was last set to its parent's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reset_at: Option<Timestamp>,
    /// The branch whose state it was restored to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
    /// About its deletion. Only in lists that show deleted branches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<BranchRecovery>,
}

/// Until when a deleted branch can be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchRecovery {
    /// When it was deleted.
    pub deleted_at: Timestamp,
    /// Until when it can be brought back.
    pub recoverable_until: Timestamp,
    /// Who deleted it: `user`, or `ttl` for the platform.
    pub deletion_method: String,
}
