//! The cluster's state is restored from an older etcd snapshot, with the commands of the page
//! docs/operations/disaster-recovery.md.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, annotations, keys};
use jiff::Timestamp;
use neon_client::ids::ProjectId;
use serde_json::json;
use test_support::cluster::{RELEASE, SYSTEM_NAMESPACE};
use test_support::scenario::{is_ready, status};
use test_support::{Cluster, Scenario, timeouts, wait};

use super::{CONTROLLER, annotate, apply_with_data, check_data};

/// A maximum size that differs from the class's default, in compute units.
const EDITED_MAX_CU: f64 = 2.0;

pub(super) async fn an_older_etcd_snapshot_loses_and_mixes_up_no_database(
    scenario: &Scenario,
) -> Result<()> {
    let (cluster, account) = (scenario.cluster(), scenario.cluster().account());
    let mut projects = BTreeMap::new();
    for name in ["kept", "edited", "rotated", "deleted", "replaced"] {
        projects.insert(name, apply_with_data(scenario, name, json!({})).await?);
    }
    let original_max_cu = account
        .endpoint(&projects["edited"])
        .await?
        .autoscaling_limit_max_cu;
    // The servers stop for this snapshot, and a controller exits if it loses its Lease.
    let snapshot = cluster.folder().join("etcd-snapshot");
    cluster.terminate_controller(CONTROLLER).await?;
    cluster.plane().save_snapshot(&snapshot).await?;
    cluster.start_controller(CONTROLLER).await?;

    let later = apply_with_data(scenario, "later", json!({})).await?;
    scenario
        .apply_and_wait("edited", json!({"compute": {"maxCU": EDITED_MAX_CU}}))
        .await?;
    ensure!(
        account
            .has_max_cu(&projects["edited"], EDITED_MAX_CU)
            .await?,
        "the edit did not reach Neon"
    );
    rotate_password(scenario, "rotated", &projects["rotated"]).await?;
    for name in ["deleted", "replaced"] {
        scenario.delete(name).await?;
        scenario.wait_until_deleted(name).await?;
    }
    let second = apply_with_data(scenario, "replaced", json!({})).await?;

    scale_controller(cluster, 0).await?;
    cluster.terminate_controller(CONTROLLER).await?;
    cluster.plane().restore_snapshot(&snapshot).await?;
    scale_controller(cluster, 1).await?;
    cluster.start_controller(CONTROLLER).await?;

    // The recovered projects are those of the restored Tenants.
    for name in ["deleted", "replaced"] {
        scenario
            .wait_for_event(name, Reason::ProjectRecovered)
            .await?;
        check_data(scenario, name, name, &projects[name]).await?;
    }
    wait::poll(timeouts::DRIFT, "the restored spec in Neon", async || {
        let endpoint = account.endpoint(&projects["edited"]).await?;
        Ok((endpoint.autoscaling_limit_max_cu == original_max_cu).then_some(()))
    })
    .await?;
    let rotated = scenario.tenant("rotated").await?;
    ensure!(
        scenario
            .psql(&rotated, keys::URI, "select 1")
            .await
            .is_err(),
        "the Secret of the snapshot has the current password"
    );
    reconcile_all(scenario, &projects).await?;
    for (name, id) in &projects {
        check_data(scenario, name, name, id).await?;
    }

    // The Tenants of these projects are not in the snapshot.
    wait_for_orphaned_projects(scenario, [&later, &second]).await?;
    scenario.apply("later", json!({})).await?;
    let message = scenario
        .wait_until_stalled("later", Reason::ExistingProject)
        .await?;
    ensure!(message.contains(later.as_str()), "{message}");
    annotate(scenario, "later", annotations::PROJECT_ID, later.as_str()).await?;
    check_data(scenario, "later", "later", &later).await?;

    // A Tenant that was replaced can have its later project instead.
    scenario
        .patch("replaced", json!({"spec": {"deletionPolicy": "Retain"}}))
        .await?;
    scenario.delete("replaced").await?;
    scenario.wait_until_deleted("replaced").await?;
    scenario.apply("replaced", json!({})).await?;
    scenario
        .wait_until_stalled("replaced", Reason::ExistingProject)
        .await?;
    annotate(
        scenario,
        "replaced",
        annotations::PROJECT_ID,
        second.as_str(),
    )
    .await?;
    check_data(scenario, "replaced", "replaced", &second).await?;

    let existing: BTreeSet<_> = account.existing_projects().await?.into_iter().collect();
    let first = projects["replaced"].clone();
    let expected: BTreeSet<_> = projects.into_values().chain([later, second]).collect();
    ensure!(existing == expected, "{existing:?}");
    account.delete(&first).await
}

/// Changes the password of a Tenant's database in Neon, and has the controller update the Secret.
async fn rotate_password(scenario: &Scenario, name: &str, id: &ProjectId) -> Result<()> {
    let role = status(&scenario.tenant(name).await?)
        .and_then(|status| status.connection.as_ref())
        .context("the status has no connection")?
        .role
        .clone();
    scenario
        .cluster()
        .account()
        .reset_password(id, &role)
        .await?;
    let tenant = scenario.reconcile_and_wait(name).await?;
    scenario.check_connection(&tenant).await
}

async fn scale_controller(cluster: &Cluster, replicas: u8) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    let command = cluster.kubectl(&[
        "-n",
        SYSTEM_NAMESPACE,
        "scale",
        "deployment",
        RELEASE,
        &replicas,
    ]);
    test_support::command::output(command).await.map(drop)
}

/// Has the controller check all databases.
async fn reconcile_all(
    scenario: &Scenario,
    tenants: &BTreeMap<&'static str, ProjectId>,
) -> Result<()> {
    let requested = Timestamp::now().as_second().to_string();
    let annotation = format!("{}={requested}", annotations::RECONCILE_AT);
    let command = [
        "annotate",
        "tn",
        "--all",
        "--all-namespaces",
        &annotation,
        "--overwrite",
    ];
    let command = scenario.cluster().kubectl(&command);
    test_support::command::output(command).await?;
    for name in tenants.keys() {
        scenario
            .wait_for(name, timeouts::CONVERGE, "reconciled", |tenant| {
                is_ready(tenant)
                    && status(tenant)
                        .is_some_and(|status| status.last_reconcile_at.as_ref() == Some(&requested))
            })
            .await?;
    }
    Ok(())
}

async fn wait_for_orphaned_projects(scenario: &Scenario, expected: [&ProjectId; 2]) -> Result<()> {
    let expected: BTreeSet<_> = expected.map(ToString::to_string).into();
    let name = crds::DEFAULT_CLASS;
    wait::until(
        &scenario.classes(),
        name,
        timeouts::DRIFT,
        "reporting the orphaned projects",
        |class| {
            let status = class.and_then(|class| class.status.as_ref());
            let orphaned = status.and_then(|status| status.orphaned_projects.as_ref());
            orphaned.is_some_and(|orphaned| {
                orphaned.ids.iter().cloned().collect::<BTreeSet<_>>() == expected
            })
        },
    )
    .await?;
    Ok(())
}
