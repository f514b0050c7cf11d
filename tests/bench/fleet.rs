//! A thousand Tenants at once: how close the controller comes to the account's quota, with how many
//! calls, and the resources it uses.

use std::time::{Duration, Instant};

use anyhow::Result;
use crds::{Tenant, TenantSpec};
use kube::Api;
use kube::api::PostParams;
use neon_client::AccountQuota;
use neon_emulator::Latency;

use crate::baseline::{Baseline, Readiness};
use crate::concurrency::for_each_concurrent;
use crate::environment::{BASELINE_NAMESPACE, Environment, NAMESPACE, pid};
use crate::figure::{Figure, Figures, count_to_f64};
use crate::ready_times::ReadyTimes;
use crate::{machine, say};

/// The maximum ratio of the total time to the floor.
const MAX_RATIO: f64 = 1.05;
const MAX_CALLS_PER_TENANT: f64 = 3.0;
const PARALLEL_APPLIES: usize = 32;
/// For all Tenants, with a large margin for slow machines.
const READY_TIMEOUT: Duration = Duration::from_mins(15);

pub(crate) struct FleetParameters {
    name: &'static str,
    quota: AccountQuota,
    /// Settings of the controller besides the quota's. A larger quota needs more concurrency.
    settings: &'static [(&'static str, &'static str)],
    /// Whether the baseline is measured as well, to separate the quota's limit from the machine's.
    with_baseline: bool,
    max_ratio: Option<f64>,
    /// Parallel Tenants of the baseline.
    concurrency: usize,
}

/// Neon's quota with the controller's default settings.
pub(crate) const AT_QUOTA: FleetParameters = FleetParameters {
    name: "fleet",
    quota: AccountQuota::NEON,
    settings: &[],
    with_baseline: false,
    max_ratio: Some(MAX_RATIO),
    concurrency: 64,
};

/// Ten times Neon's quota.
pub(crate) const TENFOLD: FleetParameters = FleetParameters {
    name: "fleet_tenfold",
    quota: AccountQuota {
        requests_per_minute: 7_000,
        per_route_per_second: 400,
        ..AccountQuota::NEON
    },
    settings: &[("migration-concurrency", "48")],
    with_baseline: true,
    max_ratio: Some(MAX_RATIO),
    concurrency: 128,
};

/// The shortest time from the request that creates a project until its database accepts connections.
fn shortest_creation() -> Duration {
    let latency = Latency::neon();
    Duration::from_millis(
        latency.call_min_ms
            + latency.create_timeline_ms
            + latency.start_compute_ms
            + latency.first_connection_ms,
    )
}

pub(crate) async fn measure(parameters: &FleetParameters, tenants: usize) -> Result<Vec<Figure>> {
    let mut figures = Figures::new(parameters.name, tenants);
    let environment = Environment::start("neon").await?;
    let mut settings = vec![(
        "neon-rate-limit",
        parameters.quota.requests_per_minute.to_string(),
    )];
    settings.extend(
        parameters
            .settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let controller = environment.start_controller(&settings).await?;
    let mut times = ReadyTimes::watch(environment.client(), NAMESPACE);
    apply(&environment, "model").await?;
    times.of("model", READY_TIMEOUT).await?;
    // Waits until the quota's token bucket is full.
    let refill =
        60.0 * f64::from(parameters.quota.burst) / f64::from(parameters.quota.requests_per_minute);
    tokio::time::sleep(Duration::from_secs_f64(refill + 1.0)).await;

    let process = pid(&controller)?;
    environment.reset_calls().await?;
    let cpu_before = machine::cpu(process)?;
    let started = Instant::now();
    for_each_concurrent(0..tenants, PARALLEL_APPLIES, async |n| {
        apply(&environment, &format!("t{n}")).await
    })
    .await?;
    say(&format!(
        "   applied {tenants} Tenants in {:.1} s",
        started.elapsed().as_secs_f64()
    ));
    let seconds = times
        .all(tenants + 1, READY_TIMEOUT)
        .await?
        .duration_since(started)
        .as_secs_f64();
    let calls = count_to_f64(environment.counters().await?.total());
    let cpu = machine::cpu(process)?
        .saturating_sub(cpu_before)
        .as_secs_f64();
    let memory = machine::memory(process)?;

    let quota = (calls - f64::from(parameters.quota.burst)).max(1.0) * 60.0
        / f64::from(parameters.quota.requests_per_minute);
    let floor = quota + shortest_creation().as_secs_f64();
    figures.record_with_floor("seconds", seconds, "s", floor, parameters.max_ratio);
    figures.record_with_budget(
        "calls_per_tenant",
        calls / count_to_f64(tenants as u64),
        "calls",
        MAX_CALLS_PER_TENANT,
    );
    figures.record("peak_rss", memory.peak_mib, "MiB");
    figures.record("cpu", cpu, "s");
    environment.stop_controller(controller).await?;
    if parameters.with_baseline {
        let floor = measure_baseline(&environment, parameters, tenants).await?;
        figures.record_with_floor("seconds_over_baseline", seconds, "s", floor, None);
    }
    environment.stop().await;
    Ok(figures.into_vec())
}

pub(crate) async fn apply(environment: &Environment, name: &str) -> Result<()> {
    let tenants: Api<Tenant> = Api::namespaced(environment.client(), NAMESPACE);
    tenants
        .create(
            &PostParams::default(),
            &Tenant::new(name, TenantSpec::default()),
        )
        .await?;
    Ok(())
}

/// The time of the baseline for as many Tenants, with the same concurrency and quota: what this
/// machine can do.
async fn measure_baseline(
    environment: &Environment,
    parameters: &FleetParameters,
    tenants: usize,
) -> Result<f64> {
    let mut times = ReadyTimes::watch(environment.client(), BASELINE_NAMESPACE);
    let baseline =
        Baseline::like(environment, environment.neon(parameters.quota)?, "model").await?;
    let started = Instant::now();
    for_each_concurrent(0..tenants, parameters.concurrency, async |n| {
        baseline.work(&format!("b{n}"), Readiness::Connect).await
    })
    .await?;
    Ok(times
        .all(tenants, READY_TIMEOUT)
        .await?
        .duration_since(started)
        .as_secs_f64())
}
