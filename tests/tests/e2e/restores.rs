//! Tenants that are applied again, restored from a backup, or copied keep their database, and never
//! get that of another Tenant. The page docs/operations/disaster-recovery.md describes the
//! procedures.
//!
//! A restore does what Velero does: it creates the Secrets before the Tenants, keeps labels,
//! annotations and finalizers, omits UIDs and owners, and omits the status unless the restore
//! includes it.

mod etcd_snapshot;

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, Tenant, annotations, keys};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use neon_client::ids::ProjectId;
use serde_json::json;
use test_support::scenario::{project_id, status};
use test_support::suite::{Trial, test, test_on};
use test_support::{ClusterOptions, Scenario, timeouts, wait};

const CONTROLLER: &str = "one";
/// The installation id that a rebuilt cluster shares with the lost one.
const INSTALLATION: &str = "prod-eu";

macro_rules! shared {
    ($($test:ident),+ $(,)?) => {
        [$(test(concat!(module_path!(), "::", stringify!($test)), $test)),+]
    };
}

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = vec![
        test_on(
            concat!(
                module_path!(),
                "::a_cluster_restored_from_a_backup_keeps_its_databases"
            ),
            ClusterOptions::default(),
            a_cluster_restored_from_a_backup_keeps_its_databases,
        ),
        test_on(
            concat!(
                module_path!(),
                "::a_cluster_rebuilt_from_git_finds_the_projects_of_its_installation"
            ),
            ClusterOptions::default().setting("installation-id", INSTALLATION),
            a_cluster_rebuilt_from_git_finds_the_projects_of_its_installation,
        ),
        test_on(
            concat!(
                module_path!(),
                "::an_older_etcd_snapshot_loses_and_mixes_up_no_database"
            ),
            ClusterOptions::default(),
            etcd_snapshot::an_older_etcd_snapshot_loses_and_mixes_up_no_database,
        ),
    ];
    tests.extend(shared![
        a_retained_project_is_taken_back_only_on_request,
        the_class_decides_about_existing_projects,
        a_copy_of_a_living_tenant_is_refused_and_its_deletion_deletes_nothing,
        a_deleted_tenant_is_restored_with_its_deleted_project,
        a_recovered_project_is_found_by_a_tenant_that_is_applied_again,
    ]);
    tests
}

/// A Tenant and its Secret in a backup.
struct Backup {
    tenant: Tenant,
    secret: Secret,
}

impl Backup {
    async fn of(scenario: &Scenario, name: &str) -> Result<Self> {
        let tenant = scenario.tenant(name).await?;
        let binding = status(&tenant)
            .and_then(|status| status.binding.as_ref())
            .context("the status names no Secret")?;
        let secret = scenario.secrets().get(&binding.name).await?;
        Ok(Self { tenant, secret })
    }

    async fn restore(&self, into: &Scenario, with_status: bool) -> Result<()> {
        let mut secret = self.secret.clone();
        secret.metadata = restored(&secret.metadata, into);
        into.secrets()
            .create(&PostParams::default(), &secret)
            .await?;
        let mut tenant = self.tenant.clone();
        tenant.metadata = restored(&tenant.metadata, into);
        let status = tenant.status.take();
        let created = into
            .tenants()
            .create(&PostParams::default(), &tenant)
            .await?;
        if with_status {
            let patch = Patch::Merge(json!({"status": status}));
            into.tenants()
                .patch_status(&created.name_any(), &PatchParams::default(), &patch)
                .await?;
        }
        Ok(())
    }
}

/// The metadata that Velero restores.
fn restored(metadata: &ObjectMeta, into: &Scenario) -> ObjectMeta {
    let mut labels = metadata.labels.clone().unwrap_or_default();
    labels.insert("velero.io/backup-name".into(), "nightly".into());
    labels.insert("velero.io/restore-name".into(), "nightly-1".into());
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: Some(into.namespace().to_owned()),
        labels: Some(labels),
        annotations: metadata.annotations.clone(),
        finalizers: metadata.finalizers.clone(),
        ..ObjectMeta::default()
    }
}

/// Applies a Tenant and writes a row to its database.
async fn apply_with_data(
    scenario: &Scenario,
    name: &str,
    spec: serde_json::Value,
) -> Result<ProjectId> {
    let tenant = scenario.apply_and_wait(name, spec).await?;
    scenario
        .psql(
            &tenant,
            keys::URI,
            &format!("create table kept as select '{name}' as name"),
        )
        .await?;
    project_id(&tenant)
}

