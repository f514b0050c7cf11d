//! Ten thousand Tenants that are Ready and of whom nobody wants anything: memory, calls, writes, and how fast a controller
//! that comes up finds the one that changed.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crds::Tenant;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tests::wait;
use xtask::controller::ControllerProcess;

use crate::figure::{Figure, Figures, counted};
use crate::observe::Arrivals;
use crate::world::{NAMESPACE, World, pid};
use crate::{machine, say, seed};

/// The most memory, in MiB.
const RSS_MIB_MAX: f64 = 48.0;
/// The most calls of Neon in an hour.
const CALLS_PER_HOUR_MAX: f64 = 60.0;
/// From the start of the process to the pass over the Tenant that changed meanwhile, in seconds.
const RESTART_S_MAX: f64 = 3.0;
/// How many times faster than in production the listings follow each other here: an hour in a minute.
const TIME_LAPSE: f64 = 60.0;
/// Calls an hour that the listings may take, unhurried: the setting's default.
const LISTING_CALLS_PER_HOUR: f64 = 50.0;
/// Between two listings at least, unhurried: the setting's default, in seconds.
const LISTING_INTERVAL_S: f64 = 300.0;
/// Listings over which calls are counted.
const LISTINGS: u64 = 2;
/// Quiet is a span without work: so much processor time in so much time at most.
const QUIET_SPAN: Duration = Duration::from_secs(3);
const QUIET_CPU: Duration = Duration::from_millis(60);
/// Until it is quiet, with much to spare.
const QUIET_LIMIT: Duration = Duration::from_mins(5);
const READY: Duration = Duration::from_mins(1);

/// Seeds `tenants` Tenants and looks at a controller that has nothing to do.
pub(crate) async fn measure(tenants: usize) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("idle", tenants);
    let world = World::start("instant").await?;
    let mut arrivals = Arrivals::watch(world.client(), NAMESPACE);
    let controller = world.start_controller(&[]).await?;
    let api: Api<Tenant> = Api::namespaced(world.client(), NAMESPACE);
    api.create(
        &kube::api::PostParams::default(),
        &Tenant::new("seed-model", crds::TenantSpec::default()),
    )
    .await?;
    arrivals.of("seed-model", READY).await?;
    drop(arrivals);
    world.stop_controller(controller).await?;
    seed::seed(&world, "seed-model", tenants).await?;

    // The class's count of its Tenants is written by the first controller that sees them; what comes after has nothing to write.
    let controller = world.start_controller(&[]).await?;
    passes(&controller, tenants).await?;
    quiet(&controller).await?;
    world.stop_controller(controller).await?;

    let opened_before = opened(&world).await?;
    let restart_s = restart(
        &world,
        &format!("idle-{}", tenants / 2),
        &mut figures,
        tenants,
    )
    .await?;
    figures.bounded("restart", restart_s, "s", RESTART_S_MAX);
    listings(&world, &mut figures).await?;
    figures.bounded(
        "databases_opened",
        counted(opened(&world).await?.saturating_sub(opened_before)),
        "connections",
        0.0,
    );
    world.stop().await;
    Ok(figures.into_vec())
}

/// Connections ever opened to any database.
async fn opened(world: &World) -> Result<u64> {
    Ok(world.counted().await?.connections.values().sum())
}

/// Changes one Tenant while no controller runs and starts one, with its usual settings. Gives the seconds from its start until
/// its pass over that Tenant is seen; then waits until it is quiet, and notes what it needs.
async fn restart(world: &World, name: &str, figures: &mut Figures, tenants: usize) -> Result<f64> {
    let api: Api<Tenant> = Api::namespaced(world.client(), NAMESPACE);
    // Nothing that Neon or the database would have to be told.
    let change = json!({"spec": {"deletionPolicy": "Retain"}});
    let changed = api
        .patch(name, &PatchParams::default(), &Patch::Merge(change))
        .await?;
    ensure!(
        changed.metadata.generation == Some(2),
        "the Tenant did not change"
    );
    let since = jiff::Timestamp::now();
    let started = Instant::now();
    let mut controller = world.spawn_controller(&[])?;
    let pass = wait::until(&api, name, READY, "looked at again", |tenant| {
        tenant.is_some_and(tests::case::is_ready)
    });
    pass.await?;
    let seconds = started.elapsed().as_secs_f64();
    controller.wait_until_ready().await?;
    passes(&controller, tenants).await?;
    quiet(&controller).await?;
    let process = pid(&controller)?;
    let memory = machine::memory(process)?;
    figures.bounded("rss", memory.resident_mib, "MiB", RSS_MIB_MAX);
    figures.told("peak_rss", memory.peak_mib, "MiB");
    figures.told("restart_cpu", machine::cpu(process)?.as_secs_f64(), "s");
    world.stop_controller(controller).await?;
    // The one write is the status of the Tenant that changed.
    let writes = writes(world, since)?;
    for write in &writes {
        say(&format!("   wrote {write}"));
    }
    figures.bounded(
        "writes",
        counted(writes.len().saturating_sub(1) as u64),
        "writes",
        0.0,
    );
    Ok(seconds)
}

