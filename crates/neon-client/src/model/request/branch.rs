//! Branches to be made, changed or restored.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::setters;
use crate::{
    ids::BranchId,
    model::{ComputeUnits, EndpointSettings, EndpointType, Lsn},
};

/// A branch that begins with its parent's schema and data: the default.
pub const INIT_FROM_PARENT: &str = "parent-data";
/// A branch that begins with the schema only, and is a root of its own.
pub const INIT_SCHEMA_ONLY: &str = "schema-only";

/// A branch to be made, with its computes. By default it is made from the head of the project's default branch, is named by the
/// platform, and has no compute, so that nobody can connect to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateBranch {
    /// The branch.
    pub branch: NewBranch,
    /// Computes to be made with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<BranchEndpoint>,
}

impl CreateBranch {
    /// A branch of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            branch: NewBranch::default().name(name),
            endpoints: Vec::new(),
        }
    }

    /// The same, from this branch instead of the default one.
    #[must_use]
    pub fn parent_id(mut self, parent: BranchId) -> Self {
        self.branch.parent_id = Some(parent);
        self
    }

    /// The same, with the parent's data as it was at this moment.
    #[must_use]
    pub fn parent_timestamp(mut self, at: Timestamp) -> Self {
        self.branch.parent_timestamp = Some(at);
        self
    }

    /// The same, with a compute that reads and writes.
    #[must_use]
    pub fn with_compute(self) -> Self {
        self.endpoint(BranchEndpoint::new(EndpointType::ReadWrite))
    }

    /// The same, with this compute too.
    #[must_use]
    pub fn endpoint(mut self, endpoint: BranchEndpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }
}

/// What a new branch is made of and called.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewBranch {
    /// The branch it is made from, instead of the project's default branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<BranchId>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The position in the parent's history that it begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_lsn: Option<Lsn>,
    /// The moment in the parent's history that it begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_timestamp: Option<Timestamp>,
    /// Whether it shall be protected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// Whether it shall be archived from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// [`INIT_FROM_PARENT`] or [`INIT_SCHEMA_ONLY`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_source: Option<String>,
    /// When it shall be deleted by the platform, in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

setters!(NewBranch {
    parent_id: BranchId,
    name: String,
    parent_lsn: Lsn,
    parent_timestamp: Timestamp,
    protected: bool,
    archived: bool,
    init_source: String,
    expires_at: Timestamp,
});

/// A compute that is made with its branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchEndpoint {
    /// What it can do.
    #[serde(rename = "type")]
    pub endpoint_type: EndpointType,
    /// Its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<EndpointSettings>,
    /// The smallest size that autoscaling uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<ComputeUnits>,
    /// The largest size that autoscaling uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<ComputeUnits>,
    /// How it is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioner: Option<String>,
    /// Idle seconds before it is suspended: 60 to 604,800; `0` is the platform's default, `-1` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_timeout_seconds: Option<i64>,
}

impl BranchEndpoint {
    /// A compute of this kind, with the project's defaults.
    pub const fn new(endpoint_type: EndpointType) -> Self {
        Self {
            endpoint_type,
            settings: None,
            autoscaling_limit_min_cu: None,
            autoscaling_limit_max_cu: None,
            provisioner: None,
            suspend_timeout_seconds: None,
        }
    }
}

setters!(BranchEndpoint {
    settings: EndpointSettings,
    autoscaling_limit_min_cu: ComputeUnits,
    autoscaling_limit_max_cu: ComputeUnits,
    provisioner: String,
    suspend_timeout_seconds: i64,
});

/// Changes of a branch. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateBranch {
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it shall be protected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// When it shall be deleted by the platform; `Some(None)` is never.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::model::nulls::as_some"
    )]
    pub expires_at: Option<Option<Timestamp>>,
}

setters!(UpdateBranch {
    name: String,
    protected: bool,
    expires_at: Option<Timestamp>,
});

/// A branch to be set to the state of a branch: another's, or an earlier one of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreBranch {
    /// Where the state comes from.
    pub source_branch_id: BranchId,
    /// The position in the source's history; its head without this and `source_timestamp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_lsn: Option<Lsn>,
    /// The moment in the source's history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_timestamp: Option<Timestamp>,
    /// The name under which the state of before is kept, as a branch. Needed where the branch has children or is its own source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserve_under_name: Option<String>,
}

impl RestoreBranch {
    /// To the head of another branch.
    pub const fn from_head(source: BranchId) -> Self {
        Self {
            source_branch_id: source,
            source_lsn: None,
            source_timestamp: None,
            preserve_under_name: None,
        }
    }

    /// To what this branch held at that moment.
    pub fn from_moment(source: BranchId, at: Timestamp) -> Self {
        Self {
            source_timestamp: Some(at),
            ..Self::from_head(source)
        }
    }

    /// To what this branch held at that position of its log.
    pub fn from_lsn(source: BranchId, lsn: Lsn) -> Self {
        Self {
            source_lsn: Some(lsn),
            ..Self::from_head(source)
        }
    }
}

setters!(RestoreBranch {
    preserve_under_name: String,
});
