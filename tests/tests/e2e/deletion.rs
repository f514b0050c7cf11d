//! A Tenant goes, and its database with it or not, as the policy says; nothing but the account holds it back.

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Phase, Reason, annotations};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::DeleteParams;
use neon_emulator::faults::{Effect, Fault};
use serde_json::json;
use tests::case::{condition, project_id, status};
use tests::{Case, limits, wait};

tests::tests![
    a_tenant_deleted_while_its_project_appears_late_leaves_no_project,
    a_tenant_deleted_after_a_lost_answer_leaves_no_project,
    a_tenant_deleted_while_its_project_is_being_made_leaves_no_project,
    deleting_a_tenant_deletes_its_project_and_its_secret,
    a_retained_project_stays_when_its_tenant_goes,
    a_class_says_what_becomes_of_projects_and_a_tenant_may_say_otherwise,
    a_deleted_namespace_takes_its_tenants_and_their_projects_along,
    a_spec_that_cannot_be_granted_does_not_hold_a_deletion,
    a_project_that_is_gone_already_does_not_hold_a_deletion,
    a_deletion_waits_for_the_accounts_key_and_says_so,
    an_abandoned_tenant_goes_without_its_account,
];

async fn deleting_a_tenant_deletes_its_project_and_its_secret(case: &Case) -> Result<()> {
    let tenant = case.apply_ready("acme", json!({})).await?;
    let id = project_id(&tenant)?;
    case.kubectl(&["delete", "tn", "acme", "--timeout=60s"])
        .await?;
    ensure!(
        !case.cluster().account().lives(&id).await?,
        "project {id} still lives"
    );
    wait::until(
        &case.secrets(),
        "acme-connection",
        limits::CONVERGE,
        "gone",
        |secret| secret.is_none(),
    )
    .await?;
    case.event("acme", Reason::ProjectDeleted).await?;
    Ok(())
}

async fn a_retained_project_stays_when_its_tenant_goes(case: &Case) -> Result<()> {
    let tenant = case
        .apply_ready("acme", json!({"deletionPolicy": "Retain"}))
        .await?;
    let id = project_id(&tenant)?;
    case.delete("acme").await?;
    case.gone("acme").await?;
    case.event("acme", Reason::ProjectRetained).await?;
    let account = case.cluster().account();
    ensure!(account.lives(&id).await?, "project {id} is gone");
    account.delete(&id).await
}

async fn a_class_says_what_becomes_of_projects_and_a_tenant_may_say_otherwise(
    case: &Case,
) -> Result<()> {
    let class = case.class(json!({"deletionPolicy": "Retain"})).await?;
    case.apply("kept", json!({"className": class})).await?;
    case.apply(
        "gone",
        json!({"className": class, "deletionPolicy": "Delete"}),
    )
    .await?;
    let (kept, gone) = (
        project_id(&case.ready("kept").await?)?,
        project_id(&case.ready("gone").await?)?,
    );
    for name in ["kept", "gone"] {
        case.delete(name).await?;
        case.gone(name).await?;
    }
    let account = case.cluster().account();
    ensure!(
        account.lives(&kept).await?,
        "the class's policy does not count"
    );
    ensure!(
        !account.lives(&gone).await?,
        "the Tenant's policy does not count"
    );
    account.delete(&kept).await
}

async fn a_tenant_deleted_while_its_project_is_being_made_leaves_no_project(
    case: &Case,
) -> Result<()> {
    half_created(case, Effect::Delay { ms: 2_000 }).await
}

async fn a_tenant_deleted_after_a_lost_answer_leaves_no_project(case: &Case) -> Result<()> {
    half_created(case, Effect::AnswerLost).await
}

async fn a_tenant_deleted_while_its_project_appears_late_leaves_no_project(
    case: &Case,
) -> Result<()> {
    half_created(case, Effect::WorkLate { ms: 5_000 }).await
}

async fn half_created(case: &Case, effect: Effect) -> Result<()> {
    let (class, emulator) = case.class_with_account(json!({})).await?;
    emulator
        .faults()
        .add(Fault::new("createProject", effect).times(1))
        .context("no place for a fault")?;
    case.apply("acme", json!({"className": class})).await?;
    wait::poll(limits::CONVERGE, "a call to create a project", async || {
        Ok((tests::neon::Account(&emulator).calls("createProject") > 0).then_some(()))
    })
    .await?;
    case.delete("acme").await?;
    case.gone_within("acme", limits::SETTLE).await?;
    let made = emulator.projects().await?;
    ensure!(
        made.iter().all(|project| project.deleted_at.is_some()),
        "a project is left: {made:?}"
    );
    ensure!(
        made.len() <= 1,
        "{} projects were made: {made:?}",
        made.len()
    );
    Ok(())
}

