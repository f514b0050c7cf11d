//! Requests that create or restore snapshots.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::setters;
use crate::ids::BranchId;

/// Creates a snapshot of a branch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateSnapshot {
    /// Name. Neon generates one if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Time at which Neon deletes the snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

setters!(CreateSnapshot {
    name: String,
    expires_at: Timestamp,
});

/// Restores a snapshot to a new branch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestoreSnapshot {
    /// Name of the new branch. Neon generates one if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Branch that the new one is to replace. Defaults to the one of which the snapshot was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_branch_id: Option<BranchId>,
    /// Whether the new branch replaces the target at once: it takes over the name and the computes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub finalize_restore: bool,
}

setters!(RestoreSnapshot {
    name: String,
    target_branch_id: BranchId,
});

/// Lets a branch that was restored from a snapshot replace the original one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FinalizeRestore {
    /// New name of the original branch. Neon generates one if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

setters!(FinalizeRestore { name: String });
