//! The metrics: every family that there is, and a method for each thing that is worth counting.
//!
//! Labels are words from closed lists, or names of classes; never of Tenants or projects, of which there are too many.

mod labels;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crds::{Phase, Reason};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use service_kit::telemetry::Process;

use labels::{
    Call, Class, KubeCall, KubeRequest, Migrated, NeonCall, PhaseOf, Reconciled, Route, StepDone,
    Wait,
};
pub use labels::{MigrationOutcome, ReconcileOutcome, RequestOutcome, StepOutcome};

/// What every name starts with.
const PREFIX: &str = "tenant_controller";

/// Bounds of what takes milliseconds to seconds: calls, waits, passes. In seconds.
const CALL_BUCKETS_S: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Bounds of what takes seconds to minutes: until ready, migrations. In seconds.
const LONG_BUCKETS_S: [f64; 11] = [
    0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0,
];

/// Something to bring up to date before metrics are read.
type BeforeRead = Box<dyn Fn(&Metrics) + Send + Sync>;

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    before_read: Mutex<Vec<BeforeRead>>,
    reconciles: Family<Reconciled, Counter>,
    reconcile_seconds: Histogram,
    steps: Family<StepDone, Counter>,
    neon_requests: Family<NeonCall, Counter>,
    neon_request_seconds: Family<Route, Histogram, Buckets>,
    neon_calls: Family<NeonCall, Counter>,
    neon_call_seconds: Family<Route, Histogram, Buckets>,
    neon_wait_seconds: Family<Wait, Histogram, Buckets>,
    neon_slowed: Family<Route, Counter>,
    kube_calls: Family<KubeCall, Counter>,
    kube_call_seconds: Family<Call, Histogram, Buckets>,
    kube_requests: Family<KubeRequest, Counter>,
    tenants: Family<PhaseOf, Gauge>,
    orphaned_projects: Family<Class, Gauge>,
    migrations: Family<Migrated, Counter>,
    migration_seconds: Histogram,
    ready_seconds: Histogram,
    leader: Gauge,
}

