//! Migrations from a `ConfigMap`: new files reach every Tenant of the class, and errors are
//! reported with file and line while the Tenants stay available.

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, Tenant, keys};
use serde_json::json;
use test_support::scenario::{is_available, is_ready, status};
use test_support::{Scenario, timeouts};

test_support::tests![
    a_new_migration_is_applied_to_every_tenant_of_the_class,
    broken_sql_is_reported_with_file_and_line_while_tenants_stay_available,
    a_changed_migration_is_rejected_until_it_is_restored,
    a_missing_migration_is_rejected_until_it_is_restored,
    a_database_with_a_newer_schema_is_not_changed,
    unreadable_migrations_stall_new_tenants_until_they_are_fixed,
];

const FIRST: (&str, &str) = (
    "0001_notes.sql",
    "create table notes (id bigint primary key);\n",
);
const SECOND: (&str, &str) = (
    "0002_title.sql",
    "alter table notes add column title text;\n",
);
const THIRD_BROKEN: (&str, &str) = (
    "0003_index.sql",
    "-- notes by title\n\ncreate index on notes (titel);\n",
);
const THIRD: (&str, &str) = (
    "0003_index.sql",
    "-- notes by title\n\ncreate index on notes (title);\n",
);

async fn apply_class(scenario: &Scenario, files: &[(&str, &str)]) -> Result<String> {
    let name = scenario.apply_config_map(files).await?;
    scenario
        .apply_class(json!({"migrations": {"source": "ConfigMap", "configMap": {"name": name}}}))
        .await
}

fn version(tenant: &Tenant) -> Option<i64> {
    status(tenant)?.schema.as_ref()?.version
}

async fn wait_for_version(scenario: &Scenario, name: &str, wanted: i64) -> Result<Tenant> {
    let what = format!("at version {wanted}");
    scenario
        .wait_for(name, timeouts::CONVERGE, &what, |tenant| {
            is_ready(tenant) && version(tenant) == Some(wanted)
        })
        .await
}

async fn applied_versions(scenario: &Scenario, tenant: &Tenant) -> Result<String> {
    scenario.psql(tenant, keys::URI, "select string_agg(version::text, ',' order by version) from _sqlx_migrations where success").await
}

async fn a_new_migration_is_applied_to_every_tenant_of_the_class(
    scenario: &Scenario,
) -> Result<()> {
    let class = apply_class(scenario, &[FIRST]).await?;
    let names = ["acme", "globex", "initech"];
    for name in names {
        scenario.apply(name, json!({"className": class})).await?;
    }
    for name in names {
        wait_for_version(scenario, name, 1).await?;
    }
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    for name in names {
        let tenant = wait_for_version(scenario, name, 2).await?;
        ensure!(
            applied_versions(scenario, &tenant).await? == "1,2",
            "{name}"
        );
    }
    Ok(())
}

async fn broken_sql_is_reported_with_file_and_line_while_tenants_stay_available(
    scenario: &Scenario,
) -> Result<()> {
    let class = apply_class(scenario, &[FIRST]).await?;
    scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    scenario
        .apply_config_map(&[FIRST, SECOND, THIRD_BROKEN])
        .await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::MigrationFailed)
        .await?;
    for part in ["0003_index.sql", "line 3", "titel", "does not exist"] {
        ensure!(
            message.contains(part),
            "the message does not contain {part:?}: {message}"
        );
    }
    let tenant = scenario.tenant("acme").await?;
    ensure!(
        is_available(&tenant) && !is_ready(&tenant),
        "{:?}",
        tenant.status
    );
    // The migrations before the broken one were applied.
    ensure!(
        version(&tenant) == Some(2),
        "{:?}",
        status(&tenant).and_then(|status| status.schema.clone())
    );
    ensure!(
        applied_versions(scenario, &tenant).await? == "1,2",
        "the database does not have the last valid version"
    );
    scenario.apply_config_map(&[FIRST, SECOND, THIRD]).await?;
    let tenant = wait_for_version(scenario, "acme", 3).await?;
    ensure!(
        applied_versions(scenario, &tenant).await? == "1,2,3",
        "not all migrations were applied"
    );
    Ok(())
}

async fn a_changed_migration_is_rejected_until_it_is_restored(scenario: &Scenario) -> Result<()> {
    let class = apply_class(scenario, &[FIRST]).await?;
    scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    scenario
        .apply_config_map(&[
            (
                FIRST.0,
                "create table notes (id bigint primary key, extra text);\n",
            ),
            SECOND,
        ])
        .await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::MigrationChanged)
        .await?;
    ensure!(
        message.contains(FIRST.0) && message.contains("restore its content"),
        "{message}"
    );
    ensure!(
        is_available(&scenario.tenant("acme").await?),
        "no longer available"
    );
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    wait_for_version(scenario, "acme", 2).await?;
    Ok(())
}

async fn a_missing_migration_is_rejected_until_it_is_restored(scenario: &Scenario) -> Result<()> {
    let class = apply_class(scenario, &[FIRST, SECOND]).await?;
    scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    scenario.apply_config_map(&[FIRST, THIRD]).await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::MigrationMissing)
        .await?;
    ensure!(message.contains("migration 2"), "{message}");
    ensure!(
        is_available(&scenario.tenant("acme").await?),
        "no longer available"
    );
    scenario.apply_config_map(&[FIRST, SECOND, THIRD]).await?;
    wait_for_version(scenario, "acme", 3).await?;
    Ok(())
}

async fn a_database_with_a_newer_schema_is_not_changed(scenario: &Scenario) -> Result<()> {
    let class = apply_class(scenario, &[FIRST, SECOND]).await?;
    scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    scenario.apply_config_map(&[FIRST]).await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::SchemaAhead)
        .await?;
    ensure!(message.contains("migration 2"), "{message}");
    let tenant = scenario.tenant("acme").await?;
    ensure!(
        is_available(&tenant) && version(&tenant) == Some(2),
        "{:?}",
        tenant.status
    );
    ensure!(
        applied_versions(scenario, &tenant).await? == "1,2",
        "the database was changed"
    );
    Ok(())
}

async fn unreadable_migrations_stall_new_tenants_until_they_are_fixed(
    scenario: &Scenario,
) -> Result<()> {
    let missing = format!("{}-files", scenario.namespace());
    let class = scenario
        .apply_class(json!({"migrations": {"source": "ConfigMap", "configMap": {"name": missing}}}))
        .await?;
    scenario.apply("acme", json!({"className": class})).await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::MigrationsInvalid)
        .await?;
    ensure!(message.contains(&missing), "{message}");
    scenario
        .apply_config_map(&[("init.sql", "select 1")])
        .await?;
    let tenant = scenario
        .wait_for("acme", timeouts::CONVERGE, "reporting the file", |tenant| {
            status(tenant).is_some_and(|status| {
                status
                    .conditions
                    .iter()
                    .any(|one| one.type_ == "Stalled" && one.message.contains("init.sql"))
            })
        })
        .await?;
    ensure!(!is_ready(&tenant), "ready despite an invalid file");
    scenario.apply_config_map(&[FIRST]).await?;
    let tenant = wait_for_version(scenario, "acme", 1).await?;
    ensure!(
        version(&tenant).context("the status has no schema version")? == 1,
        "wrong version"
    );
    Ok(())
}
