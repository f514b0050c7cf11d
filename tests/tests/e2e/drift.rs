//! The controller repairs changes in Neon that were made without it, or reports what to do.

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, Tenant, keys};
use kube::api::{DeleteParams, Patch, PatchParams};
use neon_client::model::{
    AllowedIps, ComputeUnits, CreateBranch, CreateEndpoint, CreateSnapshot, EndpointType,
    FinalizeRestore, ProjectSettings, Quota, RestoreSnapshot, UpdateEndpoint, UpdateProject,
};
use neon_emulator::faults::{Effect, Fault};
use neon_emulator::{Limits, Plan};
use serde_json::json;
use test_support::neon::Account;
use test_support::scenario::{is_available, is_ready, project_id, status};
use test_support::{Scenario, psql, timeouts, wait};

test_support::tests![
    a_renamed_project_and_changed_settings_are_repaired,
    a_resized_compute_is_repaired,
    a_changed_password_is_repaired_by_a_requested_reconcile,
    a_deleted_project_is_recovered_with_its_data,
    a_purged_project_is_reported_with_a_hint,
    a_project_that_neon_cannot_read_is_not_treated_as_deleted,
    a_deleted_compute_is_reported_and_used_again_once_it_is_replaced,
    a_compute_that_is_replaced_at_once_is_used_with_its_new_host,
    a_deleted_database_is_reported_without_a_connection,
    another_default_branch_does_not_move_the_tenant,
    credentials_are_read_again_after_a_restore_in_neon,
    an_edited_connection_in_the_status_is_corrected,
];

async fn a_renamed_project_and_changed_settings_are_repaired(scenario: &Scenario) -> Result<()> {
    let (class, emulator) = scenario.apply_class_on_plan(Plan::Scale).await?;
    let spec = json!({
        "className": class, "quota": {"activeTimeSeconds": 3_600}, "allowedIPs": ["127.0.0.1"],
        "historyRetentionSeconds": 3_600,
    });
    let tenant = scenario.apply_and_wait("acme", spec).await?;
    let (account, id) = (Account(&emulator), project_id(&tenant)?);
    let before = account.project(&id).await?;
    let changes = UpdateProject {
        name: Some("renamed by hand".into()),
        settings: Some(ProjectSettings {
            quota: Some(Quota {
                active_time_seconds: Some(1),
                ..Quota::default()
            }),
            allowed_ips: Some(AllowedIps {
                ips: Some(vec!["192.0.2.1".into()]),
                protected_branches_only: Some(false),
            }),
            ..ProjectSettings::default()
        }),
        history_retention_seconds: Some(60),
        ..UpdateProject::default()
    };
    account
        .client()?
        .projects()
        .update(&id, changes)
        .send()
        .await?;
    wait::poll(timeouts::DRIFT, "the project to be repaired", async || {
        let now = account.project(&id).await?;
        let repaired = now.name == before.name
            && now.history_retention_seconds == Some(3_600)
            && now
                .settings
                .as_ref()
                .and_then(|settings| settings.quota?.active_time_seconds)
                == Some(3_600)
            && now
                .settings
                .as_ref()
                .and_then(|settings| settings.allowed_ips.clone()?.ips)
                == Some(vec!["127.0.0.1".into()]);
        Ok(repaired.then_some(()))
    })
    .await?;
    scenario
        .wait_for_event("acme", Reason::ProjectUpdated)
        .await?;
    scenario.wait_until_ready("acme").await?;
    Ok(())
}

async fn a_resized_compute_is_repaired(scenario: &Scenario) -> Result<()> {
    let tenant = scenario
        .apply_and_wait("acme", json!({"compute": {"minCU": 0.25, "maxCU": 1}}))
        .await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    let endpoint = account.endpoint(&id).await?.id;
    let changes = UpdateEndpoint {
        autoscaling_limit_max_cu: Some(ComputeUnits::new(2.0)?),
        ..UpdateEndpoint::default()
    };
    account
        .client()?
        .endpoints(&id)
        .update(&endpoint, changes)
        .send()
        .await?;
    wait::poll(timeouts::DRIFT, "the size to be repaired", async || {
        Ok(account.has_max_cu(&id, 1.0).await?.then_some(()))
    })
    .await?;
    scenario.wait_until_ready("acme").await?;
    Ok(())
}

async fn a_changed_password_is_repaired_by_a_requested_reconcile(
    scenario: &Scenario,
) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    let before = scenario.secret_data(&tenant).await?;
    let password = account.reset_password(&id, "neondb_owner").await?;
    let error =
        psql::query_expect_error(scenario.cluster(), &before, keys::URI, "select 1").await?;
    ensure!(error.contains("password"), "{error}");
    let tenant = scenario.reconcile_and_wait("acme").await?;
    scenario.check_connection(&tenant).await?;
    ensure!(
        scenario.secret_data(&tenant).await?[keys::PASSWORD] == password,
        "the password was reset again unnecessarily"
    );
    Ok(())
}

