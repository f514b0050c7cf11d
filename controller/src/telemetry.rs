//! What the controller tells of itself: log lines, traces, metrics. None of them ever holds a password, a key or a connection string.

mod metrics;
mod neon_calls;

use service_kit::telemetry::Program;
use tracing::level_filters::LevelFilter;

pub use metrics::{Metrics, MigrationOutcome, ReconcileOutcome, RequestOutcome, StepOutcome};
pub use service_kit::telemetry::{TelemetryError, Traces};

/// The controller in its traces.
pub const PROGRAM: Program = Program {
    name: "tenant-controller",
    version: env!("CARGO_PKG_VERSION"),
    targets: &[
        ("controller", LevelFilter::DEBUG),
        ("neon", LevelFilter::DEBUG),
    ],
    silenced: &[],
};
