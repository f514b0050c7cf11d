//! The schema of a class, from a `ConfigMap`: new files reach every Tenant; what is wrong with them is said with file and line,
//! and the tenants go on being served.

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, Tenant, keys};
use serde_json::json;
use tests::case::{is_available, is_ready, status};
use tests::{Case, limits};

tests::tests![
    a_new_file_reaches_every_tenant_of_the_class,
    broken_sql_is_told_with_file_and_line_while_tenants_are_served,
    a_changed_file_is_refused_until_its_text_is_restored,
    a_missing_file_is_refused_until_it_is_back,
    a_database_that_is_ahead_is_left_alone,
    migrations_that_cannot_be_read_stall_new_tenants_until_they_can,
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

async fn class(case: &Case, files: &[(&str, &str)]) -> Result<String> {
    let name = case.config_map(files).await?;
    case.class(json!({"migrations": {"source": "ConfigMap", "configMap": {"name": name}}}))
        .await
}

fn version(tenant: &Tenant) -> Option<i64> {
    status(tenant)?.schema.as_ref()?.version
}

async fn reaches(case: &Case, name: &str, wanted: i64) -> Result<Tenant> {
    let what = format!("at version {wanted}");
    case.until(name, limits::CONVERGE, &what, |tenant| {
        is_ready(tenant) && version(tenant) == Some(wanted)
    })
    .await
}

async fn applied(case: &Case, tenant: &Tenant) -> Result<String> {
    case.psql(tenant, keys::URI, "select string_agg(version::text, ',' order by version) from _sqlx_migrations where success").await
}

async fn a_new_file_reaches_every_tenant_of_the_class(case: &Case) -> Result<()> {
    let class = class(case, &[FIRST]).await?;
    let names = ["acme", "globex", "initech"];
    for name in names {
        case.apply(name, json!({"className": class})).await?;
    }
    for name in names {
        reaches(case, name, 1).await?;
    }
    case.config_map(&[FIRST, SECOND]).await?;
    for name in names {
        let tenant = reaches(case, name, 2).await?;
        ensure!(applied(case, &tenant).await? == "1,2", "{name}");
    }
    Ok(())
}

async fn broken_sql_is_told_with_file_and_line_while_tenants_are_served(case: &Case) -> Result<()> {
    let class = class(case, &[FIRST]).await?;
    case.apply_ready("acme", json!({"className": class}))
        .await?;
    case.config_map(&[FIRST, SECOND, THIRD_BROKEN]).await?;
    let message = case.stalled("acme", Reason::MigrationFailed).await?;
    for part in ["0003_index.sql", "line 3", "titel", "does not exist"] {
        ensure!(message.contains(part), "no {part:?} in: {message}");
    }
    let tenant = case.tenant("acme").await?;
    ensure!(
        is_available(&tenant) && !is_ready(&tenant),
        "{:?}",
        tenant.status
    );
    // What was good before it is in effect.
    ensure!(
        version(&tenant) == Some(2),
        "{:?}",
        status(&tenant).and_then(|status| status.schema.clone())
    );
    ensure!(
        applied(case, &tenant).await? == "1,2",
        "the database is not on its last good version"
    );
    case.config_map(&[FIRST, SECOND, THIRD]).await?;
    let tenant = reaches(case, "acme", 3).await?;
    ensure!(applied(case, &tenant).await? == "1,2,3", "not all applied");
    Ok(())
}

async fn a_changed_file_is_refused_until_its_text_is_restored(case: &Case) -> Result<()> {
    let class = class(case, &[FIRST]).await?;
    case.apply_ready("acme", json!({"className": class}))
        .await?;
    case.config_map(&[
        (
            FIRST.0,
            "create table notes (id bigint primary key, extra text);\n",
        ),
        SECOND,
    ])
    .await?;
    let message = case.stalled("acme", Reason::MigrationChanged).await?;
    ensure!(
        message.contains(FIRST.0) && message.contains("restore its content"),
        "{message}"
    );
    ensure!(
        is_available(&case.tenant("acme").await?),
        "not available any more"
    );
    case.config_map(&[FIRST, SECOND]).await?;
    reaches(case, "acme", 2).await?;
    Ok(())
}

async fn a_missing_file_is_refused_until_it_is_back(case: &Case) -> Result<()> {
    let class = class(case, &[FIRST, SECOND]).await?;
    case.apply_ready("acme", json!({"className": class}))
        .await?;
    case.config_map(&[FIRST, THIRD]).await?;
    let message = case.stalled("acme", Reason::MigrationMissing).await?;
    ensure!(message.contains("migration 2"), "{message}");
    ensure!(
        is_available(&case.tenant("acme").await?),
        "not available any more"
    );
    case.config_map(&[FIRST, SECOND, THIRD]).await?;
    reaches(case, "acme", 3).await?;
    Ok(())
}

async fn a_database_that_is_ahead_is_left_alone(case: &Case) -> Result<()> {
    let class = class(case, &[FIRST, SECOND]).await?;
    case.apply_ready("acme", json!({"className": class}))
        .await?;
    case.config_map(&[FIRST]).await?;
    let message = case.stalled("acme", Reason::SchemaAhead).await?;
    ensure!(message.contains("migration 2"), "{message}");
    let tenant = case.tenant("acme").await?;
    ensure!(
        is_available(&tenant) && version(&tenant) == Some(2),
        "{:?}",
        tenant.status
    );
    ensure!(
        applied(case, &tenant).await? == "1,2",
        "the database was touched"
    );
    Ok(())
}

async fn migrations_that_cannot_be_read_stall_new_tenants_until_they_can(
    case: &Case,
) -> Result<()> {
    let missing = format!("{}-files", case.namespace());
    let class = case
        .class(json!({"migrations": {"source": "ConfigMap", "configMap": {"name": missing}}}))
        .await?;
    case.apply("acme", json!({"className": class})).await?;
    let message = case.stalled("acme", Reason::MigrationsInvalid).await?;
    ensure!(message.contains(&missing), "{message}");
    case.config_map(&[("init.sql", "select 1")]).await?;
    let message = case
        .until("acme", limits::CONVERGE, "naming the file", |tenant| {
            status(tenant).is_some_and(|status| {
                status
                    .conditions
                    .iter()
                    .any(|one| one.type_ == "Stalled" && one.message.contains("init.sql"))
            })
        })
        .await?;
    ensure!(!is_ready(&message), "ready with a file that is none");
    case.config_map(&[FIRST]).await?;
    let tenant = reaches(case, "acme", 1).await?;
    ensure!(version(&tenant).context("no version")? == 1, "version");
    Ok(())
}
