//! The registry of a program's metrics.

use std::fmt;

use parking_lot::Mutex;
use prometheus_client::encoding::text;
use prometheus_client::metrics::family::MetricConstructor;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::process::Process;

/// Updates metrics before they are read.
type ScrapeHook<M> = Box<dyn Fn(&M) + Send + Sync>;

/// The registry of a program whose metrics are the fields of `M`. It also has the metrics of the
/// process and the version of the program.
pub struct MetricsRegistry<M> {
    registry: Registry,
    prefix: &'static str,
    scrape_hooks: Mutex<Vec<ScrapeHook<M>>>,
}

impl<M> MetricsRegistry<M> {
    /// `prefix` is the prefix of the program's own metrics.
    pub fn new(prefix: &'static str, version: &'static str) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        registry.sub_registry_with_prefix(prefix).register(
            "build",
            "Build information",
            Info::new([("version", version)]),
        );
        Self {
            registry,
            prefix,
            scrape_hooks: Mutex::default(),
        }
    }

    /// Where the program registers its own metrics.
    pub fn own(&mut self) -> &mut Registry {
        self.registry.sub_registry_with_prefix(self.prefix)
    }

    /// Registers a function that runs before every scrape, for gauges that are computed on demand.
    pub fn on_scrape(&self, hook: impl Fn(&M) + Send + Sync + 'static) {
        self.scrape_hooks.lock().push(Box::new(hook));
    }

    /// Runs the scrape hooks and returns all metrics in the `OpenMetrics` text format.
    pub fn encode(&self, metrics: &M) -> Result<String, fmt::Error> {
        for hook in self.scrape_hooks.lock().iter() {
            hook(metrics);
        }
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

impl<M> fmt::Debug for MetricsRegistry<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MetricsRegistry")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The upper bounds of a histogram's buckets, for families of histograms.
#[derive(Clone, Copy, Debug)]
pub struct Buckets(pub &'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}
