//! A migration for a thousand databases whose computes are suspended: a rollout compared with a script
//! that migrates one database after the other.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crds::{RolloutPhase, SchemaRollout, Tenant, keys};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use neon_client::AccountQuota;
use neon_client::ids::{EndpointId, ProjectId};
use serde_json::json;
use sqlx::Connection as _;
use test_support::cluster::SYSTEM_NAMESPACE;
use test_support::wait;

use crate::baseline::connect;
use crate::concurrency::for_each_concurrent;
use crate::environment::{Environment, NAMESPACE, pid};
use crate::figure::{Figure, Figures, count_to_f64};
use crate::fleet::apply;
use crate::ready_times::ReadyTimes;
use crate::{machine, say};

const CONFIG_MAP: &str = "bench-migrations";
const FIRST: (&str, &str) = (
    "0001_notes.sql",
    "create table notes (id bigint primary key, body text not null);\n",
);
const SECOND: (&str, &str) = (
    "0002_title.sql",
    "alter table notes add column title text;\ncreate table tags (name text primary key);\n",
);
/// What the script applies: as much work as [`SECOND`].
const SCRIPT: &str = "begin;\nalter table notes add column author text;\n\
                      create table authors (name text primary key);\ncommit;\n";
/// Tenants that are migrated at the same time.
const MAX_CONCURRENT: usize = 128;
const PARALLEL_CALLS: usize = 32;
/// For all Tenants, with a large margin for slow machines.
const TIMEOUT: Duration = Duration::from_mins(15);
/// The benchmark's own calls are not part of a figure.
const OWN_QUOTA: AccountQuota = AccountQuota {
    requests_per_minute: 60_000,
    per_route_per_second: 1_000,
    ..AccountQuota::NEON
};

pub(crate) struct RolloutParameters {
    name: &'static str,
    cold_start_ms: u64,
    /// Maximum ratio of the rollout's time to the script's.
    max_ratio: f64,
    /// Databases that the script migrates; its time is multiplied to that for all.
    script_databases: usize,
}

/// Neon's fast cold start.
pub(crate) const FAST_START: RolloutParameters = RolloutParameters {
    name: "rollout_300ms",
    cold_start_ms: 300,
    max_ratio: 1.0 / 20.0,
    script_databases: 100,
};

/// A slow cold start.
pub(crate) const SLOW_START: RolloutParameters = RolloutParameters {
    name: "rollout_4s",
    cold_start_ms: 4_000,
    max_ratio: 1.0 / 50.0,
    script_databases: 20,
};

/// A Tenant's database.
struct Database {
    uri: String,
    project: ProjectId,
    compute: EndpointId,
}

pub(crate) async fn measure(parameters: &RolloutParameters, tenants: usize) -> Result<Vec<Figure>> {
    let mut figures = Figures::new(parameters.name, tenants);
    let cold_start = parameters.cold_start_ms.to_string();
    let environment =
        Environment::start_with(&["--latency", "instant", "--cold-start-ms", &cold_start]).await?;
    apply_migrations(&environment, &[FIRST]).await?;
    environment
        .apply_class(&json!({
            "migrations": {"source": "ConfigMap", "configMap": {"name": CONFIG_MAP}},
            "rollout": {"waves": [], "soakSeconds": 0, "maxConcurrent": MAX_CONCURRENT},
        }))
        .await?;
    let controller = environment.start_controller(&[]).await?;
    let mut times = ReadyTimes::watch(environment.client(), NAMESPACE);
    for_each_concurrent(0..tenants, PARALLEL_CALLS, async |n| {
        apply(&environment, &format!("t{n}")).await
    })
    .await?;
    times.all(tenants, TIMEOUT).await?;
    // Its watch would be work for the API server.
    drop(times);
    wait_until_completed(&environment, 1).await?;
    let databases = databases(&environment).await?;
    say(&format!("   created {} databases", databases.len()));
    suspend(&environment, &databases).await?;

    let process = pid(&controller)?;
    environment.reset_calls().await?;
    let cpu_before = machine::cpu(process)?;
    let (started, started_at) = (Instant::now(), jiff::Timestamp::now());
    apply_migrations(&environment, &[FIRST, SECOND]).await?;
    wait_until_completed(&environment, 2).await?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = machine::cpu(process)?.saturating_sub(cpu_before);
    let counters = environment.counters().await?;
    let calls = counters.total() - counters.listed_pages();
    let memory = machine::memory(process)?;
    let writes = environment.writes(started_at)?;
    environment.stop_controller(controller).await?;

    suspend(&environment, &databases).await?;
    let sample = &databases[..parameters.script_databases.min(databases.len())];
    let script = run_script(&environment, sample).await?.as_secs_f64();
    let for_all = script * count_to_f64(tenants as u64) / count_to_f64(sample.len() as u64);
    figures.record_with_floor("seconds", seconds, "s", for_all, Some(parameters.max_ratio));
    let per_tenant = |count: u64| count_to_f64(count) / count_to_f64(tenants as u64);
    figures.record("calls_per_tenant", per_tenant(calls), "calls");
    figures.record(
        "writes_per_tenant",
        per_tenant(writes.len() as u64),
        "writes",
    );
    for kind in ["/tenants/", "/events", "/schemarollouts/"] {
        let count = writes.iter().filter(|write| write.contains(kind)).count();
        say(&format!("   {count} writes to {kind}"));
    }
    figures.record("peak_rss", memory.peak_mib, "MiB");
    figures.record("cpu", cpu.as_secs_f64(), "s");
    environment.stop().await;
    Ok(figures.into_vec())
}

