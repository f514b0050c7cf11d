//! Looking is free: a tenant's database is opened when its schema is not known, or when somebody asks, and at no other time.

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;
use tests::case::{project_id, status};
use tests::neon::Account;
use tests::{Case, limits, wait};

tests::tests![
    a_database_is_opened_when_somebody_asks_and_at_no_other_time,
    a_quiet_tenant_costs_no_calls_of_its_own,
];

async fn a_database_is_opened_when_somebody_asks_and_at_no_other_time(case: &Case) -> Result<()> {
    let tenant = case.apply_ready("acme", json!({})).await?;
    let (account, id) = (case.cluster().account(), project_id(&tenant)?);
    let opened = account.connections_opened(&id).await?;
    ensure!(opened >= 1, "the schema was applied without a connection");

    case.patch(
        "acme",
        json!({"spec": {"compute": {"maxCU": 2}}, "metadata": {"labels": {"team": "billing"}}}),
    )
    .await?;
    case.ready("acme").await?;
    case.secrets()
        .delete("acme-connection", &DeleteParams::default())
        .await?;
    wait::until(
        &case.secrets(),
        "acme-connection",
        limits::CONVERGE,
        "back",
        |secret| {
            secret.is_some_and(|secret| secret.data.as_ref().is_some_and(|data| !data.is_empty()))
        },
    )
    .await?;
    case.patch("acme", json!({"spec": {"displayName": "Acme Ltd"}}))
        .await?;
    case.ready("acme").await?;
    ensure!(
        account.connections_opened(&id).await? == opened,
        "the database was opened without need"
    );

    let tenant = case.look_closely("acme").await?;
    let after = account.connections_opened(&id).await?;
    ensure!(
        after > opened,
        "somebody asked, and the database was not opened"
    );
    ensure!(
        status(&tenant).is_some_and(|status| status.last_reconcile_at.is_some()),
        "nothing was noted"
    );
    // The same value again asks nothing; a new one does.
    case.patch("acme", json!({"spec": {"displayName": "Acme Inc"}}))
        .await?;
    case.ready("acme").await?;
    ensure!(
        account.connections_opened(&id).await? == after,
        "an old request was acted on again"
    );
    case.look_closely("acme").await?;
    ensure!(
        account.connections_opened(&id).await? > after,
        "a new request was not acted on"
    );
    Ok(())
}

async fn a_quiet_tenant_costs_no_calls_of_its_own(case: &Case) -> Result<()> {
    let (class, emulator) = case.class_with_account(json!({})).await?;
    let account = Account(&emulator);
    case.apply_ready("acme", json!({"className": class}))
        .await?;
    // What the creation left to look at is looked at with the next listings.
    let listings = async |more: u64| {
        let now = account.calls("listProjects");
        wait::poll(limits::DRIFT, "listings", async || {
            Ok((account.calls("listProjects") > now + more).then_some(()))
        })
        .await
    };
    listings(2).await?;
    emulator.reset_calls();
    listings(3).await?;
    let calls = emulator.calls();
    ensure!(
        calls.keys().all(|operation| operation == "listProjects"),
        "{calls:?}"
    );
    Ok(())
}
