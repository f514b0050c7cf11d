//! Ten thousand idle Tenants: memory, API calls, writes, and how fast a restarted controller
//! reconciles a changed Tenant.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use crds::Tenant;
use kube::Api;
use kube::api::{Patch, PatchParams};
use local_stack::controller::ControllerProcess;
use serde_json::json;
use test_support::wait;

use crate::environment::{Environment, NAMESPACE, pid};
use crate::figure::{Figure, Figures, count_to_f64};
use crate::ready_times::ReadyTimes;
use crate::{machine, say, seed};

const MAX_RSS_MIB: f64 = 48.0;
const MAX_CALLS_PER_HOUR: f64 = 60.0;
/// From the start of the process until it has reconciled the Tenant that changed meanwhile, in
/// seconds.
const MAX_RESTART_SECONDS: f64 = 3.0;
/// The acceleration of the listings: an hour's listings take a minute.
const ACCELERATION: f64 = 60.0;
/// The setting's default.
const LISTING_CALLS_PER_HOUR: f64 = 50.0;
/// The setting's default, in seconds.
const LISTING_INTERVAL_S: f64 = 300.0;
/// The number of listings in which calls are counted.
const LISTINGS: u64 = 2;
/// The controller is idle when it uses at most this much processor time in this period.
const IDLE_PERIOD: Duration = Duration::from_secs(3);
const MAX_IDLE_CPU: Duration = Duration::from_millis(60);
/// With a large margin.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);
const READY_TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) async fn measure(tenants: usize) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("idle", tenants);
    let environment = Environment::start("instant").await?;
    let mut times = ReadyTimes::watch(environment.client(), NAMESPACE);
    let controller = environment.start_controller(&[]).await?;
    let api: Api<Tenant> = Api::namespaced(environment.client(), NAMESPACE);
    api.create(
        &kube::api::PostParams::default(),
        &Tenant::new("seed-template", crds::TenantSpec::default()),
    )
    .await?;
    times.of("seed-template", READY_TIMEOUT).await?;
    drop(times);
    environment.stop_controller(controller).await?;
    seed::seed(&environment, "seed-template", tenants).await?;

    // The first controller that sees the Tenants writes their number to the class's status. Later
    // ones have nothing to write.
    let controller = environment.start_controller(&[]).await?;
    wait_for_reconciles(&controller, tenants).await?;
    wait_until_idle(&controller).await?;
    environment.stop_controller(controller).await?;

    let opened_before = connections_opened(&environment).await?;
    let restart_s = restart(
        &environment,
        &format!("idle-{}", tenants / 2),
        &mut figures,
        tenants,
    )
    .await?;
    figures.record_with_budget("restart", restart_s, "s", MAX_RESTART_SECONDS);
    measure_listings(&environment, &mut figures).await?;
    figures.record_with_budget(
        "databases_opened",
        count_to_f64(
            connections_opened(&environment)
                .await?
                .saturating_sub(opened_before),
        ),
        "connections",
        0.0,
    );
    environment.stop().await;
    Ok(figures.into_vec())
}

/// The number of connections to all databases so far.
async fn connections_opened(environment: &Environment) -> Result<u64> {
    Ok(environment.counters().await?.connections.values().sum())
}

/// Changes one Tenant while no controller runs, and starts one with its usual settings. Returns the
/// seconds from its start until it has reconciled the Tenant. Then waits until it is idle, and
/// measures its resources.
async fn restart(
    environment: &Environment,
    name: &str,
    figures: &mut Figures,
    tenants: usize,
) -> Result<f64> {
    let api: Api<Tenant> = Api::namespaced(environment.client(), NAMESPACE);
    // A change that needs no Neon call and no database connection.
    let change = json!({"spec": {"deletionPolicy": "Retain"}});
    let changed = api
        .patch(name, &PatchParams::default(), &Patch::Merge(change))
        .await?;
    ensure!(
        changed.metadata.generation == Some(2),
        "the Tenant was not changed"
    );
    let since = jiff::Timestamp::now();
    let started = Instant::now();
    let mut controller = environment.spawn_controller(&[])?;
    let reconciled = wait::until(&api, name, READY_TIMEOUT, "reconciled", |tenant| {
        tenant.is_some_and(test_support::scenario::is_ready)
    });
    reconciled.await?;
    let seconds = started.elapsed().as_secs_f64();
    controller.wait_until_ready().await?;
    wait_for_reconciles(&controller, tenants).await?;
    wait_until_idle(&controller).await?;
    let process = pid(&controller)?;
    let memory = machine::memory(process)?;
    figures.record_with_budget("rss", memory.resident_mib, "MiB", MAX_RSS_MIB);
    figures.record("peak_rss", memory.peak_mib, "MiB");
    figures.record("restart_cpu", machine::cpu(process)?.as_secs_f64(), "s");
    environment.stop_controller(controller).await?;
    // One write is the status of the changed Tenant.
    let writes = environment.writes(since)?;
    for write in &writes {
        say(&format!("   wrote {write}"));
    }
    figures.record_with_budget(
        "writes",
        count_to_f64(writes.len().saturating_sub(1) as u64),
        "writes",
        0.0,
    );
    Ok(seconds)
}

