//! Options of a [`Cluster`](crate::Cluster).

use std::collections::BTreeMap;

use neon_emulator::Latency;
use serde_json::{Value, json};

use crate::emulator::ComputeSuspension;
#[cfg(doc)]
use crate::proxy::Proxy;

#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Settings of the controller by name, for the chart's value `config`.
    pub settings: BTreeMap<String, Value>,
    /// Other values of the chart.
    pub values: Value,
    /// Namespaces that are created before the chart is installed.
    pub namespaces: Vec<String>,
    /// The emulator's latencies, if they differ from those that the tests run on.
    pub latency: Option<Latency>,
    pub compute_suspension: ComputeSuspension,
    /// Puts a [`Proxy`] in front of the API server, the Neon API and the databases.
    pub proxied: bool,
    /// The number of controllers, which are named `one`, `two` and `three`.
    pub replicas: usize,
}

impl Default for ClusterOptions {
    /// One controller with shorter waits than in production and debug logs, and an emulator whose
    /// computes are suspended fast.
    fn default() -> Self {
        Self {
            settings: [
                ("log-filter", json!("debug")),
                ("neon-create-verification-window", json!("3s")),
                ("drift-check-interval", json!("1s")),
                ("drift-check-calls-per-hour", json!(20_000)),
                ("neon-rate-limit", json!(1_000_000)),
                ("migration-connect-timeout", json!("30s")),
                ("backoff-min", json!("100ms")),
                ("backoff-max", json!("2s")),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            values: json!({}),
            namespaces: Vec::new(),
            latency: None,
            compute_suspension: ComputeSuspension::Accelerated,
            proxied: false,
            replicas: 1,
        }
    }
}

impl ClusterOptions {
    /// Sets a setting of the controller.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    #[must_use]
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = Some(latency);
        self
    }

    /// Suspends computes in real time, for measurements without cold starts.
    #[must_use]
    pub fn real_time_suspension(mut self) -> Self {
        self.compute_suspension = ComputeSuspension::RealTime;
        self
    }
}
