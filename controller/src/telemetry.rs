//! Logs, traces and metrics of the controller. None of them contains a password, an API key or a
//! connection string.

mod metrics;
mod observers;

use service_kit::telemetry::Program;
use tracing::level_filters::LevelFilter;

pub use metrics::{Metrics, MigrationOutcome, ReconcileOutcome, StepOutcome};

/// How the controller appears in traces, and the default levels of its log.
pub const PROGRAM: Program = Program {
    name: "tenant-controller",
    version: env!("CARGO_PKG_VERSION"),
    targets: &[
        ("controller", LevelFilter::DEBUG),
        ("neon_client", LevelFilter::DEBUG),
    ],
    silenced: &[],
};
