//! Traces: spans of the program's own code, sent over OTLP/HTTP in batches where an endpoint is configured.
//!
//! Spans are lost rather than waited for: the queue is bounded, and neither a slow receiver nor a missing one holds up any work.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use opentelemetry_sdk::trace::{BatchConfigBuilder, Sampler, SdkTracerProvider};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{Subscriber, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use super::{Program, TelemetryError, Trace};

/// Spans that wait to be sent, at most.
const QUEUE_SPANS_MAX: usize = 2048;
/// Spans in one request, at most.
const BATCH_SPANS_MAX: usize = 256;
/// Longest wait until a span is sent.
const BATCH_DELAY: Duration = Duration::from_secs(5);
/// Limit on sending one batch.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit on sending what is left when the process stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Traces of this process; sends nothing where none are configured.
#[derive(Debug, Default)]
pub struct Traces {
    sending: Option<(SdkTracerProvider, Program)>,
}

impl Traces {
    /// Starts sending, on the runtime that this is called on. `identity` tells replicas apart.
    pub(super) fn start(
        program: &Program,
        trace: Option<&Trace>,
        identity: &str,
    ) -> Result<Self, TelemetryError> {
        let Some(trace) = trace else {
            return Ok(Self::default());
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(traces_url(&trace.endpoint))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|source| TelemetryError::Exporter {
                endpoint: trace.endpoint.to_string(),
                source,
            })?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_SPANS_MAX)
            .with_max_export_batch_size(BATCH_SPANS_MAX)
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter, Tokio)
            .with_batch_config(batches)
            .build();
        let resource = Resource::builder()
            .with_service_name(program.name)
            .with_attribute(KeyValue::new("service.version", program.version))
            .with_attribute(KeyValue::new("service.instance.id", identity.to_owned()))
            .build();
        let sampler =
            Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(trace.sampling.get())));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        Ok(Self {
            sending: Some((provider, *program)),
        })
    }

    /// The layer that turns spans of the program's own code into traces.
    pub(super) fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let (provider, program) = self.sending.as_ref()?;
        let tracer = provider.tracer(program.name);
        let own = Targets::new().with_targets(program.targets.iter().copied());
        Some(
            tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_location(false)
                .with_threads(false)
                .with_filter(own),
        )
    }

    /// Sends what is left, within `FLUSH_TIMEOUT`.
    pub async fn flush(self) {
        let Some((provider, _)) = self.sending else {
            return;
        };
        let sent = spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        match timeout(FLUSH_TIMEOUT, sent).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => warn!(error = %error, "The last traces were not sent"),
            Ok(Err(_)) | Err(_) => warn!("The last traces were not sent in time"),
        }
    }
}

/// Where traces go below a base URL.
fn traces_url(base: &Url) -> String {
    format!("{}/v1/traces", base.as_str().trim_end_matches('/'))
}

#[cfg(test)]
mod tests;