/// Counts the calls of a controller with accelerated listings, from the beginning of one listing to
/// that of another.
async fn measure_listings(environment: &Environment, figures: &mut Figures) -> Result<()> {
    let settings = [
        (
            "drift-check-calls-per-hour",
            format!("{:.0}", LISTING_CALLS_PER_HOUR * ACCELERATION),
        ),
        (
            "drift-check-interval",
            format!("{:.0}ms", LISTING_INTERVAL_S * 1_000.0 / ACCELERATION),
        ),
    ];
    let controller = environment.start_controller(&settings).await?;
    wait_until_idle(&controller).await?;
    let before = environment.counters().await?.listed_pages();
    let (began, calls_before) = wait_for_pages(environment, before).await?;
    // The listing is finished when no call follows for a while.
    wait_until_idle(&controller).await?;
    let pages = environment.counters().await?.listed_pages() - before;
    let (ended, calls_after) = wait_for_pages(environment, before + LISTINGS * pages).await?;
    let cpu_before = machine::cpu(pid(&controller)?)?;
    let window = ended.duration_since(began).as_secs_f64();
    let calls = count_to_f64(calls_after - calls_before);
    figures.record_with_budget(
        "calls_per_hour",
        calls * 3_600.0 / window / ACCELERATION,
        "calls",
        MAX_CALLS_PER_HOUR,
    );
    figures.record("pages_per_listing", count_to_f64(pages), "calls");
    wait_until_idle(&controller).await?;
    figures.record(
        "listing_cpu",
        machine::cpu(pid(&controller)?)?
            .saturating_sub(cpu_before)
            .as_secs_f64(),
        "s",
    );
    environment.stop_controller(controller).await
}

/// Waits until more pages of listings were read. Returns when that was observed, and how many calls
/// there were by then.
async fn wait_for_pages(environment: &Environment, than: u64) -> Result<(Instant, u64)> {
    wait::poll(IDLE_TIMEOUT, "another listing", async || {
        let counters = environment.counters().await?;
        Ok((counters.listed_pages() > than).then(|| (Instant::now(), counters.total())))
    })
    .await
}

/// Waits until the controller has reconciled every Tenant.
async fn wait_for_reconciles(controller: &ControllerProcess, tenants: usize) -> Result<()> {
    wait::poll(IDLE_TIMEOUT, "a reconcile of every Tenant", async || {
        let metrics = controller.metrics().await?;
        let passes = metrics
            .lines()
            .filter(|line| line.starts_with("tenant_controller_reconciles_total{"));
        let passes: f64 = passes
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        Ok((passes >= count_to_f64(tenants as u64)).then_some(()))
    })
    .await
}

/// Waits until the controller is idle.
async fn wait_until_idle(controller: &ControllerProcess) -> Result<()> {
    let process = pid(controller)?;
    let started = Instant::now();
    loop {
        let before = machine::cpu(process)?;
        tokio::time::sleep(IDLE_PERIOD).await;
        if machine::cpu(process)?.saturating_sub(before) <= MAX_IDLE_CPU {
            return Ok(());
        }
        ensure!(
            started.elapsed() < IDLE_TIMEOUT,
            "the controller is not idle after {} s",
            IDLE_TIMEOUT.as_secs()
        );
    }
}
