//! A database that may be in use is never deleted by a guess: not after a lost or an old status, a
//! renamed project, a listing that Neon cannot complete, or another account's API key.

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Reason, annotations};
use kube::api::{Patch, PatchParams};
use neon_client::ids::ProjectId;
use neon_client::model::{CreateProject, UpdateProject};
use neon_emulator::faults::{Effect, Fault};
use serde_json::{Value, json};
use test_support::emulator::FOREIGN_API_KEY;
use test_support::neon::Account;
use test_support::scenario::{condition, is_available, project_id};
use test_support::suite::{Trial, test_on};
use test_support::{ClusterOptions, Scenario, timeouts, wait};

test_support::tests![
    a_project_that_was_given_the_tenants_name_is_kept_until_a_user_names_it,
    an_old_status_does_not_delete_the_project_in_use,
    a_key_of_another_account_changes_nothing,
    a_tenant_is_orphaned_although_its_key_is_revoked,
    a_tenant_is_orphaned_although_the_api_does_not_respond,
];

/// Tests that restart the controller.
pub(crate) fn restarting() -> Vec<Trial> {
    vec![test_on(
        concat!(
            module_path!(),
            "::a_status_lost_while_neon_cannot_read_the_project_leads_to_no_second_project"
        ),
        ClusterOptions::default(),
        a_status_lost_while_neon_cannot_read_the_project_leads_to_no_second_project,
    )]
}

const CREATE_ROW: &str = "create table kept (id int); insert into kept values (7)";
const READ_ROW: &str = "select id from kept";

async fn set_status(scenario: &Scenario, status: Value) -> Result<()> {
    let patch = Patch::Merge(json!({ "status": status }));
    scenario
        .tenants()
        .patch_status("acme", &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

async fn name_project(scenario: &Scenario, id: &ProjectId) -> Result<()> {
    let order = json!({(annotations::DELETE_DUPLICATE): id});
    scenario
        .patch("acme", json!({"metadata": {"annotations": order}}))
        .await?;
    Ok(())
}

/// Waits until the Tenant stalls because of its own and the other project.
async fn wait_for_duplicate(
    scenario: &Scenario,
    own: &ProjectId,
    other: &ProjectId,
) -> Result<String> {
    let message = scenario
        .wait_until_stalled("acme", Reason::DuplicateProject)
        .await?;
    for text in [own.as_str(), other.as_str(), annotations::DELETE_DUPLICATE] {
        ensure!(message.contains(text), "{message}");
    }
    Ok(message)
}

async fn ensure_exists(account: &Account<'_>, id: &ProjectId, exists: bool) -> Result<()> {
    ensure!(
        account.project_exists(id).await? == exists,
        "project {id} {}",
        if exists {
            "was deleted"
        } else {
            "still exists"
        }
    );
    Ok(())
}

async fn a_project_that_was_given_the_tenants_name_is_kept_until_a_user_names_it(
    scenario: &Scenario,
) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    let account = Account(&emulator);
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let own = project_id(&tenant)?;
    let name = account.project(&own).await?.name;
    // As after a restore in Neon: another project gets the expected name.
    let restored = account.create(CreateProject::named("restored")).await?;
    let rename = UpdateProject {
        name: Some(name),
        ..UpdateProject::default()
    };
    let projects = account.client()?.projects();
    projects.update(&restored, rename).send().await?;
    wait_for_duplicate(scenario, &own, &restored).await?;
    ensure!(
        is_available(&scenario.tenant("acme").await?),
        "the database is no longer available"
    );
    ensure_exists(&account, &restored, true).await?;
    name_project(scenario, &restored).await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    ensure!(project_id(&tenant)? == own, "another project is recorded");
    ensure_exists(&account, &restored, false).await
}

async fn an_old_status_does_not_delete_the_project_in_use(scenario: &Scenario) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    let account = Account(&emulator);
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let in_use = project_id(&tenant)?;
    scenario.psql(&tenant, "uri", CREATE_ROW).await?;
    // The restored status names an earlier project, which still exists.
    let earlier = account.create(CreateProject::named("earlier")).await?;
    set_status(scenario, json!({"project": {"id": earlier}})).await?;
    wait_for_duplicate(scenario, &earlier, &in_use).await?;
    ensure_exists(&account, &in_use, true).await?;
    // The user keeps the project in use.
    name_project(scenario, &earlier).await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    ensure!(
        project_id(&tenant)? == in_use,
        "the earlier project is still recorded"
    );
    ensure_exists(&account, &earlier, false).await?;
    let row = scenario.psql(&tenant, "uri", READ_ROW).await?;
    ensure!(row.trim() == "7", "{row}");
    Ok(())
}

/// A Tenant whose class has an emulator and an API key of its own. Returns the key's name, the
/// emulator and the project.
async fn tenant_with_own_key(
    scenario: &Scenario,
) -> Result<(
    String,
    std::sync::Arc<test_support::emulator::TestEmulator>,
    ProjectId,
)> {
    let key = format!("{}-key", scenario.namespace());
    scenario
        .cluster()
        .apply_api_key(&key, neon_emulator::DEFAULT_API_KEY)
        .await?;
    let (class, emulator) = scenario
        .apply_class_with_emulator(json!({"neon": {"apiKeySecretRef": {"name": key}}}))
        .await?;
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let id = project_id(&tenant)?;
    wait::until(
        &scenario.classes(),
        &class,
        timeouts::CONVERGE,
        "bound to its account",
        |class| {
            class
                .and_then(|class| class.status.as_ref())
                .is_some_and(|status| status.account.is_some())
        },
    )
    .await?;
    Ok((key, emulator, id))
}

