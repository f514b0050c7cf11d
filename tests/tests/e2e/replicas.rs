//! Two replicas share a Lease: one reconciles, the other waits and takes over. These tests stop
//! controllers, so each has its own cluster.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use neon_emulator::Latency;
use serde_json::json;
use test_support::cluster::{RELEASE, SYSTEM_NAMESPACE};
use test_support::scenario::{project_id, status};
use test_support::suite::{Trial, test_on};
use test_support::{Cluster, ClusterOptions, Scenario, timeouts, wait};

/// The chart's default lease duration.
const LEASE_SECONDS: u64 = 30;

pub(crate) fn tests() -> Vec<Trial> {
    let limited = ClusterOptions {
        values: json!({"replicas": 2, "watchNamespaces": ["watched-a", "watched-b"]}),
        namespaces: vec!["watched-a".into(), "watched-b".into()],
        ..ClusterOptions::default()
    };
    vec![
        test_on(
            concat!(module_path!(), "::the_second_replica_waits_and_takes_over"),
            ClusterOptions::default().replicas(2),
            the_second_replica_waits_and_takes_over,
        ),
        test_on(
            concat!(
                module_path!(),
                "::a_terminated_controller_finishes_its_steps"
            ),
            ClusterOptions::default()
                .latency(Latency::neon())
                .real_time_suspension()
                .setting("shutdown-grace", "20s"),
            a_terminated_controller_finishes_its_steps,
        ),
        test_on(
            concat!(
                module_path!(),
                "::a_controller_limited_to_namespaces_ignores_all_others"
            ),
            limited,
            a_controller_limited_to_namespaces_ignores_all_others,
        ),
    ]
}

async fn wait_for_holder(scenario: &Scenario, name: &str, limit: Duration) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(scenario.cluster().client(), SYSTEM_NAMESPACE);
    let holder = format!("{RELEASE}-{name}");
    wait::until(
        &leases,
        RELEASE,
        limit,
        &format!("held by {holder}"),
        |lease| {
            lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_ref()) == Some(&holder)
        },
    )
    .await?;
    Ok(())
}

/// Whether the replica's log contains the event that starts the reconcilers.
fn has_reconciled(cluster: &Cluster, replica: &str) -> Result<bool> {
    let log = std::fs::read_to_string(cluster.log(replica))?;
    Ok(log.contains("\"caches synced; reconciling\""))
}

async fn the_second_replica_waits_and_takes_over(scenario: &Scenario) -> Result<()> {
    let cluster = scenario.cluster();
    wait_for_holder(scenario, "one", timeouts::HANDOVER).await?;
    scenario.apply_and_wait("before", json!({})).await?;
    ensure!(
        cluster.is_running("two").await?,
        "the second replica exited"
    );
    ensure!(
        has_reconciled(cluster, "one")?,
        "the leader does not reconcile"
    );
    ensure!(
        !has_reconciled(cluster, "two")?,
        "the second replica reconciles although it is not the leader"
    );

    // A terminated replica releases the Lease, so the other need not wait for its expiry.
    scenario.apply("during", json!({})).await?;
    let terminated = Instant::now();
    cluster.terminate_controller("one").await?;
    wait_for_holder(scenario, "two", timeouts::HANDOVER).await?;
    let took = terminated.elapsed();
    ensure!(
        took < Duration::from_secs(LEASE_SECONDS),
        "the Lease was not released: {took:?}"
    );
    scenario.wait_until_ready("during").await?;
    scenario.apply_and_wait("after", json!({})).await?;
    ensure!(
        has_reconciled(cluster, "two")?,
        "the new leader does not reconcile"
    );

    // A killed replica holds the Lease until it expires.
    cluster.start_controller("one").await?;
    scenario.apply("killed", json!({})).await?;
    cluster.kill_controller("two").await?;
    wait_for_holder(scenario, "one", timeouts::TAKEOVER).await?;
    let killed = scenario.wait_until_ready("killed").await?;
    for name in ["before", "during", "after"] {
        scenario
            .patch(
                name,
                json!({"spec": {"displayName": "changed under the new leader"}}),
            )
            .await?;
        scenario.wait_until_ready(name).await?;
    }
    let projects = cluster.account().existing_projects().await?;
    ensure!(
        projects.len() == 4 && projects.contains(&project_id(&killed)?),
        "4 Tenants have {} projects",
        projects.len()
    );
    Ok(())
}

