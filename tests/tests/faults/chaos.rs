//! Many Tenants at once are created, edited and deleted while replicas are killed and every fifth answer of Neon is a fault.
//! Then it is calm, and everything must be as if nothing had happened.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crds::Tenant;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::ResourceExt as _;
use kube::api::ListParams;
use neon_emulator::faults::{DATA_PLANE, EVERY_ROUTE, Effect, Fault};
use neon_emulator::{Emulator, Limits};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use sqlx::Connection as _;
use tests::case::{is_ready, project_id, status};
use tests::suite::{self, Trial};
use tests::{Case, Cluster, ClusterOptions, limits, wait};
use tokio::sync::watch;

use crate::is_long;
use crate::run::open;

/// Names the seed of a run that is to be had again.
const SEED: &str = "FAULTS_SEED";
const TENANTS_SHORT: usize = 30;
const TENANTS_LONG: usize = 200;
const REPLICAS: [&str; 2] = ["one", "two"];
/// Time between two things that people do, in milliseconds.
const DEED_PAUSE_MS: u64 = 1_500;
/// Time between two kills, in milliseconds. A new leader needs the Lease's 3 seconds to take over, and is killed at times
/// before it did anything, and at times after it did much.
const KILL_PAUSE_MS: Range<u64> = 500..6_000;
/// Faults among a hundred answers, at least; how many it is to be stands in [`faults`].
const FAULTS_PERCENT_MIN: u64 = 15;
/// From the last fault to the end.
const CALM: Duration = Duration::from_mins(5);
/// The whole test.
const CHAOS: Duration = Duration::from_mins(25);
/// Databases that are opened at once.
const OPENED_AT_ONCE: usize = 8;

pub(crate) fn tests() -> Vec<Trial> {
    let name = "faults::chaos::tenants_survive_kills_of_two_replicas_and_a_fifth_of_all_answers_being_faults";
    vec![suite::test_alone(name, CHAOS, chaos)]
}

/// What people did.
#[derive(Default)]
struct Deeds {
    alive: BTreeMap<String, Option<i64>>,
    deleted: Vec<String>,
    edits: usize,
}

/// What the replicas went through.
#[derive(Debug, Default)]
struct Deaths {
    killed: usize,
    ended_by_themselves: usize,
}

async fn chaos() -> Result<()> {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed
            .parse()
            .with_context(|| format!("{SEED} is no number"))?,
        Err(_) => rand::random(),
    };
    suite::say(&format!("chaos: {SEED}={seed}"));
    let options = ClusterOptions::default()
        .replicas(REPLICAS.len())
        .setting("log-filter", "info")
        .setting("lease-duration", "3s")
        .setting("lease-renew-deadline", "2s")
        .setting("lease-retry-interval", "500ms")
        .setting("neon-create-settle-window", "4s")
        .setting("migration-connect-timeout", "5s");
    let cluster = Arc::new(Cluster::start(options).await?);
    let case = Case::new(Arc::clone(&cluster), "chaos").await?;
    let result = Box::pin(run(&case, seed)).await;
    if let Err(error) = &result {
        suite::say(&format!(
            "chaos failed, {SEED}={seed}: {error:#}\n{}",
            case.report().await
        ));
        case.abandon().await;
    }
    drop(case);
    let ended = suite::end(cluster).await;
    result.and(ended)
}

async fn run(case: &Case, seed: u64) -> Result<()> {
    let count = if is_long() {
        TENANTS_LONG
    } else {
        TENANTS_SHORT
    };
    let (class, emulator) = case
        .class_with_limits(json!({}), seed, Limits::default())
        .await?;
    for fault in faults() {
        emulator
            .faults()
            .add(fault)
            .context("no room for a fault")?;
    }
    let started = Instant::now();
    let (calm, is_calm) = watch::channel(false);
    let doing = async {
        let deeds = people(case, &class, count, &mut StdRng::seed_from_u64(seed)).await;
        // What the world is like from now on: no more deeds, no more kills, no more faults.
        calm.send_replace(true);
        deeds
    };
    let (deeds, deaths) = tokio::try_join!(
        doing,
        killer(case.cluster(), StdRng::seed_from_u64(seed ^ 1), is_calm)
    )?;
    let happened: u64 = emulator
        .faults()
        .list()
        .iter()
        .map(|fault| fault.triggered)
        .sum();
    emulator.faults().clear();
    let calls: u64 = emulator.calls().values().sum();
    let calm_since = Instant::now();
    ensure!(
        happened * 100 >= calls * FAULTS_PERCENT_MIN,
        "{happened} faults in {calls} calls are too few to show anything"
    );
    ensure!(
        deaths.killed > 0,
        "no replica was killed: nothing was shown"
    );

    stream::iter(&deeds.deleted)
        .map(Ok::<_, anyhow::Error>)
        .try_for_each_concurrent(None, |name| case.gone_within(name, CALM))
        .await?;
    stream::iter(deeds.alive.keys())
        .map(Ok::<_, anyhow::Error>)
        .try_for_each_concurrent(None, |name| async move {
            case.until(name, CALM, "Ready", is_ready).await.map(drop)
        })
        .await?;
    let settled = calm_since.elapsed();
    one_project_each(case, &emulator, &deeds).await?;
    passwords_work(case).await?;
    wishes_are_in_effect(case, &deeds).await?;
    let made = emulator.projects().await?.len();
    suite::say(&format!(
        "chaos: {count} Tenants ({} deleted, {} edits), {deaths:?}, {happened} faults in {calls} calls, {made} projects made, {} s of chaos, \
         all well {:.1} s later",
        deeds.deleted.len(),
        deeds.edits,
        calm_since.duration_since(started).as_secs(),
        settled.as_secs_f64()
    ));
    drop(emulator);
    Box::pin(case.finish()).await
}

