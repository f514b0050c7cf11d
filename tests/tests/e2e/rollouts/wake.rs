//! Rollouts that migrate a Tenant when it is next used.

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, RolloutPhase, SchemaRollout, Tenant, annotations, keys};
use jiff::Timestamp;
use neon_client::model::EndpointState;
use serde_json::json;
use test_support::emulator::{ComputeSuspension, SUSPEND_TIMEOUT};
use test_support::scenario::{is_available, is_ready, project_id, status};
use test_support::suite::{Trial, test_on};
use test_support::{ClusterOptions, Scenario, timeouts, wait};

use super::{
    FIRST, SECOND, THIRD, apply_class, apply_tenants, check_versions, rollout_status,
    wait_for_phase, wait_for_version,
};

pub(super) fn tests() -> Vec<Trial> {
    macro_rules! named {
        ($test:ident) => {
            test_on(
                concat!(module_path!(), "::", stringify!($test)),
                // The rollout compares Neon's times with its own.
                ClusterOptions {
                    compute_suspension: ComputeSuspension::RealTime,
                    ..ClusterOptions::default()
                },
                $test,
            )
        };
    }
    vec![
        named!(tenants_are_migrated_when_they_are_used),
        named!(tenants_that_are_not_used_are_migrated_at_the_wake_deadline_and_suspended_again),
        named!(a_tenant_whose_migration_fails_when_it_is_used_is_restored_once),
    ]
}

/// Enough for the listing that shows which Tenants have been used.
const DEADLINE_SECONDS: i64 = 15;
/// Longer than any test.
const FOREVER_SECONDS: i64 = 3_600;

/// Fails in a database that has a note with this number.
const FOURTH: (&str, &str) = (
    "0004_few.sql",
    "alter table notes add constraint few check (id < 100);\n",
);

/// Waits until all Tenants that the newest rollout, which has this number, has not migrated are asleep.
async fn wait_until_asleep(
    scenario: &Scenario,
    class: &str,
    number: usize,
    updated: i64,
    asleep: i64,
) -> Result<SchemaRollout> {
    let what = format!("{updated} Tenants to be updated and {asleep} to be asleep");
    wait::poll(timeouts::CONVERGE, &what, async || {
        let rollout = wait_for_phase(scenario, class, number, RolloutPhase::Waiting).await?;
        let state = rollout_status(&rollout);
        let counts = (state.updated, state.asleep, state.pending);
        Ok((counts == (updated, asleep, 0)).then_some(rollout))
    })
    .await
}

/// The Tenants, in order, with the new schema.
async fn updated(scenario: &Scenario, names: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in names {
        let tenant = scenario.tenant(name).await?;
        if super::version(&tenant) == Some(2) {
            found.push(name.clone());
        }
    }
    Ok(found)
}

/// Uses a Tenant's database until it has the new schema. A use in the second in which the rollout started
/// does not count.
async fn use_until_updated(scenario: &Scenario, name: &str) -> Result<()> {
    let what = format!("{name} to be migrated when it is used");
    wait::poll(timeouts::CONVERGE, &what, async || {
        let tenant = scenario.tenant(name).await?;
        scenario.check_connection(&tenant).await?;
        Ok((super::version(&tenant) == Some(2) && is_ready(&tenant)).then_some(()))
    })
    .await
}

async fn tenants_are_migrated_when_they_are_used(scenario: &Scenario) -> Result<()> {
    scenario.apply_config_map(&[FIRST]).await?;
    let settings = json!({
        "wake": "OnUse", "wakeDeadlineSeconds": FOREVER_SECONDS, "waves": [], "soakSeconds": 0,
    });
    let class = apply_class(scenario, settings).await?;
    let names = apply_tenants(scenario, &class, 4).await?;
    wait_for_phase(scenario, &class, 1, RolloutPhase::Completed).await?;
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    let asleep = wait_until_asleep(scenario, &class, 2, 1, 3).await?;
    let state = rollout_status(&asleep);
    let reason = &state.conditions[0].reason;
    ensure!(reason == Reason::TenantsAsleep.as_str(), "{reason}");
    let cost = state.wake_cost.context("no cost")?;
    ensure!(cost.cold_starts == 3, "{cost:?}");
    let canary = updated(scenario, &names).await?;
    let mut others = names.clone();
    others.retain(|name| !canary.contains(name));
    check_versions(scenario, &others, &[1; 3]).await?;

    // A connection, as the listing of the account shows it.
    use_until_updated(scenario, &others[0]).await?;
    wait_until_asleep(scenario, &class, 2, 2, 2).await?;
    check_versions(scenario, &others, &[2, 1, 1]).await?;
    // An application that says so.
    let used_at = json!({(annotations::USED_AT): Timestamp::now().to_string()});
    scenario
        .patch(&others[2], json!({"metadata": {"annotations": used_at}}))
        .await?;
    wait_for_version(scenario, &others[2], 2).await?;
    wait_until_asleep(scenario, &class, 2, 3, 1).await?;
    check_versions(scenario, &others, &[2, 1, 2]).await?;
    // New Tenants get the new schema.
    scenario.apply("new", json!({"className": class})).await?;
    wait_for_version(scenario, "new", 2).await?;
    use_until_updated(scenario, &others[1]).await?;
    wait_for_phase(scenario, &class, 2, RolloutPhase::Completed).await?;
    check_versions(scenario, &names, &[2; 4]).await
}