async fn a_deleted_namespace_takes_its_tenants_and_their_projects_along(case: &Case) -> Result<()> {
    let mut projects = Vec::new();
    for name in ["acme", "globex"] {
        case.apply(name, json!({})).await?;
    }
    for name in ["acme", "globex"] {
        projects.push(project_id(&case.ready(name).await?)?);
    }
    let namespaces: Api<Namespace> = Api::all(case.cluster().client());
    namespaces
        .delete(case.namespace(), &DeleteParams::default())
        .await?;
    wait::until(
        &namespaces,
        case.namespace(),
        limits::NAMESPACE_GONE,
        "gone",
        |found| found.is_none(),
    )
    .await?;
    for id in projects {
        ensure!(
            !case.cluster().account().lives(&id).await?,
            "project {id} still lives"
        );
    }
    Ok(())
}

async fn a_spec_that_cannot_be_granted_does_not_hold_a_deletion(case: &Case) -> Result<()> {
    let class = case.class(json!({"limits": {"maxCU": 2}})).await?;
    case.apply(
        "never",
        json!({"className": class, "compute": {"maxCU": 8}}),
    )
    .await?;
    case.apply("later", json!({"className": class})).await?;
    case.stalled("never", Reason::ClassLimitExceeded).await?;
    let id = project_id(&case.ready("later").await?)?;
    case.patch("later", json!({"spec": {"compute": {"maxCU": 8}}}))
        .await?;
    case.stalled("later", Reason::ClassLimitExceeded).await?;
    for name in ["never", "later"] {
        case.delete(name).await?;
        case.gone(name).await?;
    }
    ensure!(
        !case.cluster().account().lives(&id).await?,
        "project {id} still lives"
    );
    Ok(())
}

async fn a_project_that_is_gone_already_does_not_hold_a_deletion(case: &Case) -> Result<()> {
    // Suspended, so that the project is not recovered first.
    let tenant = case.apply_ready("acme", json!({})).await?;
    case.patch("acme", json!({"spec": {"suspend": true}}))
        .await?;
    case.until("acme", limits::CONVERGE, "suspended", |tenant| {
        status(tenant).is_some_and(|status| status.phase == Some(Phase::Suspended))
    })
    .await?;
    case.cluster()
        .account()
        .delete(&project_id(&tenant)?)
        .await?;
    case.delete("acme").await?;
    case.gone("acme").await
}

async fn a_deletion_waits_for_the_accounts_key_and_says_so(case: &Case) -> Result<()> {
    let (key, id) = without_key(case).await?;
    ensure!(
        case.cluster().account().lives(&id).await?,
        "project {id} went without a key"
    );
    // The key comes back: the deletion goes on by itself.
    case.cluster()
        .apply_api_key(&key, case.cluster().emulator().api_key())
        .await?;
    case.gone("acme").await?;
    ensure!(
        !case.cluster().account().lives(&id).await?,
        "project {id} still lives"
    );
    delete_key(case, &key).await
}

async fn an_abandoned_tenant_goes_without_its_account(case: &Case) -> Result<()> {
    let (_, id) = without_key(case).await?;
    case.patch(
        "acme",
        json!({"metadata": {"annotations": {(annotations::ORPHAN): "true"}}}),
    )
    .await?;
    case.gone("acme").await?;
    let event = case.event("acme", Reason::ProjectOrphaned).await?;
    ensure!(event.type_.as_deref() == Some("Warning"), "{event:?}");
    ensure!(
        event
            .note
            .as_deref()
            .is_some_and(|note| note.contains(id.as_str())),
        "{event:?}"
    );
    let account = case.cluster().account();
    ensure!(account.lives(&id).await?, "project {id} went without a key");
    account.delete(&id).await
}

/// A Tenant that is being deleted while the key of its account is away, and its project.
async fn without_key(case: &Case) -> Result<(String, neon_client::ids::ProjectId)> {
    let key = format!("{}-key", case.namespace());
    case.cluster()
        .apply_api_key(&key, case.cluster().emulator().api_key())
        .await?;
    let class = case
        .class(json!({"neon": {"apiKeySecretRef": {"name": key}}}))
        .await?;
    let tenant = case
        .apply_ready("acme", json!({"className": class}))
        .await?;
    delete_key(case, &key).await?;
    wait::until(
        &case.all_classes(),
        &class,
        limits::CONVERGE,
        "without its key",
        |class| {
            class
                .and_then(|class| class.status.as_ref())
                .is_some_and(|status| {
                    status
                        .conditions
                        .iter()
                        .any(|ready| ready.reason == Reason::ApiKeyInvalid.as_str())
                })
        },
    )
    .await?;
    case.delete("acme").await?;
    let waiting = case
        .until("acme", limits::CONVERGE, "waiting for the key", |tenant| {
            let stalled = condition(tenant, ConditionType::Stalled);
            stalled.is_some_and(|stalled| stalled.reason == Reason::ApiKeyInvalid.as_str())
                && status(tenant).is_some_and(|status| status.phase == Some(Phase::Deleting))
        })
        .await?;
    let message = &condition(&waiting, ConditionType::Stalled)
        .context("not stalled")?
        .message;
    ensure!(message.contains(&key), "{message}");
    Ok((key, project_id(&tenant)?))
}

async fn delete_key(case: &Case, name: &str) -> Result<()> {
    let keys: Api<Secret> =
        Api::namespaced(case.cluster().client(), tests::cluster::SYSTEM_NAMESPACE);
    keys.delete(name, &DeleteParams::default()).await?;
    Ok(())
}
