//! Tenants whose owners make their databases dangerous to migrate. The controller keeps serving all
//! others, its memory stays small, and it discloses nothing of what the databases contain.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, Tenant, annotations, keys};
use futures::future::try_join_all;
use serde_json::json;
use test_support::scenario::{is_ready, status};
use test_support::suite::{Trial, test_on};
use test_support::{ClusterOptions, Scenario, timeouts};

pub(crate) fn tests() -> Vec<Trial> {
    vec![test_on(
        concat!(
            module_path!(),
            "::hostile_databases_neither_fill_the_memory_nor_delay_other_tenants"
        ),
        // Ends the slow statements before the cluster is taken down.
        ClusterOptions::default().setting("migration-statement-timeout", "40s"),
        hostile_databases_neither_fill_the_memory_nor_delay_other_tenants,
    )]
}

/// The limit of the controller's Pod in the chart, in KiB.
const MAX_MEMORY_KIB: u64 = 256 * 1024;
/// In the rows of hostile Tenants.
const MARKER: &str = "anna@example.org";

const FIRST: (&str, &str) = (
    "0001_notes.sql",
    "create table notes (id bigint primary key, words text);\n",
);
const SECOND: (&str, &str) = (
    "0002_title.sql",
    "update notes set words = words;\n\
     alter table notes alter column words type tsquery using to_tsquery(words);\n",
);

/// What the owner of a database runs, and how the rollout ends there.
const HOSTILE: &[(&str, &str, Reason)] = &[
    (
        "checksum",
        "alter table _sqlx_migrations alter checksum set storage external; \
         update _sqlx_migrations set checksum = decode(repeat('00', 200000000), 'hex')",
        Reason::MigrationTableInvalid,
    ),
    (
        "rows",
        "insert into _sqlx_migrations select n, repeat('x', 1000), now(), true, '', 0 from generate_series(100, 20100) n",
        Reason::MigrationTableInvalid,
    ),
    (
        "view",
        "alter table _sqlx_migrations rename to old; create view _sqlx_migrations as select * from old",
        Reason::MigrationTableInvalid,
    ),
    (
        "policy",
        "alter table _sqlx_migrations enable row level security",
        Reason::MigrationTableInvalid,
    ),
    (
        "tsquery",
        "insert into notes values (1, 'anna@example.org & cancer &')",
        Reason::MigrationFailed,
    ),
    (
        "raise",
        "insert into notes values (1, 'anna@example.org'); \
         create function fails() returns trigger language plpgsql as $$ begin raise warning '%', old; \
         raise '%', repeat(old.words, 1000000) using errcode = '42P07', hint = old.words, detail = old.words; end $$; \
         create trigger fails before update on notes for each row execute function fails(); \
         alter role current_user set search_path = notes, public; \
         alter role current_user set standard_conforming_strings = off",
        Reason::MigrationFailed,
    ),
];

async fn hostile_databases_neither_fill_the_memory_nor_delay_other_tenants(
    scenario: &Scenario,
) -> Result<()> {
    let cluster = scenario.cluster();
    let files = scenario.apply_config_map(&[FIRST]).await?;
    let migrations = json!({
        "migrations": {"source": "ConfigMap", "configMap": {"name": files}},
        "rollout": {"strategy": "AllAtOnce"},
    });
    let class = scenario.apply_class(migrations.clone()).await?;
    let slow_class = scenario
        .apply_class_named(&format!("{}-slow", scenario.namespace()), migrations)
        .await?;
    let spec = json!({"className": class});
    let slow_spec = json!({"className": slow_class});
    scenario.apply_and_wait("neighbor", spec.clone()).await?;
    // More Tenants than a class has slots, each of which holds its slot for as long as a statement
    // may take.
    let slow: Vec<String> = (0..18).map(|number| format!("slow-{number}")).collect();
    try_join_all(slow.iter().map(async |name| {
        let tenant = scenario.apply_and_wait(name, slow_spec.clone()).await?;
        let sql = "insert into notes values (1, 'a'); \
                   create function sleeps() returns trigger language plpgsql as \
                   $$ begin perform pg_sleep(3600); return new; end $$; \
                   create trigger sleeps before update on notes for each row execute function sleeps()";
        scenario.psql(&tenant, keys::URI, sql).await
    }))
    .await?;
    try_join_all(HOSTILE.iter().map(async |(name, sql, _)| {
        let tenant = scenario.apply_and_wait(name, spec.clone()).await?;
        scenario.psql(&tenant, keys::URI, sql).await
    }))
    .await?;
    let annotation = "x".repeat(200_000);
    let patch = json!({"metadata": {"annotations": {(annotations::RECONCILE_AT): annotation, "dbpertenant.dev/Orphan": "true"}}});
    scenario.patch("neighbor", patch).await?;

    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    // A Tenant of another class gets its migration beside all of them, and a new Tenant of the same
    // class is created.
    wait_for_version(scenario, "neighbor", 2).await?;
    scenario.apply_and_wait("newcomer", slow_spec).await?;
    let running = try_join_all(slow.iter().map(|name| scenario.tenant(name))).await?;
    ensure!(
        !running.iter().any(is_ready),
        "the slow Tenants did not hold their slots"
    );
    for (name, _, reason) in HOSTILE {
        let message = scenario.wait_until_stalled(name, *reason).await?;
        ensure!(!message.contains("anna"), "{name}: {message}");
    }
    scenario
        .wait_for_event("neighbor", Reason::InvalidAnnotation)
        .await?;
    let neighbor = serde_json::to_string(&scenario.tenant("neighbor").await?.status)?;
    ensure!(neighbor.len() < 10_000, "the annotation is in the status");

    for (name, _, _) in HOSTILE {
        let tenant = serde_json::to_string(&scenario.tenant(name).await?.status)?;
        let events = serde_json::to_string(&scenario.events(name).await?)?;
        for text in [tenant, events] {
            ensure!(!text.contains(MARKER), "{name}: {text}");
        }
    }
    for log in cluster.logs()? {
        let text = fs::read_to_string(&log)?;
        ensure!(!text.contains(MARKER), "the log contains a value of a row");
    }
    for pid in cluster.controller_pids().await {
        let memory = peak_memory_kib(pid)?;
        ensure!(
            memory < MAX_MEMORY_KIB,
            "the controller used {memory} KiB of memory"
        );
    }
    Ok(())
}

async fn wait_for_version(scenario: &Scenario, name: &str, wanted: i64) -> Result<Tenant> {
    let what = format!("at version {wanted}");
    scenario
        .wait_for(name, timeouts::CONVERGE, &what, |tenant| {
            let schema = status(tenant).and_then(|status| status.schema.as_ref());
            is_ready(tenant) && schema.and_then(|schema| schema.version) == Some(wanted)
        })
        .await
}

/// The most memory that a process has had, in KiB.
fn peak_memory_kib(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("the process has no peak memory")?;
    let number = line.trim().trim_end_matches(" kB");
    Ok(number.parse()?)
}
