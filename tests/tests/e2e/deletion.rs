//! Deleting a Tenant deletes or retains its project according to the deletion policy. Only a
//! missing account blocks the deletion.

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Phase, Reason, annotations};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::DeleteParams;
use neon_emulator::faults::{Effect, Fault};
use serde_json::json;
use test_support::scenario::{condition, project_id, status};
use test_support::{Scenario, timeouts, wait};

test_support::tests![
    deleting_a_tenant_whose_project_is_created_late_leaves_no_project,
    deleting_a_tenant_after_a_lost_creation_response_leaves_no_project,
    deleting_a_tenant_during_the_creation_leaves_no_project,
    deleting_a_tenant_deletes_its_project_and_its_secret,
    a_retained_project_survives_its_tenant,
    a_tenants_deletion_policy_overrides_the_classs,
    deleting_a_namespace_deletes_its_tenants_and_their_projects,
    an_invalid_spec_does_not_block_the_deletion,
    a_project_that_is_already_deleted_does_not_block_the_deletion,
    a_deletion_waits_for_a_valid_api_key_and_reports_it,
    an_orphaned_tenant_is_deleted_without_its_account,
];

async fn deleting_a_tenant_deletes_its_project_and_its_secret(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let id = project_id(&tenant)?;
    scenario
        .kubectl(&["delete", "tn", "acme", "--timeout=60s"])
        .await?;
    ensure!(
        !scenario.cluster().account().project_exists(&id).await?,
        "project {id} still exists"
    );
    wait::until(
        &scenario.secrets(),
        "acme-connection",
        timeouts::CONVERGE,
        "deleted",
        |secret| secret.is_none(),
    )
    .await?;
    scenario
        .wait_for_event("acme", Reason::ProjectDeleted)
        .await?;
    Ok(())
}

async fn a_retained_project_survives_its_tenant(scenario: &Scenario) -> Result<()> {
    let tenant = scenario
        .apply_and_wait("acme", json!({"deletionPolicy": "Retain"}))
        .await?;
    let id = project_id(&tenant)?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    scenario
        .wait_for_event("acme", Reason::ProjectRetained)
        .await?;
    let account = scenario.cluster().account();
    ensure!(
        account.project_exists(&id).await?,
        "project {id} was deleted"
    );
    account.delete(&id).await
}

async fn a_tenants_deletion_policy_overrides_the_classs(scenario: &Scenario) -> Result<()> {
    let class = scenario
        .apply_class(json!({"deletionPolicy": "Retain"}))
        .await?;
    scenario.apply("kept", json!({"className": class})).await?;
    scenario
        .apply(
            "deleted",
            json!({"className": class, "deletionPolicy": "Delete"}),
        )
        .await?;
    let (kept, deleted) = (
        project_id(&scenario.wait_until_ready("kept").await?)?,
        project_id(&scenario.wait_until_ready("deleted").await?)?,
    );
    for name in ["kept", "deleted"] {
        scenario.delete(name).await?;
        scenario.wait_until_deleted(name).await?;
    }
    let account = scenario.cluster().account();
    ensure!(
        account.project_exists(&kept).await?,
        "the class's policy was ignored"
    );
    ensure!(
        !account.project_exists(&deleted).await?,
        "the Tenant's policy was ignored"
    );
    account.delete(&kept).await
}

async fn deleting_a_tenant_during_the_creation_leaves_no_project(
    scenario: &Scenario,
) -> Result<()> {
    delete_during_creation(scenario, Effect::Delay { ms: 2_000 }).await
}

async fn deleting_a_tenant_after_a_lost_creation_response_leaves_no_project(
    scenario: &Scenario,
) -> Result<()> {
    delete_during_creation(scenario, Effect::AnswerLost).await
}

async fn deleting_a_tenant_whose_project_is_created_late_leaves_no_project(
    scenario: &Scenario,
) -> Result<()> {
    delete_during_creation(scenario, Effect::WorkLate { ms: 5_000 }).await
}

async fn delete_during_creation(scenario: &Scenario, effect: Effect) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    emulator
        .faults()
        .add(Fault::new("createProject", effect).times(1))
        .context("failed to add the fault")?;
    scenario.apply("acme", json!({"className": class})).await?;
    wait::poll(
        timeouts::CONVERGE,
        "a call to create a project",
        async || {
            Ok((test_support::neon::Account(&emulator).calls("createProject") > 0).then_some(()))
        },
    )
    .await?;
    scenario.delete("acme").await?;
    scenario
        .wait_until_deleted_within("acme", timeouts::CREATION_VERIFIED)
        .await?;
    let projects = emulator.projects().await?;
    ensure!(
        projects.iter().all(|project| project.deleted_at.is_some()),
        "a project is left: {projects:?}"
    );
    ensure!(
        projects.len() <= 1,
        "{} projects were created: {projects:?}",
        projects.len()
    );
    Ok(())
}

