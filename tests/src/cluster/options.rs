//! What a cluster should be like.

use std::collections::BTreeMap;

use neon_emulator::Latency;
use serde_json::{Value, json};

use crate::emulator::Computes;
#[cfg(doc)]
use crate::proxy::Proxy;

/// What a cluster should be like.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Settings of the controller, by their names; they go through the chart's `config`.
    pub settings: BTreeMap<String, Value>,
    /// Further values for the chart.
    pub values: Value,
    /// Namespaces that have to exist before the chart is installed.
    pub namespaces: Vec<String>,
    /// How long the emulator takes.
    pub latency: Latency,
    /// Whether the computes of its emulators fall asleep.
    pub computes: Computes,
    /// Put a [`Proxy`] before the API server, the Neon API and the databases.
    pub proxied: bool,
    /// Replicas of the controller that are started, named `one`, `two`, ...
    pub replicas: usize,
}

impl Default for ClusterOptions {
    /// One controller with waits shorter than in production, debug logs, and an emulator without latency whose computes fall asleep.
    fn default() -> Self {
        Self {
            settings: [
                ("log-filter", json!("debug")),
                ("neon-create-settle-window", json!("3s")),
                ("neon-listing-interval", json!("1s")),
                ("neon-listing-calls-per-hour", json!(100_000)),
                ("neon-requests-per-minute", json!(1_000_000)),
                ("neon-per-route-per-second", json!(100_000)),
                ("backoff-min", json!("100ms")),
                ("backoff-max", json!("2s")),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            values: json!({}),
            namespaces: Vec::new(),
            latency: Latency::instant(),
            computes: Computes::FallAsleep,
            proxied: false,
            replicas: 1,
        }
    }
}

impl ClusterOptions {
    /// The same with another setting of the controller.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// The same with so many replicas.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// The same with proxies before the servers.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// The same with these latencies of the emulator.
    #[must_use]
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }

    /// The same with computes that are always awake, for figures without cold starts.
    #[must_use]
    pub fn awake(mut self) -> Self {
        self.computes = Computes::StayAwake;
        self
    }
}
