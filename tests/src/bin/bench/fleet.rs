//! A thousand Tenants at once: how near to the account's quota the controller comes, with how many calls, and what it
//! needs for it.

use std::time::{Duration, Instant};

use anyhow::Result;
use crds::{Tenant, TenantSpec};
use kube::Api;
use kube::api::PostParams;
use neon_client::AccountQuota;

use crate::bare::{Bare, Readiness};
use crate::figure::{Figure, Figures, counted};
use crate::observe::Arrivals;
use crate::world::{FLOOR_NAMESPACE, NAMESPACE, World, pid};
use crate::{crowd, machine, say};

/// The most that the whole may take over the time in which the quota lets its calls through.
const RATIO_MAX: f64 = 1.05;
/// The most calls of Neon for one Tenant.
const CALLS_PER_TENANT_MAX: f64 = 3.0;
/// Applies that run at once.
const APPLIES: usize = 32;
/// All Tenants, with much to spare on a slow machine.
const READY: Duration = Duration::from_mins(15);

/// One form of the benchmark.
pub(crate) struct Form {
    name: &'static str,
    quota: AccountQuota,
    /// Settings of the controller beside the quota's. Where the account grants more, more is done at once.
    settings: &'static [(&'static str, &'static str)],
    /// Whether the bare work is measured too, to tell the quota's limit from the machine's.
    with_machine_floor: bool,
    ratio_max: Option<f64>,
    /// Tenants worked on at once, for the bare work.
    at_once: usize,
}

/// At the figures that Neon grants, with the controller's own settings.
pub(crate) const AT_QUOTA: Form = Form {
    name: "fleet",
    quota: AccountQuota::NEON,
    settings: &[],
    with_machine_floor: false,
    ratio_max: Some(RATIO_MAX),
    at_once: 64,
};

/// At ten times them.
pub(crate) const TENFOLD: Form = Form {
    name: "fleet_tenfold",
    quota: AccountQuota {
        requests_per_minute: 7_000,
        per_route_per_second: 400,
        ..AccountQuota::NEON
    },
    settings: &[("concurrency", "128"), ("migration-concurrency", "48")],
    with_machine_floor: true,
    ratio_max: Some(RATIO_MAX),
    at_once: 128,
};

/// Applies `tenants` Tenants and waits until all are Ready.
pub(crate) async fn measure(form: &Form, tenants: usize) -> Result<Vec<Figure>> {
    let mut figures = Figures::new(form.name, tenants);
    let world = World::start("neon").await?;
    let mut settings = vec![
        (
            "neon-requests-per-minute",
            form.quota.requests_per_minute.to_string(),
        ),
        (
            "neon-per-route-per-second",
            form.quota.per_route_per_second.to_string(),
        ),
    ];
    settings.extend(
        form.settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let controller = world.start_controller(&settings).await?;
    let mut arrivals = Arrivals::watch(world.client(), NAMESPACE);
    apply(&world, "model").await?;
    arrivals.of("model", READY).await?;
    // Until the bucket is as full as it gets.
    let refill = 60.0 * f64::from(form.quota.burst) / f64::from(form.quota.requests_per_minute);
    tokio::time::sleep(Duration::from_secs_f64(refill + 1.0)).await;

    let process = pid(&controller)?;
    world.reset_calls().await?;
    let cpu_before = machine::cpu(process)?;
    let started = Instant::now();
    crowd::each(0..tenants, APPLIES, async |n| {
        apply(&world, &format!("t{n}")).await
    })
    .await?;
    say(&format!(
        "   {tenants} Tenants are applied after {:.1} s",
        started.elapsed().as_secs_f64()
    ));
    let seconds = arrivals
        .all(tenants + 1, READY)
        .await?
        .duration_since(started)
        .as_secs_f64();
    let calls = counted(world.counted().await?.total());
    let cpu = machine::cpu(process)?
        .saturating_sub(cpu_before)
        .as_secs_f64();
    let memory = machine::memory(process)?;

    let floor = (calls - f64::from(form.quota.burst)).max(1.0) * 60.0
        / f64::from(form.quota.requests_per_minute);
    figures.above("seconds", seconds, "s", floor, form.ratio_max);
    figures.bounded(
        "calls_per_tenant",
        calls / counted(tenants as u64),
        "calls",
        CALLS_PER_TENANT_MAX,
    );
    figures.told("peak_rss", memory.peak_mib, "MiB");
    figures.told("cpu", cpu, "s");
    world.stop_controller(controller).await?;
    if form.with_machine_floor {
        let floor = bare(&world, form, tenants).await?;
        figures.above("seconds_over_bare_work", seconds, "s", floor, None);
    }
    world.stop().await;
    Ok(figures.into_vec())
}

async fn apply(world: &World, name: &str) -> Result<()> {
    let tenants: Api<Tenant> = Api::namespaced(world.client(), NAMESPACE);
    tenants
        .create(
            &PostParams::default(),
            &Tenant::new(name, TenantSpec::default()),
        )
        .await?;
    Ok(())
}

/// How long the bare work for as many Tenants takes, as many at once and under the same quota: what this machine can do.
async fn bare(world: &World, form: &Form, tenants: usize) -> Result<f64> {
    let mut arrivals = Arrivals::watch(world.client(), FLOOR_NAMESPACE);
    let bare = Bare::like(world, world.neon(form.quota)?, "model").await?;
    let started = Instant::now();
    crowd::each(0..tenants, form.at_once, async |n| {
        bare.work(&format!("b{n}"), Readiness::Connect).await
    })
    .await?;
    Ok(arrivals
        .all(tenants, READY)
        .await?
        .duration_since(started)
        .as_secs_f64())
}
