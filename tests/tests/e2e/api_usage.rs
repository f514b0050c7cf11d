//! Reconciling an up-to-date Tenant makes no API calls, and opens its database only if the schema
//! is unknown or a reconcile was requested. Settings that Neon does not apply are not sent again and
//! again.

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Reason};
use kube::api::DeleteParams;
use neon_client::model::{ProjectSettings, Quota, UpdateProject};
use neon_emulator::faults::{Effect, Fault};
use serde_json::json;
use test_support::neon::Account;
use test_support::scenario::{condition, is_available, project_id, status};
use test_support::{Scenario, timeouts, wait};

test_support::tests![
    a_database_is_opened_only_by_a_requested_reconcile,
    an_unchanged_tenant_causes_no_api_calls_except_listings,
    a_setting_that_neon_does_not_apply_is_sent_once_and_reported_once,
    changes_of_a_tenant_do_not_interrupt_the_watch,
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

/// Changes of one Tenant, each of which the watch delivers.
const CHANGES: usize = 10;
/// The API server ends each watch after some minutes, and other tests start controllers.
const MAX_WATCH_REQUESTS: u64 = 5;

async fn changes_of_a_tenant_do_not_interrupt_the_watch(scenario: &Scenario) -> Result<()> {
    scenario.apply_and_wait("acme", json!({})).await?;
    let before = watch_requests(scenario).await?;
    for number in 0..CHANGES {
        let name = format!("Acme {number}");
        scenario
            .patch("acme", json!({"spec": {"displayName": name}}))
            .await?;
        scenario.wait_until_ready("acme").await?;
    }
    let requests = watch_requests(scenario).await?.saturating_sub(before);
    ensure!(
        requests <= MAX_WATCH_REQUESTS,
        "the controller watched Tenants anew {requests} times during {CHANGES} changes"
    );
    Ok(())
}

/// The number of requests with which the running controllers have begun to watch Tenants.
async fn watch_requests(scenario: &Scenario) -> Result<u64> {
    let metrics = scenario.cluster().metrics().await?;
    let counts = metrics.lines().filter(|line| {
        line.starts_with("tenant_controller_kubernetes_requests_total{")
            && line.contains("verb=\"watch\"")
            && line.contains("resource=\"tenants\"")
    });
    let counts: Vec<u64> = counts
        .map(|line| Ok(line.rsplit(' ').next().context("no value")?.parse()?))
        .collect::<Result<_>>()?;
    ensure!(!counts.is_empty(), "no watch of Tenants was counted");
    Ok(counts.iter().sum())
}

async fn a_setting_that_neon_does_not_apply_is_sent_once_and_reported_once(
    scenario: &Scenario,
) -> Result<()> {
    const SECONDS: u64 = 100_000_000;
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let (account, id) = (Account(&emulator), project_id(&tenant)?);
    let fault = emulator
        .faults()
        .add(Fault::new("updateProject", Effect::SettingsIgnored))
        .context("failed to add the fault")?;
    scenario
        .patch(
            "acme",
            json!({"spec": {"quota": {"activeTimeSeconds": SECONDS}}}),
        )
        .await?;
    scenario
        .wait_until_stalled("acme", Reason::SettingsNotApplied)
        .await?;
    let stalled_since = async || {
        let tenant = scenario.tenant("acme").await?;
        ensure!(is_available(&tenant), "the database can be used");
        let stalled = condition(&tenant, ConditionType::Stalled)
            .context("the Tenant is no longer stalled")?;
        Ok(stalled.last_transition_time.clone())
    };
    let since = stalled_since().await?;
    // Each listing shows the difference again.
    let listed = account.calls("listProjects");
    wait::poll(timeouts::DRIFT, "more listings", async || {
        Ok((account.calls("listProjects") > listed + 4).then_some(()))
    })
    .await?;
    ensure!(account.calls("updateProject") == 1);
    ensure!(stalled_since().await? == since, "the condition was removed");
    scenario
        .wait_for_event("acme", Reason::SettingsNotApplied)
        .await?;
    let reported = scenario
        .events("acme")
        .await?
        .into_iter()
        .filter(|event| event.reason.as_deref() == Some(Reason::SettingsNotApplied.as_str()));
    let count: i32 = reported
        .map(|event| event.series.map_or(1, |series| series.count))
        .sum();
    ensure!(count == 1, "{count} events");

    // An edit is sent, whether or not Neon applies it.
    scenario
        .patch(
            "acme",
            json!({"spec": {"quota": {"activeTimeSeconds": 2 * SECONDS}}}),
        )
        .await?;
    wait::poll(timeouts::CONVERGE, "the edit to be sent", async || {
        Ok((account.calls("updateProject") == 2).then_some(()))
    })
    .await?;
    emulator.faults().remove(fault);
    let quota = Quota {
        active_time_seconds: Some(2 * SECONDS),
        ..Quota::default()
    };
    let late = UpdateProject {
        settings: Some(ProjectSettings {
            quota: Some(quota),
            ..ProjectSettings::default()
        }),
        ..UpdateProject::default()
    };
    account
        .client()?
        .projects()
        .update(&id, late)
        .send()
        .await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    ensure!(condition(&tenant, ConditionType::Stalled).is_none());
    Ok(())
}
