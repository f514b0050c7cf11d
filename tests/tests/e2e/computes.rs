//! Computes that sleep, that do not wake, and that Neon suspended because a quota is used up.

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Reason, keys};
use neon_client::ids::ProjectId;
use neon_client::model::EndpointState;
use neon_emulator::faults::{DATA_PLANE, Effect, Fault};
use serde_json::json;
use tests::case::{condition, is_available, project_id};
use tests::emulator::{ASLEEP, Watched};
use tests::neon::Account;
use tests::{Case, limits, psql, wait};

tests::tests![
    a_compute_that_nobody_uses_sleeps_and_is_woken_by_whoever_connects,
    a_compute_that_does_not_wake_is_told_with_what_to_do_and_waited_for,
    a_quota_that_is_used_up_is_told_with_what_to_do_and_mended_by_a_greater_one,
];

/// How long a connection waits for a compute that does not wake, in milliseconds.
const WAIT_IN_VAIN_MS: u64 = 200;

/// Waits until a project's compute sleeps.
async fn asleep(emulator: &Watched, id: &ProjectId) -> Result<()> {
    let account = Account(emulator);
    wait::poll(ASLEEP, "a compute that sleeps", async || {
        let state = account.endpoint(id).await?.current_state;
        Ok((state == EndpointState::Idle).then_some(()))
    })
    .await
}

/// Does something that connects, and sees that it woke the compute.
async fn woken<T>(
    emulator: &Watched,
    id: &ProjectId,
    what: &str,
    connect: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    asleep(emulator, id).await?;
    let before = emulator.cold_starts();
    let result = connect().await.with_context(|| what.to_owned())?;
    let after = emulator.cold_starts();
    // One that takes long may find its compute asleep again.
    ensure!(after > before, "{what}: no cold start");
    Ok(result)
}

async fn a_compute_that_nobody_uses_sleeps_and_is_woken_by_whoever_connects(
    case: &Case,
) -> Result<()> {
    let (class, emulator) = case.class_with_account(json!({})).await?;
    let tenant = case
        .apply_ready("acme", json!({"className": class}))
        .await?;
    let id = project_id(&tenant)?;
    for key in [keys::URI, keys::POOLED_URI] {
        let answer = woken(&emulator, &id, key, async || {
            case.psql(&tenant, key, "select 6 * 7").await
        });
        ensure!(answer.await? == "42", "another answer by {key}");
    }
    woken(&emulator, &id, "the controller's close look", async || {
        case.look_closely("acme").await
    })
    .await?;
    // Nobody is woken by looking on: it sleeps, however often the account is listed.
    asleep(&emulator, &id).await?;
    let (slept, listed) = (
        emulator.cold_starts(),
        Account(&emulator).calls("listProjects"),
    );
    wait::poll(limits::DRIFT, "listings", async || {
        Ok((Account(&emulator).calls("listProjects") > listed + 2).then_some(()))
    })
    .await?;
    ensure!(
        emulator.cold_starts() == slept,
        "a listing woke the compute"
    );
    Ok(())
}

async fn a_compute_that_does_not_wake_is_told_with_what_to_do_and_waited_for(
    case: &Case,
) -> Result<()> {
    let (class, emulator) = case.class_with_account(json!({})).await?;
    case.apply_ready("served", json!({"className": class}))
        .await?;
    let fault = Fault::new(
        DATA_PLANE,
        Effect::DoesNotWake {
            ms: WAIT_IN_VAIN_MS,
        },
    );
    let fault = emulator
        .faults()
        .add(fault)
        .context("no room for a fault")?;
    case.apply("new", json!({"className": class})).await?;
    case.ask_for_a_close_look("served").await?;
    for name in ["new", "served"] {
        let message = case.says(name, Reason::DatabaseUnreachable).await?;
        ensure!(
            message.contains("Couldn't connect to compute node")
                && message.contains("check in Neon whether the project's compute starts"),
            "{message}"
        );
        let reconciling =
            condition(&case.tenant(name).await?, ConditionType::Reconciling).is_some();
        ensure!(reconciling, "{name} is not tried again by itself");
    }
    ensure!(
        !is_available(&case.tenant("new").await?) && is_available(&case.tenant("served").await?),
        "who was served still is, and who never was is not"
    );
    emulator.faults().remove(fault);
    for name in ["new", "served"] {
        let tenant = case.ready(name).await?;
        case.opens(&tenant).await?;
    }
    Ok(())
}

async fn a_quota_that_is_used_up_is_told_with_what_to_do_and_mended_by_a_greater_one(
    case: &Case,
) -> Result<()> {
    let (class, emulator) = case.class_with_account(json!({})).await?;
    let spec = |seconds: u64| json!({"className": class, "quota": {"activeTimeSeconds": seconds}});
    let tenant = case
        .apply_ready("acme", json!({"className": class}))
        .await?;
    asleep(&emulator, &project_id(&tenant)?).await?;
    // Less than it was awake already.
    case.apply_ready("acme", spec(1)).await?;
    let secret = case.secret(&tenant).await?;
    let said = psql::refused(case.cluster(), &secret, keys::POOLED_URI, "select 1").await?;
    ensure!(said.contains("quota"), "{said}");
    case.ask_for_a_close_look("acme").await?;
    let message = case.stalled("acme", Reason::QuotaExceeded).await?;
    ensure!(
        message.contains("exceeded the active time quota") && message.contains("raise spec.quota"),
        "{message}"
    );
    let tenant = case.tenant("acme").await?;
    let available = condition(&tenant, ConditionType::Available).context("no condition")?;
    ensure!(
        available.status == "False" && available.reason == Reason::QuotaExceeded.as_str(),
        "{available:?}"
    );
    let tenant = case.apply_ready("acme", spec(100_000_000)).await?;
    ensure!(is_available(&tenant), "it is still not available");
    case.opens(&tenant).await?;
    Ok(())
}
