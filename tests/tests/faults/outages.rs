//! Servers that are away for a while. The controller stays up and says why it waits; tenants that were served still are; and
//! in the end it is as if nothing had been.

use anyhow::{Context as _, Result, ensure};
use crds::Reason;
use serde_json::json;
use tests::case::{is_available, project_id};
use tests::cluster::{RELEASE, SYSTEM_NAMESPACE};
use tests::suite::{self, Trial};
use tests::{Case, ClusterOptions, command, limits, wait};

const STEADY: &str = "steady";

pub(crate) fn tests() -> Vec<Trial> {
    let options = ClusterOptions::default()
        .proxied()
        .setting("lease-duration", "60s")
        .setting("lease-renew-deadline", "50s")
        .setting("lease-retry-interval", "1s")
        .setting("kube-call-deadline", "2s")
        .setting("neon-call-deadline", "2s")
        .setting("migration-connect-timeout", "1s");
    vec![suite::test_on(
        "faults::outages::servers_that_are_away_for_a_while_change_nothing_in_the_end",
        options,
        outages,
    )]
}

async fn outages(case: &Case) -> Result<()> {
    case.apply_ready(STEADY, json!({})).await?;
    neon_is_away(case)
        .await
        .context("while Neon's API was away")?;
    databases_are_away(case)
        .await
        .context("while the databases were away")?;
    kubernetes_is_away(case)
        .await
        .context("while the Kubernetes API was away")?;
    Ok(())
}

async fn neon_is_away(case: &Case) -> Result<()> {
    let neon = &case.cluster().proxies().context("no proxies")?.neon;
    case.apply_ready("going", json!({})).await?;
    neon.shut();
    case.apply("coming", json!({})).await?;
    case.patch(
        STEADY,
        json!({"spec": {"quota": {"logicalSizeBytes": 3_000_000_000_i64}}}),
    )
    .await?;
    case.delete("going").await?;
    for name in ["coming", STEADY, "going"] {
        case.says(name, Reason::AccountUnreachable).await?;
    }
    still_served(case, STEADY).await?;
    neon.open();
    case.ready(STEADY).await?;
    case.gone("going").await?;
    let coming = case.ready("coming").await?;
    case.opens(&coming).await?;
    one_project_each(case, 2).await
}

async fn databases_are_away(case: &Case) -> Result<()> {
    let data = &case.cluster().proxies().context("no proxies")?.data;
    data.shut();
    case.apply("unmigrated", json!({})).await?;
    case.ask_for_a_close_look(STEADY).await?;
    for name in ["unmigrated", STEADY] {
        case.says(name, Reason::DatabaseUnreachable).await?;
    }
    still_served(case, STEADY).await?;
    ensure!(
        !is_available(&case.tenant("unmigrated").await?),
        "a Tenant without a schema is not available"
    );
    data.open();
    case.ready(STEADY).await?;
    let unmigrated = case.ready("unmigrated").await?;
    case.opens(&unmigrated).await?;
    one_project_each(case, 3).await
}

async fn kubernetes_is_away(case: &Case) -> Result<()> {
    let cluster = case.cluster();
    case.apply("interrupted", json!({})).await?;
    let way = &cluster.proxies().context("no proxies")?.kube;
    way.shut();
    cluster.plane().stop_apiserver().await;
    let log = cluster.log("one");
    wait::poll(
        limits::CONVERGE,
        "the controller says that it cannot renew its Lease",
        async || {
            Ok(std::fs::read_to_string(&log)?
                .contains("failed to renew the lease")
                .then_some(()))
        },
    )
    .await?;
    ensure!(cluster.runs("one").await?, "the controller ended");
    cluster.plane().start_apiserver().await?;
    rights_are_read(case).await?;
    way.open();
    let interrupted = case.ready("interrupted").await?;
    case.opens(&interrupted).await?;
    still_served(case, STEADY).await?;
    one_project_each(case, 4).await
}

/// A server that has just started refuses everything until it has read its roles. The controller gets over that, but the
/// check at the end would take it for rights that the chart lacks.
async fn rights_are_read(case: &Case) -> Result<()> {
    let account = format!("--as=system:serviceaccount:{SYSTEM_NAMESPACE}:{RELEASE}");
    for right in [
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
        wait::poll(limits::CONVERGE, "the controller's rights", async || {
            let mut ask = case.cluster().kubectl(right);
            ask.arg(&account);
            command::output(ask).await.map(Some)
        })
        .await?;
    }
    Ok(())
}

async fn still_served(case: &Case, name: &str) -> Result<()> {
    ensure!(
        is_available(&case.tenant(name).await?),
        "{name} is not Available any more"
    );
    ensure!(case.cluster().runs("one").await?, "the controller ended");
    Ok(())
}

async fn one_project_each(case: &Case, tenants: usize) -> Result<()> {
    let living = case.cluster().account().living().await?;
    ensure!(
        living.len() == tenants,
        "{} projects live for {tenants} Tenants",
        living.len()
    );
    ensure!(
        living.contains(&project_id(&case.tenant(STEADY).await?)?),
        "the project of {STEADY} is gone"
    );
    Ok(())
}