/// Waits until the class of the Tenant is not ready for this reason.
async fn wait_for_class_reason(scenario: &Scenario, reason: Reason) -> Result<()> {
    let class = scenario.tenant("acme").await?.spec.class_name;
    let is_reported = |class: Option<&crds::TenantClass>| {
        let status = class.and_then(|class| class.status.as_ref());
        let ready = status
            .and_then(|status| crds::find_condition(&status.conditions, ConditionType::Ready));
        ready.is_some_and(|ready| ready.reason == reason.as_str())
    };
    let what = format!("not ready with {}", reason.as_str());
    wait::until(
        &scenario.classes(),
        &class,
        timeouts::DRIFT,
        &what,
        is_reported,
    )
    .await?;
    Ok(())
}

async fn a_key_of_another_account_changes_nothing(scenario: &Scenario) -> Result<()> {
    let (key, emulator, id) = tenant_with_own_key(scenario).await?;
    let account = Account(&emulator);
    let cluster = scenario.cluster();
    cluster.apply_api_key(&key, FOREIGN_API_KEY).await?;
    wait_for_class_reason(scenario, Reason::AccountMismatch).await?;
    scenario
        .wait_until_stalled("acme", Reason::AccountMismatch)
        .await?;
    ensure!(
        is_available(&scenario.tenant("acme").await?),
        "the database is no longer available"
    );
    scenario.delete("acme").await?;
    let message = scenario
        .wait_for_reason("acme", Reason::AccountMismatch)
        .await?;
    wait::poll(timeouts::CONVERGE, "the way out", async || {
        let tenant = scenario.tenant("acme").await?;
        let stalled = condition(&tenant, ConditionType::Stalled)
            .is_some_and(|stalled| stalled.message.contains(annotations::ORPHAN));
        Ok(stalled.then_some(()))
    })
    .await
    .context(message)?;
    ensure_exists(&account, &id, true).await?;
    ensure!(account.calls("deleteProject") == 0, "a deletion was sent");
    cluster
        .apply_api_key(&key, neon_emulator::DEFAULT_API_KEY)
        .await?;
    scenario.wait_until_deleted("acme").await?;
    ensure_exists(&account, &id, false).await
}

async fn a_tenant_is_orphaned_although_its_key_is_revoked(scenario: &Scenario) -> Result<()> {
    let (key, emulator, id) = tenant_with_own_key(scenario).await?;
    scenario
        .cluster()
        .apply_api_key(&key, "napi_revoked")
        .await?;
    wait_for_class_reason(scenario, Reason::Unauthorized).await?;
    orphan(scenario, &Account(&emulator), &id, Reason::Unauthorized).await
}

async fn a_tenant_is_orphaned_although_the_api_does_not_respond(scenario: &Scenario) -> Result<()> {
    let (_, emulator, id) = tenant_with_own_key(scenario).await?;
    let outage = Effect::Status {
        status: 500,
        retry_after_seconds: None,
    };
    emulator
        .faults()
        .add(Fault::new("*", outage))
        .context("failed to add the fault")?;
    orphan(
        scenario,
        &Account(&emulator),
        &id,
        Reason::AccountUnreachable,
    )
    .await
}

/// Deletes the Tenant, and orphans it as the message of its condition says.
async fn orphan(
    scenario: &Scenario,
    account: &Account<'_>,
    id: &ProjectId,
    reason: Reason,
) -> Result<()> {
    scenario.delete("acme").await?;
    wait::poll(timeouts::DRIFT, "the way out", async || {
        let tenant = scenario.tenant("acme").await?;
        let ready = condition(&tenant, ConditionType::Ready).filter(|ready| {
            ready.reason == reason.as_str() && ready.message.contains(annotations::ORPHAN)
        });
        Ok(ready.map(|_| ()))
    })
    .await?;
    scenario
        .patch(
            "acme",
            json!({"metadata": {"annotations": {(annotations::ORPHAN): "true"}}}),
        )
        .await?;
    scenario.wait_until_deleted("acme").await?;
    ensure_exists(account, id, true).await
}

async fn a_status_lost_while_neon_cannot_read_the_project_leads_to_no_second_project(
    scenario: &Scenario,
) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    let account = Account(&emulator);
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let id = project_id(&tenant)?;
    scenario.psql(&tenant, "uri", CREATE_ROW).await?;
    let cluster = scenario.cluster();
    cluster.kill_controller("one").await?;
    let outage = Effect::Status {
        status: 503,
        retry_after_seconds: None,
    };
    let faults = [
        Fault::new("listProjects", Effect::Unavailable { first: 0 }),
        Fault::new("getProject", outage),
    ]
    .map(|fault| emulator.faults().add(fault.project(id.clone())));
    set_status(scenario, Value::Null).await?;
    // The new process knows the project neither from the status nor from a listing.
    cluster.start_controller("one").await?;
    scenario
        .wait_for_reason("acme", Reason::ProjectUnavailable)
        .await?;
    ensure!(
        account.calls("createProject") == 1,
        "a second project was created"
    );
    for fault in faults {
        emulator
            .faults()
            .remove(fault.context("failed to add the fault")?);
    }
    let tenant = scenario.wait_until_ready("acme").await?;
    ensure!(project_id(&tenant)? == id, "another project is recorded");
    let row = scenario.psql(&tenant, "uri", READ_ROW).await?;
    ensure!(row.trim() == "7", "{row}");
    Ok(())
}
