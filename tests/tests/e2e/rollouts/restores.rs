//! Databases that are restored from their backups after a migration failed.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use crds::{BackupStatus, Reason, RolloutPhase, Tenant, annotations, keys};
use kube::ResourceExt as _;
use neon_client::model::Branch;
use neon_emulator::{Limits, Plan};
use serde_json::json;
use test_support::emulator::TestEmulator;
use test_support::neon::Account;
use test_support::scenario::{is_available, is_ready, project_id, status};
use test_support::suite::{Trial, test};
use test_support::{Scenario, timeouts};

use super::{
    FIRST, SECOND, SECOND_BROKEN, apply_tenants, check_versions, edit, rollout_status, version,
    wait_for_phase, wait_for_version,
};

pub(super) fn tests() -> Vec<Trial> {
    macro_rules! named {
        ($test:ident) => {
            test(concat!(module_path!(), "::", stringify!($test)), $test)
        };
    }
    vec![
        named!(a_failed_database_is_restored_from_its_branch_once),
        named!(a_failed_database_is_restored_from_its_snapshot_once),
        named!(a_restored_database_is_migrated_again_on_request),
        named!(a_failure_of_the_first_file_discards_nothing),
    ]
}

/// The emulator's clock may be days ahead. Branches expire within 30 days.
const EXPIRY_SECONDS: i64 = 25 * 24 * 3_600;
/// Fails after [`SECOND`] was applied.
const THIRD_BROKEN: (&str, &str) = (
    "0003_authors.sql",
    "alter table notes add column author bigint references authors;\n",
);
const THIRD: (&str, &str) = (
    "0003_authors.sql",
    "create table authors (id bigint primary key);\nalter table notes add column author bigint references authors;\n",
);

/// Applies the class, with an account whose plan has room for several snapshots.
async fn apply_restoring_class(
    scenario: &Scenario,
    backup: &str,
) -> Result<(String, Arc<TestEmulator>)> {
    let files = scenario.apply_config_map(&[FIRST]).await?;
    let spec = json!({
        "migrations": {"source": "ConfigMap", "configMap": {"name": files}},
        "rollout": {
            "soakSeconds": 0, "backup": backup, "backupExpirySeconds": EXPIRY_SECONDS,
            "onFailure": "RestoreAndPause",
        },
    });
    let limits = Limits {
        plan: Plan::Scale,
        ..Limits::default()
    };
    scenario.apply_class_with_limits(spec, 0, limits).await
}

fn backup_of(tenant: &Tenant) -> Result<BackupStatus> {
    let backup = status(tenant).and_then(|status| status.backup.clone());
    backup.context("no backup")
}

fn branch_of(tenant: &Tenant) -> Option<String> {
    status(tenant)?.project.as_ref()?.branch_id.clone()
}

/// Waits until the newest rollout is paused, and returns its only failed Tenant.
async fn wait_for_failure(scenario: &Scenario, class: &str, number: usize) -> Result<Tenant> {
    let paused = wait_for_phase(scenario, class, number, RolloutPhase::Paused).await?;
    let state = rollout_status(&paused);
    let failure = state.failures.first().context("no failure is reported")?;
    ensure!(
        failure.reason == Reason::MigrationFailed.as_str(),
        "{failure:?}"
    );
    scenario.tenant(&failure.name).await
}

async fn branches(emulator: &TestEmulator, tenant: &Tenant) -> Result<Vec<Branch>> {
    let account = Account(emulator).client()?;
    Ok(account.branches(&project_id(tenant)?).list().all().await?)
}

async fn query(scenario: &Scenario, tenant: &Tenant, query: &str) -> Result<String> {
    scenario.psql(tenant, keys::URI, query).await
}

const APPLIED: &str =
    "select string_agg(version::text, ',' order by version) from _sqlx_migrations where success";
const NOTES: &str = "select coalesce(string_agg(id::text, ',' order by id), '') from notes";

async fn a_failed_database_is_restored_from_its_branch_once(scenario: &Scenario) -> Result<()> {
    let (tenant, _) = Box::pin(fail_restore_and_correct(scenario, "Branch")).await?;
    let backup = backup_of(&tenant)?;
    ensure!(backup.branch_id.is_some(), "{backup:?}");
    Ok(())
}

async fn a_failed_database_is_restored_from_its_snapshot_once(scenario: &Scenario) -> Result<()> {
    let (tenant, emulator) = Box::pin(fail_restore_and_correct(scenario, "Snapshot")).await?;
    let backup = backup_of(&tenant)?;
    ensure!(backup.snapshot_id.is_some(), "{backup:?}");
    let all = branches(&emulator, &tenant).await?;
    ensure!(all.len() == 2, "a restored branch is left: {all:?}");
    Ok(())
}