/// Checks that a Tenant has this project with the row, its annotation and its Secret.
async fn check_data(scenario: &Scenario, name: &str, row: &str, id: &ProjectId) -> Result<()> {
    let has_project = |tenant: &Tenant| {
        test_support::scenario::is_ready(tenant)
            && project_id(tenant).is_ok_and(|found| found == *id)
    };
    let ready = scenario.wait_for(
        name,
        timeouts::CONVERGE,
        "Ready with its project",
        has_project,
    );
    let tenant = Box::pin(ready).await?;
    let found = scenario
        .psql(&tenant, keys::URI, "select name from kept")
        .await?;
    ensure!(found == row, "the database contains {found:?}");
    ensure!(
        tenant.annotations().get(annotations::PROJECT_ID) == Some(&id.to_string()),
        "the annotation is missing: {:?}",
        tenant.annotations()
    );
    let uid = tenant.uid().context("the Tenant has no UID")?;
    let project = scenario.cluster().account().project(id).await?;
    ensure!(
        project.name.contains(&uid),
        "the project's name does not contain the Tenant's UID: {}",
        project.name
    );
    let binding = status(&tenant).and_then(|status| status.binding.clone());
    let secret = scenario
        .secrets()
        .get(&binding.context("no binding")?.name)
        .await?;
    ensure!(
        secret
            .owner_references()
            .iter()
            .any(|owner| owner.uid == uid),
        "the Tenant does not own its Secret"
    );
    Ok(())
}

/// Removes a Tenant as if it had never existed: its project remains.
async fn lose(scenario: &Scenario, name: &str) -> Result<()> {
    scenario
        .patch(name, json!({"metadata": {"finalizers": null}}))
        .await?;
    scenario.delete(name).await?;
    scenario.wait_until_deleted(name).await?;
    // Garbage collection deletes the Secret.
    wait::until(
        &scenario.secrets(),
        &format!("{name}-connection"),
        timeouts::CONVERGE,
        "deleted",
        |secret| secret.is_none(),
    )
    .await?;
    Ok(())
}

async fn annotate(scenario: &Scenario, name: &str, annotation: &str, value: &str) -> Result<()> {
    scenario
        .kubectl(&["annotate", "tn", name, &format!("{annotation}={value}")])
        .await?;
    Ok(())
}

async fn a_retained_project_is_taken_back_only_on_request(scenario: &Scenario) -> Result<()> {
    let spec = json!({"deletionPolicy": "Retain"});
    let id = apply_with_data(scenario, "acme", spec.clone()).await?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;

    scenario.apply("acme", spec.clone()).await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::ExistingProject)
        .await?;
    for part in [
        id.as_str(),
        annotations::PROJECT_ID,
        annotations::IGNORE_PROJECT,
    ] {
        ensure!(message.contains(part), "{part} is not in {message:?}");
    }
    annotate(scenario, "acme", annotations::PROJECT_ID, id.as_str()).await?;
    check_data(scenario, "acme", "acme", &id).await?;
    scenario
        .wait_for_event("acme", Reason::ProjectReclaimed)
        .await?;

    // The other way out starts with an empty database and keeps the project.
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    scenario.apply("acme", json!({})).await?;
    scenario
        .wait_until_stalled("acme", Reason::ExistingProject)
        .await?;
    annotate(scenario, "acme", annotations::IGNORE_PROJECT, id.as_str()).await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    ensure!(project_id(&tenant)? != id, "the project was taken back");
    let account = scenario.cluster().account();
    ensure!(account.project_exists(&id).await?, "{id} was deleted");
    account.delete(&id).await
}

async fn the_class_decides_about_existing_projects(scenario: &Scenario) -> Result<()> {
    let class = scenario
        .apply_class(json!({"deletionPolicy": "Retain", "onExistingProject": "Adopt"}))
        .await?;
    let spec = json!({"className": class});
    let id = apply_with_data(scenario, "acme", spec.clone()).await?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    scenario.apply("acme", spec.clone()).await?;
    check_data(scenario, "acme", "acme", &id).await?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;

    scenario
        .apply_class(json!({"deletionPolicy": "Delete", "onExistingProject": "Ignore"}))
        .await?;
    let tenant = scenario.apply_and_wait("acme", spec).await?;
    ensure!(project_id(&tenant)? != id, "the project was taken back");
    scenario.cluster().account().delete(&id).await
}

async fn a_copy_of_a_living_tenant_is_refused_and_its_deletion_deletes_nothing(
    scenario: &Scenario,
) -> Result<()> {
    let id = apply_with_data(scenario, "acme", json!({})).await?;
    let backup = Backup::of(scenario, "acme").await?;
    for with_status in [false, true] {
        let copies = Scenario::new(Arc::clone(scenario.cluster()), "copies").await?;
        backup.restore(&copies, with_status).await?;
        let message = copies
            .wait_until_stalled("acme", Reason::ProjectInUse)
            .await?;
        let original = format!("{}/acme", scenario.namespace());
        ensure!(
            message.contains(&original),
            "{original} is not in {message:?}"
        );
        copies.delete("acme").await?;
        copies.wait_until_deleted("acme").await?;
        check_data(scenario, "acme", "acme", &id).await?;
        ensure!(
            copies.secrets().get_opt("acme-connection").await?.is_some(),
            "the restored Secret was deleted"
        );
        Box::pin(copies.finish()).await?;
    }
    // A copy in the same namespace, without a status.
    let mut manifest = backup.tenant.clone();
    manifest.metadata = restored(&manifest.metadata, scenario);
    manifest.metadata.name = Some("copy".into());
    manifest.status = None;
    scenario
        .tenants()
        .create(&PostParams::default(), &manifest)
        .await?;
    scenario
        .wait_until_stalled("copy", Reason::ProjectInUse)
        .await?;
    scenario.delete("copy").await?;
    scenario.wait_until_deleted("copy").await?;
    check_data(scenario, "acme", "acme", &id).await
}

