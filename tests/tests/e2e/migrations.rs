//! Migrations from a `ConfigMap`: new files reach every Tenant of the class, and errors are
//! reported with file and line while the Tenants stay available.

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, Tenant, keys};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use test_support::cluster::SYSTEM_NAMESPACE;
use test_support::scenario::{is_available, is_ready, status};
use test_support::{Scenario, timeouts};

test_support::tests![
    a_new_migration_is_applied_to_every_tenant_of_the_class,
    broken_sql_is_reported_with_file_and_line_while_tenants_stay_available,
    a_changed_migration_is_rejected_until_it_is_restored,
    a_missing_migration_is_rejected_until_it_is_restored,
    a_database_with_a_newer_schema_is_not_changed,
    unreadable_migrations_stall_new_tenants_until_they_are_fixed,
    a_file_in_another_encoding_is_refused_by_name,
    several_config_maps_are_applied_in_order,
    without_migrations_a_tenant_is_ready_when_its_database_accepts_connections,
    the_target_follows_a_file_that_is_removed_and_added_again,
    an_index_is_built_once_the_table_is_no_longer_in_use,
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
    // These tests are about migrations, not about waves.
    scenario
        .apply_class(json!({
            "migrations": {"source": "ConfigMap", "configMap": {"name": name}},
            "rollout": {"strategy": "AllAtOnce"},
        }))
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

async fn a_file_in_another_encoding_is_refused_by_name(scenario: &Scenario) -> Result<()> {
    let class = apply_class(scenario, &[FIRST]).await?;
    scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    // As `kubectl create configmap --from-file` stores it.
    let utf16: Vec<u8> = "\u{feff}ALTER TABLE notes ADD COLUMN title text;\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let name = format!("{}-files", scenario.namespace());
    let (third, sql) = ("0003_later.sql", "CREATE TABLE later (id int);\n");
    // Both files in one update, so that no reconciliation sees the third one without the second.
    let update = ConfigMap {
        data: Some([(third.to_owned(), sql.to_owned())].into()),
        binary_data: Some([("0002_title.sql".to_owned(), ByteString(utf16))].into()),
        ..ConfigMap::default()
    };
    let config_maps: Api<ConfigMap> =
        Api::namespaced(scenario.cluster().client(), SYSTEM_NAMESPACE);
    config_maps
        .patch(&name, &PatchParams::default(), &Patch::Merge(update))
        .await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::MigrationsInvalid)
        .await?;
    ensure!(
        message.contains("0002_title.sql") && message.contains("UTF-16"),
        "{message}"
    );
    // No later file was applied without it.
    let tenant = scenario.tenant("acme").await?;
    ensure!(applied_versions(scenario, &tenant).await? == "1");
    Ok(())
}

async fn several_config_maps_are_applied_in_order(scenario: &Scenario) -> Result<()> {
    // More than the 1 MiB that a ConfigMap can hold.
    let padded = |(name, sql): (&'static str, &str)| {
        let padding = "-- padding\n".repeat(700 * 1024 / 11);
        (name, format!("{padding}{sql}"))
    };
    let [(first_name, first_sql), (second_name, second_sql)] = [FIRST, SECOND].map(padded);
    let in_second = (second_name, second_sql.as_str());
    let first = scenario
        .apply_config_map(&[(first_name, &first_sql)])
        .await?;
    let second = format!("{first}-2");
    scenario
        .apply_config_map_named(&second, &[in_second, THIRD])
        .await?;
    let sources = |names: [&str; 2]| json!({"migrations": {"source": "ConfigMaps", "configMaps": names.map(|name| json!({"name": name}))}});
    let class = scenario.apply_class(sources([&first, &second])).await?;
    scenario.apply("acme", json!({"className": class})).await?;
    let tenant = wait_for_version(scenario, "acme", 3).await?;
    ensure!(
        applied_versions(scenario, &tenant).await? == "1,2,3",
        "not all migrations were applied"
    );
    // A change of the second one reaches the Tenants as well.
    let fourth = ("0004_later.sql", "create table later (id int);");
    scenario
        .apply_config_map_named(&second, &[in_second, THIRD, fourth])
        .await?;
    wait_for_version(scenario, "acme", 4).await?;
    scenario.apply_class(sources([&second, &first])).await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::MigrationsInvalid)
        .await?;
    ensure!(message.contains("order"), "{message}");
    Ok(())
}

async fn without_migrations_a_tenant_is_ready_when_its_database_accepts_connections(
    scenario: &Scenario,
) -> Result<()> {
    let class = scenario
        .apply_class(json!({"migrations": {"source": "None"}}))
        .await?;
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let schema = status(&tenant)
        .and_then(|status| status.schema.clone())
        .context("no schema status")?;
    ensure!(
        is_available(&tenant) && schema.version.is_none() && schema.target.is_none(),
        "{schema:?}"
    );
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    ensure!(
        scenario.psql(&tenant, keys::URI, tables).await? == "0",
        "the controller created a table"
    );
    // The class begins to apply migrations, and stops again.
    let files = scenario.apply_config_map(&[FIRST]).await?;
    scenario
        .apply_class(json!({"migrations": {"source": "ConfigMap", "configMap": {"name": files}}}))
        .await?;
    wait_for_version(scenario, "acme", 1).await?;
    scenario
        .apply_class(json!({"migrations": {"source": "None", "configMap": null}}))
        .await?;
    scenario
        .wait_for("acme", timeouts::CONVERGE, "without a version", |tenant| {
            is_ready(tenant) && is_available(tenant) && version(tenant).is_none()
        })
        .await?;
    Ok(())
}

async fn the_target_follows_a_file_that_is_removed_and_added_again(
    scenario: &Scenario,
) -> Result<()> {
    let target = |tenant: &Tenant| status(tenant)?.schema.as_ref()?.target;
    let class = apply_class(scenario, &[FIRST, SECOND]).await?;
    scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    scenario.apply_config_map(&[FIRST]).await?;
    scenario
        .wait_for("acme", timeouts::CONVERGE, "with target 1", |tenant| {
            target(tenant) == Some(1)
        })
        .await?;
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    scenario
        .wait_for("acme", timeouts::CONVERGE, "with target 2", |tenant| {
            is_ready(tenant) && target(tenant) == Some(2) && version(tenant) == Some(2)
        })
        .await?;
    Ok(())
}

async fn an_index_is_built_once_the_table_is_no_longer_in_use(scenario: &Scenario) -> Result<()> {
    let class = apply_class(scenario, &[FIRST]).await?;
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let index = (
        "0002_later.sql",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY notes_id ON notes (id);\n",
    );
    let hold = "begin; insert into notes values (0); select pg_sleep(12); commit";
    let (transaction, migrated) = tokio::join!(scenario.psql(&tenant, keys::URI, hold), async {
        let open = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
        test_support::wait::poll(timeouts::CONVERGE, "an open transaction", async || {
            let count = scenario.psql(&tenant, keys::URI, open).await?;
            Ok((count == "1").then_some(()))
        })
        .await?;
        scenario.apply_config_map(&[FIRST, index]).await?;
        wait_for_version(scenario, "acme", 2).await
    });
    transaction?;
    migrated?;
    let valid = "select string_agg(indisvalid::text, ',') from pg_index where indexrelid = 'notes_id'::regclass";
    ensure!(
        scenario.psql(&tenant, keys::URI, valid).await? == "true",
        "the index is not valid"
    );
    Ok(())
}
