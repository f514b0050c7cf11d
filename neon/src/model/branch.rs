//! Branches.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::words::words;
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Its identifier.
    pub id: BranchId,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// The branch it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<BranchId>,
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
}
