//! What the controller tells of itself: log lines, traces, metrics. None of them ever holds a password, a key or a connection string.

mod logs;
mod metrics;
mod neon_calls;
mod traces;

use crate::config::{Log, Trace};

pub use metrics::{Metrics, MigrationOutcome, ReconcileOutcome, RequestOutcome, StepOutcome};
pub use traces::Traces;

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter of traces could not be made.
    #[error("traces cannot be sent to {endpoint}")]
    Exporter {
        /// Where they were to go.
        endpoint: String,
        /// Why not.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// Another subscriber is set already.
    #[error("log lines cannot be written")]
    Subscriber(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts log lines (to stderr) and, where wished, traces. To be called once, on the runtime that the process lives on.
pub fn start(log: &Log, trace: Option<&Trace>, identity: &str) -> Result<Traces, TelemetryError> {
    let traces = Traces::start(trace, identity)?;
    logs::install(log, &traces)?;
    Ok(traces)
}
