//! Compute endpoints.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ComputeUnits, EndpointSettings, nulls, words::words};
use crate::ids::{BranchId, EndpointId, ProjectId, RegionId};

words! {
    /// What a compute is doing.
    EndpointState {
        /// It has not started yet.
        Init = "init",
        /// It runs.
        Active = "active",
        /// It is suspended; a connection wakes it.
        Idle = "idle",
    }
}

words! {
    /// What a compute can do.
    EndpointType {
        /// It reads and writes. A branch has one at most.
        ReadWrite = "read_write",
        /// It reads.
        ReadOnly = "read_only",
    }
}

words! {
    /// How the pooler shares connections.
    PoolerMode {
        /// A connection is held for one transaction.
        Transaction = "transaction",
    }
}

/// A compute endpoint: the PostgreSQL process of a branch, and the host it is reached at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its identifier, the first label of the host.
    pub id: EndpointId,
    /// Its name, where it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// The branch it serves.
    pub branch_id: BranchId,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<RegionId>,
    /// The host to connect to, without the pooler.
    pub host: String,
    /// The host suffix of the region.
    #[serde(default)]
    pub proxy_host: String,
    /// What it can do.
    #[serde(rename = "type")]
    pub endpoint_type: EndpointType,
    /// The smallest size that autoscaling uses.
    pub autoscaling_limit_min_cu: ComputeUnits,
    /// The largest size that autoscaling uses.
    pub autoscaling_limit_max_cu: ComputeUnits,
    /// Idle seconds before it is suspended: `0` is the platform's default, `-1` is never.
    #[serde(default)]
    pub suspend_timeout_seconds: i64,
    /// What it is doing.
    pub current_state: EndpointState,
    /// What it will be doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_state: Option<EndpointState>,
    /// Whether connections are refused.
    #[serde(default)]
    pub disabled: bool,
    /// Whether it lets people in without a password.
    #[serde(default)]
    pub passwordless_access: bool,
    /// Whether the plain host goes through the pooler. Deprecated by the API.
    #[serde(default)]
    pub pooler_enabled: bool,
    /// How the pooler shares connections. Deprecated by the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooler_mode: Option<PoolerMode>,
    /// Its settings.
    #[serde(default, deserialize_with = "nulls::as_default")]
    pub settings: EndpointSettings,
    /// How it is run: `k8s-neonvm`.
    #[serde(default)]
    pub provisioner: String,
    /// Who made it.
    #[serde(default)]
    pub creation_source: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was last active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
    /// When it was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was last suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Timestamp>,
    /// The release that runs in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_release_version: Option<String>,
}

impl Endpoint {
    /// Whether it takes connections at once: it runs, and nothing else is under way.
    pub fn is_active(&self) -> bool {
        self.current_state == EndpointState::Active && self.pending_state.is_none()
    }

    /// The host that goes through the pooler: `-pooler` after the first label, as the platform names it.
    ///
    /// The answer to a creation and [`ConnectionParameters`](super::ConnectionParameters) name it outright; this is for an
    /// endpoint that was only looked up.
    pub fn pooled_host(&self) -> String {
        match self.host.split_once('.') {
            Some((first, rest)) => format!("{first}-pooler.{rest}"),
            None => format!("{}-pooler", self.host),
        }
    }
}
