//! All metrics of the process, with a method for each recorded event.
//!
//! Label values come from fixed sets: route patterns, rate limit classes, job kinds. They never
//! identify a user, a workspace or a document.

mod answers;
mod jobs;

use std::fmt::{self, Write as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use service_kit::telemetry::{Buckets, MetricsRegistry};

use crate::domain::RateLimitClass;
pub use answers::{AnswerSource, Answers, QuestionOutcome};
pub use jobs::{JobCounts, Jobs};

const PREFIX: &str = "chat_app";

/// Histogram buckets of request durations.
const REQUEST_BUCKETS_SECONDS: [f64; 11] = [
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Histogram buckets of ingestion step durations.
const INGESTION_STEP_BUCKETS_SECONDS: [f64; 10] =
    [0.01, 0.05, 0.2, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RejectionLabels {
    reason: RejectionReason,
    class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
}

/// Why the middleware rejected a request.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum RejectionReason {
    RateLimited,
    /// A cross-site request, or a missing or wrong CSRF token.
    Csrf,
}

impl EncodeLabelValue for RejectionReason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(match self {
            Self::RateLimited => "rate_limited",
            Self::Csrf => "csrf",
        })
    }
}

#[derive(Debug)]
pub struct Metrics {
    registry: MetricsRegistry<Self>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, Buckets>,
    rejected_requests: Family<RejectionLabels, Counter>,
    panics: Counter,
    redis_errors: Counter,
    tenants: Gauge,
    watch_connected: Gauge,
    pools: Gauge,
    pool_connections: Gauge,
    pub jobs: Jobs,
    documents_ingested: Family<OutcomeLabels, Counter>,
    ingestion_step_seconds: Family<StepLabels, Histogram, Buckets>,
    pub answers: Answers,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: MetricsRegistry::new(PREFIX, env!("CARGO_PKG_VERSION")),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(Buckets(&REQUEST_BUCKETS_SECONDS)),
            rejected_requests: Family::default(),
            panics: Counter::default(),
            redis_errors: Counter::default(),
            tenants: Gauge::default(),
            watch_connected: Gauge::default(),
            pools: Gauge::default(),
            pool_connections: Gauge::default(),
            jobs: Jobs::default(),
            documents_ingested: Family::default(),
            ingestion_step_seconds: Family::new_with_constructor(Buckets(
                &INGESTION_STEP_BUCKETS_SECONDS,
            )),
            answers: Answers::default(),
        };
        metrics.register();
        metrics
    }

    /// Registers each family with its name and help text.
    fn register(&mut self) {
        let own = self.registry.own();
        own.register("http_requests", "HTTP requests", self.requests.clone());
        own.register_with_unit(
            "http_request_duration",
            "Time from receiving a request to the start of its response",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        own.register(
            "http_requests_rejected",
            "HTTP requests rejected before their handler ran",
            self.rejected_requests.clone(),
        );
        own.register(
            "http_panics",
            "HTTP requests whose handler panicked",
            self.panics.clone(),
        );
        own.register(
            "redis_errors",
            "Failed calls to Redis, after which the rate limiter counted in this process",
            self.redis_errors.clone(),
        );
        own.register("tenants", "Tenants in the cache", self.tenants.clone());
        own.register(
            "watch_connected",
            "Whether the watches of Tenants and Secrets are connected to the Kubernetes API",
            self.watch_connected.clone(),
        );
        own.register(
            "tenant_pools",
            "Open connection pools of tenant databases",
            self.pools.clone(),
        );
        own.register(
            "tenant_connections",
            "Open connections to tenant databases",
            self.pool_connections.clone(),
        );
        self.jobs.register(own);
        own.register(
            "documents_ingested",
            "Documents whose ingestion ended, by outcome: ready or the failure's code",
            self.documents_ingested.clone(),
        );
        own.register_with_unit(
            "ingestion_step_duration",
            "Duration of the steps of ingesting a document",
            Unit::Seconds,
            self.ingestion_step_seconds.clone(),
        );
        self.answers.register(own);
    }

    /// Records a response. `route` is the route's pattern.
    pub fn request_completed(
        &self,
        method: &'static str,
        route: &str,
        status: u16,
        elapsed: Duration,
    ) {
        self.requests
            .get_or_create(&RequestLabels {
                method,
                route: route.to_owned(),
                status,
            })
            .inc();
        self.request_seconds
            .get_or_create(&RouteLabels {
                route: route.to_owned(),
            })
            .observe(elapsed.as_secs_f64());
    }

    pub fn request_rejected(&self, reason: RejectionReason, class: RateLimitClass) {
        let class = class.as_str();
        self.rejected_requests
            .get_or_create(&RejectionLabels { reason, class })
            .inc();
    }

    pub fn handler_panicked(&self) {
        self.panics.inc();
    }

    /// Sets the total number of failed calls to Redis since the process started.
    pub fn set_redis_errors(&self, total: u64) {
        self.redis_errors.inner().store(total, Ordering::Relaxed);
    }

    pub fn set_tenants(&self, count: usize, is_connected: bool) {
        self.tenants.set(gauge(count));
        self.watch_connected.set(i64::from(is_connected));
    }

    pub fn set_pools(&self, open: usize, connections: usize) {
        self.pools.set(gauge(open));
        self.pool_connections.set(gauge(connections));
    }

    /// Records the end of a document's ingestion: `ready`, or the failure's code.
    pub fn document_ingested(&self, outcome: &'static str) {
        self.documents_ingested
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
    }

    pub fn document_step(&self, step: &'static str, elapsed: Duration) {
        self.ingestion_step_seconds
            .get_or_create(&StepLabels { step })
            .observe(elapsed.as_secs_f64());
    }

    /// Registers a function that runs before every scrape, for gauges that are computed on demand.
    pub fn on_scrape(&self, hook: impl Fn(&Self) + Send + Sync + 'static) {
        self.registry.on_scrape(hook);
    }

    /// Runs the scrape hooks and returns all metrics in the `OpenMetrics` text format.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        self.registry.encode(self)
    }
}

