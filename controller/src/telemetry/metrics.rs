//! The Prometheus metrics: every family, and one method for each event that is recorded.
//!
//! Label values come from fixed lists or are names of classes. Names of Tenants or projects are
//! never labels, because there are too many of them.

mod labels;

use std::fmt;
use std::time::Duration;

use crds::{Phase, Reason};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;
use service_kit::kubernetes::RequestOutcome;
use service_kit::telemetry::{Buckets, MetricsRegistry};

use labels::{
    ClassLabels, KubernetesRequestLabels, MigrationLabels, NeonLabels, PhaseLabels, PriorityLabels,
    ReconcileLabels, ResourceLabels, RolloutLabels, RouteLabels, StepLabels,
};
pub use labels::{MigrationOutcome, ReconcileOutcome, StepOutcome};

/// Prefix of every metric name.
const PREFIX: &str = "tenant_controller";

/// Buckets for calls, waits and reconciliations, which take milliseconds to seconds.
const CALL_BUCKETS_S: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Buckets for migrations and the time to ready, which take seconds to minutes.
const LONG_BUCKETS_S: [f64; 11] = [
    0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0,
];

/// States of Tenants in a rollout.
const ROLLOUT_STATES: [&str; 5] = ["updated", "pending", "asleep", "failed", "skipped"];

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: MetricsRegistry<Self>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_duration: Histogram,
    steps: Family<StepLabels, Counter>,
    neon_requests: Family<NeonLabels, Counter>,
    neon_request_duration: Family<RouteLabels, Histogram, Buckets>,
    neon_calls: Family<NeonLabels, Counter>,
    neon_call_duration: Family<RouteLabels, Histogram, Buckets>,
    neon_quota_wait: Family<PriorityLabels, Histogram, Buckets>,
    neon_rate_limited: Family<RouteLabels, Counter>,
    kubernetes_requests: Family<KubernetesRequestLabels, Counter>,
    kubernetes_request_duration: Family<ResourceLabels, Histogram, Buckets>,
    tenants: Family<PhaseLabels, Gauge>,
    orphaned_projects: Family<ClassLabels, Gauge>,
    rollout_tenants: Family<RolloutLabels, Gauge>,
    rollout_paused: Family<ClassLabels, Gauge>,
    rollout_concurrency: Family<ClassLabels, Gauge>,
    migrations: Family<MigrationLabels, Counter>,
    migration_duration: Histogram,
    time_to_ready: Histogram,
    leader: Gauge,
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
            reconciles: Family::default(),
            reconcile_duration: Histogram::new(CALL_BUCKETS_S),
            steps: Family::default(),
            neon_requests: Family::default(),
            neon_request_duration: Family::new_with_constructor(Buckets(&CALL_BUCKETS_S)),
            neon_calls: Family::default(),
            neon_call_duration: Family::new_with_constructor(Buckets(&CALL_BUCKETS_S)),
            neon_quota_wait: Family::new_with_constructor(Buckets(&CALL_BUCKETS_S)),
            neon_rate_limited: Family::default(),
            kubernetes_requests: Family::default(),
            kubernetes_request_duration: Family::new_with_constructor(Buckets(&CALL_BUCKETS_S)),
            tenants: Family::default(),
            orphaned_projects: Family::default(),
            rollout_tenants: Family::default(),
            rollout_paused: Family::default(),
            rollout_concurrency: Family::default(),
            migrations: Family::default(),
            migration_duration: Histogram::new(LONG_BUCKETS_S),
            time_to_ready: Histogram::new(LONG_BUCKETS_S),
            leader: Gauge::default(),
        };
        metrics.register();
        metrics.register_rollouts();
        metrics.set_tenants([]);
        metrics
    }

    fn register(&mut self) {
        let own = self.registry.own();
        own.register(
            "reconciles",
            "Reconciliations of Tenants, by outcome and by the reason of the Ready condition",
            self.reconciles.clone(),
        );
        own.register_with_unit(
            "reconcile_duration",
            "Duration of the reconciliations of Tenants",
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
        own.register(
            "steps",
            "Executed steps of Tenant plans",
            self.steps.clone(),
        );
        own.register(
            "neon_requests",
            "HTTP requests to the Neon API; each counts towards the account's rate limit",
            self.neon_requests.clone(),
        );
        own.register_with_unit(
            "neon_request_duration",
            "Duration of HTTP requests to the Neon API",
            Unit::Seconds,
            self.neon_request_duration.clone(),
        );
        own.register(
            "neon_calls",
            "Calls to the Neon API; a call includes the retries of its request",
            self.neon_calls.clone(),
        );
        own.register_with_unit(
            "neon_call_duration",
            "Duration of calls to the Neon API, including waits and retries",
            Unit::Seconds,
            self.neon_call_duration.clone(),
        );
        own.register_with_unit(
            "neon_quota_wait",
            "Time that requests to the Neon API waited for the client-side rate limiter",
            Unit::Seconds,
            self.neon_quota_wait.clone(),
        );
        own.register(
            "neon_rate_limited",
            "Responses of the Neon API with status 429",
            self.neon_rate_limited.clone(),
        );
        own.register(
            "kubernetes_requests",
            "HTTP requests to the Kubernetes API, including lists and watches",
            self.kubernetes_requests.clone(),
        );
        own.register_with_unit(
            "kubernetes_request_duration",
            "Duration of HTTP requests to the Kubernetes API; for watches, until the response headers",
            Unit::Seconds,
            self.kubernetes_request_duration.clone(),
        );
        own.register("tenants", "Tenants by phase", self.tenants.clone());
        own.register(
            "orphaned_projects",
            "Neon projects of this installation that belong to no Tenant, by class",
            self.orphaned_projects.clone(),
        );
        own.register(
            "migrations",
            "Connections to tenant databases to check or migrate the schema, by outcome",
            self.migrations.clone(),
        );
        own.register_with_unit(
            "migration_duration",
            "Duration of checking or migrating the schema of a tenant database",
            Unit::Seconds,
            self.migration_duration.clone(),
        );
        own.register_with_unit(
            "time_to_ready",
            "Time from the creation of a Tenant until it was first Ready",
            Unit::Seconds,
            self.time_to_ready.clone(),
        );
        own.register(
            "leader",
            "1 if this process holds the leader election Lease, otherwise 0",
            self.leader.clone(),
        );
    }

    fn register_rollouts(&mut self) {
        let own = self.registry.own();
        own.register(
            "rollout_tenants",
            "Tenants of the newest schema rollout of a class, by state",
            self.rollout_tenants.clone(),
        );
        own.register(
            "rollout_paused",
            "1 if the newest schema rollout of a class is paused, otherwise 0",
            self.rollout_paused.clone(),
        );
        own.register(
            "rollout_concurrency",
            "Maximum number of Tenants that the newest schema rollout of a class may migrate at the same time; 0 if it is not running",
            self.rollout_concurrency.clone(),
        );
    }

    /// `reason` is the reason of the Tenant's `Ready` condition.
    pub fn record_reconcile(&self, outcome: ReconcileOutcome, reason: Reason, elapsed: Duration) {
        let reason = reason.as_str();
        self.reconciles
            .get_or_create(&ReconcileLabels { outcome, reason })
            .inc();
        self.reconcile_duration.observe(elapsed.as_secs_f64());
    }

    pub fn record_step(&self, step: &'static str, outcome: StepOutcome) {
        self.steps
            .get_or_create(&StepLabels { step, outcome })
            .inc();
    }

    pub(super) fn record_neon_request(
        &self,
        route: &'static str,
        outcome: &'static str,
        elapsed: Duration,
    ) {
        self.neon_requests
            .get_or_create(&NeonLabels { route, outcome })
            .inc();
        self.neon_request_duration
            .get_or_create(&RouteLabels { route })
            .observe(elapsed.as_secs_f64());
    }

    pub(super) fn record_neon_call(
        &self,
        route: &'static str,
        outcome: &'static str,
        elapsed: Duration,
    ) {
        self.neon_calls
            .get_or_create(&NeonLabels { route, outcome })
            .inc();
        self.neon_call_duration
            .get_or_create(&RouteLabels { route })
            .observe(elapsed.as_secs_f64());
    }

    pub(super) fn record_neon_quota_wait(&self, priority: &'static str, waited: Duration) {
        self.neon_quota_wait
            .get_or_create(&PriorityLabels { priority })
            .observe(waited.as_secs_f64());
    }

    pub(super) fn record_neon_rate_limited(&self, route: &'static str) {
        self.neon_rate_limited
            .get_or_create(&RouteLabels { route })
            .inc();
    }

    pub(super) fn record_kubernetes_request(
        &self,
        verb: &'static str,
        resource: &str,
        outcome: RequestOutcome,
        elapsed: Duration,
    ) {
        self.kubernetes_requests
            .get_or_create(&KubernetesRequestLabels {
                verb,
                resource: resource.to_owned(),
                outcome: outcome.as_str(),
            })
            .inc();
        self.kubernetes_request_duration
            .get_or_create(&ResourceLabels {
                verb,
                resource: resource.to_owned(),
            })
            .observe(elapsed.as_secs_f64());
    }

    /// Sets the number of Tenants in each phase. Phases that `counts` does not contain are set to
    /// 0; the counts of a repeated phase are added.
    pub fn set_tenants(&self, counts: impl IntoIterator<Item = (Phase, i64)>) {
        let mut all = labels::phases().map(|phase| (phase, 0));
        for (phase, count) in counts {
            if let Some(slot) = all.iter_mut().find(|(p, _)| *p == phase) {
                slot.1 += count;
            }
        }
        for (phase, count) in all {
            self.tenants
                .get_or_create(&PhaseLabels {
                    phase: labels::phase_name(phase),
                })
                .set(count);
        }
    }

    pub fn set_orphaned_projects(&self, class: &str, count: i64) {
        self.orphaned_projects
            .get_or_create(&ClassLabels {
                class: class.to_owned(),
            })
            .set(count);
    }

    /// Sets the numbers of Tenants in the newest rollout of a class, in the order of `ROLLOUT_STATES`.
    pub fn set_rollout_tenants(&self, class: &str, counts: [i64; ROLLOUT_STATES.len()]) {
        for (state, count) in ROLLOUT_STATES.into_iter().zip(counts) {
            self.rollout_tenants
                .get_or_create(&RolloutLabels {
                    class: class.to_owned(),
                    state,
                })
                .set(count);
        }
    }

    pub fn set_rollout_paused(&self, class: &str, paused: bool) {
        self.rollout_paused
            .get_or_create(&ClassLabels {
                class: class.to_owned(),
            })
            .set(i64::from(paused));
    }

    pub fn set_rollout_concurrency(&self, class: &str, concurrency: i64) {
        self.rollout_concurrency
            .get_or_create(&ClassLabels {
                class: class.to_owned(),
            })
            .set(concurrency);
    }

    /// Removes the series of a deleted class.
    pub fn remove_class(&self, class: &str) {
        let labels = ClassLabels {
            class: class.to_owned(),
        };
        self.orphaned_projects.remove(&labels);
        self.rollout_paused.remove(&labels);
        self.rollout_concurrency.remove(&labels);
        for state in ROLLOUT_STATES {
            self.rollout_tenants.remove(&RolloutLabels {
                class: class.to_owned(),
                state,
            });
        }
    }

    pub fn record_migration(&self, outcome: MigrationOutcome, elapsed: Duration) {
        self.migrations
            .get_or_create(&MigrationLabels { outcome })
            .inc();
        self.migration_duration.observe(elapsed.as_secs_f64());
    }

    /// Records the time from the creation of a Tenant until it was first Ready.
    pub fn record_time_to_ready(&self, elapsed: Duration) {
        self.time_to_ready.observe(elapsed.as_secs_f64());
    }

    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
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

#[cfg(test)]
mod tests;
