//! Computes that are suspended, that fail to start, and that Neon suspended because a quota is
//! exceeded.

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Reason, keys};
use neon_client::ids::ProjectId;
use neon_client::model::EndpointState;
use neon_emulator::faults::{DATA_PLANE, Effect, Fault};
use serde_json::json;
use test_support::emulator::{SUSPEND_TIMEOUT, TestEmulator};
use test_support::neon::Account;
use test_support::scenario::{condition, is_available, project_id};
use test_support::suite::{Trial, test_on};
use test_support::{ClusterOptions, Scenario, psql, timeouts, wait};

test_support::tests![
    an_idle_compute_is_suspended_and_started_by_any_connection,
    a_compute_that_does_not_start_is_reported_with_a_hint_and_retried,
    an_exceeded_quota_is_reported_with_a_hint_and_resolved_by_a_higher_one,
    a_migration_over_the_size_limit_names_the_limit_and_succeeds_with_a_higher_one,
];

/// A test whose connections do not time out.
pub(crate) fn without_connect_timeout() -> Vec<Trial> {
    vec![test_on(
        concat!(
            module_path!(),
            "::a_deletion_does_not_wait_for_a_compute_that_starts"
        ),
        ClusterOptions::default().setting("migration-connect-timeout", "5m"),
        a_deletion_does_not_wait_for_a_compute_that_starts,
    )]
}

/// In milliseconds.
const CONNECTION_WAIT_MS: u64 = 200;
/// Longer than any wait of the tests.
const NEVER_CONNECTED_MS: u64 = 600_000;

/// Waits until a project's compute is suspended.
async fn wait_until_suspended(emulator: &TestEmulator, id: &ProjectId) -> Result<()> {
    let account = Account(emulator);
    wait::poll(SUSPEND_TIMEOUT, "a suspended compute", async || {
        let state = account.endpoint(id).await?.current_state;
        Ok((state == EndpointState::Idle).then_some(()))
    })
    .await
}

/// Runs an action on a suspended compute, and checks that the action started it.
async fn expect_cold_start<T>(
    emulator: &TestEmulator,
    id: &ProjectId,
    what: &str,
    connect: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    wait_until_suspended(emulator, id).await?;
    let before = emulator.cold_starts();
    let result = connect().await.with_context(|| what.to_owned())?;
    let after = emulator.cold_starts();
    // A slow action may start the compute more than once.
    ensure!(after > before, "{what}: no cold start");
    Ok(result)
}

async fn an_idle_compute_is_suspended_and_started_by_any_connection(
    scenario: &Scenario,
) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let id = project_id(&tenant)?;
    for key in [keys::URI, keys::POOLED_URI] {
        let result = expect_cold_start(&emulator, &id, key, async || {
            scenario.psql(&tenant, key, "select 6 * 7").await
        });
        ensure!(result.await? == "42", "wrong result by {key}");
    }
    expect_cold_start(&emulator, &id, "the requested reconcile", async || {
        scenario.reconcile_and_wait("acme").await
    })
    .await?;
    // Listing the account's projects does not start the compute.
    wait_until_suspended(&emulator, &id).await?;
    let (cold_starts, listed) = (
        emulator.cold_starts(),
        Account(&emulator).calls("listProjects"),
    );
    wait::poll(timeouts::DRIFT, "more listings", async || {
        Ok((Account(&emulator).calls("listProjects") > listed + 2).then_some(()))
    })
    .await?;
    ensure!(
        emulator.cold_starts() == cold_starts,
        "a listing started the compute"
    );
    Ok(())
}

async fn a_compute_that_does_not_start_is_reported_with_a_hint_and_retried(
    scenario: &Scenario,
) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    scenario
        .apply_and_wait("served", json!({"className": class}))
        .await?;
    let fault = Fault::new(
        DATA_PLANE,
        Effect::DoesNotWake {
            ms: CONNECTION_WAIT_MS,
        },
    );
    let fault = emulator
        .faults()
        .add(fault)
        .context("failed to add the fault")?;
    scenario.apply("new", json!({"className": class})).await?;
    scenario.request_reconcile("served").await?;
    for name in ["new", "served"] {
        let message = scenario
            .wait_for_reason(name, Reason::DatabaseUnreachable)
            .await?;
        ensure!(
            message.contains("Couldn't connect to compute node")
                && message.contains("check in Neon whether the project's compute starts"),
            "{message}"
        );
        let reconciling =
            condition(&scenario.tenant(name).await?, ConditionType::Reconciling).is_some();
        ensure!(reconciling, "{name} is not retried");
    }
    ensure!(
        !is_available(&scenario.tenant("new").await?)
            && is_available(&scenario.tenant("served").await?),
        "only the Tenant that was available before must be available"
    );
    emulator.faults().remove(fault);
    for name in ["new", "served"] {
        let tenant = scenario.wait_until_ready(name).await?;
        scenario.check_connection(&tenant).await?;
    }
    Ok(())
}