fn gauge(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn jobs(kind: &str) -> JobCounts {
        JobCounts {
            kind: kind.to_owned(),
            waiting: 4,
            ready_seconds: 1.5,
            failed: 1,
        }
    }

    /// Records a sample for every family, because families without samples are not exported.
    fn metrics_with_every_family() -> Metrics {
        let metrics = Metrics::new();
        metrics.request_completed("GET", "/w/{workspace}", 200, Duration::from_millis(7));
        metrics.request_rejected(RejectionReason::RateLimited, RateLimitClass::Questions);
        metrics.handler_panicked();
        metrics.on_scrape(|metrics| metrics.set_pools(2, 5));
        metrics.set_tenants(3, true);
        metrics.jobs.set([jobs("ended"), jobs("ingest")]);
        metrics.jobs.set([jobs("ingest")]);
        metrics.set_redis_errors(9);
        metrics.document_ingested("ready");
        metrics.document_step("fetch", Duration::from_millis(7));
        metrics.answers.question(QuestionOutcome::Accepted);
        metrics
            .answers
            .time_to_first_token(Duration::from_millis(7));
        metrics.answers.tokens(1, 1);
        metrics
            .answers
            .ended("complete", AnswerSource::Model, Duration::from_millis(7));
        metrics
    }

    #[test]
    fn documented_and_exported_metric_families_match() {
        const DOCS: &str = include_str!("../../../docs/metrics.md");
        let text = metrics_with_every_family().encode().expect("text");
        let exported: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split(' ').next())
            .filter(|name| name.starts_with(PREFIX))
            .collect();
        let documented: BTreeSet<&str> = DOCS
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|line| line.split('`').next())
            // Sample names of counters and info metrics have these suffixes; family names do not.
            .map(|name| {
                let ended = ["_total", "_info"].iter().find_map(|end| name.strip_suffix(end));
                ended.unwrap_or(name)
            })
            .collect();
        assert_eq!(exported, documented);
    }

    #[test]
    fn metrics_are_exported_with_their_names_and_labels() {
        let metrics = metrics_with_every_family();
        let text = metrics.encode().expect("text");
        for line in [
            r#"chat_app_http_requests_total{method="GET",route="/w/{workspace}",status="200"} 1"#,
            r#"chat_app_http_request_duration_seconds_bucket{le="0.01",route="/w/{workspace}"} 1"#,
            r#"chat_app_http_requests_rejected_total{reason="rate_limited",class="questions"} 1"#,
            "chat_app_http_panics_total 1",
            "chat_app_tenant_pools 2",
            "chat_app_tenant_connections 5",
            "chat_app_tenants 3",
            "chat_app_watch_connected 1",
            r#"chat_app_jobs_waiting{kind="ingest"} 4"#,
            r#"chat_app_jobs_ready_age_seconds{kind="ingest"} 1.5"#,
            r#"chat_app_jobs_failed{kind="ingest"} 1"#,
            "chat_app_redis_errors_total 9",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "missing: {line}\n{text}");
        }
        assert!(
            !text.contains(r#"kind="ended""#),
            "the numbers of a kind without jobs remain\n{text}"
        );
    }
}
