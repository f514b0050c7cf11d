//! Settings of rollouts: backups and windows.

use anyhow::{Context as _, Result, bail, ensure};
use crds::{BackupStatus, Reason, RolloutPhase, Tenant, TenantClass, keys};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use neon_client::ids::BranchId;
use neon_client::model::{CreateEndpoint, EndpointType, RestoreSnapshot};
use neon_emulator::{Limits, Plan};
use serde_json::json;
use test_support::scenario::{is_available, project_id, status};
use test_support::suite::{Trial, test};
use test_support::{Scenario, psql, timeouts, wait};

use super::{
    FIRST, SECOND, THIRD, apply_class, apply_tenants, check_versions, rollout_status, rollouts,
    wait_for_phase,
};

pub(super) fn tests() -> Vec<Trial> {
    macro_rules! named {
        ($test:ident) => {
            test(concat!(module_path!(), "::", stringify!($test)), $test)
        };
    }
    vec![
        named!(each_database_is_backed_up_before_its_migration),
        named!(a_snapshot_of_each_database_is_taken_before_its_migration),
        named!(a_second_snapshot_on_the_free_plan_pauses_the_rollout),
        named!(a_backup_beyond_the_limit_of_branches_pauses_the_rollout),
        named!(a_rollout_outside_its_window_waits_and_a_new_one_has_the_new_settings),
    ]
}

/// The emulator's clock may be days ahead. Branches expire within 30 days.
const EXPIRY_SECONDS: i64 = 25 * 24 * 3_600;

/// Creates two Tenants, which need no backup, and completes a rollout with backups of this kind.
/// Returns the Tenants with the backups in their statuses.
async fn roll_out_with_backups(
    scenario: &Scenario,
    kind: &str,
) -> Result<Vec<(Tenant, BackupStatus)>> {
    scenario.apply_config_map(&[FIRST]).await?;
    let settings = json!({"soakSeconds": 0, "backup": kind, "backupExpirySeconds": EXPIRY_SECONDS});
    let class = apply_class(scenario, settings).await?;
    let names = apply_tenants(scenario, &class, 2).await?;
    for name in &names {
        let tenant = scenario.tenant(name).await?;
        let backup = status(&tenant).and_then(|status| status.backup.clone());
        ensure!(backup.is_none(), "a new database has a backup: {backup:?}");
    }
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    let completed = wait_for_phase(scenario, &class, 2, RolloutPhase::Completed).await?;
    check_versions(scenario, &names, &[2; 2]).await?;
    let mut backups = Vec::new();
    for name in &names {
        let tenant = scenario.tenant(name).await?;
        let backup = status(&tenant).and_then(|status| status.backup.clone());
        let backup = backup.context("no backup")?;
        ensure!(backup.rollout == completed.name_any(), "{backup:?}");
        backups.push((tenant, backup));
    }
    Ok(backups)
}

fn seconds(time: Option<Time>) -> Option<i64> {
    time.map(|Time(time)| time.as_second())
}

async fn each_database_is_backed_up_before_its_migration(scenario: &Scenario) -> Result<()> {
    let account = scenario.cluster().account();
    for (tenant, backup) in roll_out_with_backups(scenario, "Branch").await? {
        let project = project_id(&tenant)?;
        let branches = account.client()?.branches(&project).list().all().await?;
        let branch = branches
            .iter()
            .find(|branch| Some(branch.id.as_str()) == backup.branch_id.as_deref())
            .with_context(|| format!("{backup:?} is not among {branches:?}"))?;
        let expires_at = branch.expires_at.context("the branch does not expire")?;
        ensure!(
            branches.len() == 2 && backup.expires_at == Some(Time(expires_at)),
            "{backup:?}, {branches:?}"
        );
        ensure!(
            seconds(backup.created_at) == Some(branch.created_at.as_second()),
            "created at {}",
            branch.created_at
        );
        let version = backed_up_version(scenario, &tenant, &branch.id).await?;
        ensure!(version == "1", "the backup has version {version}");
    }
    Ok(())
}

async fn a_snapshot_of_each_database_is_taken_before_its_migration(
    scenario: &Scenario,
) -> Result<()> {
    for (tenant, backup) in roll_out_with_backups(scenario, "Snapshot").await? {
        let account = scenario.cluster().account().client()?;
        let snapshots = account.snapshots(&project_id(&tenant)?);
        let listed = snapshots.list().send().await?;
        let [snapshot] = listed.as_slice() else {
            bail!("not one snapshot: {listed:?}");
        };
        ensure!(
            backup.snapshot_id.as_deref() == Some(snapshot.id.as_str())
                && backup.name == snapshot.name
                && snapshot.expires_at.is_some()
                && backup.expires_at == snapshot.expires_at.map(Time),
            "{backup:?}, {snapshot:?}"
        );
        let created_at = snapshot.created_at.context("no time of creation")?;
        ensure!(
            seconds(backup.created_at) == Some(created_at.as_second()),
            "created at {created_at}"
        );
        let restore = RestoreSnapshot::default().name("preview");
        let preview = snapshots.restore(&snapshot.id, restore).send().await?;
        let version = backed_up_version(scenario, &tenant, &preview.branch.id).await?;
        ensure!(version == "1", "the snapshot has version {version}");
    }
    Ok(())
}