async fn a_deleted_project_is_recovered_with_its_data(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    scenario
        .psql(
            &tenant,
            keys::URI,
            "create table kept as select 42 as answer",
        )
        .await?;
    account.delete(&id).await?;
    wait::poll(timeouts::DRIFT, "the project to be recovered", async || {
        Ok(account.project_exists(&id).await?.then_some(()))
    })
    .await?;
    scenario
        .wait_for_event("acme", Reason::ProjectRecovered)
        .await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    ensure!(project_id(&tenant)? == id, "a different project");
    ensure!(
        scenario
            .psql(&tenant, keys::URI, "select answer from kept")
            .await?
            == "42",
        "the data is lost"
    );
    Ok(())
}

async fn a_purged_project_is_reported_with_a_hint(scenario: &Scenario) -> Result<()> {
    let purge_immediately = Limits {
        recoverable_seconds: 0,
        ..Limits::default()
    };
    let (class, emulator) = scenario
        .apply_class_with_limits(json!({}), 0, purge_immediately)
        .await?;
    let account = Account(&emulator);
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let id = project_id(&tenant)?;
    account.delete(&id).await?;
    emulator.purge().await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::ProjectNotFound)
        .await?;
    ensure!(
        message.contains(id.as_str()) && message.contains("delete this Tenant and apply it again"),
        "{message}"
    );
    ensure!(
        !is_available(&scenario.tenant("acme").await?),
        "available without a database"
    );
    ensure!(
        account.existing_projects().await?.is_empty(),
        "a second project was created"
    );
    // Follows the instructions in the message.
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    let again = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    ensure!(project_id(&again)? != id, "the same project");
    Ok(())
}

async fn a_deleted_compute_is_reported_and_used_again_once_it_is_replaced(
    scenario: &Scenario,
) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    let compute = account.endpoint(&id).await?;
    let client = account.client()?;
    // A compute of another branch serves other data.
    let branch = CreateBranch::named("other").with_compute();
    client.branches(&id).create(branch).send().await?;
    let endpoints = client.endpoints(&id);
    endpoints.delete(&compute.id).send().await?;
    // Whether an inspection or a connection notices the deletion first, the report is the same.
    scenario.request_reconcile("acme").await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::ComputeMissing)
        .await?;
    ensure!(message.contains(id.as_str()), "{message}");
    ensure!(message.contains(compute.branch_id.as_str()), "{message}");
    ensure!(
        !is_available(&scenario.tenant("acme").await?),
        "available without a compute"
    );
    // Follows the instructions in the message.
    let new = CreateEndpoint::new(compute.branch_id, EndpointType::ReadWrite);
    endpoints.create(new).send().await?;
    scenario.request_reconcile("acme").await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    scenario.check_connection(&tenant).await
}

async fn a_compute_that_is_replaced_at_once_is_used_with_its_new_host(
    scenario: &Scenario,
) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    let compute = account.endpoint(&id).await?;
    let client = account.client()?;
    let endpoints = client.endpoints(&id);
    endpoints.delete(&compute.id).send().await?;
    let new = CreateEndpoint::new(compute.branch_id, EndpointType::ReadWrite);
    let new = endpoints.create(new).send().await?.endpoint;
    // Nothing opens the database meanwhile: the change is found when the computes are read in turn.
    // The hosts of all computes are the same in a test; the option tells them apart.
    let is_moved = |tenant: &Tenant| {
        let connection = status(tenant).and_then(|status| status.connection.as_ref());
        let options = connection.and_then(|connection| connection.options.as_deref());
        is_ready(tenant) && options.is_some_and(|options| options.contains(new.id.as_str()))
    };
    let what = "connected to the new compute";
    let tenant = scenario
        .wait_for("acme", timeouts::DRIFT, what, is_moved)
        .await?;
    scenario.check_connection(&tenant).await
}

async fn a_deleted_database_is_reported_without_a_connection(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    let branch = account.endpoint(&id).await?.branch_id;
    let connections = account.connections_opened(&id).await?;
    let databases = account.client()?.databases(&id, &branch);
    databases.delete(&"neondb".parse()?).send().await?;
    scenario
        .wait_until_stalled("acme", Reason::DatabaseMissing)
        .await?;
    ensure!(
        !is_available(&scenario.tenant("acme").await?),
        "available without a database"
    );
    ensure!(
        account.connections_opened(&id).await? == connections,
        "the check opened a connection"
    );
    Ok(())
}

