//! The metrics: every family that there is, and a method for each thing that is worth counting.
//!
//! Labels are words from closed lists: patterns of routes, budgets, kinds of jobs; never a user, a workspace or a document.

mod answers;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use service_kit::telemetry::Process;

use crate::domain::RateLimitClass;
pub use answers::{Answers, Asking, Voice};

/// What every name starts with.
const PREFIX: &str = "chat_app";

/// Bounds of what pages take. In seconds.
const PAGE_BUCKETS_S: [f64; 11] = [
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Bounds of what the steps of reading a document take. In seconds.
const STEP_BUCKETS_S: [f64; 10] = [0.01, 0.05, 0.2, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

/// Something to bring up to date before metrics are read.
type BeforeRead = Box<dyn Fn(&Metrics) + Send + Sync>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    why: Refusal,
    budget: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Jobs {
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

/// Why the guard let a request not through.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
pub enum Refusal {
    /// The budget of a user or an address is used up.
    Limit,
    /// It came from another site, or without a page's token.
    Forged,
}

/// Makes histograms with these bounds.
#[derive(Clone, Copy, Debug)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    before_read: Mutex<Vec<BeforeRead>>,
    requests: Family<Request, Counter>,
    request_seconds: Family<Route, Histogram, Buckets>,
    refused: Family<Refused, Counter>,
    panics: Counter,
    redis_failures: Gauge,
    tenants: Gauge,
    watches_interrupted: Gauge,
    pools: Gauge,
    pool_connections: Gauge,
    jobs_waiting: Family<Jobs, Gauge>,
    jobs_failed: Family<Jobs, Gauge>,
    documents_read: Family<Outcome, Counter>,
    document_step_seconds: Family<Step, Histogram, Buckets>,
    /// Questions and answers.
    pub answers: Answers,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero, with the version of the build.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            before_read: Mutex::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(Buckets(&PAGE_BUCKETS_S)),
            refused: Family::default(),
            panics: Counter::default(),
            redis_failures: Gauge::default(),
            tenants: Gauge::default(),
            watches_interrupted: Gauge::default(),
            pools: Gauge::default(),
            pool_connections: Gauge::default(),
            jobs_waiting: Family::default(),
            jobs_failed: Family::default(),
            documents_read: Family::default(),
            document_step_seconds: Family::new_with_constructor(Buckets(&STEP_BUCKETS_S)),
            answers: Answers::default(),
        };
        metrics.register();
        metrics
    }

    /// Gives each family its name and its help.
    fn register(&mut self) {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let own = registry.sub_registry_with_prefix(PREFIX);
        own.register(
            "http_requests",
            "Requests by route, method and status",
            self.requests.clone(),
        );
        own.register_with_unit(
            "http_request",
            "How long requests took until their answer began",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        own.register(
            "http_refused",
            "Requests that never reached their handler, by why and by the budget of their route",
            self.refused.clone(),
        );
        own.register(
            "http_panics",
            "Requests whose handler panicked: defects",
            self.panics.clone(),
        );
        own.register(
            "redis_failures",
            "Times that Redis was asked in vain and limits were counted in this process",
            self.redis_failures.clone(),
        );
        own.register("tenants", "Tenants that are known", self.tenants.clone());
        own.register(
            "watches_interrupted",
            "1 while there is no news from the Kubernetes API",
            self.watches_interrupted.clone(),
        );
        own.register(
            "tenant_pools",
            "Tenants' databases with a pool",
            self.pools.clone(),
        );
        own.register(
            "tenant_connections",
            "Connections to tenants' databases",
            self.pool_connections.clone(),
        );
        own.register(
            "jobs_waiting",
            "Jobs that wait or run, by kind",
            self.jobs_waiting.clone(),
        );
        own.register(
            "jobs_failed",
            "Jobs that were given up, by kind",
            self.jobs_failed.clone(),
        );
        own.register(
            "documents_read",
            "Documents whose reading came to an end: ready, or the reason why not",
            self.documents_read.clone(),
        );
        own.register_with_unit(
            "document_step",
            "How long the steps of reading a document took",
            Unit::Seconds,
            self.document_step_seconds.clone(),
        );
        self.answers.register(own);
        own.register(
            "build",
            "The build that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        self.registry = registry;
    }

    /// A request was answered; `route` is a pattern.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        self.requests
            .get_or_create(&Request {
                method: method.to_owned(),
                route: route.to_owned(),
                status,
            })
            .inc();
        self.request_seconds
            .get_or_create(&Route {
                route: route.to_owned(),
            })
            .observe(took.as_secs_f64());
    }

    /// The guard let a request not through.
    pub fn refused(&self, why: Refusal, budget: RateLimitClass) {
        let budget = budget.as_str();
        self.refused.get_or_create(&Refused { why, budget }).inc();
    }

    /// A handler panicked.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// How often Redis was asked in vain so far.
    pub fn set_redis_failures(&self, count: u64) {
        self.redis_failures.set(gauge(count));
    }

    /// How many Tenants are known, and whether there is news of them.
    pub fn set_tenants(&self, count: usize, interrupted: bool) {
        self.tenants.set(gauge(count));
        self.watches_interrupted.set(i64::from(interrupted));
    }

    /// How many tenants' databases are open, with how many connections.
    pub fn set_pools(&self, open: usize, connections: usize) {
        self.pools.set(gauge(open));
        self.pool_connections.set(gauge(connections));
    }

    /// How many jobs of a kind wait or run, and how many were given up.
    pub fn set_jobs(&self, kind: &str, waiting: i64, failed: i64) {
        let jobs = Jobs {
            kind: kind.to_owned(),
        };
        self.jobs_waiting.get_or_create(&jobs).set(waiting);
        self.jobs_failed.get_or_create(&jobs).set(failed);
    }

    /// Reading a document came to an end: `ready`, or the code of its failure.
    pub fn document_read(&self, outcome: &'static str) {
        self.documents_read
            .get_or_create(&Outcome { outcome })
            .inc();
    }

    /// A step of reading a document is done.
    pub fn document_step(&self, step: &'static str, took: Duration) {
        self.document_step_seconds
            .get_or_create(&Step { step })
            .observe(took.as_secs_f64());
    }

    /// Has `update` called whenever the metrics are about to be read: for gauges that are counted rather than kept.
    pub fn before_read(&self, update: impl Fn(&Self) + Send + Sync + 'static) {
        let mut hooks = self
            .before_read
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        hooks.push(Box::new(update));
    }

    /// All of them as `OpenMetrics` text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let hooks = self
            .before_read
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for update in hooks.iter() {
            update(self);
        }
        drop(hooks);
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

fn gauge(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Everything happened once: families without a sample are not told.
    fn after_everything() -> Metrics {
        let metrics = Metrics::new();
        metrics.answered("GET", "/w/{workspace}", 200, Duration::from_millis(7));
        metrics.refused(Refusal::Limit, RateLimitClass::Questions);
        metrics.panicked();
        metrics.before_read(|metrics| metrics.set_pools(2, 5));
        metrics.set_tenants(3, true);
        metrics.set_jobs("ingest", 4, 1);
        metrics.set_redis_failures(9);
        metrics.document_read("ready");
        metrics.document_step("fetch", Duration::from_millis(7));
        metrics.answers.question(Asking::Asked);
        metrics.answers.first_words(Duration::from_millis(7));
        metrics.answers.tokens(1, 1);
        metrics
            .answers
            .ended("complete", Voice::Model, Duration::from_millis(7));
        metrics
    }

    #[test]
    fn every_family_is_in_the_documentation_and_the_other_way_round() {
        const DOCS: &str = include_str!("../../../docs/metrics.md");
        let text = after_everything().encode().expect("text");
        let told: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split(' ').next())
            .filter(|name| name.starts_with(PREFIX))
            .collect();
        let documented: BTreeSet<&str> = DOCS
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|line| line.split('`').next())
            // Samples of counters and of information end so, and families do not.
            .map(|name| {
                let ended = ["_total", "_info"].iter().find_map(|end| name.strip_suffix(end));
                ended.unwrap_or(name)
            })
            .collect();
        assert_eq!(told, documented);
    }

    #[test]
    fn everything_that_happens_shows_under_its_name_and_labels() {
        let metrics = after_everything();
        let text = metrics.encode().expect("text");
        for line in [
            r#"chat_app_http_requests_total{method="GET",route="/w/{workspace}",status="200"} 1"#,
            r#"chat_app_http_request_seconds_bucket{le="0.01",route="/w/{workspace}"} 1"#,
            r#"chat_app_http_refused_total{why="Limit",budget="questions"} 1"#,
            "chat_app_http_panics_total 1",
            "chat_app_tenant_pools 2",
            "chat_app_tenant_connections 5",
            "chat_app_tenants 3",
            "chat_app_watches_interrupted 1",
            r#"chat_app_jobs_waiting{kind="ingest"} 4"#,
            r#"chat_app_jobs_failed{kind="ingest"} 1"#,
            "chat_app_redis_failures 9",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "missing: {line}\n{text}");
        }
    }
}