async fn apply_migrations(environment: &Environment, files: &[(&str, &str)]) -> Result<()> {
    let config_maps: Api<ConfigMap> = Api::namespaced(environment.client(), SYSTEM_NAMESPACE);
    let data: serde_json::Map<_, _> = files
        .iter()
        .map(|(name, sql)| ((*name).to_owned(), json!(sql)))
        .collect();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP}, "data": data});
    let params = PatchParams::apply("bench").force();
    config_maps
        .patch(CONFIG_MAP, &params, &Patch::Apply(object))
        .await?;
    Ok(())
}

async fn wait_until_completed(environment: &Environment, version: i64) -> Result<()> {
    let rollouts: Api<SchemaRollout> = Api::all(environment.client());
    let what = format!("the rollout of version {version}");
    let name = wait::poll(TIMEOUT, &what, async || {
        let all = rollouts.list(&ListParams::default()).await?;
        let mut of_version = all
            .iter()
            .filter(|rollout| rollout.spec.target.version == version);
        Ok(of_version.next().map(ResourceExt::name_any))
    })
    .await?;
    wait::until(&rollouts, &name, TIMEOUT, "completed", |rollout| {
        let status = rollout.and_then(|rollout| rollout.status.as_ref());
        status.is_some_and(|status| status.phase == Some(RolloutPhase::Completed))
    })
    .await?;
    Ok(())
}

/// The databases of all Tenants.
async fn databases(environment: &Environment) -> Result<Vec<Database>> {
    let tenants: Api<Tenant> = Api::namespaced(environment.client(), NAMESPACE);
    let secrets: Api<Secret> = Api::namespaced(environment.client(), NAMESPACE);
    let mut databases = Vec::new();
    for tenant in tenants.list(&ListParams::default()).await? {
        let status = tenant.status.context("a Tenant has no status")?;
        let project = status.project.context("a Tenant has no project")?;
        let binding = status.binding.context("a Tenant has no Secret")?;
        let data = secrets.get(&binding.name).await?.data.unwrap_or_default();
        let uri = data.get(keys::URI).context("a Secret has no URI")?;
        databases.push(Database {
            uri: String::from_utf8(uri.0.clone())?,
            project: project.id.parse()?,
            compute: project
                .endpoint_id
                .context("a Tenant has no compute")?
                .parse()?,
        });
    }
    Ok(databases)
}

async fn suspend(environment: &Environment, databases: &[Database]) -> Result<()> {
    let neon = environment.neon(OWN_QUOTA)?;
    for_each_concurrent(databases, PARALLEL_CALLS, async |database| {
        let endpoints = neon.endpoints(&database.project);
        endpoints.suspend(&database.compute).send().await?;
        Ok(())
    })
    .await
}

/// Migrates one database after the other.
async fn run_script(environment: &Environment, databases: &[Database]) -> Result<Duration> {
    let started = Instant::now();
    for database in databases {
        let mut connection = connect(&database.uri, environment.ca_pem()).await?;
        sqlx::raw_sql(SCRIPT).execute(&mut connection).await?;
        connection.close().await?;
    }
    Ok(started.elapsed())
}
