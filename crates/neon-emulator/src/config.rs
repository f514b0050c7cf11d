//! Latencies and limits of an emulator.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// The placeholder for the endpoint ID in a host template.
pub const ENDPOINT_PLACEHOLDER: &str = "{endpoint}";

/// The default name of the database that holds the emulator's state.
pub const DEFAULT_CONTROL_DATABASE: &str = "neon_emulator";

/// The API key that is accepted by default.
pub const DEFAULT_API_KEY: &str = "napi_emulator";

/// How long calls and operations take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Minimum duration of an API call.
    pub call_min_ms: u64,
    /// Maximum duration of an API call. The duration of each call is random between the two.
    pub call_max_ms: u64,
    /// Time to create the storage of a new branch.
    pub create_timeline_ms: u64,
    pub start_compute_ms: u64,
    /// Time to apply settings or a new password to a compute.
    pub apply_config_ms: u64,
    pub suspend_compute_ms: u64,
    /// Time that a connection to an idle compute waits for it to start.
    pub cold_start_ms: u64,
    /// Time from the end of the operations of a new project until its compute accepts connections.
    pub first_connection_ms: u64,
}

impl Latency {
    /// No latency: an operation is in progress in the response that schedules it, and finished in
    /// the next.
    pub const fn instant() -> Self {
        Self {
            call_min_ms: 0,
            call_max_ms: 0,
            create_timeline_ms: 0,
            start_compute_ms: 0,
            apply_config_ms: 0,
            suspend_compute_ms: 0,
            cold_start_ms: 0,
            first_connection_ms: 0,
        }
    }

    /// Latencies as users of Neon measured them: calls take 50 to 150 ms, the operations of a new
    /// project 1.5 s, and its first connection 4 s more.
    pub const fn neon() -> Self {
        Self {
            call_min_ms: 50,
            call_max_ms: 150,
            create_timeline_ms: 500,
            start_compute_ms: 1_000,
            apply_config_ms: 1_500,
            suspend_compute_ms: 500,
            cold_start_ms: 400,
            first_connection_ms: 4_000,
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::instant()
    }
}

/// How long the data plane's proxy caches a response of the control plane, in milliseconds of the
/// emulator's clock. 0 disables the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxyCaches {
    /// For the response that an endpoint or a role does not exist. Meanwhile, connections fail with
    /// SQLSTATE 28P01.
    pub unknown_ms: u64,
    /// For the response that a connection is not possible: a disabled endpoint or an exhausted quota.
    pub error_ms: u64,
}

impl ProxyCaches {
    pub const fn none() -> Self {
        Self {
            unknown_ms: 0,
            error_ms: 0,
        }
    }

    /// As in Neon: 4 minutes and 30 seconds.
    pub const fn neon() -> Self {
        Self {
            unknown_ms: 240_000,
            error_ms: 30_000,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The account's plan, which also applies to organizations whose plan is not set.
    pub plan: Plan,
    /// Maximum number of projects that are not deleted, in addition to the plan's limit of projects
    /// per organization; further creations fail with 422.
    pub projects: Option<u32>,
    /// Maximum number of branches per project; further creations fail with 422. `None` is
    /// unlimited.
    pub branches_per_project: Option<u32>,
    /// Maximum number of concurrent data plane connections.
    pub data_connections: u32,
    /// How long a connection waits for its compute to start, in milliseconds.
    pub compute_wait_ms: u64,
    /// How long a deleted project can be recovered, in seconds. After that its databases are
    /// dropped.
    pub recoverable_seconds: u64,
    /// Rate limits of the API.
    pub rate: RateLimits,
}

/// Rate limits of the API, by the emulator's clock. Calls above a limit fail with 429 and a
/// `Retry-After` header, and do not count towards the limits. `None` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimits {
    /// Calls of the account in any 60 seconds.
    pub account_per_minute: Option<u32>,
    /// Calls of one operation in any second.
    pub route_per_second: Option<u32>,
    /// Calls of the consumption operations in any 60 seconds.
    pub consumption_per_minute: Option<u32>,
}

impl RateLimits {
    pub const fn none() -> Self {
        Self {
            account_per_minute: None,
            route_per_second: None,
            consumption_per_minute: None,
        }
    }

    /// Neon's limits: 700 calls a minute, 40 a second per operation, and about 30 a minute for
    /// consumption.
    pub const fn neon() -> Self {
        Self {
            account_per_minute: Some(700),
            route_per_second: Some(40),
            consumption_per_minute: Some(30),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            plan: Plan::default(),
            projects: None,
            branches_per_project: None,
            data_connections: 1_000,
            compute_wait_ms: 30_000,
            recoverable_seconds: 7 * 24 * 3_600,
            rate: RateLimits::none(),
        }
    }
}
