//! A leader that is frozen for longer than its Lease, and continues after another has taken over.

use anyhow::{Context as _, Result, ensure};
use crds::Tenant;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt as _};
use local_stack::controller::ControllerProcess;
use neon_emulator::faults::{Effect, Fault};
use serde_json::json;
use test_support::cluster::{RELEASE, SYSTEM_NAMESPACE};
use test_support::scenario::{project_id, status};
use test_support::suite::{self, Trial};
use test_support::{ClusterOptions, Scenario, command, timeouts, wait};
use tokio::sync::Mutex;

/// The duration of the creation in which the leader is frozen, in milliseconds. It is shorter than
/// the send window and the verification window together.
const CREATION_MS: u64 = 7_000;

pub(crate) fn tests() -> Vec<Trial> {
    let options = ClusterOptions::default()
        .replicas(2)
        .setting("lease-duration", "4s")
        .setting("lease-renew-deadline", "3s")
        .setting("lease-retry-interval", "500ms");
    vec![suite::test_on(
        "faults::replicas::a_leader_frozen_during_a_creation_creates_no_duplicate_and_overwrites_nothing",
        options,
        frozen_leader,
    )]
}

async fn frozen_leader(scenario: &Scenario) -> Result<()> {
    let cluster = scenario.cluster();
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    scenario
        .apply_and_wait("before", json!({"className": class}))
        .await?;
    let leader = holder(scenario).await?.context("the Lease has no holder")?;
    let slow = Fault::new("createProject", Effect::Delay { ms: CREATION_MS }).times(1);
    emulator
        .faults()
        .add(slow)
        .context("failed to add the fault")?;
    scenario.apply("acme", json!({"className": class})).await?;
    let is_creating =
        |tenant: &Tenant| status(tenant).is_some_and(|status| status.creation.is_some());
    scenario
        .wait_for("acme", timeouts::CONVERGE, "being created", is_creating)
        .await?;
    wait::poll(
        timeouts::CONVERGE,
        "the request for the second project",
        async || Ok((emulator.calls().get("createProject") == Some(&2)).then_some(())),
    )
    .await?;

    let old = cluster
        .take_controller(leader.trim_start_matches(RELEASE).trim_start_matches('-'))
        .await?;
    signal(&old, "STOP").await?;
    wait::poll(
        timeouts::TAKEOVER,
        "another holder of the Lease",
        async || Ok(holder(scenario).await?.filter(|holder| *holder != leader)),
    )
    .await?;
    let ready = scenario
        .wait_for(
            "acme",
            timeouts::CREATION_VERIFIED,
            "Ready",
            test_support::scenario::is_ready,
        )
        .await?;

    signal(&old, "CONT").await?;
    let old = Mutex::new(old);
    wait::poll(timeouts::CONTROLLER, "the old leader to exit", async || {
        Ok(old.lock().await.has_exited()?.then_some(()))
    })
    .await?;
    let after = scenario.tenant("acme").await?;
    ensure!(
        after.resource_version() == ready.resource_version(),
        "the old leader wrote to the Tenant: {:?}",
        after.status
    );
    let uid = after.uid().unwrap_or_default();
    let mut projects = emulator.projects().await?;
    projects.retain(|project| project.deleted_at.is_none() && project.name.contains(&uid));
    let ids: Vec<_> = projects.iter().map(|project| project.id.clone()).collect();
    ensure!(ids == [project_id(&after)?], "the Tenant has {ids:?}");
    Ok(())
}

async fn holder(scenario: &Scenario) -> Result<Option<String>> {
    let leases: Api<Lease> = Api::namespaced(scenario.cluster().client(), SYSTEM_NAMESPACE);
    Ok(leases
        .get(RELEASE)
        .await?
        .spec
        .and_then(|spec| spec.holder_identity))
}

async fn signal(controller: &ControllerProcess, name: &str) -> Result<()> {
    let pid = controller
        .pid()
        .context("the controller has no process id")?;
    let mut kill = std::process::Command::new("kill");
    kill.args(["-s", name, &pid.to_string()]);
    command::output(kill).await.map(drop)
}
