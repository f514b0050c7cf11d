//! How an emulator is to be.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::faults::Fault;

/// The placeholder in a host template that the endpoint's id takes.
pub const ENDPOINT_PLACEHOLDER: &str = "{endpoint}";

/// How an [`Emulator`](crate::Emulator) is to be.
#[derive(Debug, Clone)]
pub struct Config {
    /// The PostgreSQL server under it: a URI of a superuser. The emulator keeps a database of its own there.
    pub postgres_uri: String,
    /// The name of that database. Emulators with different ones can share a server.
    pub control_database: String,
    /// Where the API listens.
    pub api_listen: SocketAddr,
    /// Where the data plane listens.
    pub data_listen: SocketAddr,
    /// The port in connection URIs, where it is not the one that is listened on.
    pub advertised_data_port: Option<u16>,
    /// The host in connection URIs, such as `{endpoint}.localhost`. Without it the host is 127.0.0.1 and the endpoint
    /// stands in the option `endpoint`, which works without any name service.
    pub host_template: Option<String>,
    /// The API keys that are accepted.
    pub api_keys: Vec<String>,
    /// How long things take.
    pub latency: Latency,
    /// What is refused as too much.
    pub limits: Limits,
    /// Databases to make in advance, before the emulator is ready (about 30 ms each): first connections to so many
    /// projects then only rename one. For benchmarks of what stands before the emulator; otherwise 0.
    pub spare_databases: u32,
    /// The API's document, to hold every answer and every accepted request against. See
    /// [`Emulator::violations`](crate::Emulator::violations).
    pub document: Option<Arc<Document>>,
    /// Faults that are armed from the start.
    pub faults: Vec<Fault>,
    /// The seed of the faults' dice and of the latencies, so that a run can be had again.
    pub seed: u64,
}

/// The database of [`Config::new`] that holds the emulator's state.
pub const DEFAULT_CONTROL_DATABASE: &str = "neon_emulator";

/// The API key of [`Config::new`].
pub const DEFAULT_API_KEY: &str = "napi_emulator";

impl Config {
    /// An emulator over this server, on free loopback ports, with no latency, no limits, no faults, and the API key
    /// [`DEFAULT_API_KEY`].
    pub fn new(postgres_uri: impl Into<String>) -> Self {
        Self {
            postgres_uri: postgres_uri.into(),
            control_database: DEFAULT_CONTROL_DATABASE.to_owned(),
            api_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertised_data_port: None,
            host_template: None,
            api_keys: vec![DEFAULT_API_KEY.to_owned()],
            latency: Latency::instant(),
            limits: Limits::default(),
            spare_databases: 0,
            document: None,
            faults: Vec::new(),
            seed: 0,
        }
    }
}

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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            projects: None,
            branches_per_project: None,
            data_connections: 1_000,
            compute_wait_ms: 30_000,
            recoverable_seconds: 7 * 24 * 3_600,
        }
    }
}
