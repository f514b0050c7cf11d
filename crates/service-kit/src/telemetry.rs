//! What a program tells of itself: log lines, traces, what the system knows of the process. None of them ever holds a password, a key or
//! a connection string.

mod logs;
mod process;
mod traces;

use tracing::level_filters::LevelFilter;
use url::Url;

use crate::settings::{LogFilter, LogFormat, Ratio};

pub use process::Process;
pub use traces::Traces;

/// Who tells.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name in traces.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its own crates, whose spans become traces; those of libraries would be the exporter's own calls too.
    pub targets: &'static [(&'static str, LevelFilter)],
    /// Libraries that quote what they receive: no line of theirs is ever written, whatever the filter says.
    pub silenced: &'static [&'static str],
}

/// Log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Their form.
    pub format: LogFormat,
    /// Which of them.
    pub filter: LogFilter,
}

/// Traces over OTLP.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Base URL of an OTLP/HTTP receiver; `/v1/traces` is appended.
    pub endpoint: Url,
    /// The share of traces that are sent.
    pub sampling: Ratio,
}

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

/// Starts log lines (to stderr) and, where wished, traces. To be called once, on the runtime that the process lives on. `identity`
/// tells replicas apart.
pub fn start(
    program: &Program,
    log: &Log,
    trace: Option<&Trace>,
    identity: &str,
) -> Result<Traces, TelemetryError> {
    let traces = Traces::start(program, trace, identity)?;
    logs::install(program, log, &traces)?;
    Ok(traces)
}
