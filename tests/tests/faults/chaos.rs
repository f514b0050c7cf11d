//! Creates, edits and deletes many Tenants while replicas are killed and a fifth of Neon's
//! responses are faults. After the faults end, the state must be as if they had never happened.

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
use test_support::scenario::{is_ready, project_id, status};
use test_support::suite::{self, Trial};
use test_support::{Cluster, ClusterOptions, Scenario, timeouts, wait};
use tokio::sync::watch;

use crate::is_long;
use crate::run::open;

/// The seed of a run that is to be repeated.
const SEED: &str = "FAULTS_SEED";
const TENANTS_SHORT: usize = 30;
const TENANTS_LONG: usize = 200;
const REPLICAS: [&str; 2] = ["one", "two"];
/// The maximum pause between two actions of the test, in milliseconds.
const MAX_ACTION_PAUSE_MS: u64 = 1_500;
/// The pause between two kills, in milliseconds. A new leader takes over after the lease duration
/// of 3 s, so some leaders are killed before they have done anything and some after they have done
/// much.
const KILL_PAUSE_MS: Range<u64> = 500..6_000;
/// The minimum share of calls with faults. The intended share is in [`faults`].
const MIN_FAULTS_PERCENT: u64 = 15;
/// From the last fault until all Tenants are Ready or deleted.
const CONVERGE_TIMEOUT: Duration = Duration::from_mins(5);
/// For the whole test.
const TEST_TIMEOUT: Duration = Duration::from_mins(25);
/// Databases that are opened in parallel.
const PARALLEL_CONNECTIONS: usize = 8;

pub(crate) fn tests() -> Vec<Trial> {
    let name = "faults::chaos::tenants_converge_despite_killed_replicas_and_faults_in_a_fifth_of_all_responses";
    vec![suite::test_alone(name, TEST_TIMEOUT, chaos)]
}

#[derive(Default)]
struct Actions {
    existing: BTreeMap<String, Option<i64>>,
    deleted: Vec<String>,
    edits: usize,
}

#[derive(Debug, Default)]
struct ReplicaExits {
    killed: usize,
    lost_leadership: usize,
}

async fn chaos() -> Result<()> {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed
            .parse()
            .with_context(|| format!("{SEED} must be a number"))?,
        Err(_) => rand::random(),
    };
    suite::say(&format!("chaos: {SEED}={seed}"));
    let options = ClusterOptions::default()
        .replicas(REPLICAS.len())
        .setting("log-filter", "info")
        .setting("lease-duration", "3s")
        .setting("lease-renew-deadline", "2s")
        .setting("lease-retry-interval", "500ms")
        .setting("neon-create-verification-window", "4s")
        .setting("migration-connect-timeout", "5s");
    let cluster = Arc::new(Cluster::start(options).await?);
    let scenario = Scenario::new(Arc::clone(&cluster), "chaos").await?;
    let result = Box::pin(run(&scenario, seed)).await;
    if let Err(error) = &result {
        suite::say(&format!(
            "chaos failed, {SEED}={seed}: {error:#}\n{}",
            scenario.report().await
        ));
        scenario.clean_up().await;
    }
    drop(scenario);
    let checked = suite::check_and_stop(cluster).await;
    result.and(checked)
}

async fn run(scenario: &Scenario, seed: u64) -> Result<()> {
    let count = if is_long() {
        TENANTS_LONG
    } else {
        TENANTS_SHORT
    };
    let (class, emulator) = scenario
        .apply_class_with_limits(json!({}), seed, Limits::default())
        .await?;
    for fault in faults() {
        emulator
            .faults()
            .add(fault)
            .context("failed to add the fault")?;
    }
    let started = Instant::now();
    let (finished, is_finished) = watch::channel(false);
    let acting = async {
        let actions =
            perform_actions(scenario, &class, count, &mut StdRng::seed_from_u64(seed)).await;
        // Ends the kills and the faults.
        finished.send_replace(true);
        actions
    };
    let (actions, exits) = tokio::try_join!(
        acting,
        kill_replicas(
            scenario.cluster(),
            StdRng::seed_from_u64(seed ^ 1),
            is_finished
        )
    )?;
    let fault_count: u64 = emulator
        .faults()
        .list()
        .iter()
        .map(|fault| fault.triggered)
        .sum();
    emulator.faults().clear();
    let calls: u64 = emulator.calls().values().sum();
    let faults_ended = Instant::now();
    ensure!(
        fault_count * 100 >= calls * MIN_FAULTS_PERCENT,
        "{fault_count} faults in {calls} calls are too few to prove anything"
    );
    ensure!(
        exits.killed > 0,
        "no replica was killed, so this test proves nothing"
    );

    stream::iter(&actions.deleted)
        .map(Ok::<_, anyhow::Error>)
        .try_for_each_concurrent(None, |name| {
            scenario.wait_until_deleted_within(name, CONVERGE_TIMEOUT)
        })
        .await?;
    stream::iter(actions.existing.keys())
        .map(Ok::<_, anyhow::Error>)
        .try_for_each_concurrent(None, |name| async move {
            scenario
                .wait_for(name, CONVERGE_TIMEOUT, "Ready", is_ready)
                .await
                .map(drop)
        })
        .await?;
    let convergence = faults_ended.elapsed();
    check_one_project_each(scenario, &emulator, &actions).await?;
    check_connections(scenario).await?;
    check_effective_specs(scenario, &actions).await?;
    let created = emulator.projects().await?.len();
    suite::say(&format!(
        "chaos: {count} Tenants ({} deleted, {} edits), {exits:?}, {fault_count} faults in {calls} calls, {created} projects created, {} s with faults, \
         converged {:.1} s later",
        actions.deleted.len(),
        actions.edits,
        faults_ended.duration_since(started).as_secs(),
        convergence.as_secs_f64()
    ));
    drop(emulator);
    Box::pin(scenario.finish()).await
}