/// A rollout fails at its second file and is corrected. Returns the Tenant as it was in between.
async fn fail_restore_and_correct(
    scenario: &Scenario,
    backup: &str,
) -> Result<(Tenant, Arc<TestEmulator>)> {
    let (class, emulator) = apply_restoring_class(scenario, backup).await?;
    let names = apply_tenants(scenario, &class, 2).await?;
    let mut before = Vec::new();
    for name in &names {
        let tenant = scenario.tenant(name).await?;
        query(scenario, &tenant, "insert into notes (id) values (1)").await?;
        before.push(tenant);
    }
    scenario
        .apply_config_map(&[FIRST, SECOND, THIRD_BROKEN])
        .await?;
    let restored = wait_for_failure(scenario, &class, 2).await?;
    let name = restored.name_any();
    ensure!(
        is_available(&restored) && !is_ready(&restored) && version(&restored) == Some(1),
        "{:?}",
        restored.status
    );
    let record = backup_of(&restored)?;
    let restore = record.restore.clone().context("no restore")?;
    ensure!(restore.restored_at.is_some(), "{restore:?}");
    let paused = wait_for_phase(scenario, &class, 2, RolloutPhase::Paused).await?;
    let counts = rollout_status(&paused);
    ensure!((counts.failed, counts.rolled_back) == (1, 1), "{counts:?}");
    ensure!(
        query(scenario, &restored, APPLIED).await? == "1"
            && query(scenario, &restored, NOTES).await? == "1",
        "the database does not have the state of the backup"
    );
    let former = before
        .iter()
        .find(|tenant| tenant.name_any() == name)
        .and_then(status);
    ensure!(
        former.map(|status| &status.connection)
            == status(&restored).map(|status| &status.connection),
        "the connection changed"
    );
    let all = branches(&emulator, &restored).await?;
    let find = |name: &str| all.iter().find(|branch| branch.name == name);
    let failed = find(&restore.failed_branch_name).context("the failed state is not kept")?;
    let main = all.iter().find(|branch| branch.default);
    let main = main.context("no default branch")?;
    ensure!(
        branch_of(&restored).as_deref() == Some(main.id.as_str()) && failed.id != main.id,
        "the status names another branch than {main:?}: {all:?}"
    );
    // What is written now must not be discarded by the retries of the controller or by continuing.
    query(scenario, &restored, "insert into notes (id) values (2)").await?;
    edit(scenario, &paused, json!({"paused": false})).await?;
    let other = names.iter().find(|other| **other != name);
    let is_restored = |tenant: &Tenant| {
        let restore = backup_of(tenant).ok().and_then(|backup| backup.restore);
        restore.is_some_and(|restore| restore.restored_at.is_some())
    };
    scenario
        .wait_for(
            other.context("one Tenant")?,
            timeouts::CONVERGE,
            "restored",
            is_restored,
        )
        .await?;
    let again = scenario.tenant(&name).await?;
    ensure!(
        backup_of(&again)?.restore == Some(restore)
            && query(scenario, &again, NOTES).await? == "1,2",
        "restored again: {:?}",
        again.status
    );
    scenario.apply_config_map(&[FIRST, SECOND, THIRD]).await?;
    wait_for_phase(scenario, &class, 3, RolloutPhase::Completed).await?;
    check_versions(scenario, &names, &[3; 2]).await?;
    let corrected = scenario.tenant(&name).await?;
    ensure!(
        query(scenario, &corrected, APPLIED).await? == "1,2,3"
            && query(scenario, &corrected, NOTES).await? == "1,2",
        "the correction lost data"
    );
    Ok((restored, emulator))
}

async fn a_restored_database_is_migrated_again_on_request(scenario: &Scenario) -> Result<()> {
    let (class, _emulator) = apply_restoring_class(scenario, "Branch").await?;
    apply_tenants(scenario, &class, 1).await?;
    scenario
        .apply_config_map(&[FIRST, SECOND, THIRD_BROKEN])
        .await?;
    let restored = wait_for_failure(scenario, &class, 2).await?;
    let first = backup_of(&restored)?;
    // What the migration lacked.
    let create = "create table authors (id bigint primary key)";
    query(scenario, &restored, create).await?;
    let name = restored.name_any();
    let request = json!({(annotations::RECONCILE_AT): "again"});
    scenario
        .patch(&name, json!({"metadata": {"annotations": request}}))
        .await?;
    let migrated = wait_for_version(scenario, &name, 3).await?;
    let second = backup_of(&migrated)?;
    ensure!(
        (first.attempt, second.attempt) == (1, 2) && first.name != second.name,
        "{first:?}, {second:?}"
    );
    Ok(())
}

async fn a_failure_of_the_first_file_discards_nothing(scenario: &Scenario) -> Result<()> {
    let (class, emulator) = apply_restoring_class(scenario, "Branch").await?;
    apply_tenants(scenario, &class, 1).await?;
    scenario.apply_config_map(&[FIRST, SECOND_BROKEN]).await?;
    let failed = wait_for_failure(scenario, &class, 2).await?;
    let backup = backup_of(&failed)?;
    ensure!(
        backup.branch_id.is_some() && backup.restore.is_none(),
        "{backup:?}"
    );
    let all = branches(&emulator, &failed).await?;
    ensure!(all.len() == 2, "{all:?}");
    Ok(())
}
