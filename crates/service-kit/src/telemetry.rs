//! Log lines, traces, and metrics of the process. None of them contains a password, a key or a
//! connection string.

mod logs;
mod metrics;
mod process;
mod traces;

use tracing::level_filters::LevelFilter;
use url::Url;

use crate::settings::{LogFilter, LogFormat, Ratio, values};

pub use metrics::{Buckets, MetricsRegistry};
pub use traces::Traces;

/// The program that logs and traces.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The `service.name` of its traces.
    pub name: &'static str,
    pub version: &'static str,
    /// The program's own crates, whose spans become traces. Spans of libraries are left out: they
    /// include the exporter's own calls.
    pub targets: &'static [(&'static str, LevelFilter)],
    /// Libraries that quote what they receive. Their events are never logged, regardless of the
    /// filter.
    pub silenced: &'static [&'static str],
}

/// Settings of logs and traces.
#[derive(Clone, Debug, PartialEq, clap::Args)]
#[command(next_help_heading = "Logs and traces")]
pub struct TelemetrySettings {
    /// Format of log lines
    #[arg(long, value_enum, default_value = "json")]
    pub log_format: LogFormat,
    /// Events to log: a level and `target=level` pairs, separated by commas
    #[arg(long, value_name = "DIRECTIVES", default_value = DEFAULT_LOG_FILTER)]
    pub log_filter: LogFilter,
    /// Base URL of the OTLP/HTTP receiver of traces; without it, no traces are sent
    #[arg(long, value_name = "URL", value_parser = values::http_url)]
    pub otlp_endpoint: Option<Url>,
    /// Share of traces that are sent, from 0 to 1
    #[arg(long, value_name = "RATIO", default_value = "1")]
    pub otlp_sampling_ratio: Ratio,
}

/// Everything from level `info` on, except what libraries repeat of errors that the program logs.
const DEFAULT_LOG_FILTER: &str = "info,kube_client=warn,kube_client::client::builder=off,\
                                  sqlx::postgres::notice=warn";

/// Telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("failed to create the exporter of traces to {endpoint}")]
    Exporter {
        endpoint: String,
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    #[error("failed to set the process's tracing subscriber")]
    Subscriber(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging to stderr and, if an endpoint is set, sending traces. Call it once, on the
/// process's tokio runtime. `instance_id` distinguishes replicas.
pub fn start(
    program: &Program,
    settings: &TelemetrySettings,
    instance_id: &str,
) -> Result<Traces, TelemetryError> {
    let traces = Traces::start(program, settings, instance_id)?;
    logs::install(program, settings, &traces)?;
    Ok(traces)
}
