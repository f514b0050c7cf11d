//! The Neon API v2 and its data plane over a plain PostgreSQL server, for development, demonstrations and tests.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use neon_emulator::Emulator;
//!
//! let emulator = Emulator::start().await?;
//! // A client of the Neon API goes to `emulator.api_url()` with `emulator.api_key()`.
//! emulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Each project is a real database with a real owner, made when somebody first connects. State lives in a database of the
//! emulator's own in the same server (`neon_emulator`), so a restart forgets nothing. What a project is told to connect to
//! is the data plane: one TLS port that leads each connection to its project's database under the names that the project
//! knows. [`faults`] make calls and connections fail on demand.

mod api;
mod clock;
mod compute;
mod config;
mod data_plane;
pub mod document;
mod emulator;
pub mod faults;
mod hosts;
mod names;
mod page;
mod provision;
mod rate;
mod store;
mod tls;

pub use api::OPERATIONS;
pub use api::create::SeededProject;
pub use api::own::ProjectSummary;
pub use config::{
    DEFAULT_API_KEY, DEFAULT_CONTROL_DATABASE, ENDPOINT_PLACEHOLDER, Latency, Limits, RateLimits,
};
pub use emulator::{Builder, Emulator, EmulatorError, POSTGRES_VARIABLE, StartError};
pub use hosts::HostTemplateError;
pub use store::OpenError;
pub use tls::TlsError;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
