//! Reconciling an up-to-date Tenant makes no API calls, and opens its database only if the schema
//! is unknown or a reconcile was requested.

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;
use test_support::neon::Account;
use test_support::scenario::{project_id, status};
use test_support::{Scenario, timeouts, wait};

test_support::tests![
    a_database_is_opened_only_by_a_requested_reconcile,
    an_unchanged_tenant_causes_no_api_calls_except_listings,
];

async fn a_database_is_opened_only_by_a_requested_reconcile(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    let opened = account.connections_opened(&id).await?;
    ensure!(opened >= 1, "the schema was applied without a connection");

    scenario
        .patch(
            "acme",
            json!({"spec": {"compute": {"maxCU": 2}}, "metadata": {"labels": {"team": "billing"}}}),
        )
        .await?;
    scenario.wait_until_ready("acme").await?;
    scenario
        .secrets()
        .delete("acme-connection", &DeleteParams::default())
        .await?;
    wait::until(
        &scenario.secrets(),
        "acme-connection",
        timeouts::CONVERGE,
        "restored",
        |secret| {
            secret.is_some_and(|secret| secret.data.as_ref().is_some_and(|data| !data.is_empty()))
        },
    )
    .await?;
    scenario
        .patch("acme", json!({"spec": {"displayName": "Acme Ltd"}}))
        .await?;
    scenario.wait_until_ready("acme").await?;
    ensure!(
        account.connections_opened(&id).await? == opened,
        "the database was opened unnecessarily"
    );

    let tenant = scenario.reconcile_and_wait("acme").await?;
    let after = account.connections_opened(&id).await?;
    ensure!(
        after > opened,
        "the requested reconcile did not open the database"
    );
    ensure!(
        status(&tenant).is_some_and(|status| status.last_reconcile_at.is_some()),
        "the status does not record the reconcile"
    );
    // An unchanged annotation does not request another reconcile; a new value does.
    scenario
        .patch("acme", json!({"spec": {"displayName": "Acme Inc"}}))
        .await?;
    scenario.wait_until_ready("acme").await?;
    ensure!(
        account.connections_opened(&id).await? == after,
        "an old request was repeated"
    );
    scenario.reconcile_and_wait("acme").await?;
    ensure!(
        account.connections_opened(&id).await? > after,
        "a new request was ignored"
    );
    Ok(())
}

async fn an_unchanged_tenant_causes_no_api_calls_except_listings(
    scenario: &Scenario,
) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    let account = Account(&emulator);
    scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let listings = async |more: u64| {
        let now = account.calls("listProjects");
        wait::poll(timeouts::DRIFT, "more listings", async || {
            Ok((account.calls("listProjects") >= now + more).then_some(()))
        })
        .await
    };
    // The first listings verify the creation. The compute is read when it was first listed, and once
    // more after it was suspended.
    wait::poll(
        timeouts::DRIFT,
        "listings without another call",
        async || {
            emulator.reset_calls();
            listings(3).await?;
            let calls = emulator.calls();
            let only_listings = calls.keys().all(|operation| operation == "listProjects");
            Ok(only_listings.then_some(()))
        },
    )
    .await
}
