//! The plans of Neon: the examples work on a Free account, and a setting that the plan does not
//! allow is reported with the field to change.

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Reason, TenantClass, find_condition, is_true};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use local_stack::repository;
use neon_emulator::{Limits, Plan};
use serde_json::{Value, json};
use test_support::scenario::{project_id, status};
use test_support::{Scenario, timeouts, wait};

test_support::tests![
    the_examples_become_ready_on_a_free_account,
    a_setting_that_the_plan_does_not_allow_stalls_the_tenant_until_it_is_changed,
    an_update_sends_only_what_differs,
    a_class_shows_its_plan_and_warns_once_about_what_the_plan_does_not_allow,
    a_class_within_its_plan_shows_the_plan_without_a_warning,
];

fn free() -> Limits {
    Limits {
        plan: Plan::Free,
        ..Limits::default()
    }
}

fn example(name: &str) -> Result<Value> {
    let path = repository().join("examples").join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    let mut object: Value = serde_yaml::from_str(&text)?;
    Ok(object["spec"].take())
}

async fn the_examples_become_ready_on_a_free_account(scenario: &Scenario) -> Result<()> {
    let mut class_spec = example("tenantclass")?;
    class_spec["neon"] = json!({});
    let (class, emulator) = scenario
        .apply_class_with_limits(class_spec, 0, free())
        .await?;
    let names = ["acme", "globex", "initech"];
    for name in names {
        let mut spec = example(name)?;
        spec["className"] = json!(class);
        scenario.apply(name, spec).await?;
    }
    for name in names {
        scenario.wait_until_ready(name).await?;
    }
    ensure!(emulator.calls().get("createProject") == Some(&3));
    Ok(())
}

async fn a_setting_that_the_plan_does_not_allow_stalls_the_tenant_until_it_is_changed(
    scenario: &Scenario,
) -> Result<()> {
    let (class, emulator) = scenario
        .apply_class_with_limits(json!({}), 0, free())
        .await?;
    for (name, field, setting) in [
        (
            "acme",
            "compute.suspendTimeoutSeconds",
            json!({"compute": {"suspendTimeoutSeconds": 300}}),
        ),
        (
            "globex",
            "historyRetentionSeconds",
            json!({"historyRetentionSeconds": 86_400}),
        ),
    ] {
        let mut spec = setting.clone();
        spec["className"] = json!(class);
        scenario.apply(name, spec).await?;
        let message = scenario.wait_until_stalled(name, Reason::PlanLimit).await?;
        ensure!(message.contains(field), "{message}");
        let removed = match setting.get("compute") {
            Some(_) => json!({"spec": {"compute": null}}),
            None => json!({"spec": {"historyRetentionSeconds": null}}),
        };
        scenario.patch(name, removed).await?;
        scenario.wait_until_ready(name).await?;
    }
    ensure!(emulator.projects().await?.len() == 2);

    // The same for an existing project.
    scenario
        .patch(
            "acme",
            json!({"spec": {"compute": {"suspendTimeoutSeconds": 60}}}),
        )
        .await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::PlanLimit)
        .await?;
    ensure!(
        message.contains("compute.suspendTimeoutSeconds"),
        "{message}"
    );
    scenario
        .patch("acme", json!({"spec": {"compute": null}}))
        .await?;
    scenario.wait_until_ready("acme").await?;
    Ok(())
}

/// Free rejects a suspend timeout and an allow list even with their current values, so an update of
/// another setting must not contain them.
async fn an_update_sends_only_what_differs(scenario: &Scenario) -> Result<()> {
    let (class, _emulator) = scenario
        .apply_class_with_limits(json!({}), 0, free())
        .await?;
    scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    scenario
        .patch(
            "acme",
            json!({"spec": {
                "displayName": "Acme Corporation",
                "compute": {"minCU": 0.5, "maxCU": 1},
                "quota": {"computeTimeSeconds": 7_200},
            }}),
        )
        .await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    project_id(&tenant)?;
    let effective = status(&tenant).and_then(|status| status.effective.clone());
    let effective = effective.context("the status has no effective spec")?;
    ensure!(
        effective.quota.compute_time_seconds == Some(7_200),
        "{effective:?}"
    );
    Ok(())
}

/// Waits until the class shows the plan, with this number of projects.
async fn wait_for_plan(
    scenario: &Scenario,
    class: &str,
    plan: &str,
    projects_used: i64,
) -> Result<TenantClass> {
    let shows = |class: Option<&TenantClass>| {
        let account = class.and_then(|class| class.status.as_ref()?.account.clone());
        account.is_some_and(|account| {
            account.plan.as_deref() == Some(plan) && account.projects_used == Some(projects_used)
        })
    };
    let what = format!("with plan {plan} and {projects_used} projects");
    wait::until(&scenario.classes(), class, timeouts::DRIFT, &what, shows)
        .await?
        .context("the class does not exist")
}

/// A default that the plan Free does not allow.
fn long_history() -> Value {
    json!({"defaults": {"historyRetentionSeconds": 86_400}})
}

async fn a_class_shows_its_plan_and_warns_once_about_what_the_plan_does_not_allow(
    scenario: &Scenario,
) -> Result<()> {
    let (class, _emulator) = scenario
        .apply_class_with_limits(long_history(), 0, free())
        .await?;
    let spec = json!({"className": class, "historyRetentionSeconds": 3_600});
    scenario.apply_and_wait("acme", spec).await?;
    let object = wait_for_plan(scenario, &class, "free", 1).await?;
    let status = object.status.context("the class has no status")?;
    let account = status.account.context("the status has no account")?;
    ensure!(account.projects_allowed == Some(100), "{account:?}");
    let condition = find_condition(&status.conditions, ConditionType::PlanExceeded)
        .context("the class has no condition PlanExceeded")?;
    ensure!(
        condition
            .message
            .contains("defaults.historyRetentionSeconds 86400"),
        "{}",
        condition.message
    );
    ensure!(is_true(&status.conditions, ConditionType::Ready));
    let events = Api::<Event>::all(scenario.cluster().client());
    let published = ListParams::default().fields(&format!("regarding.name={class}"));
    let count = wait::poll(timeouts::EVENT, "an event", async || {
        let found = events.list(&published).await?.items.into_iter();
        let reason = Some(Reason::PlanLimit.as_str());
        let count = found
            .filter(|event| event.reason.as_deref() == reason)
            .map(|event| event.series.map_or(1, |series| series.count))
            .sum::<i32>();
        Ok((count > 0).then_some(count))
    })
    .await?;
    ensure!(count == 1, "{count} events");
    Ok(())
}

async fn a_class_within_its_plan_shows_the_plan_without_a_warning(
    scenario: &Scenario,
) -> Result<()> {
    let (class, _emulator) = scenario
        .apply_class_with_limits(long_history(), 0, Limits::default())
        .await?;
    let object = wait_for_plan(scenario, &class, "scale", 0).await?;
    let status = object.status.context("the class has no status")?;
    let account = status.account.context("the status has no account")?;
    ensure!(account.projects_allowed.is_none(), "{account:?}");
    ensure!(
        find_condition(&status.conditions, ConditionType::PlanExceeded).is_none(),
        "{:?}",
        status.conditions
    );
    Ok(())
}
