//! Schema rollouts: a canary, then waves; failures that pause a rollout, and the ways on.

mod restores;
mod settings;
mod wake;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, RolloutPhase, SchemaRollout, SchemaRolloutStatus, Tenant, keys};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use test_support::scenario::{is_available, is_ready, project_id, status};
use test_support::suite::{Trial, test, test_on};
use test_support::{ClusterOptions, Scenario, timeouts, wait};

pub(crate) fn tests() -> Vec<Trial> {
    macro_rules! named {
        ($test:ident) => {
            test(concat!(module_path!(), "::", stringify!($test)), $test)
        };
    }
    let mut tests = vec![
        test_on(
            concat!(
                module_path!(),
                "::a_rollout_continues_where_it_was_after_the_controller_was_killed"
            ),
            ClusterOptions::default(),
            a_rollout_continues_where_it_was_after_the_controller_was_killed,
        ),
        named!(the_canary_is_first_and_each_wave_waits_for_the_one_before),
        named!(a_failing_canary_pauses_the_rollout_and_a_fix_completes_it),
        named!(a_manual_rollout_waits_for_its_approval_and_skips_tenants),
        named!(a_paused_rollout_changes_no_further_tenant_until_it_is_continued),
        named!(a_newer_rollout_starts_from_where_each_tenant_is),
        named!(tenants_that_have_the_schema_are_not_opened_by_a_first_rollout),
    ];
    tests.extend(settings::tests());
    tests.extend(restores::tests());
    tests.extend(wake::tests());
    tests
}

const FIRST: (&str, &str) = (
    "0001_notes.sql",
    "create table notes (id bigint primary key);\n",
);
const SECOND: (&str, &str) = (
    "0002_title.sql",
    "alter table notes add column title text;\n",
);
const SECOND_LOCKING: (&str, &str) = (
    "0002_title.sql",
    "alter table notes add column title text;\ncreate index on notes (title);\n",
);
const SECOND_BROKEN: (&str, &str) = (
    "0002_title.sql",
    "alter table nodes add column title text;\n",
);
const THIRD: (&str, &str) = ("0003_index.sql", "create index on notes (title);\n");

/// Longer than any test.
const FOREVER_SECONDS: i64 = 3_600;

async fn apply_class(scenario: &Scenario, rollout: Value) -> Result<String> {
    let files = format!("{}-files", scenario.namespace());
    scenario
        .apply_class(json!({
            "migrations": {"source": "ConfigMap", "configMap": {"name": files}},
            "rollout": rollout,
        }))
        .await
}

/// Applies Tenants of the class, which get the first migration. Waits for the first rollout as well.
async fn apply_tenants(scenario: &Scenario, class: &str, count: usize) -> Result<Vec<String>> {
    let names: Vec<String> = (1..=count).map(|number| format!("t{number}")).collect();
    for name in &names {
        scenario.apply(name, json!({"className": class})).await?;
    }
    for name in &names {
        wait_for_version(scenario, name, 1).await?;
    }
    // A later change of the migrations would otherwise become the first rollout.
    wait::poll(timeouts::CONVERGE, "the first rollout", async || {
        let all = rollouts_of(scenario, class).await?;
        Ok((!all.is_empty()).then_some(()))
    })
    .await?;
    Ok(names)
}

fn version(tenant: &Tenant) -> Option<i64> {
    status(tenant)?.schema.as_ref()?.version
}

async fn wait_for_version(scenario: &Scenario, name: &str, wanted: i64) -> Result<Tenant> {
    let what = format!("at version {wanted}");
    scenario
        .wait_for(name, timeouts::CONVERGE, &what, |tenant| {
            is_ready(tenant) && version(tenant) == Some(wanted)
        })
        .await
}

/// Whether the Tenants, in order, are `Ready` with these versions.
async fn check_versions(scenario: &Scenario, names: &[String], wanted: &[i64]) -> Result<()> {
    let mut found = Vec::new();
    for name in names {
        let tenant = scenario.tenant(name).await?;
        ensure!(
            is_ready(&tenant),
            "{name} is not ready: {:?}",
            tenant.status
        );
        found.extend(version(&tenant));
    }
    ensure!(
        found == wanted,
        "the Tenants have {found:?}, not {wanted:?}"
    );
    Ok(())
}

fn rollouts(scenario: &Scenario) -> Api<SchemaRollout> {
    Api::all(scenario.cluster().client())
}

/// The rollouts of a class, oldest first.
async fn rollouts_of(scenario: &Scenario, class: &str) -> Result<Vec<SchemaRollout>> {
    let mut all = rollouts(scenario).list(&ListParams::default()).await?.items;
    all.retain(|rollout| rollout.spec.class_name == class);
    all.sort_by_key(|rollout| rollout.spec.revision);
    Ok(all)
}

