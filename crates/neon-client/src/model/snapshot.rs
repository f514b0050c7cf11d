//! Snapshots.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Branch, Endpoint, Operation, nulls};
use crate::ids::{BranchId, SnapshotId};

/// A copy of a root branch at a moment. It has no compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Unique id.
    pub id: SnapshotId,
    /// Name. Not unique.
    pub name: String,
    /// Branch of which the snapshot was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_branch_id: Option<BranchId>,
    /// Time of creation. The API does not document the format of this field, so any other text than a
    /// time in RFC 3339 is `None`.
    #[serde(
        default,
        deserialize_with = "time_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub created_at: Option<Timestamp>,
    /// Time at which Neon deletes the snapshot. Read in the same way as `created_at`.
    #[serde(
        default,
        deserialize_with = "time_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_at: Option<Timestamp>,
    /// Whether a user created it, and not a schedule.
    #[serde(default)]
    pub manual: bool,
}

fn time_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Snapshots of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotList {
    /// The list.
    #[serde(deserialize_with = "nulls::as_default")]
    pub snapshots: Vec<Snapshot>,
}

/// Response of creating a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedSnapshot {
    /// The new snapshot.
    pub snapshot: Snapshot,
    /// Operations that are still running.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}

/// Response of restoring a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoredSnapshot {
    /// The new branch with the contents of the snapshot.
    pub branch: Branch,
    /// Computes of the new branch.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub endpoints: Vec<Endpoint>,
    /// Operations that are still running.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}

/// Response of a call that only starts operations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedOperations {
    /// Operations that are still running.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub operations: Vec<Operation>,
}
