//! Requests that create or update computes.

use serde::{Deserialize, Serialize};

use super::setters;
use crate::{
    ids::{BranchId, RegionId},
    model::{ComputeUnits, EndpointSettings, EndpointType, PoolerMode},
};

/// Creates a compute. Fields that are `None` get the project's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateEndpoint {
    /// Branch that the compute serves.
    pub branch_id: BranchId,
    /// Whether the compute is read-write or read-only.
    #[serde(rename = "type")]
    pub endpoint_type: EndpointType,
    /// Region. Must be the region of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<RegionId>,
    /// Settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<EndpointSettings>,
    /// Minimum autoscaling size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<ComputeUnits>,
    /// Maximum autoscaling size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<ComputeUnits>,
    /// Provisioner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioner: Option<String>,
    /// Whether the plain host name points to the pooler. Deprecated by the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooler_enabled: Option<bool>,
    /// Pooling mode. Deprecated by the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooler_mode: Option<PoolerMode>,
    /// Whether connections are rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Whether clients can connect without a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passwordless_access: Option<bool>,
    /// Idle time in seconds before the compute is suspended: 60 to 604,800. `0` means Neon's
    /// default, `-1` never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_timeout_seconds: Option<i64>,
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl CreateEndpoint {
    /// Creates a compute of this type for a branch, with the project's defaults.
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

/// Updates a compute. Fields that are `None` are not changed. An update wakes a suspended compute
/// for some time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateEndpoint {
    /// Branch that the compute serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<BranchId>,
    /// Minimum autoscaling size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<ComputeUnits>,
    /// Maximum autoscaling size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<ComputeUnits>,
    /// Idle time in seconds before the compute is suspended: 60 to 604,800. `0` means Neon's
    /// default, `-1` never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend_timeout_seconds: Option<i64>,
    /// Whether connections are rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Whether clients can connect without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passwordless_access: Option<bool>,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<EndpointSettings>,
    /// Whether the plain host name points to the pooler. Deprecated by the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooler_enabled: Option<bool>,
    /// Pooling mode. Deprecated by the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooler_mode: Option<PoolerMode>,
    /// Provisioner.
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
