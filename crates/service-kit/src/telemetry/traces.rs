//! Traces: spans of the program's own code, sent over OTLP/HTTP in batches if an endpoint is set.
//!
//! The queue is bounded and drops spans when it is full, so a slow or missing receiver never delays
//! the program.

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

use super::{Program, TelemetryError, TelemetrySettings};

/// Most spans that wait to be sent.
const MAX_QUEUED_SPANS: usize = 2048;
/// Most spans in one request.
const MAX_BATCH_SPANS: usize = 256;
/// Longest time until a span is sent.
const BATCH_DELAY: Duration = Duration::from_secs(5);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit on sending the remaining spans when the process stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The traces of this process. Sends nothing if no endpoint is set.
#[derive(Debug, Default)]
pub struct Traces {
    provider: Option<(SdkTracerProvider, Program)>,
}

impl Traces {
    /// Starts sending on the current tokio runtime. `instance_id` distinguishes replicas.
    pub(super) fn start(
        program: &Program,
        settings: &TelemetrySettings,
        instance_id: &str,
    ) -> Result<Self, TelemetryError> {
        let Some(endpoint) = &settings.otlp_endpoint else {
            return Ok(Self::default());
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(traces_url(endpoint))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|source| TelemetryError::Exporter {
                endpoint: endpoint.to_string(),
                source,
            })?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_QUEUED_SPANS)
            .with_max_export_batch_size(MAX_BATCH_SPANS)
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter, Tokio)
            .with_batch_config(batches)
            .build();
        let resource = Resource::builder()
            .with_service_name(program.name)
            .with_attribute(KeyValue::new("service.version", program.version))
            .with_attribute(KeyValue::new("service.instance.id", instance_id.to_owned()))
            .build();
        let ratio = settings.otlp_sampling_ratio.get();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        Ok(Self {
            provider: Some((provider, *program)),
        })
    }

    /// The layer that sends spans of the program's own code.
    pub(super) fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let (provider, program) = self.provider.as_ref()?;
        let tracer = provider.tracer(program.name);
        let own_code = Targets::new().with_targets(program.targets.iter().copied());
        Some(
            tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_location(false)
                .with_threads(false)
                .with_filter(own_code),
        )
    }

    /// Sends the remaining spans, within [`FLUSH_TIMEOUT`].
    pub async fn flush(self) {
        let Some((provider, _)) = self.provider else {
            return;
        };
        let sent = spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        match timeout(FLUSH_TIMEOUT, sent).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => warn!(error = %error, "failed to send the last traces"),
            Ok(Err(_)) | Err(_) => warn!("timed out sending the last traces"),
        }
    }
}

/// The URL that traces are sent to, below the base URL of the receiver.
fn traces_url(base: &Url) -> String {
    format!("{}/v1/traces", base.as_str().trim_end_matches('/'))
}

#[cfg(test)]
mod tests;
