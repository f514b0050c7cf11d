//! The time from apply to Ready, one Tenant at a time, compared with the baseline of calls,
//! statements and writes.

use std::time::{Duration, Instant};

use anyhow::Result;
use crds::{Tenant, TenantSpec};
use kube::Api;
use kube::api::PostParams;
use neon_client::AccountQuota;

use crate::baseline::{Baseline, Readiness};
use crate::environment::{BASELINE_NAMESPACE, Environment, NAMESPACE};
use crate::figure::{Figure, Figures, percentile_ms};
use crate::ready_times::ReadyTimes;
use crate::say;

/// The maximum ratio to the baseline.
const MAX_RATIO: f64 = 1.10;
/// For one Tenant, with a large margin.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// A quota so large that no call waits for it.
const UNLIMITED_QUOTA: AccountQuota = AccountQuota {
    requests_per_minute: 1_000_000,
    per_route_per_second: 100_000,
    burst: 10_000,
};

/// Measures the controller and both baselines alternately, `samples` times each.
pub(crate) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("ready", samples);
    let environment = Environment::start("neon").await?;
    let settings = [("neon-rate-limit", "1000000".to_owned())];
    let controller = environment.start_controller(&settings).await?;
    let mut times = ReadyTimes::watch(environment.client(), NAMESPACE);
    let mut baseline_times = ReadyTimes::watch(environment.client(), BASELINE_NAMESPACE);
    // The first Tenant is the baseline's template, and it opens connections that later ones reuse.
    apply_until_ready(&environment, "model", &mut times).await?;
    let baseline =
        Baseline::like(&environment, environment.neon(UNLIMITED_QUOTA)?, "model").await?;
    baseline
        .run("warm", Readiness::Connect, &mut baseline_times)
        .await?;

    let (mut ours, mut connecting, mut polling) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 0..samples {
        // Each comes first, second and third equally often.
        for turn in 0..3 {
            match (sample + turn) % 3 {
                0 => ours.push(
                    apply_until_ready(&environment, &format!("t{sample}"), &mut times).await?,
                ),
                1 => connecting.push(
                    baseline
                        .run(
                            &format!("c{sample}"),
                            Readiness::Connect,
                            &mut baseline_times,
                        )
                        .await?,
                ),
                _ => polling.push(
                    baseline
                        .run(&format!("p{sample}"), Readiness::Poll, &mut baseline_times)
                        .await?,
                ),
            }
        }
        if (sample + 1) % 10 == 0 {
            say(&format!("   {} of {samples} samples", sample + 1));
        }
    }
    for (name, share) in [("median", 0.5), ("p95", 0.95)] {
        let floor = percentile_ms(&connecting, share).min(percentile_ms(&polling, share));
        figures.record_with_floor(
            name,
            percentile_ms(&ours, share),
            "ms",
            floor,
            Some(MAX_RATIO),
        );
    }
    figures.record(
        "floor_connecting_median",
        percentile_ms(&connecting, 0.5),
        "ms",
    );
    figures.record("floor_polling_median", percentile_ms(&polling, 0.5), "ms");
    environment.stop_controller(controller).await?;
    environment.stop().await;
    Ok(figures.into_vec())
}

/// Applies a Tenant with an empty spec. Returns the time until a watch shows that it is Ready.
async fn apply_until_ready(
    environment: &Environment,
    name: &str,
    times: &mut ReadyTimes,
) -> Result<Duration> {
    let tenants: Api<Tenant> = Api::namespaced(environment.client(), NAMESPACE);
    let started = Instant::now();
    tenants
        .create(
            &PostParams::default(),
            &Tenant::new(name, TenantSpec::default()),
        )
        .await?;
    Ok(times.of(name, READY_TIMEOUT).await?.duration_since(started))
}