async fn a_deleted_tenant_is_restored_with_its_deleted_project(scenario: &Scenario) -> Result<()> {
    let id = apply_with_data(scenario, "acme", json!({})).await?;
    let backup = Backup::of(scenario, "acme").await?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    let account = scenario.cluster().account();
    ensure!(!account.project_exists(&id).await?, "{id} still exists");
    wait::until(
        &scenario.secrets(),
        "acme-connection",
        timeouts::CONVERGE,
        "deleted",
        |secret| secret.is_none(),
    )
    .await?;
    backup.restore(scenario, false).await?;
    check_data(scenario, "acme", "acme", &id).await?;
    scenario
        .wait_for_event("acme", Reason::ProjectRecovered)
        .await?;
    Ok(())
}

async fn a_recovered_project_is_found_by_a_tenant_that_is_applied_again(
    scenario: &Scenario,
) -> Result<()> {
    let id = apply_with_data(scenario, "acme", json!({})).await?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    let neon = scenario.cluster().account().client()?;
    neon.projects().recover(&id).send().await?;
    scenario.apply("acme", json!({})).await?;
    scenario
        .wait_until_stalled("acme", Reason::ExistingProject)
        .await?;
    annotate(scenario, "acme", annotations::PROJECT_ID, id.as_str()).await?;
    check_data(scenario, "acme", "acme", &id).await
}

async fn a_cluster_restored_from_a_backup_keeps_its_databases(scenario: &Scenario) -> Result<()> {
    let cluster = scenario.cluster();
    let names = ["without", "with", "mapped"];
    let mut projects = Vec::new();
    let mut backups = Vec::new();
    for name in names {
        projects.push(apply_with_data(scenario, name, json!({})).await?);
        backups.push(Backup::of(scenario, name).await?);
    }
    cluster.kill_controller(CONTROLLER).await?;
    for name in names {
        lose(scenario, name).await?;
    }

    let target = Scenario::new(Arc::clone(cluster), "mapped").await?;
    backups[0].restore(scenario, false).await?;
    backups[1].restore(scenario, true).await?;
    backups[2].restore(&target, true).await?;
    cluster.start_controller(CONTROLLER).await?;
    for (name, id) in names.into_iter().zip(&projects).take(2) {
        check_data(scenario, name, name, id).await?;
    }

    // A Tenant in another namespace gets the project only if the class allows it.
    let message = target
        .wait_until_stalled("mapped", Reason::AdoptionRefused)
        .await?;
    ensure!(message.contains("adoption.allowed"), "{message}");
    let mut class = cluster.class_spec();
    class["adoption"] = json!({"allowed": [
        {"projectId": projects[2], "namespace": target.namespace(), "name": "mapped"},
    ]});
    cluster.apply_class(crds::DEFAULT_CLASS, &class).await?;
    check_data(&target, "mapped", "mapped", &projects[2]).await?;
    Box::pin(target.finish()).await?;
    ensure!(
        cluster.account().existing_projects().await?.len() == 2,
        "another project was created"
    );
    Ok(())
}

async fn a_cluster_rebuilt_from_git_finds_the_projects_of_its_installation(
    scenario: &Scenario,
) -> Result<()> {
    let cluster = scenario.cluster();
    let id = apply_with_data(scenario, "acme", json!({})).await?;
    let backup = Backup::of(scenario, "acme").await?;
    cluster.kill_controller(CONTROLLER).await?;
    lose(scenario, "acme").await?;

    // A cluster with another installation id is a stranger to the project, even if a backup names it.
    let mut options = cluster.controller_options(CONTROLLER);
    options
        .environment
        .push(("TENANT_CONTROLLER_INSTALLATION_ID".into(), "another".into()));
    cluster.start_controller_with(CONTROLLER, &options).await?;
    backup.restore(scenario, true).await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::ProjectInUse)
        .await?;
    ensure!(message.contains(INSTALLATION), "{message}");
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    ensure!(
        cluster.account().project_exists(&id).await?,
        "the project of another installation was deleted"
    );
    scenario
        .secrets()
        .delete("acme-connection", &DeleteParams::default())
        .await?;
    cluster.kill_controller(CONTROLLER).await?;

    // With the id of the lost cluster, the manifest from Git is enough.
    cluster.start_controller(CONTROLLER).await?;
    scenario.apply("acme", json!({})).await?;
    scenario
        .wait_until_stalled("acme", Reason::ExistingProject)
        .await?;
    let mut class = cluster.class_spec();
    class["onExistingProject"] = json!("Adopt");
    cluster.apply_class(crds::DEFAULT_CLASS, &class).await?;
    check_data(scenario, "acme", "acme", &id).await?;
    ensure!(
        cluster.account().existing_projects().await? == [id],
        "another project was created"
    );
    Ok(())
}
