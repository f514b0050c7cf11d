//! A leader that stands still for longer than its Lease, and goes on when another has taken over.

use anyhow::{Context as _, Result, ensure};
use crds::Tenant;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt as _};
use neon_emulator::faults::{Effect, Fault};
use serde_json::json;
use tests::case::{project_id, status};
use tests::cluster::{RELEASE, SYSTEM_NAMESPACE};
use tests::suite::{self, Trial};
use tests::{Case, ClusterOptions, command, limits, wait};
use tokio::sync::Mutex;
use xtask::controller::ControllerProcess;

/// How long the creation takes that the leader is frozen in, in milliseconds: shorter than the send and settle windows together.
const CREATION_MS: u64 = 7_000;

pub(crate) fn tests() -> Vec<Trial> {
    let options = ClusterOptions::default()
        .replicas(2)
        .setting("lease-duration", "4s")
        .setting("lease-renew-deadline", "3s")
        .setting("lease-retry-interval", "500ms");
    vec![suite::test_on(
        "faults::replicas::a_leader_frozen_in_a_creation_makes_no_twin_and_overwrites_nothing",
        options,
        frozen,
    )]
}

async fn frozen(case: &Case) -> Result<()> {
    let cluster = case.cluster();
    let (class, emulator) = case.class_with_account(json!({})).await?;
    case.apply_ready("before", json!({"className": class}))
        .await?;
    let leader = holder(case).await?.context("nobody holds the Lease")?;
    let slow = Fault::new("createProject", Effect::Delay { ms: CREATION_MS }).times(1);
    emulator.faults().add(slow).context("no room for a fault")?;
    case.apply("acme", json!({"className": class})).await?;
    let asked = |tenant: &Tenant| status(tenant).is_some_and(|status| status.creation.is_some());
    case.until("acme", limits::CONVERGE, "being created", asked)
        .await?;
    wait::poll(
        limits::CONVERGE,
        "the request for the second project",
        async || Ok((emulator.calls().get("createProject") == Some(&2)).then_some(())),
    )
    .await?;

    let old = cluster
        .take_controller(leader.trim_start_matches(RELEASE).trim_start_matches('-'))
        .await?;
    signal(&old, "STOP").await?;
    wait::poll(
        limits::TAKEOVER,
        "another holder of the Lease",
        async || Ok(holder(case).await?.filter(|holder| *holder != leader)),
    )
    .await?;
    let ready = case
        .until("acme", limits::SETTLE, "Ready", tests::case::is_ready)
        .await?;

    signal(&old, "CONT").await?;
    let old = Mutex::new(old);
    wait::poll(
        limits::CONTROLLER,
        "the end of the old leader",
        async || Ok(old.lock().await.ended()?.then_some(())),
    )
    .await?;
    let after = case.tenant("acme").await?;
    ensure!(
        after.resource_version() == ready.resource_version(),
        "the old leader wrote to the Tenant: {:?}",
        after.status
    );
    let uid = after.uid().unwrap_or_default();
    let mut living = emulator.projects().await?;
    living.retain(|project| project.deleted_at.is_none() && project.name.contains(&uid));
    let ids: Vec<_> = living.iter().map(|project| project.id.clone()).collect();
    ensure!(ids == [project_id(&after)?], "the Tenant has {ids:?}");
    Ok(())
}

async fn holder(case: &Case) -> Result<Option<String>> {
    let leases: Api<Lease> = Api::namespaced(case.cluster().client(), SYSTEM_NAMESPACE);
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