async fn tenants_that_are_not_used_are_migrated_at_the_wake_deadline_and_suspended_again(
    scenario: &Scenario,
) -> Result<()> {
    scenario.apply_config_map(&[FIRST]).await?;
    let settings = json!({"wake": "OnUse", "wakeDeadlineSeconds": DEADLINE_SECONDS, "waves": [], "soakSeconds": 0});
    let class = apply_class(scenario, settings).await?;
    let names = apply_tenants(scenario, &class, 3).await?;
    wait_for_phase(scenario, &class, 1, RolloutPhase::Completed).await?;
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    let completed = wait_for_phase(scenario, &class, 2, RolloutPhase::Completed).await?;
    let state = rollout_status(&completed);
    let wake_by = state.wake_by.clone().context("no wake deadline")?.0;
    ensure!((state.updated, state.asleep) == (3, 0), "{state:?}");
    // Without a call, a compute runs on for five minutes. That of the canary may.
    let account = scenario.cluster().account();
    wait::poll(SUSPEND_TIMEOUT, "suspended computes", async || {
        let mut idle = 0;
        for name in &names {
            let id = project_id(&scenario.tenant(name).await?)?;
            let state = account.endpoint(&id).await?.current_state;
            idle += usize::from(state == EndpointState::Idle);
        }
        Ok((idle >= names.len() - 1).then_some(()))
    })
    .await?;
    let mut early = 0;
    for name in &names {
        let tenant = scenario.tenant(name).await?;
        let query =
            format!("select installed_on < '{wake_by}' from _sqlx_migrations where version = 2");
        let is_early = scenario.psql(&tenant, keys::URI, &query).await?;
        early += usize::from(is_early == "t");
    }
    ensure!(early <= 1, "{early} Tenants were migrated before {wake_by}");
    Ok(())
}

async fn a_tenant_whose_migration_fails_when_it_is_used_is_restored_once(
    scenario: &Scenario,
) -> Result<()> {
    scenario.apply_config_map(&[FIRST]).await?;
    let settings = json!({
        "wake": "OnUse", "wakeDeadlineSeconds": FOREVER_SECONDS, "waves": [], "soakSeconds": 0,
        "backup": "Branch", "onFailure": "RestoreAndPause", "failureBudget": {"count": 0},
    });
    let class = apply_class(scenario, settings).await?;
    let names = apply_tenants(scenario, &class, 2).await?;
    wait_for_phase(scenario, &class, 1, RolloutPhase::Completed).await?;
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    wait_until_asleep(scenario, &class, 2, 1, 1).await?;
    let canary = updated(scenario, &names).await?;
    let name = names.iter().find(|name| !canary.contains(name));
    let name = name.context("both Tenants were migrated")?;
    use_until_updated(scenario, name).await?;
    wait_for_phase(scenario, &class, 2, RolloutPhase::Completed).await?;
    let tenant = scenario.tenant(name).await?;
    let insert = "insert into notes (id) values (100)";
    scenario.psql(&tenant, keys::URI, insert).await?;

    let files = [FIRST, SECOND, THIRD, FOURTH];
    scenario.apply_config_map(&files).await?;
    wait_until_asleep(scenario, &class, 3, 1, 1).await?;
    let paused = wait::poll(timeouts::CONVERGE, "a paused rollout", async || {
        scenario.check_connection(&tenant).await?;
        let newest = super::rollouts_of(scenario, &class).await?.pop();
        Ok(newest.filter(|newest| rollout_status(newest).phase == Some(RolloutPhase::Paused)))
    })
    .await?;
    let state = rollout_status(&paused);
    let counts = (state.updated, state.failed, state.rolled_back, state.asleep);
    ensure!(counts == (1, 1, 1, 0), "{state:?}");
    let restore = |tenant: &Tenant| status(tenant)?.backup.clone()?.restore;
    let restored = scenario.tenant(name).await?;
    ensure!(
        is_available(&restored) && super::version(&restored) == Some(2),
        "{:?}",
        restored.status
    );
    // A later use does not restore it again, which would discard what was written since.
    let insert = "insert into notes (id) values (101)";
    scenario.psql(&tenant, keys::URI, insert).await?;
    super::edit(scenario, &paused, json!({"paused": false})).await?;
    scenario.check_connection(&tenant).await?;
    let used_at = json!({(annotations::USED_AT): Timestamp::now().to_string()});
    scenario
        .patch(name, json!({"metadata": {"annotations": used_at}}))
        .await?;
    wait_for_phase(scenario, &class, 3, RolloutPhase::Completed).await?;
    let later = scenario.tenant(name).await?;
    ensure!(
        restore(&restored).is_some() && restore(&later) == restore(&restored),
        "{:?}",
        later.status
    );
    let notes = scenario
        .psql(&later, keys::URI, "select count(*) from notes")
        .await?;
    ensure!(notes == "2", "{notes} notes");
    Ok(())
}