async fn a_second_snapshot_on_the_free_plan_pauses_the_rollout(scenario: &Scenario) -> Result<()> {
    let files = scenario.apply_config_map(&[FIRST]).await?;
    let spec = json!({
        "migrations": {"source": "ConfigMap", "configMap": {"name": files}},
        "rollout": {"soakSeconds": 0, "backup": "Snapshot", "backupExpirySeconds": EXPIRY_SECONDS},
    });
    let limits = Limits {
        plan: Plan::Free,
        ..Limits::default()
    };
    let (class, _emulator) = scenario.apply_class_with_limits(spec, 0, limits).await?;
    let names = apply_tenants(scenario, &class, 1).await?;
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    wait_for_phase(scenario, &class, 2, RolloutPhase::Completed).await?;
    check_versions(scenario, &names, &[2]).await?;
    scenario.apply_config_map(&[FIRST, SECOND, THIRD]).await?;
    let paused = wait_for_phase(scenario, &class, 3, RolloutPhase::Paused).await?;
    let failures = rollout_status(&paused).failures;
    let failure = failures.first().context("no failure is reported")?;
    ensure!(failure.reason == Reason::PlanLimit.as_str(), "{failure:?}");
    let tenant = scenario.tenant(&names[0]).await?;
    ensure!(is_available(&tenant), "{:?}", tenant.status);
    Ok(())
}

/// Starts a compute on a branch of the Tenant's project, and reads the version of the schema there.
async fn backed_up_version(
    scenario: &Scenario,
    tenant: &Tenant,
    branch: &BranchId,
) -> Result<String> {
    let own = status(tenant)
        .and_then(|status| status.project.as_ref()?.endpoint_id.clone())
        .context("no compute")?;
    let project = project_id(tenant)?;
    let client = scenario.cluster().account().client()?;
    let compute = CreateEndpoint::new(branch.clone(), EndpointType::ReadWrite);
    let created = client.endpoints(&project).create(compute).send().await?;
    let mut secret = scenario.secret_data(tenant).await?;
    let uri = secret.get_mut(keys::URI).context("no URI")?;
    *uri = uri.replace(&own, created.endpoint.id.as_str());
    let query = "select max(version) from _sqlx_migrations";
    psql::query(scenario.cluster(), &secret, keys::URI, query).await
}

async fn a_backup_beyond_the_limit_of_branches_pauses_the_rollout(
    scenario: &Scenario,
) -> Result<()> {
    let files = scenario.apply_config_map(&[FIRST]).await?;
    let spec = json!({
        "migrations": {"source": "ConfigMap", "configMap": {"name": files}},
        "rollout": {"soakSeconds": 0, "backup": "Branch"},
    });
    let limits = Limits {
        branches_per_project: Some(1),
        ..Limits::default()
    };
    let (class, _emulator) = scenario.apply_class_with_limits(spec, 0, limits).await?;
    let names = apply_tenants(scenario, &class, 2).await?;
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    let paused = wait_for_phase(scenario, &class, 2, RolloutPhase::Paused).await?;
    let failures = rollout_status(&paused).failures;
    let failure = failures.first().context("no failure is reported")?;
    ensure!(
        failure.reason == Reason::AccountLimit.as_str() && failure.message.contains("backup"),
        "{failure:?}"
    );
    for name in &names {
        let tenant = scenario.tenant(name).await?;
        ensure!(is_available(&tenant), "{:?}", tenant.status);
        let schema = status(&tenant).and_then(|status| status.schema.as_ref());
        let version = schema.and_then(|schema| schema.version);
        ensure!(version == Some(1), "{name} has version {version:?}");
    }
    Ok(())
}

async fn a_rollout_outside_its_window_waits_and_a_new_one_has_the_new_settings(
    scenario: &Scenario,
) -> Result<()> {
    // Neither today nor tomorrow.
    let day = (Timestamp::now() + SignedDuration::from_hours(3 * 24))
        .to_zoned(TimeZone::UTC)
        .strftime("%A")
        .to_string();
    scenario.apply_config_map(&[FIRST]).await?;
    let window = json!({"days": [day], "from": "00:00", "to": "23:59"});
    let class = apply_class(scenario, json!({"soakSeconds": 0, "window": window})).await?;
    let names = apply_tenants(scenario, &class, 2).await?;
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    let waiting = wait_for_phase(scenario, &class, 2, RolloutPhase::Waiting).await?;
    let state = rollout_status(&waiting);
    let reason = &state.conditions[0].reason;
    ensure!(reason == Reason::OutsideWindow.as_str(), "{reason}");
    ensure!(
        state.started_at.is_none() && state.pending == 2,
        "{state:?}"
    );
    check_versions(scenario, &names, &[1; 2]).await?;
    // A rollout has a copy of the settings. The next one has those of the class.
    apply_class(scenario, json!({"soakSeconds": 0})).await?;
    let is_observed = |class: Option<&TenantClass>| {
        class.is_some_and(|class| {
            let status = class.status.as_ref();
            let observed = status.and_then(|status| status.observed_generation);
            observed == class.metadata.generation
        })
    };
    wait::until(
        &scenario.classes(),
        &class,
        timeouts::CONVERGE,
        "observed",
        is_observed,
    )
    .await?;
    rollouts(scenario)
        .delete(&waiting.name_any(), &DeleteParams::default())
        .await?;
    wait_for_phase(scenario, &class, 2, RolloutPhase::Completed).await?;
    check_versions(scenario, &names, &[2; 2]).await
}