/// Faults for a fifth of all calls and for some connections.
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

/// Creates Tenants, edits some, and deletes a third of them in any state.
async fn perform_actions(
    scenario: &Scenario,
    class: &str,
    count: usize,
    rng: &mut StdRng,
) -> Result<Actions> {
    let mut actions = Actions::default();
    for number in 0..count {
        let name = format!("t{number}");
        scenario.apply(&name, json!({"className": class})).await?;
        actions.existing.insert(name, None);
        if rng.random_bool(0.5) {
            let name = random_tenant(&actions, rng);
            let bytes = rng.random_range(1..100) * 1_000_000_000;
            scenario.patch(
                &name,
                json!({"spec": {"quota": {"logicalSizeBytes": bytes}, "compute": {"maxCU": 2}}}),
            )
            .await?;
            actions.existing.insert(name, Some(bytes));
            actions.edits += 1;
        }
        if number % 3 == 2 {
            let name = random_tenant(&actions, rng);
            scenario.delete(&name).await?;
            actions.existing.remove(&name);
            actions.deleted.push(name);
        }
        tokio::time::sleep(Duration::from_millis(
            rng.random_range(0..MAX_ACTION_PAUSE_MS),
        ))
        .await;
    }
    Ok(actions)
}

fn random_tenant(actions: &Actions, rng: &mut StdRng) -> String {
    actions
        .existing
        .keys()
        .nth(rng.random_range(0..actions.existing.len()))
        .cloned()
        .unwrap_or_default()
}

/// Kills and restarts replicas until the faults end; then both run.
async fn kill_replicas(
    cluster: &Cluster,
    mut rng: StdRng,
    mut finished: watch::Receiver<bool>,
) -> Result<ReplicaExits> {
    let mut exits = ReplicaExits::default();
    loop {
        let pause = Duration::from_millis(rng.random_range(KILL_PAUSE_MS));
        let is_finished = tokio::time::timeout(pause, finished.wait_for(|finished| *finished))
            .await
            .is_ok();
        for name in REPLICAS {
            // A replica that was not scheduled for too long has lost the Lease and exits, as
            // intended.
            if !cluster.is_running(name).await? {
                exits.lost_leadership += 1;
                drop(cluster.take_controller(name).await?);
                cluster.start_controller(name).await?;
            }
        }
        if is_finished {
            return Ok(exits);
        }
        let name = REPLICAS[rng.random_range(0..REPLICAS.len())];
        cluster.kill_controller(name).await?;
        cluster.start_controller(name).await?;
        exits.killed += 1;
    }
}

async fn check_one_project_each(
    scenario: &Scenario,
    emulator: &Emulator,
    actions: &Actions,
) -> Result<()> {
    wait::poll(
        timeouts::CREATION_VERIFIED,
        "exactly one project for each Tenant",
        async || {
            let tenants = scenario.tenants().list(&ListParams::default()).await?.items;
            ensure!(
                tenants.len() == actions.existing.len(),
                "{} Tenants exist, but {} are expected",
                tenants.len(),
                actions.existing.len()
            );
            let mut projects: Vec<_> = emulator.projects().await?;
            projects.retain(|project| project.deleted_at.is_none());
            for tenant in &tenants {
                let uid = tenant.uid().unwrap_or_default();
                let own: Vec<_> = projects
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
                projects.len() == tenants.len(),
                "{} projects exist for {} Tenants",
                projects.len(),
                tenants.len()
            );
            Ok(Some(()))
        },
    )
    .await
}

async fn check_connections(scenario: &Scenario) -> Result<()> {
    let tenants: Vec<Tenant> = scenario.tenants().list(&ListParams::default()).await?.items;
    stream::iter(&tenants)
        .map(Ok)
        .try_for_each_concurrent(PARALLEL_CONNECTIONS, |tenant| async move {
            let result = open(&scenario.secret_data(tenant).await?).await;
            let mut connection = result.with_context(|| {
                format!("failed to connect with the Secret of {}", tenant.name_any())
            })?;
            sqlx::query("select count(*) from documents")
                .execute(&mut connection)
                .await?;
            Ok(connection.close().await?)
        })
        .await
}

async fn check_effective_specs(scenario: &Scenario, actions: &Actions) -> Result<()> {
    for (name, bytes) in actions.existing.iter().filter(|(_, bytes)| bytes.is_some()) {
        let tenant = scenario.tenant(name).await?;
        let effective = status(&tenant)
            .and_then(|status| status.effective.as_ref())
            .context("the status has no effective spec")?;
        ensure!(
            effective.quota.logical_size_bytes == *bytes,
            "the quota of {name} must be {bytes:?} (got {:?})",
            effective.quota
        );
    }
    Ok(())
}
