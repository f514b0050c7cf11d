//! `spec.suspend` stops all changes except deletion.

use anyhow::{Result, ensure};
use crds::{ConditionType, Phase};
use kube::api::DeleteParams;
use serde_json::json;
use test_support::scenario::{condition, is_available, project_id, status};
use test_support::{Scenario, timeouts, wait};

test_support::tests![
    a_suspended_tenant_is_not_changed_until_it_is_resumed,
    a_suspended_tenant_can_be_deleted,
    a_tenant_that_is_created_suspended_gets_no_project,
];

async fn wait_until_suspended(scenario: &Scenario, name: &str) -> Result<()> {
    let tenant = scenario
        .wait_for(name, timeouts::CONVERGE, "suspended", |tenant| {
            status(tenant).is_some_and(|status| {
                status.phase == Some(Phase::Suspended)
                    && status.observed_generation == tenant.metadata.generation
            })
        })
        .await?;
    let suspended = condition(&tenant, ConditionType::Suspended);
    ensure!(
        suspended.is_some_and(|suspended| suspended.status == "True"),
        "{suspended:?}"
    );
    let ready = condition(&tenant, ConditionType::Ready);
    let was_ready = status(&tenant).is_some_and(|status| status.project.is_some());
    ensure!(
        ready.is_some_and(|ready| (ready.status == "True") == was_ready),
        "the last result is lost: {ready:?}"
    );
    Ok(())
}

async fn a_suspended_tenant_is_not_changed_until_it_is_resumed(scenario: &Scenario) -> Result<()> {
    let tenant = scenario
        .apply_and_wait("acme", json!({"compute": {"maxCU": 1}}))
        .await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    scenario
        .patch(
            "acme",
            json!({"spec": {"suspend": true, "compute": {"maxCU": 2}}}),
        )
        .await?;
    wait_until_suspended(scenario, "acme").await?;
    ensure!(
        is_available(&scenario.tenant("acme").await?),
        "a suspended Tenant must stay available"
    );
    scenario
        .secrets()
        .delete("acme-connection", &DeleteParams::default())
        .await?;
    wait::never(
        timeouts::QUIET_PERIOD,
        "a suspended Tenant was changed",
        async || {
            let secret = scenario.secrets().get_opt("acme-connection").await?;
            Ok(match (secret, account.has_max_cu(&id, 1.0).await?) {
                (Some(_), _) => Some("the Secret was written".to_owned()),
                (None, false) => Some("the compute was resized".to_owned()),
                _ => None,
            })
        },
    )
    .await?;
    scenario
        .patch("acme", json!({"spec": {"suspend": false}}))
        .await?;
    scenario.wait_until_ready("acme").await?;
    ensure!(account.has_max_cu(&id, 2.0).await?, "the change was lost");
    ensure!(
        scenario
            .secrets()
            .get_opt("acme-connection")
            .await?
            .is_some(),
        "the Secret was not recreated"
    );
    Ok(())
}

async fn a_suspended_tenant_can_be_deleted(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    scenario
        .patch("acme", json!({"spec": {"suspend": true}}))
        .await?;
    wait_until_suspended(scenario, "acme").await?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    ensure!(
        !scenario
            .cluster()
            .account()
            .project_exists(&project_id(&tenant)?)
            .await?,
        "the project still exists"
    );
    Ok(())
}

async fn a_tenant_that_is_created_suspended_gets_no_project(scenario: &Scenario) -> Result<()> {
    scenario.apply("acme", json!({"suspend": true})).await?;
    wait_until_suspended(scenario, "acme").await?;
    ensure!(
        status(&scenario.tenant("acme").await?).is_some_and(|status| status.project.is_none()),
        "the Tenant has a project"
    );
    scenario
        .patch("acme", json!({"spec": {"suspend": false}}))
        .await?;
    scenario.wait_until_ready("acme").await?;
    Ok(())
}
