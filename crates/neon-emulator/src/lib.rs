//! An emulator of the Neon API v2 and its data plane on a plain PostgreSQL server, for development,
//! demonstrations and tests.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use neon_emulator::Emulator;
//!
//! let emulator = Emulator::start().await?;
//! // Configure a client of the Neon API with `emulator.api_url()` and `emulator.api_key()`.
//! emulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Each project has physical databases with an owner, which are created on the first connection.
//! The emulator keeps its state in a database on the same server (`neon_emulator`), so it survives
//! restarts. Clients connect to the data plane, a TLS port that routes each connection to the
//! project's database and translates the project's names to the physical ones. [`faults`] make
//! calls and connections fail on demand.
//!
//! # Layers
//!
//! The modules below are declared from the highest layer to the lowest. A module uses only modules
//! of lower layers; `tools/xtask/tests/architecture/layers.rs` enforces this.

// Assembly: configures, starts and stops an emulator.
mod emulator;

// The dashboard.
mod page;

// HTTP: the Neon API and the admin API.
mod api;

// The PostgreSQL wire protocol.
mod data_plane;

// Physical databases and roles, and certificates.
mod provision;
mod tls;

// The life cycle of computes.
mod compute;

// The open connections.
mod sessions;

// The persistent state.
mod store;

// Fault injection.
pub mod faults;

// Checks and values without state.
mod hosts;
pub mod openapi;
mod rate;

// Basics.
mod api_key;
mod clock;
mod config;
mod names;
mod operations;

// The plans of Neon.
mod plan;

pub use api::admin::ProjectSummary;
pub use api::projects::create::SeededProject;
pub use api_key::{ApiKey, InvalidApiKey};
pub use config::{
    DEFAULT_API_KEY, DEFAULT_CONTROL_DATABASE, ENDPOINT_PLACEHOLDER, Latency, Limits, ProxyCaches,
    RateLimits,
};
pub use emulator::{Builder, Emulator, EmulatorError, POSTGRES_VARIABLE, StartError};
pub use hosts::HostTemplateError;
pub use operations::OPERATIONS;
pub use plan::{Plan, UnknownPlan};
pub use store::OpenError;
pub use tls::TlsError;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
