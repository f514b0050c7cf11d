//! What went astray in Neon behind the controller's back is mended, or a person is told what to do.

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, keys};
use neon_client::model::{
    AllowedIps, ComputeUnits, ProjectSettings, Quota, UpdateEndpoint, UpdateProject,
};
use neon_emulator::Limits;
use neon_emulator::faults::{Effect, Fault};
use serde_json::json;
use tests::case::{is_available, is_ready, project_id};
use tests::neon::Account;
use tests::{Case, limits, psql, wait};

tests::tests![
    a_renamed_project_and_changed_settings_are_put_right,
    a_resized_compute_is_put_right,
    a_changed_password_is_found_when_somebody_asks,
    a_deleted_project_is_recovered_with_its_data,
    a_purged_project_is_reported_with_what_to_do,
    a_project_that_neon_cannot_read_is_not_taken_for_deleted,
];

async fn a_renamed_project_and_changed_settings_are_put_right(case: &Case) -> Result<()> {
    let spec = json!({"quota": {"activeTimeSeconds": 3_600}, "allowedIPs": ["127.0.0.1"], "historyRetentionSeconds": 3_600});
    let tenant = case.apply_ready("acme", spec).await?;
    let (account, id) = (case.cluster().account(), project_id(&tenant)?);
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
    wait::poll(limits::DRIFT, "the project as it was", async || {
        let now = account.project(&id).await?;
        let same = now.name == before.name
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
        Ok(same.then_some(()))
    })
    .await?;
    case.event("acme", Reason::ProjectUpdated).await?;
    case.ready("acme").await?;
    Ok(())
}

async fn a_resized_compute_is_put_right(case: &Case) -> Result<()> {
    let tenant = case
        .apply_ready("acme", json!({"compute": {"minCU": 0.25, "maxCU": 1}}))
        .await?;
    let (account, id) = (case.cluster().account(), project_id(&tenant)?);
    let endpoint = account.endpoint(&id).await?.id;
    let changes = UpdateEndpoint {
        autoscaling_limit_max_cu: Some(ComputeUnits::new(8.0)?),
        ..UpdateEndpoint::default()
    };
    account
        .client()?
        .endpoints(&id)
        .update(&endpoint, changes)
        .send()
        .await?;
    wait::poll(limits::DRIFT, "the size as it was", async || {
        Ok(account.grows_to(&id, 1.0).await?.then_some(()))
    })
    .await?;
    case.ready("acme").await?;
    Ok(())
}

async fn a_changed_password_is_found_when_somebody_asks(case: &Case) -> Result<()> {
    let tenant = case.apply_ready("acme", json!({})).await?;
    let (account, id) = (case.cluster().account(), project_id(&tenant)?);
    let before = case.secret(&tenant).await?;
    let password = account.reset_password(&id, "neondb_owner").await?;
    let said = psql::refused(case.cluster(), &before, keys::URI, "select 1").await?;
    ensure!(said.contains("password"), "{said}");
    let tenant = case.look_closely("acme").await?;
    case.opens(&tenant).await?;
    ensure!(
        case.secret(&tenant).await?[keys::PASSWORD] == password,
        "it was reset once more, without need"
    );
    Ok(())
}

async fn a_deleted_project_is_recovered_with_its_data(case: &Case) -> Result<()> {
    let tenant = case.apply_ready("acme", json!({})).await?;
    let (account, id) = (case.cluster().account(), project_id(&tenant)?);
    case.psql(
        &tenant,
        keys::URI,
        "create table kept as select 42 as answer",
    )
    .await?;
    account.delete(&id).await?;
    wait::poll(limits::DRIFT, "the project back", async || {
        Ok(account.lives(&id).await?.then_some(()))
    })
    .await?;
    case.event("acme", Reason::ProjectRecovered).await?;
    let tenant = case.ready("acme").await?;
    ensure!(project_id(&tenant)? == id, "another project");
    ensure!(
        case.psql(&tenant, keys::URI, "select answer from kept")
            .await?
            == "42",
        "the data is gone"
    );
    Ok(())
}

async fn a_purged_project_is_reported_with_what_to_do(case: &Case) -> Result<()> {
    let at_once = Limits {
        recoverable_seconds: 0,
        ..Limits::default()
    };
    let (class, emulator) = case.class_with_limits(json!({}), 0, at_once).await?;
    let account = Account(&emulator);
    let tenant = case
        .apply_ready("acme", json!({"className": class}))
        .await?;
    let id = project_id(&tenant)?;
    account.delete(&id).await?;
    emulator.purge().await?;
    let message = case.stalled("acme", Reason::ProjectNotFound).await?;
    ensure!(
        message.contains(id.as_str()) && message.contains("delete this Tenant and apply it again"),
        "{message}"
    );
    ensure!(
        !is_available(&case.tenant("acme").await?),
        "available without a database"
    );
    ensure!(
        account.living().await?.is_empty(),
        "a second project was made"
    );
    // What the message says to do.
    case.delete("acme").await?;
    case.gone("acme").await?;
    let again = case
        .apply_ready("acme", json!({"className": class}))
        .await?;
    ensure!(project_id(&again)? != id, "the same project");
    Ok(())
}

async fn a_project_that_neon_cannot_read_is_not_taken_for_deleted(case: &Case) -> Result<()> {
    let (class, emulator) = case.class_with_account(json!({})).await?;
    let account = Account(&emulator);
    let tenant = case
        .apply_ready("acme", json!({"className": class}))
        .await?;
    let id = project_id(&tenant)?;
    let unavailable =
        Fault::new("listProjects", Effect::Unavailable { first: 0 }).project(id.clone());
    let fault = emulator
        .faults()
        .add(unavailable)
        .context("no place for a fault")?;
    let listed = account.calls("listProjects");
    wait::poll(limits::DRIFT, "some listings", async || {
        Ok((account.calls("listProjects") > listed + 4).then_some(()))
    })
    .await?;
    ensure!(account.lives(&id).await?, "the project was deleted");
    for operation in ["recoverProject", "deleteProject"] {
        ensure!(account.calls(operation) == 0, "{operation} was called");
    }
    ensure!(
        account.calls("createProject") == 1,
        "a second project was made"
    );
    ensure!(
        is_available(&case.tenant("acme").await?),
        "not available any more"
    );
    emulator.faults().remove(fault);
    // And it is changed again as soon as it can be read.
    case.patch("acme", json!({"spec": {"compute": {"maxCU": 2}}}))
        .await?;
    let tenant = case.ready("acme").await?;
    ensure!(
        is_ready(&tenant) && account.grows_to(&id, 2.0).await?,
        "not changed"
    );
    Ok(())
}
