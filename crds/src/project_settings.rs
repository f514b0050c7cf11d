//! Settings of a project that Tenants and classes have, and that the status repeats.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct, with its `pub`, into a function"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validation;

/// Compute size in Neon's compute units (1 CU is about 1 vCPU and 4 GB of memory) and suspend
/// timeout.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("!has(self.minCU) || !has(self.maxCU) || self.minCU <= self.maxCU")
        .message("minCU must not be greater than maxCU; lower minCU or raise maxCU"),
    validation = Rule::new("!has(self.minCU) || !has(self.maxCU) || self.minCU >= self.maxCU || (self.maxCU <= 16.0 && self.maxCU - self.minCU <= 8.0)")
        .message("autoscaling is limited to 16 CU and to a range of 8 CU; raise minCU, lower maxCU, or set both to the same size (fixed sizes go up to 56 CU)")
)]
#[serde(rename_all = "camelCase")]
pub struct Compute {
    /// Minimum size in CU: a multiple of 0.25 up to 16. For a fixed size above 16, set `minCU` and
    /// `maxCU` to the same even number, up to 56.
    #[serde(rename = "minCU", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::ComputeSize>")]
    pub min_cu: Option<f64>,
    /// Maximum size in CU: at least `minCU` and at most `minCU` plus 8.
    #[serde(rename = "maxCU", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::ComputeSize>")]
    pub max_cu: Option<f64>,
    /// Idle time in seconds after which the compute is suspended: 60 to 604800, 0 for Neon's
    /// default, or -1 to never suspend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::SuspendTimeout>")]
    pub suspend_timeout_seconds: Option<i64>,
}

/// Consumption limits per billing period. A field that is omitted or 0 means no limit.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Maximum time in seconds that the project's computes may be active.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::QuotaAmount>")]
    pub active_time_seconds: Option<i64>,
    /// Maximum CPU time in seconds that the project's computes may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::QuotaAmount>")]
    pub compute_time_seconds: Option<i64>,
    /// Maximum number of bytes written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::QuotaAmount>")]
    pub written_data_bytes: Option<i64>,
    /// Maximum number of bytes transferred out of Neon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::QuotaAmount>")]
    pub data_transfer_bytes: Option<i64>,
    /// Maximum logical size of a branch, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::QuotaAmount>")]
    pub logical_size_bytes: Option<i64>,
}

/// Names of the database and of the role that owns it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Name of the database, at most 63 bytes. Defaults to `neondb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::DatabaseName>")]
    pub name: Option<String>,
    /// Name of the role that owns the database, at most 63 bytes. Defaults to `neondb_owner`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::RoleName>")]
    pub owner: Option<String>,
}

/// What happens to the Neon project when its Tenant is deleted.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum DeletionPolicy {
    /// The project is deleted. Neon can recover it for 7 days.
    Delete,
    /// The project stays in Neon, and is billed, until it is deleted there.
    Retain,
}