/// Makes histograms with these bounds.
#[derive(Clone, Copy, Debug)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
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
            reconciles: Family::default(),
            reconcile_seconds: Histogram::new(CALL_BUCKETS_S),
            steps: Family::default(),
            neon_requests: Family::default(),
            neon_request_seconds: Family::new_with_constructor(Buckets(&CALL_BUCKETS_S)),
            neon_calls: Family::default(),
            neon_call_seconds: Family::new_with_constructor(Buckets(&CALL_BUCKETS_S)),
            neon_wait_seconds: Family::new_with_constructor(Buckets(&CALL_BUCKETS_S)),
            neon_slowed: Family::default(),
            kube_calls: Family::default(),
            kube_call_seconds: Family::new_with_constructor(Buckets(&CALL_BUCKETS_S)),
            kube_requests: Family::default(),
            tenants: Family::default(),
            orphaned_projects: Family::default(),
            migrations: Family::default(),
            migration_seconds: Histogram::new(LONG_BUCKETS_S),
            ready_seconds: Histogram::new(LONG_BUCKETS_S),
            leader: Gauge::default(),
        };
        metrics.register();
        metrics.set_tenants([]);
        metrics
    }

    /// Gives each family its name and its help.
    fn register(&mut self) {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let own = registry.sub_registry_with_prefix(PREFIX);

        own.register(
            "reconciles",
            "Passes over Tenants, by how they ended and the reason of the Tenant's Ready condition",
            self.reconciles.clone(),
        );
        own.register_with_unit(
            "reconcile",
            "How long passes took",
            Unit::Seconds,
            self.reconcile_seconds.clone(),
        );
        own.register("steps", "Steps of plans that were done", self.steps.clone());
        own.register(
            "neon_requests",
            "HTTP requests to the Neon API; each counts against the account's quota",
            self.neon_requests.clone(),
        );
        own.register_with_unit(
            "neon_request",
            "How long HTTP requests to the Neon API took",
            Unit::Seconds,
            self.neon_request_seconds.clone(),
        );
        own.register(
            "neon_calls",
            "Calls to the Neon API, each with all its requests",
            self.neon_calls.clone(),
        );
        own.register_with_unit(
            "neon_call",
            "How long calls to the Neon API took, waits and retries included",
            Unit::Seconds,
            self.neon_call_seconds.clone(),
        );
        own.register_with_unit(
            "neon_wait",
            "How long requests waited for their turn in the account's quota",
            Unit::Seconds,
            self.neon_wait_seconds.clone(),
        );
        own.register(
            "neon_slowed",
            "Answers of the Neon API that asked for fewer requests",
            self.neon_slowed.clone(),
        );
        own.register(
            "kube_calls",
            "Reads and writes of the Kubernetes API, by what they were for",
            self.kube_calls.clone(),
        );
        own.register_with_unit(
            "kube_call",
            "How long reads and writes of the Kubernetes API took",
            Unit::Seconds,
            self.kube_call_seconds.clone(),
        );
        own.register(
            "kube_requests",
            "HTTP requests to the Kubernetes API, lists and watches among them",
            self.kube_requests.clone(),
        );
        own.register("tenants", "Tenants by phase", self.tenants.clone());
        own.register(
            "orphaned_projects",
            "Projects with this installation's mark that belong to no Tenant, by class",
            self.orphaned_projects.clone(),
        );
        own.register(
            "migrations",
            "Tenant databases that were opened to apply or check the schema",
            self.migrations.clone(),
        );
        own.register_with_unit(
            "migration",
            "How long applying or checking the schema of a database took",
            Unit::Seconds,
            self.migration_seconds.clone(),
        );
        own.register_with_unit(
            "time_to_ready",
            "From the creation of a Tenant to the first time it was Ready",
            Unit::Seconds,
            self.ready_seconds.clone(),
        );
        own.register(
            "leader",
            "1 while this process holds the Lease",
            self.leader.clone(),
        );
        own.register(
            "build",
            "The build that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        self.registry = registry;
    }

    /// One pass over a Tenant ended; `reason` is that of its `Ready` condition.
    pub fn reconciled(&self, outcome: ReconcileOutcome, reason: Reason, took: Duration) {
        let reason = reason.as_str();
        self.reconciles
            .get_or_create(&Reconciled { outcome, reason })
            .inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// One step of a plan ended; `step` is the name of its kind.
    pub fn step(&self, step: &'static str, outcome: StepOutcome) {
        self.steps.get_or_create(&StepDone { step, outcome }).inc();
    }

    /// One HTTP request to the Neon API ended.
    pub(super) fn neon_request(&self, route: &'static str, outcome: &'static str, took: Duration) {
        self.neon_requests
            .get_or_create(&NeonCall { route, outcome })
            .inc();
        self.neon_request_seconds
            .get_or_create(&Route { route })
            .observe(took.as_secs_f64());
    }

    /// One call to the Neon API ended.
    pub(super) fn neon_call(&self, route: &'static str, outcome: &'static str, took: Duration) {
        self.neon_calls
            .get_or_create(&NeonCall { route, outcome })
            .inc();
        self.neon_call_seconds
            .get_or_create(&Route { route })
            .observe(took.as_secs_f64());
    }

    /// A request to the Neon API had waited for its turn.
    pub(super) fn neon_waited(&self, priority: &'static str, waited: Duration) {
        self.neon_wait_seconds
            .get_or_create(&Wait { priority })
            .observe(waited.as_secs_f64());
    }

    /// The Neon API asked for fewer requests.
    pub(super) fn neon_slowed(&self, route: &'static str) {
        self.neon_slowed.get_or_create(&Route { route }).inc();
    }

    /// One call to the Kubernetes API ended, seen from where it was made: `call` is what was to be done, in words.
    pub fn kube_call(&self, call: &'static str, outcome: &'static str, took: Duration) {
        self.kube_calls
            .get_or_create(&KubeCall { call, outcome })
            .inc();
        self.kube_call_seconds
            .get_or_create(&Call { call })
            .observe(took.as_secs_f64());
    }

    /// One HTTP request to the Kubernetes API ended, lists and watches among them. `resource` is the plural, with the subresource
    /// if there is one.
    pub fn kube_request(&self, verb: &'static str, resource: &str, outcome: RequestOutcome) {
        let request = KubeRequest {
            verb,
            resource: resource.to_owned(),
            outcome,
        };
        self.kube_requests.get_or_create(&request).inc();
    }

    /// How many Tenants there are in each phase; phases that are left out have none.
    pub fn set_tenants(&self, counts: impl IntoIterator<Item = (Phase, i64)>) {
        let mut all = labels::phases().map(|phase| (phase, 0));
        for (phase, count) in counts {
            if let Some(slot) = all.iter_mut().find(|(p, _)| *p == phase) {
                slot.1 += count;
            }
        }
        for (phase, count) in all {
            self.tenants
                .get_or_create(&PhaseOf {
                    phase: labels::phase_word(phase),
                })
                .set(count);
        }
    }

    /// How many projects of the class's account bear this installation's mark and belong to no Tenant.
    pub fn set_orphaned_projects(&self, class: &str, count: i64) {
        self.orphaned_projects
            .get_or_create(&Class {
                class: class.to_owned(),
            })
            .set(count);
    }

    /// The class is gone.
    pub fn forget_class(&self, class: &str) {
        self.orphaned_projects.remove(&Class {
            class: class.to_owned(),
        });
    }

    /// A tenant's database was opened to apply or check the schema.
    pub fn migrated(&self, outcome: MigrationOutcome, took: Duration) {
        self.migrations.get_or_create(&Migrated { outcome }).inc();
        self.migration_seconds.observe(took.as_secs_f64());
    }

    /// A Tenant became Ready for the first time, this long after its creation.
    pub fn became_ready(&self, after: Duration) {
        self.ready_seconds.observe(after.as_secs_f64());
    }

    /// Whether this process holds the Lease.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
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
        for update in self
            .before_read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            update(self);
        }
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
