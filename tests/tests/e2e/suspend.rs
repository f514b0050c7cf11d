//! `spec.suspend` stops every change but deletion.

use anyhow::{Result, ensure};
use crds::{ConditionType, Phase};
use kube::api::DeleteParams;
use serde_json::json;
use tests::case::{condition, is_available, project_id, status};
use tests::{Case, limits, wait};

tests::tests![
    a_suspended_tenant_is_not_changed_until_it_goes_on,
    a_suspended_tenant_can_be_deleted,
    a_tenant_that_begins_suspended_gets_no_project,
];

async fn suspended(case: &Case, name: &str) -> Result<()> {
    let tenant = case
        .until(name, limits::CONVERGE, "suspended", |tenant| {
            status(tenant).is_some_and(|status| {
                status.phase == Some(Phase::Suspended)
                    && status.observed_generation == tenant.metadata.generation
            })
        })
        .await?;
    let ready = condition(&tenant, ConditionType::Ready);
    ensure!(
        ready.is_some_and(|ready| ready.status == "False" && ready.reason == "Suspended"),
        "{ready:?}"
    );
    Ok(())
}

async fn a_suspended_tenant_is_not_changed_until_it_goes_on(case: &Case) -> Result<()> {
    let tenant = case
        .apply_ready("acme", json!({"compute": {"maxCU": 1}}))
        .await?;
    let (account, id) = (case.cluster().account(), project_id(&tenant)?);
    case.patch(
        "acme",
        json!({"spec": {"suspend": true, "compute": {"maxCU": 4}}}),
    )
    .await?;
    suspended(case, "acme").await?;
    ensure!(
        is_available(&case.tenant("acme").await?),
        "a suspended tenant can still be served"
    );
    case.secrets()
        .delete("acme-connection", &DeleteParams::default())
        .await?;
    wait::never(
        limits::NOTHING_HAPPENS,
        "a suspended Tenant was changed",
        async || {
            let secret = case.secrets().get_opt("acme-connection").await?;
            Ok(match (secret, account.grows_to(&id, 1.0).await?) {
                (Some(_), _) => Some("the Secret was written".to_owned()),
                (None, false) => Some("the compute was resized".to_owned()),
                _ => None,
            })
        },
    )
    .await?;
    case.patch("acme", json!({"spec": {"suspend": false}}))
        .await?;
    case.ready("acme").await?;
    ensure!(account.grows_to(&id, 4.0).await?, "the edit was lost");
    ensure!(
        case.secrets().get_opt("acme-connection").await?.is_some(),
        "the Secret was not written again"
    );
    Ok(())
}

async fn a_suspended_tenant_can_be_deleted(case: &Case) -> Result<()> {
    let tenant = case.apply_ready("acme", json!({})).await?;
    case.patch("acme", json!({"spec": {"suspend": true}}))
        .await?;
    suspended(case, "acme").await?;
    case.delete("acme").await?;
    case.gone("acme").await?;
    ensure!(
        !case
            .cluster()
            .account()
            .lives(&project_id(&tenant)?)
            .await?,
        "its project still lives"
    );
    Ok(())
}

async fn a_tenant_that_begins_suspended_gets_no_project(case: &Case) -> Result<()> {
    case.apply("acme", json!({"suspend": true})).await?;
    suspended(case, "acme").await?;
    ensure!(
        status(&case.tenant("acme").await?).is_some_and(|status| status.project.is_none()),
        "it has a project"
    );
    case.patch("acme", json!({"spec": {"suspend": false}}))
        .await?;
    case.ready("acme").await?;
    Ok(())
}
