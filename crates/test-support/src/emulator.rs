//! Emulators for tests: every exchange is checked against the OpenAPI document, and idle computes
//! are suspended within a second.
//!
//! By default a compute is suspended after five minutes without use, which is too long for a test.
//! Therefore the emulator's clock is advanced by almost a minute several times a second. An idle
//! compute is suspended after a second, and a cold start takes three clock steps. So whenever the
//! controller, the app or a test uses a database, its compute may have to start first.

use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use neon_emulator::openapi::Document;
use neon_emulator::{Builder, Emulator, Latency, Limits, ProxyCaches};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// An API key of another account, which has no projects.
pub const FOREIGN_API_KEY: &str = "napi_foreign";
const FOREIGN_ORGANIZATION: &str = "org-foreign-00000001";
const CLOCK_STEP_INTERVAL: Duration = Duration::from_millis(150);
/// Shorter than the minimum suspend timeout of a minute, so that a pause between two statements
/// does not suspend the compute.
const CLOCK_STEP: Duration = Duration::from_secs(55);
/// The duration of a cold start on the accelerated clock, in milliseconds: three clock steps, which
/// take 300 to 450 ms.
const COLD_START_MS: u64 = 165_000;
/// How long a connection waits for its compute on the accelerated clock, in milliseconds: 18 s in
/// real time.
const COMPUTE_WAIT_MS: u64 = 6_600_000;
/// From the last use of a compute until it is suspended, with a large margin.
pub const SUSPEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Names the plan of the emulated account, such as `free`. The default is Scale.
const PLAN_VARIABLE: &str = "EMULATED_PLAN";
/// `neon` for latencies as in Neon. By default calls and operations take no time.
const LATENCY_VARIABLE: &str = "EMULATED_LATENCY";

/// The limits of an account on the plan that the tests run on.
pub fn plan_limits() -> Result<Limits> {
    let mut limits = Limits::default();
    if let Some(plan) = std::env::var(PLAN_VARIABLE)
        .ok()
        .filter(|plan| !plan.is_empty())
    {
        limits.plan = plan.parse().context(PLAN_VARIABLE)?;
    }
    Ok(limits)
}

/// The latencies of the emulators that the tests run on.
pub fn latency() -> Result<Latency> {
    match std::env::var(LATENCY_VARIABLE)
        .as_deref()
        .unwrap_or_default()
    {
        "" => Ok(Latency::instant()),
        "neon" => Ok(Latency::neon()),
        other => bail!("{LATENCY_VARIABLE} is {other:?}; the only value is \"neon\""),
    }
}

/// These latencies on the accelerated clock. Calls take real time, and operations take time on the
/// emulator's clock.
fn accelerated(latency: Latency) -> Latency {
    let factor = CLOCK_STEP.as_millis() / CLOCK_STEP_INTERVAL.as_millis();
    let factor = u64::try_from(factor).unwrap_or(u64::MAX);
    Latency {
        create_timeline_ms: latency.create_timeline_ms.saturating_mul(factor),
        start_compute_ms: latency.start_compute_ms.saturating_mul(factor),
        apply_config_ms: latency.apply_config_ms.saturating_mul(factor),
        suspend_compute_ms: latency.suspend_compute_ms.saturating_mul(factor),
        first_connection_ms: latency.first_connection_ms.saturating_mul(factor),
        cold_start_ms: COLD_START_MS,
        ..latency
    }
}

/// When idle computes are suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputeSuspension {
    /// After about a second.
    Accelerated,
    /// After their suspend timeout in real time, so in hardly any test.
    RealTime,
}

/// A running emulator. Dropping it stops the emulator; [`TestEmulator::stop`] also waits.
#[derive(Debug)]
pub struct TestEmulator {
    // Dropped before the emulator.
    clock: JoinSet<()>,
    emulator: Arc<Emulator>,
}

impl TestEmulator {
    /// Starts an emulator on the builder's PostgreSQL server. Its proxy sends the same message with
    /// different SQLSTATEs, as Neon's does.
    pub async fn start(
        builder: Builder,
        suspension: ComputeSuspension,
        mut latency: Latency,
        mut limits: Limits,
    ) -> Result<Self> {
        let mut proxy_caches = ProxyCaches::none();
        if suspension == ComputeSuspension::Accelerated {
            latency = accelerated(latency);
            limits.compute_wait_ms = COMPUTE_WAIT_MS;
            // Less than a second in real time.
            proxy_caches = ProxyCaches::neon();
        }
        let foreign = format!("{FOREIGN_API_KEY}@{FOREIGN_ORGANIZATION}");
        let builder = builder
            .document(api_document().await?)
            .proxy_caches(proxy_caches)
            .varying_sqlstates(true)
            .api_keys([neon_emulator::DEFAULT_API_KEY, &foreign]);
        let emulator = Arc::new(builder.latency(latency).limits(limits).start().await?);
        let mut clock = JoinSet::new();
        if suspension == ComputeSuspension::Accelerated {
            clock.spawn(accelerate_clock(Arc::downgrade(&emulator)));
        }
        Ok(Self { clock, emulator })
    }

    /// Fails if a response or an accepted request did not conform to the OpenAPI document.
    pub fn check_conformance(&self) -> Result<()> {
        let conformance = self.emulator.conformance();
        ensure!(
            conformance.is_enabled(),
            "no exchange was checked against the OpenAPI document"
        );
        let violations = conformance.violations();
        ensure!(
            violations.is_empty(),
            "{} violations of the OpenAPI document:\n{}",
            violations.len(),
            violations.join("\n")
        );
        Ok(())
    }

    pub async fn stop(mut self) {
        self.clock.shutdown().await;
        // The clock had the only other reference.
        if let Some(emulator) = Arc::into_inner(self.emulator) {
            emulator.shutdown().await;
        }
    }
}

impl Deref for TestEmulator {
    type Target = Emulator;

    fn deref(&self) -> &Emulator {
        &self.emulator
    }
}

/// Advances an emulator's clock until the emulator is dropped.
async fn accelerate_clock(emulator: Weak<Emulator>) {
    let mut steps = tokio::time::interval(CLOCK_STEP_INTERVAL);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        steps.tick().await;
        let Some(emulator) = emulator.upgrade() else {
            return;
        };
        if let Err(error) = emulator.advance_clock(CLOCK_STEP).await {
            tracing::warn!(%error, "failed to advance the emulator's clock");
        }
    }
}

/// The OpenAPI document, read once per process.
async fn api_document() -> Result<Arc<Document>> {
    static DOCUMENT: OnceCell<Arc<Document>> = OnceCell::const_new();
    let read = async || {
        tokio::task::spawn_blocking(|| {
            let path = installer::neon_api_document()?;
            Document::read(&path).context("failed to read the OpenAPI document")
        })
        .await?
    };
    DOCUMENT.get_or_try_init(read).await.cloned()
}

#[cfg(test)]
mod tests {
    use installer::Component;
    use neon_emulator::openapi::DOCUMENT_VARIABLE;

    use super::*;

    #[test]
    fn the_installer_exports_the_variable_that_the_emulator_reads() -> Result<()> {
        let exported = Component::NeonTools.install()?;
        assert!(exported.iter().any(|(name, _)| *name == DOCUMENT_VARIABLE));
        Ok(())
    }
}
