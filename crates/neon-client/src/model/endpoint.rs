//! Compute endpoints.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ComputeUnits, EndpointSettings, nulls, string_enum::string_enum};
use crate::ids::{BranchId, EndpointId, ProjectId, RegionId};

string_enum! {
    /// State of a compute.
    EndpointState {
        /// The compute has not started yet.
        Init = "init",
        /// The compute is running.
        Active = "active",
        /// The compute is suspended. A connection wakes it.
        Idle = "idle",
    }
}

string_enum! {
    /// Type of a compute.
    EndpointType {
        /// A read-write compute. A branch has at most one.
        ReadWrite = "read_write",
        /// A read replica.
        ReadOnly = "read_only",
    }
}

string_enum! {
    /// Pooling mode of the connection pooler.
    PoolerMode {
        /// A server connection is assigned for the duration of a transaction.
        Transaction = "transaction",
    }
}

/// A compute endpoint: the PostgreSQL server of a branch and the host name to connect to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Unique id. It is the first label of the host name.
    pub id: EndpointId,
    /// Name, if one was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Project that it belongs to.
    pub project_id: ProjectId,
    /// Branch that the compute serves.
    pub branch_id: BranchId,
    /// Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<RegionId>,
    /// Host name of the compute, without the pooler.
    pub host: String,
    /// Domain of the region's hosts.
    #[serde(default)]
    pub proxy_host: String,
    /// Whether the compute is read-write or read-only.
    #[serde(rename = "type")]
    pub endpoint_type: EndpointType,
    /// Minimum autoscaling size.
    pub autoscaling_limit_min_cu: ComputeUnits,
    /// Maximum autoscaling size.
    pub autoscaling_limit_max_cu: ComputeUnits,
    /// Idle time in seconds before the compute is suspended. `0` means Neon's default, `-1` never.
    #[serde(default)]
    pub suspend_timeout_seconds: i64,
    /// Current state.
    pub current_state: EndpointState,
    /// State that it is changing to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_state: Option<EndpointState>,
    /// Whether connections are rejected.
    #[serde(default)]
    pub disabled: bool,
    /// Whether clients can connect without a password.
    #[serde(default)]
    pub passwordless_access: bool,
    /// Whether the plain host name points to the pooler. Deprecated by the API.
    #[serde(default)]
    pub pooler_enabled: bool,
    /// Pooling mode. Deprecated by the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooler_mode: Option<PoolerMode>,
    /// Settings.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub settings: EndpointSettings,
    /// Provisioner, such as `k8s-neonvm`.
    #[serde(default)]
    pub provisioner: String,
    /// Client that created it.
    #[serde(default)]
    pub creation_source: String,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last update.
    pub updated_at: Timestamp,
    /// Time of the last activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
    /// Time of the last start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Time of the last suspension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Timestamp>,
    /// Version of the compute release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_release_version: Option<String>,
}

impl Endpoint {
    /// Whether the compute accepts connections now: it is running and is not changing state.
    pub fn is_active(&self) -> bool {
        self.current_state == EndpointState::Active && self.pending_state.is_none()
    }

    /// Returns the pooler's host name: Neon appends `-pooler` to the first label.
    ///
    /// The response of creating a project and [`ConnectionParameters`](super::ConnectionParameters)
    /// contain the pooler's host name. Use this method for an endpoint obtained in another way.
    pub fn pooled_host(&self) -> String {
        match self.host.split_once('.') {
            Some((first, rest)) => format!("{first}-pooler.{rest}"),
            None => format!("{}-pooler", self.host),
        }
    }
}
