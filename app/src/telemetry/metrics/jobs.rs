//! Metrics of background jobs.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct JobLabels {
    kind: String,
}

/// The jobs of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct JobCounts {
    pub kind: String,
    /// Waiting or running.
    pub waiting: i64,
    /// How long the first job that is ready has been waiting.
    pub ready_seconds: f64,
    /// Given up.
    pub failed: i64,
}

#[derive(Debug, Default)]
pub struct Jobs {
    waiting: Family<JobLabels, Gauge>,
    ready_age: Family<JobLabels, Gauge<f64, AtomicU64>>,
    failed: Family<JobLabels, Gauge>,
}

impl Jobs {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "jobs_waiting",
            "Jobs waiting or running",
            self.waiting.clone(),
        );
        registry.register_with_unit(
            "jobs_ready_age",
            "How long the first job that is ready has been waiting for a worker",
            Unit::Seconds,
            self.ready_age.clone(),
        );
        registry.register(
            "jobs_failed",
            "Jobs that were given up because they crashed their worker repeatedly",
            self.failed.clone(),
        );
    }

    /// Sets the numbers of jobs. Kinds without jobs are not exported.
    pub fn set(&self, counts: impl IntoIterator<Item = JobCounts>) {
        self.waiting.clear();
        self.ready_age.clear();
        self.failed.clear();
        for count in counts {
            let jobs = JobLabels { kind: count.kind };
            self.waiting.get_or_create(&jobs).set(count.waiting);
            self.ready_age.get_or_create(&jobs).set(count.ready_seconds);
            self.failed.get_or_create(&jobs).set(count.failed);
        }
    }
}
