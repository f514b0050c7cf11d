//! Two replicas, one Lease: one acts, the other waits and takes over. On clusters of their own, whose controllers are ended.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use neon_emulator::Latency;
use serde_json::json;
use tests::case::{project_id, status};
use tests::cluster::{RELEASE, SYSTEM_NAMESPACE};
use tests::suite::{Trial, test_on};
use tests::{Case, ClusterOptions, limits, wait};

/// The duration of the Lease, as the chart leaves it.
const LEASE_SECONDS: u64 = 15;

/// The tests of this module.
pub(crate) fn tests() -> Vec<Trial> {
    let named = ClusterOptions {
        values: json!({"replicas": 2, "watchNamespaces": ["here-a", "here-b"]}),
        namespaces: vec!["here-a".into(), "here-b".into()],
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
                "::a_controller_that_is_asked_to_end_finishes_its_steps"
            ),
            ClusterOptions::default().latency(Latency::neon()),
            a_controller_that_is_asked_to_end_finishes_its_steps,
        ),
        test_on(
            concat!(
                module_path!(),
                "::rights_in_named_namespaces_suffice_and_reach_no_further"
            ),
            named,
            rights_in_named_namespaces_suffice_and_reach_no_further,
        ),
    ]
}

async fn held_by(case: &Case, name: &str, limit: Duration) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(case.cluster().client(), SYSTEM_NAMESPACE);
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

async fn the_second_replica_waits_and_takes_over(case: &Case) -> Result<()> {
    let cluster = case.cluster();
    held_by(case, "one", limits::HANDOVER).await?;
    case.apply_ready("before", json!({})).await?;
    ensure!(cluster.runs("two").await?, "the second replica ended");
    let log = std::fs::read_to_string(cluster.log("two"))?;
    ensure!(
        !log.contains("\"Reconciling\""),
        "the second replica acts beside the first"
    );

    // Asked to end, it gives the Lease back: the other need not wait for its expiry.
    case.apply("during", json!({})).await?;
    let asked = Instant::now();
    cluster.terminate_controller("one").await?;
    held_by(case, "two", limits::HANDOVER).await?;
    let took = asked.elapsed();
    ensure!(
        took < Duration::from_secs(LEASE_SECONDS),
        "the Lease was not given back: {took:?}"
    );
    case.ready("during").await?;
    case.apply_ready("after", json!({})).await?;

    // Killed, it holds the Lease until that expires.
    cluster.start_controller("one").await?;
    case.apply("killed", json!({})).await?;
    cluster.kill_controller("two").await?;
    held_by(case, "one", limits::TAKEOVER).await?;
    let killed = case.ready("killed").await?;
    for name in ["before", "during", "after"] {
        case.patch(
            name,
            json!({"spec": {"displayName": "looked at by the new holder"}}),
        )
        .await?;
        case.ready(name).await?;
    }
    let living = cluster.account().living().await?;
    ensure!(
        living.len() == 4 && living.contains(&project_id(&killed)?),
        "4 Tenants have {} projects",
        living.len()
    );
    Ok(())
}

async fn a_controller_that_is_asked_to_end_finishes_its_steps(case: &Case) -> Result<()> {
    let cluster = case.cluster();
    for number in 1..=5 {
        case.apply(&format!("t{number}"), json!({})).await?;
    }
    // In the middle of it: some projects are being created.
    case.until("t1", limits::CONVERGE, "being created", |tenant| {
        status(tenant).is_some_and(|status| status.creation.is_some() || status.project.is_some())
    })
    .await?;
    cluster.terminate_controller("one").await?;
    let log = std::fs::read_to_string(cluster.log("one"))?;
    ensure!(
        log.contains("all running steps completed"),
        "steps were abandoned"
    );
    let leases: Api<Lease> = Api::namespaced(cluster.client(), SYSTEM_NAMESPACE);
    let holder = leases
        .get(RELEASE)
        .await?
        .spec
        .and_then(|spec| spec.holder_identity)
        .unwrap_or_default();
    ensure!(holder.is_empty(), "the Lease is still held by {holder}");
    // No answer was thrown away: whatever project there is, its Tenant knows it, and nothing has to settle.
    let mut known = Vec::new();
    for number in 1..=5 {
        let tenant = case.tenant(&format!("t{number}")).await?;
        let status = status(&tenant).cloned().unwrap_or_default();
        ensure!(
            status.creation.is_none() || status.project.is_none(),
            "an intent beside a project"
        );
        ensure!(
            status.creation.is_none(),
            "a request is left open: {:?}",
            status.creation
        );
        known.extend(status.project.map(|project| project.id));
    }
    let mut living: Vec<String> = cluster
        .account()
        .living()
        .await?
        .iter()
        .map(ToString::to_string)
        .collect();
    known.sort();
    living.sort();
    ensure!(
        known == living,
        "Tenants know {known:?}, Neon has {living:?}"
    );
    cluster.start_controller("one").await?;
    for number in 1..=5 {
        case.ready(&format!("t{number}")).await?;
    }
    ensure!(
        cluster.account().living().await?.len() == 5,
        "5 Tenants do not have 5 projects"
    );
    Ok(())
}

async fn rights_in_named_namespaces_suffice_and_reach_no_further(case: &Case) -> Result<()> {
    let tenants =
        |namespace: &str| Api::<crds::Tenant>::namespaced(case.cluster().client(), namespace);
    let manifest = |namespace: &str| {
        format!(
            "apiVersion: dbpertenant.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: acme, namespace: {namespace}}}\nspec: {{}}\n"
        )
    };
    for namespace in ["here-a", "here-b", case.namespace()] {
        let kubectl = case.cluster().kubectl(&["apply", "--filename=-"]);
        tests::command::output_with_input(kubectl, &manifest(namespace)).await?;
    }
    for namespace in ["here-a", "here-b"] {
        let is_ready = |tenant: Option<&crds::Tenant>| tenant.is_some_and(tests::case::is_ready);
        wait::until(
            &tenants(namespace),
            "acme",
            limits::CONVERGE,
            "Ready",
            is_ready,
        )
        .await?
        .context("no Tenant")?;
    }
    let other = tenants(case.namespace()).get("acme").await?;
    ensure!(
        other.status.is_none(),
        "a Tenant elsewhere was looked at: {:?}",
        other.status
    );
    for namespace in ["here-a", "here-b"] {
        tenants(namespace)
            .delete("acme", &kube::api::DeleteParams::default())
            .await?;
        wait::until(
            &tenants(namespace),
            "acme",
            limits::CONVERGE,
            "gone",
            |tenant| tenant.is_none(),
        )
        .await?;
    }
    Ok(())
}