fn rollout_status(rollout: &SchemaRollout) -> SchemaRolloutStatus {
    rollout.status.clone().unwrap_or_default()
}

/// Waits until the newest rollout of a class has this number and this phase.
async fn wait_for_phase(
    scenario: &Scenario,
    class: &str,
    number: usize,
    phase: RolloutPhase,
) -> Result<SchemaRollout> {
    let what = format!("rollout {number} of {class} to be {phase:?}");
    wait::poll(timeouts::CONVERGE, &what, async || {
        let all = rollouts_of(scenario, class).await?;
        let newest = all.last().context("no rollout")?;
        let found = rollout_status(newest).phase;
        // The controller reports why it pauses before it sets `spec.paused`.
        let is_complete = phase != RolloutPhase::Paused || newest.spec.paused;
        let is_current = rollout_status(newest).observed_generation == newest.metadata.generation;
        ensure!(
            all.len() == number && found == Some(phase) && is_current && is_complete,
            "{} rollouts, the newest is {found:?}: {:?}",
            all.len(),
            newest.status
        );
        Ok(Some(newest.clone()))
    })
    .await
}

async fn edit(scenario: &Scenario, rollout: &SchemaRollout, spec: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"spec": spec}));
    rollouts(scenario)
        .patch(&rollout.name_any(), &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

/// Seconds, with fractions, at which a migration was applied to the Tenant's database.
async fn applied_at(scenario: &Scenario, name: &str, version: i64) -> Result<f64> {
    let tenant = scenario.tenant(name).await?;
    let query = format!(
        "select extract(epoch from installed_on) from _sqlx_migrations where version = {version}"
    );
    Ok(scenario.psql(&tenant, keys::URI, &query).await?.parse()?)
}

async fn the_canary_is_first_and_each_wave_waits_for_the_one_before(
    scenario: &Scenario,
) -> Result<()> {
    const SOAK_SECONDS: i64 = 2;
    // Times in the status have whole seconds.
    const MIN_GAP_SECONDS: f64 = 1.0;
    scenario.apply_config_map(&[FIRST]).await?;
    let settings = json!({"waves": [{"count": 1}], "soakSeconds": SOAK_SECONDS});
    let class = apply_class(scenario, settings).await?;
    let names = apply_tenants(scenario, &class, 5).await?;
    wait_for_phase(scenario, &class, 1, RolloutPhase::Completed).await?;
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    let completed = wait_for_phase(scenario, &class, 2, RolloutPhase::Completed).await?;
    check_versions(scenario, &names, &[2; 5]).await?;
    let mut times = Vec::new();
    for name in &names {
        times.push(applied_at(scenario, name, 2).await?);
    }
    times.sort_by(f64::total_cmp);
    let gaps = [times[1] - times[0], times[2] - times[1]];
    ensure!(
        gaps.iter().all(|gap| *gap > MIN_GAP_SECONDS),
        "the waves did not wait: {gaps:?}"
    );
    let end = rollout_status(&completed);
    ensure!((end.total, end.updated, end.failed) == (5, 5, 0), "{end:?}");
    ensure!(end.wave == Some(2) && end.finished_at.is_some(), "{end:?}");
    let plan = end.plan.context("no plan")?;
    ensure!(plan.files == [SECOND.0], "{plan:?}");
    // New Tenants get the new schema, and nothing is written while nothing changes.
    scenario.apply("later", json!({"className": class})).await?;
    wait_for_version(scenario, "later", 2).await?;
    let after = rollouts_of(scenario, &class).await?;
    ensure!(
        after.last().and_then(kube::ResourceExt::resource_version) == completed.resource_version(),
        "a rollout that has ended was written"
    );
    let columns = scenario
        .kubectl(&["get", "sro", &completed.name_any()])
        .await?;
    for part in ["CLASS", "PHASE", "Completed", "UPDATED", "WAVE"] {
        ensure!(columns.contains(part), "{columns}");
    }
    Ok(())
}

async fn a_failing_canary_pauses_the_rollout_and_a_fix_completes_it(
    scenario: &Scenario,
) -> Result<()> {
    scenario.apply_config_map(&[FIRST]).await?;
    let class = apply_class(scenario, json!({"soakSeconds": 0})).await?;
    let names = apply_tenants(scenario, &class, 4).await?;
    wait_for_phase(scenario, &class, 1, RolloutPhase::Completed).await?;
    scenario.apply_config_map(&[FIRST, SECOND_BROKEN]).await?;
    let paused = wait_for_phase(scenario, &class, 2, RolloutPhase::Paused).await?;
    ensure!(paused.spec.paused, "spec.paused is not set");
    let state = rollout_status(&paused);
    ensure!((state.failed, state.updated) == (1, 0), "{state:?}");
    let reason = &state.conditions[0].reason;
    ensure!(reason == Reason::FailureBudgetExceeded.as_str(), "{reason}");
    let failure = state.failures.first().context("no failure is reported")?;
    ensure!(
        failure.namespace == scenario.namespace() && failure.message.contains(SECOND_BROKEN.0),
        "{failure:?}"
    );
    let mut unaffected = names.clone();
    unaffected.retain(|name| *name != failure.name);
    check_versions(scenario, &unaffected, &[1; 3]).await?;
    let canary = scenario.tenant(&failure.name).await?;
    ensure!(
        is_available(&canary) && !is_ready(&canary),
        "{:?}",
        canary.status
    );
    // New Tenants get the last completed schema meanwhile.
    scenario.apply("new", json!({"className": class})).await?;
    wait_for_version(scenario, "new", 1).await?;

    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    wait_for_phase(scenario, &class, 3, RolloutPhase::Completed).await?;
    for name in names.iter().map(String::as_str).chain(["new"]) {
        wait_for_version(scenario, name, 2).await?;
    }
    let all = rollouts_of(scenario, &class).await?;
    let phase = rollout_status(&all[1]).phase;
    ensure!(phase == Some(RolloutPhase::Superseded), "{phase:?}");
    Ok(())
}

async fn a_manual_rollout_waits_for_its_approval_and_skips_tenants(
    scenario: &Scenario,
) -> Result<()> {
    scenario.apply_config_map(&[FIRST]).await?;
    let settings = json!({"approval": "Manual", "soakSeconds": 0});
    let class = apply_class(scenario, settings).await?;
    let names = apply_tenants(scenario, &class, 3).await?;
    scenario.apply_config_map(&[FIRST, SECOND_LOCKING]).await?;
    let waiting = wait_for_phase(scenario, &class, 2, RolloutPhase::AwaitingApproval).await?;
    check_versions(scenario, &names, &[1; 3]).await?;
    let state = rollout_status(&waiting);
    let plan = state.plan.context("no plan before the approval")?;
    let found: Vec<(&str, i64, &str)> = plan
        .findings
        .iter()
        .map(|finding| (&*finding.file, finding.line, &*finding.rule))
        .collect();
    let expected = (SECOND_LOCKING.0, 2, "require-concurrent-index-creation");
    ensure!(found == [expected], "{plan:?}");
    let message = &state.conditions[0].message;
    ensure!(message.contains("warnings 1"), "{message}");
    let skip = json!([{"namespace": scenario.namespace(), "name": "t2"}]);
    edit(scenario, &waiting, json!({"approved": true, "skip": skip})).await?;
    let completed = wait_for_phase(scenario, &class, 2, RolloutPhase::Completed).await?;
    check_versions(scenario, &names, &[2, 1, 2]).await?;
    let end = rollout_status(&completed);
    ensure!((end.updated, end.skipped) == (2, 1), "{end:?}");
    edit(scenario, &completed, json!({"skip": []})).await?;
    wait_for_version(scenario, "t2", 2).await?;
    Ok(())
}

async fn a_paused_rollout_changes_no_further_tenant_until_it_is_continued(
    scenario: &Scenario,
) -> Result<()> {
    scenario.apply_config_map(&[FIRST]).await?;
    let settings = json!({"approval": "Manual", "soakSeconds": 0});
    let class = apply_class(scenario, settings).await?;
    let names = apply_tenants(scenario, &class, 3).await?;
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    let waiting = wait_for_phase(scenario, &class, 2, RolloutPhase::AwaitingApproval).await?;
    edit(
        scenario,
        &waiting,
        json!({"approved": true, "paused": true}),
    )
    .await?;
    let paused = wait_for_phase(scenario, &class, 2, RolloutPhase::Paused).await?;
    let reason = &rollout_status(&paused).conditions[0].reason;
    ensure!(reason == Reason::RolloutPaused.as_str(), "{reason}");
    // A Tenant that is opened on request keeps its schema as well.
    scenario.reconcile_and_wait("t1").await?;
    check_versions(scenario, &names, &[1; 3]).await?;
    edit(scenario, &paused, json!({"paused": false})).await?;
    wait_for_phase(scenario, &class, 2, RolloutPhase::Completed).await?;
    check_versions(scenario, &names, &[2; 3]).await
}

async fn a_newer_rollout_starts_from_where_each_tenant_is(scenario: &Scenario) -> Result<()> {
    scenario.apply_config_map(&[FIRST]).await?;
    let class = apply_class(scenario, json!({"soakSeconds": FOREVER_SECONDS})).await?;
    let names = apply_tenants(scenario, &class, 3).await?;
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    let soaking = wait_for_phase(scenario, &class, 2, RolloutPhase::Soaking).await?;
    let state = rollout_status(&soaking);
    ensure!((state.updated, state.pending) == (1, 2), "{state:?}");
    // The running rollout keeps its copy of the settings.
    apply_class(scenario, json!({"soakSeconds": 0})).await?;
    scenario.apply_config_map(&[FIRST, SECOND, THIRD]).await?;
    wait_for_phase(scenario, &class, 3, RolloutPhase::Completed).await?;
    check_versions(scenario, &names, &[3; 3]).await?;
    let all = rollouts_of(scenario, &class).await?;
    ensure!(
        all[1].spec.rollout.soak_seconds == FOREVER_SECONDS,
        "the settings of a running rollout changed"
    );
    let phase = rollout_status(&all[1]).phase;
    ensure!(phase == Some(RolloutPhase::Superseded), "{phase:?}");
    for name in &names {
        let tenant = scenario.tenant(name).await?;
        let query = "select string_agg(version::text, ',' order by version) from _sqlx_migrations where success";
        let applied = scenario.psql(&tenant, keys::URI, query).await?;
        ensure!(applied == "1,2,3", "{name}: {applied}");
    }
    Ok(())
}

/// An installation without rollouts is upgraded: its Tenants already have the schema.
async fn tenants_that_have_the_schema_are_not_opened_by_a_first_rollout(
    scenario: &Scenario,
) -> Result<()> {
    scenario.apply_config_map(&[FIRST]).await?;
    let class = apply_class(scenario, json!({"approval": "Manual"})).await?;
    let names = apply_tenants(scenario, &class, 2).await?;
    let account = scenario.cluster().account();
    let mut before = Vec::new();
    for name in &names {
        let tenant = scenario.tenant(name).await?;
        let project = project_id(&tenant)?;
        before.push((tenant, account.connections_opened(&project).await?));
    }
    let first = wait_for_phase(scenario, &class, 1, RolloutPhase::Completed).await?;
    rollouts(scenario)
        .delete(&first.name_any(), &DeleteParams::default())
        .await?;
    let what = "the rollout to be created again";
    wait::poll(timeouts::CONVERGE, what, async || {
        let all = rollouts_of(scenario, &class).await?;
        let again = all.last().context("no rollout")?;
        let is_completed = rollout_status(again).phase == Some(RolloutPhase::Completed);
        Ok((again.uid() != first.uid() && is_completed).then_some(()))
    })
    .await?;
    for (tenant, opened) in before {
        let name = tenant.name_any();
        let after = scenario.tenant(&name).await?;
        let (then, now) = (status(&tenant), status(&after));
        ensure!(
            then.map(|status| &status.schema) == now.map(|status| &status.schema),
            "the schema in the status of {name} changed: {then:?} {now:?}"
        );
        let project = project_id(&tenant)?;
        let opened_again = account.connections_opened(&project).await? > opened;
        ensure!(!opened_again, "the database of {name} was opened");
    }
    Ok(())
}

async fn a_rollout_continues_where_it_was_after_the_controller_was_killed(
    scenario: &Scenario,
) -> Result<()> {
    scenario.apply_config_map(&[FIRST]).await?;
    let settings = json!({"waves": [{"count": 1}], "soakSeconds": 3});
    let class = apply_class(scenario, settings).await?;
    let names = apply_tenants(scenario, &class, 4).await?;
    wait_for_phase(scenario, &class, 1, RolloutPhase::Completed).await?;
    scenario.apply_config_map(&[FIRST, SECOND]).await?;
    let soaking = wait_for_phase(scenario, &class, 2, RolloutPhase::Soaking).await?;
    let cluster = scenario.cluster();
    cluster.kill_controller("one").await?;
    let before = rollouts_of(scenario, &class).await?;
    let before = before.last().context("no rollout")?;
    cluster.start_controller("one").await?;
    let what = "the rollout to be completed";
    let end = wait::poll(
        timeouts::TAKEOVER + Duration::from_mins(1),
        what,
        async || {
            let all = rollouts_of(scenario, &class).await?;
            let newest = all.last().context("no rollout")?;
            let state = rollout_status(newest);
            Ok((state.phase == Some(RolloutPhase::Completed)).then_some((all.len(), state)))
        },
    )
    .await?;
    ensure!(end.0 == 2, "{} rollouts", end.0);
    let started = |status: &SchemaRolloutStatus| status.started_at.clone();
    ensure!(
        started(&end.1) == started(&rollout_status(&soaking)) && end.1.updated == 4,
        "the rollout started again: {:?} after {:?}",
        end.1,
        before.status
    );
    check_versions(scenario, &names, &[2; 4]).await
}
