//! From apply to Ready, one Tenant at a time, against the bare sequence of calls, statements and writes.

use std::time::{Duration, Instant};

use anyhow::Result;
use crds::{Tenant, TenantSpec};
use kube::Api;
use kube::api::PostParams;
use neon_client::AccountQuota;

use crate::bare::{Bare, Readiness};
use crate::figure::{Figure, Figures, percentile_ms};
use crate::observe::Arrivals;
use crate::say;
use crate::world::{FLOOR_NAMESPACE, NAMESPACE, World};

/// The most that apply to Ready may take over the bare sequence.
const RATIO_MAX: f64 = 1.10;
/// One Tenant, with much to spare.
const READY: Duration = Duration::from_mins(1);
/// Nobody waits for a turn.
const NO_QUOTA: AccountQuota = AccountQuota {
    requests_per_minute: 1_000_000,
    per_route_per_second: 100_000,
    burst: 10_000,
};

/// The three ways in turn, `samples` times each.
pub(crate) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("ready", samples);
    let world = World::start("neon").await?;
    let settings = [
        ("neon-requests-per-minute", "1000000".to_owned()),
        ("neon-per-route-per-second", "100000".to_owned()),
    ];
    let controller = world.start_controller(&settings).await?;
    let mut arrivals = Arrivals::watch(world.client(), NAMESPACE);
    let mut bare_arrivals = Arrivals::watch(world.client(), FLOOR_NAMESPACE);
    // The first is the model of what is written, and opens connections that later ones find open.
    apply_until_ready(&world, "model", &mut arrivals).await?;
    let bare = Bare::like(&world, world.neon(NO_QUOTA)?, "model").await?;
    bare.run("warm", Readiness::Connect, &mut bare_arrivals)
        .await?;

    let (mut ours, mut connecting, mut polling) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 0..samples {
        // Each way is first, second and third equally often.
        for turn in 0..3 {
            match (sample + turn) % 3 {
                0 => ours
                    .push(apply_until_ready(&world, &format!("t{sample}"), &mut arrivals).await?),
                1 => connecting.push(
                    bare.run(
                        &format!("c{sample}"),
                        Readiness::Connect,
                        &mut bare_arrivals,
                    )
                    .await?,
                ),
                _ => polling.push(
                    bare.run(&format!("p{sample}"), Readiness::Poll, &mut bare_arrivals)
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
        figures.above(
            name,
            percentile_ms(&ours, share),
            "ms",
            floor,
            Some(RATIO_MAX),
        );
    }
    figures.told(
        "floor_connecting_median",
        percentile_ms(&connecting, 0.5),
        "ms",
    );
    figures.told("floor_polling_median", percentile_ms(&polling, 0.5), "ms");
    world.stop_controller(controller).await?;
    world.stop().await;
    Ok(figures.into_vec())
}

/// Applies a Tenant that asks for nothing, and gives how long it took until a watch told that it is Ready.
async fn apply_until_ready(world: &World, name: &str, arrivals: &mut Arrivals) -> Result<Duration> {
    let tenants: Api<Tenant> = Api::namespaced(world.client(), NAMESPACE);
    let started = Instant::now();
    tenants
        .create(
            &PostParams::default(),
            &Tenant::new(name, TenantSpec::default()),
        )
        .await?;
    Ok(arrivals.of(name, READY).await?.duration_since(started))
}