async fn deleting_a_namespace_deletes_its_tenants_and_their_projects(
    scenario: &Scenario,
) -> Result<()> {
    let mut ids = Vec::new();
    for name in ["acme", "globex"] {
        scenario.apply(name, json!({})).await?;
    }
    for name in ["acme", "globex"] {
        ids.push(project_id(&scenario.wait_until_ready(name).await?)?);
    }
    let namespaces: Api<Namespace> = Api::all(scenario.cluster().client());
    namespaces
        .delete(scenario.namespace(), &DeleteParams::default())
        .await?;
    wait::until(
        &namespaces,
        scenario.namespace(),
        timeouts::NAMESPACE_DELETED,
        "deleted",
        |found| found.is_none(),
    )
    .await?;
    for id in ids {
        ensure!(
            !scenario.cluster().account().project_exists(&id).await?,
            "project {id} still exists"
        );
    }
    Ok(())
}

async fn an_invalid_spec_does_not_block_the_deletion(scenario: &Scenario) -> Result<()> {
    let class = scenario
        .apply_class(json!({"limits": {"maxCU": 2}}))
        .await?;
    scenario
        .apply(
            "never",
            json!({"className": class, "compute": {"maxCU": 8}}),
        )
        .await?;
    scenario.apply("later", json!({"className": class})).await?;
    scenario
        .wait_until_stalled("never", Reason::ClassLimitExceeded)
        .await?;
    let id = project_id(&scenario.wait_until_ready("later").await?)?;
    scenario
        .patch("later", json!({"spec": {"compute": {"maxCU": 8}}}))
        .await?;
    scenario
        .wait_until_stalled("later", Reason::ClassLimitExceeded)
        .await?;
    for name in ["never", "later"] {
        scenario.delete(name).await?;
        scenario.wait_until_deleted(name).await?;
    }
    ensure!(
        !scenario.cluster().account().project_exists(&id).await?,
        "project {id} still exists"
    );
    Ok(())
}

async fn a_project_that_is_already_deleted_does_not_block_the_deletion(
    scenario: &Scenario,
) -> Result<()> {
    // Suspended, so that the controller does not recover the project first.
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    scenario
        .patch("acme", json!({"spec": {"suspend": true}}))
        .await?;
    scenario
        .wait_for("acme", timeouts::CONVERGE, "suspended", |tenant| {
            status(tenant).is_some_and(|status| status.phase == Some(Phase::Suspended))
        })
        .await?;
    scenario
        .cluster()
        .account()
        .delete(&project_id(&tenant)?)
        .await?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await
}

async fn a_deletion_waits_for_a_valid_api_key_and_reports_it(scenario: &Scenario) -> Result<()> {
    let (key, id) = delete_without_key(scenario).await?;
    ensure!(
        scenario.cluster().account().project_exists(&id).await?,
        "project {id} was deleted without an API key"
    );
    // Once the key is valid again, the deletion continues.
    scenario
        .cluster()
        .apply_api_key(&key, scenario.cluster().emulator().api_key())
        .await?;
    scenario.wait_until_deleted("acme").await?;
    ensure!(
        !scenario.cluster().account().project_exists(&id).await?,
        "project {id} still exists"
    );
    delete_key(scenario, &key).await
}

async fn an_orphaned_tenant_is_deleted_without_its_account(scenario: &Scenario) -> Result<()> {
    let (_, id) = delete_without_key(scenario).await?;
    scenario
        .patch(
            "acme",
            json!({"metadata": {"annotations": {(annotations::ORPHAN): "true"}}}),
        )
        .await?;
    scenario.wait_until_deleted("acme").await?;
    let event = scenario
        .wait_for_event("acme", Reason::ProjectOrphaned)
        .await?;
    ensure!(event.type_.as_deref() == Some("Warning"), "{event:?}");
    ensure!(
        event
            .note
            .as_deref()
            .is_some_and(|note| note.contains(id.as_str())),
        "{event:?}"
    );
    let account = scenario.cluster().account();
    ensure!(
        account.project_exists(&id).await?,
        "project {id} was deleted without an API key"
    );
    account.delete(&id).await
}

/// Deletes a Tenant after the API key of its account was deleted. Returns the key's name and the
/// Tenant's project.
async fn delete_without_key(scenario: &Scenario) -> Result<(String, neon_client::ids::ProjectId)> {
    let key = format!("{}-key", scenario.namespace());
    scenario
        .cluster()
        .apply_api_key(&key, scenario.cluster().emulator().api_key())
        .await?;
    let class = scenario
        .apply_class(json!({"neon": {"apiKeySecretRef": {"name": key}}}))
        .await?;
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    delete_key(scenario, &key).await?;
    wait::until(
        &scenario.classes(),
        &class,
        timeouts::CONVERGE,
        "reporting the missing key",
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
    scenario.delete("acme").await?;
    let waiting = scenario
        .wait_for(
            "acme",
            timeouts::CONVERGE,
            "waiting for the key",
            |tenant| {
                let stalled = condition(tenant, ConditionType::Stalled);
                stalled.is_some_and(|stalled| stalled.reason == Reason::ApiKeyInvalid.as_str())
                    && status(tenant).is_some_and(|status| status.phase == Some(Phase::Deleting))
            },
        )
        .await?;
    let message = &condition(&waiting, ConditionType::Stalled)
        .context("the Tenant is not stalled")?
        .message;
    ensure!(message.contains(&key), "{message}");
    Ok((key, project_id(&tenant)?))
}

async fn delete_key(scenario: &Scenario, name: &str) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(
        scenario.cluster().client(),
        test_support::cluster::SYSTEM_NAMESPACE,
    );
    secrets.delete(name, &DeleteParams::default()).await?;
    Ok(())
}