/// A fifth of all calls, and some of the connections.
fn faults() -> Vec<Fault> {
    let status = |status, retry_after_seconds| Effect::Status {
        status,
        retry_after_seconds,
    };
    let error = "the compute did not start".to_owned();
    let calls = [
        (0.03, status(429, Some(1))),
        (0.03, status(423, None)),
        (0.02, status(500, None)),
        (0.03, status(503, None)),
        (0.02, Effect::Html524),
        (0.04, Effect::AnswerLost),
        (0.03, Effect::WorkLate { ms: 1_500 }),
    ];
    let mut faults: Vec<_> = calls
        .into_iter()
        .map(|(share, effect)| Fault::new(EVERY_ROUTE, effect).probability(share))
        .collect();
    faults.push(
        Fault::new("createProject", Effect::OperationFails { ms: 2_000, error }).probability(0.1),
    );
    faults.push(Fault::new(DATA_PLANE, Effect::RefuseConnections).probability(0.1));
    faults
        .push(Fault::new(DATA_PLANE, Effect::CutConnection { after_messages: 3 }).probability(0.1));
    faults
}

/// Creates Tenants, edits them, and deletes a third of them, whatever state they are in.
async fn people(case: &Case, class: &str, count: usize, dice: &mut StdRng) -> Result<Deeds> {
    let mut deeds = Deeds::default();
    for number in 0..count {
        let name = format!("t{number}");
        case.apply(&name, json!({"className": class})).await?;
        deeds.alive.insert(name, None);
        if dice.random_bool(0.5) {
            let name = any(&deeds, dice);
            let bytes = dice.random_range(1..100) * 1_000_000_000;
            case.patch(
                &name,
                json!({"spec": {"quota": {"logicalSizeBytes": bytes}, "compute": {"maxCU": 2}}}),
            )
            .await?;
            deeds.alive.insert(name, Some(bytes));
            deeds.edits += 1;
        }
        if number % 3 == 2 {
            let name = any(&deeds, dice);
            case.delete(&name).await?;
            deeds.alive.remove(&name);
            deeds.deleted.push(name);
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..DEED_PAUSE_MS))).await;
    }
    Ok(deeds)
}

fn any(deeds: &Deeds, dice: &mut StdRng) -> String {
    deeds
        .alive
        .keys()
        .nth(dice.random_range(0..deeds.alive.len()))
        .cloned()
        .unwrap_or_default()
}

/// Kills replicas and starts them again until it is calm; then both run.
async fn killer(
    cluster: &Cluster,
    mut dice: StdRng,
    mut calm: watch::Receiver<bool>,
) -> Result<Deaths> {
    let mut deaths = Deaths::default();
    loop {
        let pause = Duration::from_millis(dice.random_range(KILL_PAUSE_MS));
        let is_calm = tokio::time::timeout(pause, calm.wait_for(|calm| *calm))
            .await
            .is_ok();
        for name in REPLICAS {
            // One that was not scheduled for too long has lost the Lease, and ends as it must.
            if !cluster.runs(name).await? {
                deaths.ended_by_themselves += 1;
                drop(cluster.take_controller(name).await?);
                cluster.start_controller(name).await?;
            }
        }
        if is_calm {
            return Ok(deaths);
        }
        let name = REPLICAS[dice.random_range(0..REPLICAS.len())];
        cluster.kill_controller(name).await?;
        cluster.start_controller(name).await?;
        deaths.killed += 1;
    }
}

async fn one_project_each(case: &Case, emulator: &Emulator, deeds: &Deeds) -> Result<()> {
    wait::poll(
        limits::SETTLE,
        "one project for each Tenant and none without",
        async || {
            let tenants = case.tenants().list(&ListParams::default()).await?.items;
            ensure!(
                tenants.len() == deeds.alive.len(),
                "{} Tenants are there, not {}",
                tenants.len(),
                deeds.alive.len()
            );
            let mut living: Vec<_> = emulator.projects().await?;
            living.retain(|project| project.deleted_at.is_none());
            for tenant in &tenants {
                let uid = tenant.uid().unwrap_or_default();
                let own: Vec<_> = living
                    .iter()
                    .filter(|project| project.name.contains(&uid))
                    .map(|project| project.id.clone())
                    .collect();
                ensure!(
                    own == [project_id(tenant)?],
                    "{} has {own:?}",
                    tenant.name_any()
                );
            }
            ensure!(
                living.len() == tenants.len(),
                "{} projects live for {} Tenants",
                living.len(),
                tenants.len()
            );
            Ok(Some(()))
        },
    )
    .await
}

async fn passwords_work(case: &Case) -> Result<()> {
    let tenants: Vec<Tenant> = case.tenants().list(&ListParams::default()).await?.items;
    stream::iter(&tenants)
        .map(Ok)
        .try_for_each_concurrent(OPENED_AT_ONCE, |tenant| async move {
            let opened = open(&case.secret(tenant).await?).await;
            let mut connection =
                opened.with_context(|| format!("with the Secret of {}", tenant.name_any()))?;
            sqlx::query("select count(*) from documents")
                .execute(&mut connection)
                .await?;
            Ok(connection.close().await?)
        })
        .await
}

async fn wishes_are_in_effect(case: &Case, deeds: &Deeds) -> Result<()> {
    for (name, bytes) in deeds.alive.iter().filter(|(_, bytes)| bytes.is_some()) {
        let tenant = case.tenant(name).await?;
        let effective = status(&tenant)
            .and_then(|status| status.effective.as_ref())
            .context("nothing is in effect")?;
        ensure!(
            effective.quota.logical_size_bytes == *bytes,
            "{name} has {:?}, not {bytes:?}",
            effective.quota
        );
    }
    Ok(())
}
