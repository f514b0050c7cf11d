//! During an outage of a server the controller keeps running and reports the reason, and available
//! Tenants stay available. After the outage all Tenants are reconciled.

use anyhow::{Context as _, Result, ensure};
use crds::Reason;
use serde_json::json;
use test_support::cluster::{RELEASE, SYSTEM_NAMESPACE};
use test_support::scenario::{is_available, project_id};
use test_support::suite::{self, Trial};
use test_support::{ClusterOptions, Scenario, command, timeouts, wait};

const STEADY: &str = "steady";

pub(crate) fn tests() -> Vec<Trial> {
    let options = ClusterOptions::default()
        .proxied()
        .setting("lease-duration", "60s")
        .setting("lease-renew-deadline", "50s")
        .setting("lease-retry-interval", "1s")
        .setting("kube-call-timeout", "2s")
        .setting("neon-call-timeout", "2s")
        .setting("migration-connect-timeout", "1s");
    vec![suite::test_on(
        "faults::outages::tenants_converge_after_outages_of_every_server",
        options,
        outages,
    )]
}

async fn outages(scenario: &Scenario) -> Result<()> {
    scenario.apply_and_wait(STEADY, json!({})).await?;
    neon_outage(scenario)
        .await
        .context("during the outage of Neon's API")?;
    database_outage(scenario)
        .await
        .context("during the outage of the databases")?;
    kubernetes_outage(scenario)
        .await
        .context("during the outage of the Kubernetes API")?;
    Ok(())
}

async fn neon_outage(scenario: &Scenario) -> Result<()> {
    let neon = &scenario
        .cluster()
        .proxies()
        .context("the cluster has no proxies")?
        .neon;
    scenario.apply_and_wait("deleted", json!({})).await?;
    neon.block();
    scenario.apply("created", json!({})).await?;
    scenario
        .patch(
            STEADY,
            json!({"spec": {"quota": {"logicalSizeBytes": 3_000_000_000_i64}}}),
        )
        .await?;
    scenario.delete("deleted").await?;
    for name in ["created", STEADY, "deleted"] {
        scenario
            .wait_for_reason(name, Reason::AccountUnreachable)
            .await?;
    }
    check_still_available(scenario, STEADY).await?;
    neon.unblock();
    scenario.wait_until_ready(STEADY).await?;
    scenario.wait_until_deleted("deleted").await?;
    let created = scenario.wait_until_ready("created").await?;
    scenario.check_connection(&created).await?;
    check_one_project_each(scenario, 2).await
}

async fn database_outage(scenario: &Scenario) -> Result<()> {
    let data = &scenario
        .cluster()
        .proxies()
        .context("the cluster has no proxies")?
        .data;
    data.block();
    scenario.apply("unmigrated", json!({})).await?;
    scenario.request_reconcile(STEADY).await?;
    for name in ["unmigrated", STEADY] {
        scenario
            .wait_for_reason(name, Reason::DatabaseUnreachable)
            .await?;
    }
    check_still_available(scenario, STEADY).await?;
    ensure!(
        !is_available(&scenario.tenant("unmigrated").await?),
        "a Tenant without a schema must not be available"
    );
    data.unblock();
    scenario.wait_until_ready(STEADY).await?;
    let unmigrated = scenario.wait_until_ready("unmigrated").await?;
    scenario.check_connection(&unmigrated).await?;
    check_one_project_each(scenario, 3).await
}

async fn kubernetes_outage(scenario: &Scenario) -> Result<()> {
    let cluster = scenario.cluster();
    scenario.apply("interrupted", json!({})).await?;
    let proxy = &cluster
        .proxies()
        .context("the cluster has no proxies")?
        .kube;
    proxy.block();
    cluster.plane().stop_apiserver().await;
    let log = cluster.log("one");
    wait::poll(
        timeouts::CONVERGE,
        "the controller to log that it cannot renew its Lease",
        async || {
            Ok(std::fs::read_to_string(&log)?
                .contains("failed to renew the lease")
                .then_some(()))
        },
    )
    .await?;
    ensure!(cluster.is_running("one").await?, "the controller exited");
    cluster.plane().start_apiserver().await?;
    wait_for_permissions(scenario).await?;
    proxy.unblock();
    let interrupted = scenario.wait_until_ready("interrupted").await?;
    scenario.check_connection(&interrupted).await?;
    check_still_available(scenario, STEADY).await?;
    check_one_project_each(scenario, 4).await
}

/// A new API server denies all requests until it has loaded its roles. The controller retries, but
/// the check after the test would report missing permissions.
async fn wait_for_permissions(scenario: &Scenario) -> Result<()> {
    let account = format!("--as=system:serviceaccount:{SYSTEM_NAMESPACE}:{RELEASE}");
    for permission in [
        &[
            "auth",
            "can-i",
            "patch",
            "leases.coordination.k8s.io/tenant-controller",
            "--namespace",
            SYSTEM_NAMESPACE,
        ][..],
        &["auth", "can-i", "watch", "secrets", "--all-namespaces"],
        &[
            "auth",
            "can-i",
            "watch",
            "configmaps",
            "--namespace",
            SYSTEM_NAMESPACE,
        ],
    ] {
        wait::poll(
            timeouts::CONVERGE,
            "the controller's permissions",
            async || {
                let mut can_i = scenario.cluster().kubectl(permission);
                can_i.arg(&account);
                command::output(can_i).await.map(Some)
            },
        )
        .await?;
    }
    Ok(())
}

async fn check_still_available(scenario: &Scenario, name: &str) -> Result<()> {
    ensure!(
        is_available(&scenario.tenant(name).await?),
        "{name} is no longer available"
    );
    ensure!(
        scenario.cluster().is_running("one").await?,
        "the controller exited"
    );
    Ok(())
}

async fn check_one_project_each(scenario: &Scenario, tenants: usize) -> Result<()> {
    let projects = scenario.cluster().account().existing_projects().await?;
    ensure!(
        projects.len() == tenants,
        "{} projects exist for {tenants} Tenants",
        projects.len()
    );
    ensure!(
        projects.contains(&project_id(&scenario.tenant(STEADY).await?)?),
        "the project of {STEADY} does not exist"
    );
    Ok(())
}