async fn a_deletion_does_not_wait_for_a_compute_that_starts(scenario: &Scenario) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    let wait = Effect::DoesNotWake {
        ms: NEVER_CONNECTED_MS,
    };
    emulator
        .faults()
        .add(Fault::new(DATA_PLANE, wait))
        .context("failed to add the fault")?;
    scenario.apply("acme", json!({"className": class})).await?;
    scenario.wait_for_reason("acme", Reason::Migrating).await?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await
}

async fn an_exceeded_quota_is_reported_with_a_hint_and_resolved_by_a_higher_one(
    scenario: &Scenario,
) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    emulator.advance_to_next_month().await?;
    let spec = |seconds: u64| json!({"className": class, "quota": {"activeTimeSeconds": seconds}});
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    wait_until_suspended(&emulator, &project_id(&tenant)?).await?;
    // The compute was active for longer than this.
    scenario.apply_and_wait("acme", spec(1)).await?;
    let secret = scenario.secret_data(&tenant).await?;
    let error =
        psql::query_expect_error(scenario.cluster(), &secret, keys::POOLED_URI, "select 1").await?;
    ensure!(error.contains("quota"), "{error}");
    scenario.request_reconcile("acme").await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::QuotaExceeded)
        .await?;
    ensure!(
        message.contains("exceeded the active time quota") && message.contains("raise spec.quota"),
        "{message}"
    );
    let tenant = scenario.tenant("acme").await?;
    let available = condition(&tenant, ConditionType::Available)
        .context("the Tenant has no condition Available")?;
    ensure!(
        available.status == "False" && available.reason == Reason::QuotaExceeded.as_str(),
        "{available:?}"
    );
    let tenant = scenario.apply_and_wait("acme", spec(100_000_000)).await?;
    ensure!(is_available(&tenant), "the Tenant is still not available");
    scenario.check_connection(&tenant).await?;
    Ok(())
}

/// More than an empty database has, and less than with [`FILL`], in bytes.
const SIZE_LIMIT: u64 = 16 * 1024 * 1024;
/// Adds 16 MB, in a form that PostgreSQL does not compress.
const FILL: (&str, &str) = (
    "0001_fill.sql",
    "create table filler as select sha512(number::text::bytea) || sha512((-number)::text::bytea) as data
     from generate_series(1, 100000) as number;",
);
/// Writes in a function, whose error has a context.
const SECOND: (&str, &str) = (
    "0002_notes.sql",
    "do $$ begin create table notes (id bigint primary key); end $$;",
);

async fn a_migration_over_the_size_limit_names_the_limit_and_succeeds_with_a_higher_one(
    scenario: &Scenario,
) -> Result<()> {
    let migrations = scenario.apply_config_map(&[FILL]).await?;
    let (class, _emulator) = scenario
        .apply_class_with_emulator(
            json!({"migrations": {"source": "ConfigMap", "configMap": {"name": migrations}}}),
        )
        .await?;
    let spec = |bytes: u64| json!({"className": class, "quota": {"logicalSizeBytes": bytes}});
    scenario.apply_and_wait("acme", spec(SIZE_LIMIT)).await?;
    scenario.apply_config_map(&[FILL, SECOND]).await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::QuotaExceeded)
        .await?;
    ensure!(
        message.contains(SECOND.0) && message.contains("raise spec.quota.logicalSizeBytes"),
        "{message}"
    );
    let tenant = scenario.tenant("acme").await?;
    ensure!(is_available(&tenant), "the Tenant's database can be read");
    let rows = scenario
        .psql(&tenant, keys::URI, "select count(*) from filler")
        .await?;
    ensure!(rows == "100000", "{rows}");
    let tenant = scenario
        .apply_and_wait("acme", spec(100 * SIZE_LIMIT))
        .await?;
    let rows = scenario
        .psql(&tenant, keys::URI, "select count(*) from notes")
        .await?;
    ensure!(rows == "0", "{rows}");
    Ok(())
}