/// Counts the calls of a controller whose listings follow each other faster than usual, from the beginning of one to that of another.
async fn listings(world: &World, figures: &mut Figures) -> Result<()> {
    let settings = [
        (
            "neon-listing-calls-per-hour",
            format!("{:.0}", LISTING_CALLS_PER_HOUR * TIME_LAPSE),
        ),
        (
            "neon-listing-interval",
            format!("{:.0}ms", LISTING_INTERVAL_S * 1_000.0 / TIME_LAPSE),
        ),
    ];
    let controller = world.start_controller(&settings).await?;
    quiet(&controller).await?;
    let before = world.counted().await?.total();
    let began = more_calls(world, before).await?;
    // A listing is over when no call follows for a while.
    quiet(&controller).await?;
    let pages = world.counted().await?.total() - before;
    let mut ended = began;
    for listing in 1..=LISTINGS {
        ended = more_calls(world, before + listing * pages).await?;
    }
    let cpu_before = machine::cpu(pid(&controller)?)?;
    let window = ended.duration_since(began).as_secs_f64();
    let calls = counted(LISTINGS * pages);
    figures.bounded(
        "calls_per_hour",
        calls * 3_600.0 / window / TIME_LAPSE,
        "calls",
        CALLS_PER_HOUR_MAX,
    );
    figures.told("pages_per_listing", counted(pages), "calls");
    quiet(&controller).await?;
    figures.told(
        "listing_cpu",
        machine::cpu(pid(&controller)?)?
            .saturating_sub(cpu_before)
            .as_secs_f64(),
        "s",
    );
    world.stop_controller(controller).await
}

/// Waits until there were more calls than that; gives when it was seen.
async fn more_calls(world: &World, than: u64) -> Result<Instant> {
    wait::poll(QUIET_LIMIT, "another call", async || {
        let total = world.counted().await?.total();
        Ok((total > than).then(Instant::now))
    })
    .await
}

/// Waits until the controller made a pass over each Tenant.
async fn passes(controller: &ControllerProcess, tenants: usize) -> Result<()> {
    wait::poll(QUIET_LIMIT, "a pass over every Tenant", async || {
        let metrics = controller.metrics().await?;
        let passes = metrics
            .lines()
            .filter(|line| line.starts_with("tenant_controller_reconciles_total{"));
        let passes: f64 = passes
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        Ok((passes >= counted(tenants as u64)).then_some(()))
    })
    .await
}

/// Waits until the controller does next to nothing.
async fn quiet(controller: &ControllerProcess) -> Result<()> {
    let process = pid(controller)?;
    let started = Instant::now();
    loop {
        let before = machine::cpu(process)?;
        tokio::time::sleep(QUIET_SPAN).await;
        if machine::cpu(process)?.saturating_sub(before) <= QUIET_CPU {
            return Ok(());
        }
        ensure!(
            started.elapsed() < QUIET_LIMIT,
            "the controller is not quiet after {} s",
            QUIET_LIMIT.as_secs()
        );
    }
}

/// What the controller wrote to the Kubernetes API since then, apart from its Lease: from the API server's audit log.
fn writes(world: &World, since: jiff::Timestamp) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut requests = 0_usize;
    for log in world.audit_logs()? {
        for line in BufReader::new(File::open(log)?).lines() {
            let line = line?;
            if !line.contains("system:serviceaccount:tenant-system:") {
                continue;
            }
            let event: Value = serde_json::from_str(&line).context("a line of the audit log")?;
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            let at: jiff::Timestamp = text("requestReceivedTimestamp").parse()?;
            if at < since {
                continue;
            }
            requests += 1;
            let (verb, path) = (text("verb"), text("requestURI"));
            let path = path.split('?').next().unwrap_or_default().to_owned();
            if !matches!(verb.as_str(), "get" | "list" | "watch") && !path.contains("/leases") {
                found.push(format!("{verb} {path}"));
            }
        }
    }
    ensure!(
        requests > 0,
        "the audit log knows no request of the controller: nothing was proven"
    );
    Ok(found)
}