async fn a_terminated_controller_finishes_its_steps(scenario: &Scenario) -> Result<()> {
    let cluster = scenario.cluster();
    for number in 1..=5 {
        scenario.apply(&format!("t{number}"), json!({})).await?;
    }
    // At this point some projects are being created.
    scenario
        .wait_for("t1", timeouts::CONVERGE, "being created", |tenant| {
            status(tenant)
                .is_some_and(|status| status.creation.is_some() || status.project.is_some())
        })
        .await?;
    cluster.terminate_controller("one").await?;
    let log = std::fs::read_to_string(cluster.log("one"))?;
    ensure!(
        !log.contains("shutdown-grace expired"),
        "steps were aborted"
    );
    let leases: Api<Lease> = Api::namespaced(cluster.client(), SYSTEM_NAMESPACE);
    let holder = leases
        .get(RELEASE)
        .await?
        .spec
        .and_then(|spec| spec.holder_identity)
        .unwrap_or_default();
    ensure!(holder.is_empty(), "the Lease is still held by {holder}");
    // No response was lost: every project is in a Tenant's status, and no creation needs
    // verification.
    let mut known = Vec::new();
    for number in 1..=5 {
        let tenant = scenario.tenant(&format!("t{number}")).await?;
        let status = status(&tenant).cloned().unwrap_or_default();
        ensure!(
            status.creation.is_none() || status.project.is_none(),
            "the status has both a pending creation and a project"
        );
        ensure!(
            status.creation.is_none(),
            "a creation is pending: {:?}",
            status.creation
        );
        known.extend(status.project.map(|project| project.id));
    }
    let mut existing: Vec<String> = cluster
        .account()
        .existing_projects()
        .await?
        .iter()
        .map(ToString::to_string)
        .collect();
    known.sort();
    existing.sort();
    ensure!(
        known == existing,
        "the Tenants have {known:?}, Neon has {existing:?}"
    );
    cluster.start_controller("one").await?;
    for number in 1..=5 {
        scenario.wait_until_ready(&format!("t{number}")).await?;
    }
    ensure!(
        cluster.account().existing_projects().await?.len() == 5,
        "5 Tenants do not have 5 projects"
    );
    Ok(())
}

async fn a_controller_limited_to_namespaces_ignores_all_others(scenario: &Scenario) -> Result<()> {
    let tenants =
        |namespace: &str| Api::<crds::Tenant>::namespaced(scenario.cluster().client(), namespace);
    let manifest = |namespace: &str| {
        format!(
            "apiVersion: dbpertenant.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: acme, namespace: {namespace}}}\nspec: {{}}\n"
        )
    };
    for namespace in ["watched-a", "watched-b", scenario.namespace()] {
        let kubectl = scenario.cluster().kubectl(&["apply", "--filename=-"]);
        test_support::command::output_with_input(kubectl, &manifest(namespace)).await?;
    }
    for namespace in ["watched-a", "watched-b"] {
        let is_ready =
            |tenant: Option<&crds::Tenant>| tenant.is_some_and(test_support::scenario::is_ready);
        wait::until(
            &tenants(namespace),
            "acme",
            timeouts::CONVERGE,
            "Ready",
            is_ready,
        )
        .await?
        .context("the Tenant does not exist")?;
    }
    let other = tenants(scenario.namespace()).get("acme").await?;
    ensure!(
        status(&other).is_none_or(|status| status.phase.is_none()),
        "a Tenant in another namespace was reconciled: {:?}",
        other.status
    );
    for namespace in ["watched-a", "watched-b"] {
        tenants(namespace)
            .delete("acme", &kube::api::DeleteParams::default())
            .await?;
        wait::until(
            &tenants(namespace),
            "acme",
            timeouts::CONVERGE,
            "deleted",
            |tenant| tenant.is_none(),
        )
        .await?;
    }
    Ok(())
}