async fn another_default_branch_does_not_move_the_tenant(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    let before = scenario.secret_data(&tenant).await?;
    let client = account.client()?;
    let branch = CreateBranch::named("other").with_compute();
    let created = client.branches(&id).create(branch).send().await?;
    client
        .branches(&id)
        .set_as_default(&created.branch.id)
        .send()
        .await?;
    scenario
        .psql(
            &tenant,
            keys::URI,
            "create table kept as select 42 as answer",
        )
        .await?;
    // The Secret is written again, and the database is migrated.
    scenario
        .secrets()
        .delete("acme-connection", &DeleteParams::default())
        .await?;
    let again = scenario.reconcile_and_wait("acme").await?;
    let branch_of = |tenant: &Tenant| {
        let status = tenant.status.as_ref();
        status.and_then(|status| status.project.as_ref()?.branch_id.clone())
    };
    ensure!(branch_of(&again) == branch_of(&tenant), "another branch");
    ensure!(
        scenario.secret_data(&again).await?.get(keys::HOST) == before.get(keys::HOST),
        "another compute"
    );
    let answer = scenario
        .psql(&again, keys::URI, "select answer from kept")
        .await?;
    ensure!(answer == "42", "another branch: {answer}");
    Ok(())
}

async fn credentials_are_read_again_after_a_restore_in_neon(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    let former = account.endpoint(&id).await?.branch_id;
    let client = account.client()?;
    let (branches, snapshots) = (client.branches(&id), client.snapshots(&id));
    let snapshot = CreateSnapshot {
        name: Some("by hand".to_owned()),
        expires_at: None,
    };
    let snapshot = snapshots.create(&former, snapshot).send().await?.snapshot;
    let restore = RestoreSnapshot::default()
        .name("restored")
        .target_branch_id(former.clone());
    let restored = snapshots.restore(&snapshot.id, restore).send().await?;
    // The compute moves to the restored branch.
    let finalize = FinalizeRestore::default().name("former");
    branches
        .finalize_restore(&restored.branch.id, finalize)
        .send()
        .await?;
    branches.delete(&former).send().await?;
    scenario
        .secrets()
        .delete("acme-connection", &DeleteParams::default())
        .await?;
    let again = scenario.reconcile_and_wait("acme").await?;
    let project = status(&again).and_then(|status| status.project.clone());
    ensure!(
        project.is_some_and(
            |project| project.branch_id.as_deref() == Some(restored.branch.id.as_str())
        ),
        "the status names another branch: {:?}",
        again.status
    );
    scenario.check_connection(&again).await
}

async fn an_edited_connection_in_the_status_is_corrected(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let host_of = |tenant: &Tenant| {
        let status = tenant.status.as_ref();
        status.and_then(|status| Some(status.connection.as_ref()?.host.clone()))
    };
    let schema_of = |tenant: &Tenant| {
        let status = tenant.status.as_ref();
        status.and_then(|status| status.schema.as_ref()?.version)
    };
    let edit = json!({"status": {
        "connection": {"host": "elsewhere.example.com"}, "schema": {"version": 1_000},
    }});
    scenario
        .tenants()
        .patch_status("acme", &PatchParams::default(), &Patch::Merge(edit))
        .await?;
    let expected = (host_of(&tenant), schema_of(&tenant));
    scenario
        .wait_for("acme", timeouts::CONVERGE, "corrected", |tenant| {
            is_ready(tenant) && (host_of(tenant), schema_of(tenant)) == expected
        })
        .await?;
    Ok(())
}

async fn a_project_that_neon_cannot_read_is_not_treated_as_deleted(
    scenario: &Scenario,
) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    let account = Account(&emulator);
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let id = project_id(&tenant)?;
    let unavailable =
        Fault::new("listProjects", Effect::Unavailable { first: 0 }).project(id.clone());
    let fault = emulator
        .faults()
        .add(unavailable)
        .context("failed to add the fault")?;
    let listed = account.calls("listProjects");
    wait::poll(timeouts::DRIFT, "some listings", async || {
        Ok((account.calls("listProjects") > listed + 4).then_some(()))
    })
    .await?;
    ensure!(
        account.project_exists(&id).await?,
        "the project was deleted"
    );
    for operation in ["recoverProject", "deleteProject"] {
        ensure!(account.calls(operation) == 0, "{operation} was called");
    }
    ensure!(
        account.calls("createProject") == 1,
        "a second project was created"
    );
    ensure!(
        is_available(&scenario.tenant("acme").await?),
        "no longer available"
    );
    emulator.faults().remove(fault);
    // Once the project can be read again, changes are applied.
    scenario
        .patch("acme", json!({"spec": {"compute": {"maxCU": 2}}}))
        .await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    ensure!(
        is_ready(&tenant) && account.has_max_cu(&id, 2.0).await?,
        "the compute was not resized"
    );
    Ok(())
}
