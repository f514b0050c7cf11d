//! How long things take in an emulator, and what it refuses as too much.

use serde::{Deserialize, Serialize};

/// The placeholder in a host template that the endpoint's id takes.
pub const ENDPOINT_PLACEHOLDER: &str = "{endpoint}";

/// The database that holds the emulator's state in a server that was named, unless another is.
pub const DEFAULT_CONTROL_DATABASE: &str = "neon_emulator";

/// The API key that is accepted unless others are named.
pub const DEFAULT_API_KEY: &str = "napi_emulator";

/// How long calls and operations take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// The least that a call of the API takes.
    pub call_min_ms: u64,
    /// The most that a call of the API takes; each takes a time between the two.
    pub call_max_ms: u64,
    /// Making the storage of a new project's branch.
    pub create_timeline_ms: u64,
    /// Starting the compute of a new project.
    pub start_compute_ms: u64,
    /// Bringing settings or a new password into a compute.
    pub apply_config_ms: u64,
    /// Suspending a compute.
    pub suspend_compute_ms: u64,
    /// What a connection to a compute that sleeps waits until it is awake.
    pub cold_start_ms: u64,
}

impl Latency {
    /// Nothing takes time: an operation is under way in the answer that names it, and finished in the next.
    pub const fn instant() -> Self {
        Self {
            call_min_ms: 0,
            call_max_ms: 0,
            create_timeline_ms: 0,
            start_compute_ms: 0,
            apply_config_ms: 0,
            suspend_compute_ms: 0,
            cold_start_ms: 0,
        }
    }

    /// Times like those of the real service: a call takes 50 to 150 ms, a new project is ready after about a second.
    pub const fn neon() -> Self {
        Self {
            call_min_ms: 50,
            call_max_ms: 150,
            create_timeline_ms: 300,
            start_compute_ms: 600,
            apply_config_ms: 300,
            suspend_compute_ms: 200,
            cold_start_ms: 400,
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::instant()
    }
}

/// What is refused as too much, and what is not waited for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Projects that are not deleted; more are refused with 422. No limit when absent.
    pub projects: Option<u32>,
    /// Branches of a project that are not deleted; more are refused with 422. No limit when absent.
    pub branches_per_project: Option<u32>,
    /// Connections of the data plane at one time.
    pub data_connections: u32,
    /// How long a connection waits for its compute to start, in milliseconds.
    pub compute_wait_ms: u64,
    /// How long a deleted project can be recovered, in seconds; then its database is dropped.
    pub recoverable_seconds: u64,
    /// Calls of the API in a time; more are refused with 429.
    pub rate: RateLimits,
}

/// How many calls of the API are answered in a time, by the emulator's clock. What is over is refused with 429 and the seconds after
/// which there is room again; refused calls do not count. No limit when absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimits {
    /// Calls of the account in any 60 seconds.
    pub account_per_minute: Option<u32>,
    /// Calls of one route in any second.
    pub route_per_second: Option<u32>,
    /// Questions about consumption in any 60 seconds.
    pub consumption_per_minute: Option<u32>,
}

impl RateLimits {
    /// Every call is answered.
    pub const fn none() -> Self {
        Self {
            account_per_minute: None,
            route_per_second: None,
            consumption_per_minute: None,
        }
    }

    /// Those of the real service: 700 a minute, 40 a second of one route, and about 30 a minute about consumption.
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
            projects: None,
            branches_per_project: None,
            data_connections: 1_000,
            compute_wait_ms: 30_000,
            recoverable_seconds: 7 * 24 * 3_600,
            rate: RateLimits::none(),
        }
    }
}
