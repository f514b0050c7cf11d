//! Computes to be made or changed.

use serde::{Deserialize, Serialize};

use super::setters;
use crate::{
    ids::{BranchId, RegionId},
    model::{ComputeUnits, EndpointSettings, EndpointType, PoolerMode},
};

/// A compute to be made. What is `None` is chosen by the project's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateEndpoint {
    /// The branch it shall serve.
    pub branch_id: BranchId,
    /// What it can do. A branch has one that reads and writes, and any number that read.
    #[serde(rename = "type")]
    pub endpoint_type: EndpointType,
    /// Where it shall run: where its project does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<RegionId>,
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
    /// Whether the plain host goes through the pooler. Deprecated by the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooler_enabled: Option<bool>,
    /// How the pooler shares connections. Deprecated by the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooler_mode: Option<PoolerMode>,
    /// Whether connections shall be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Whether it lets people in without a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passwordless_access: Option<bool>,
    /// Idle seconds before it is suspended: 60 to 604,800; `0` is the platform's default, `-1` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_timeout_seconds: Option<i64>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl CreateEndpoint {
    /// A compute of this kind for this branch, with the project's defaults.
    pub const fn new(branch: BranchId, endpoint_type: EndpointType) -> Self {
        Self {
            branch_id: branch,
            endpoint_type,
            region_id: None,
            settings: None,
            autoscaling_limit_min_cu: None,
            autoscaling_limit_max_cu: None,
            provisioner: None,
            pooler_enabled: None,
            pooler_mode: None,
            disabled: None,
            passwordless_access: None,
            suspend_timeout_seconds: None,
            name: None,
        }
    }
}

setters!(CreateEndpoint {
    settings: EndpointSettings,
    autoscaling_limit_min_cu: ComputeUnits,
    autoscaling_limit_max_cu: ComputeUnits,
    provisioner: String,
    disabled: bool,
    passwordless_access: bool,
    suspend_timeout_seconds: i64,
    name: String,
});

/// Changes of a compute. What is `None` stays as it is. A change wakes an idle compute for a while.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateEndpoint {
    /// The branch it shall serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<BranchId>,
    /// The smallest size that autoscaling uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<ComputeUnits>,
    /// The largest size that autoscaling uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<ComputeUnits>,
    /// Idle seconds before it is suspended: 60 to 604,800; `0` is the platform's default, `-1` is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend_timeout_seconds: Option<i64>,
    /// Whether connections shall be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Whether it lets people in without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passwordless_access: Option<bool>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<EndpointSettings>,
    /// Whether the plain host goes through the pooler. Deprecated by the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooler_enabled: Option<bool>,
    /// How the pooler shares connections. Deprecated by the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooler_mode: Option<PoolerMode>,
    /// How it is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioner: Option<String>,
}

setters!(UpdateEndpoint {
    autoscaling_limit_min_cu: ComputeUnits,
    autoscaling_limit_max_cu: ComputeUnits,
    suspend_timeout_seconds: i64,
    disabled: bool,
    passwordless_access: bool,
    name: String,
    settings: EndpointSettings,
});
