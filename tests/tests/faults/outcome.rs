//! The outcome of a run, in a form that can be compared with that of an undisturbed run.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use crds::{Tenant, TenantStatus};
use kube::ResourceExt;
use neon_client::model::{Branch, Snapshot};
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};
use test_support::neon::Account;
use test_support::scenario::{project_id, status};
use test_support::{timeouts, wait};

use crate::run::{Run, TENANT, conditions};

/// All objects in a database that users or migrations created.
const OBJECTS: &str = "select c.relkind::text || ' ' || c.relname as object from pg_class c join pg_namespace n on n.oid = c.relnamespace \
     where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1";

/// The number of projects that the run's controllers created, including deleted ones.
pub(crate) const PROJECTS_CREATED: &str = "projects created";

pub(crate) type Outcome = BTreeMap<&'static str, Value>;

async fn current(run: &Run) -> Result<Outcome> {
    let Some(tenant) = run.scenario.tenants().get_opt(TENANT).await? else {
        let secrets = run
            .scenario
            .secrets()
            .list(&kube::api::ListParams::default())
            .await?;
        let left: Vec<_> = secrets.items.iter().map(ResourceExt::name_any).collect();
        ensure!(left.is_empty(), "Secrets are left: {left:?}");
        return Ok(Outcome::from([
            ("tenant", json!("deleted")),
            ("existing projects", json!(existing_projects(run).await?)),
            (PROJECTS_CREATED, json!(projects_created(run).await?)),
        ]));
    };
    let status = status(&tenant).context("the Tenant has no status yet")?;
    let secret = run.scenario.secret_data(&tenant).await?;
    let mut binding = status.binding.clone().context("no Secret is bound")?;
    let checked_version = binding.resource_version.take();
    let secret_version = run
        .scenario
        .secrets()
        .get(&binding.name)
        .await?
        .resource_version();
    ensure!(
        checked_version == secret_version,
        "the status records version {checked_version:?} of the Secret, which has version {secret_version:?}"
    );
    let id = project_id(&tenant)?;
    let account = Account(&run.lane.emulator).client()?;
    let project = account.projects().get(&id).send().await?;
    let computes = account.endpoints(&id).list().send().await?;
    let branches = account.branches(&id).list().all().await?;
    let snapshots = account.snapshots(&id).list().send().await?;
    let projects = run
        .projects_of(&tenant.uid().context("the Tenant has no UID")?)
        .await?;
    let adopted = status
        .project
        .as_ref()
        .is_some_and(|project| project.adopted);
    ensure!(
        adopted || projects.iter().all(|one| one.id == id),
        "the status names {id}, but the account has {projects:?}"
    );
    let mut effective = json!(status.effective);
    ensure!(
        effective["region"] == json!(project.region_id),
        "the effective spec {effective} does not match {project:?}"
    );
    effective["className"] = json!("<the run's class>");
    let mut outcome = Outcome::from([
        ("conditions", json!(conditions(&tenant))),
        ("phase", json!(status.phase)),
        (
            "generation observed",
            json!(status.observed_generation == tenant.metadata.generation),
        ),
        ("finalizers", json!(tenant.finalizers())),
        ("effective", effective),
        ("creation", json!(status.creation)),
        ("binding", json!(binding)),
        (
            "database",
            json!(
                status
                    .connection
                    .as_ref()
                    .map(|connection| [&connection.database, &connection.role])
            ),
        ),
        ("secret keys", json!(secret.keys().collect::<Vec<_>>())),
        ("existing projects", json!(existing_projects(run).await?)),
        (PROJECTS_CREATED, json!(projects_created(run).await?)),
        ("projects with the UID", json!(projects.len())),
        ("settings", json!(project.settings)),
        ("history", json!(project.history_retention_seconds)),
        ("branches", json!(names_and_expiry(&branches))),
        ("branch in use", json!(branch_in_use(status, &branches))),
        ("snapshots", json!(snapshots.len())),
        ("backup", json!(expires(status, &branches, &snapshots))),
        (
            "computes",
            computes
                .iter()
                .map(|one| json!([one.autoscaling_limit_min_cu, one.autoscaling_limit_max_cu]))
                .collect(),
        ),
    ]);
    let schema = status.schema.as_ref().context("the status has no schema")?;
    outcome.insert(
        "schema",
        json!([schema.version, schema.target, schema.checksum]),
    );
    outcome.insert("objects", json!(objects(run, &tenant).await?));
    Ok(outcome)
}

/// The names of the branches, in order, and whether each expires. The name of a rollout is left out,
/// because it contains that of the run's class.
fn names_and_expiry(branches: &[Branch]) -> Vec<(&str, bool)> {
    let prefixes = ["before-", "failed-", "restored-"];
    let generic = |branch: &Branch| {
        prefixes
            .into_iter()
            .find(|one| branch.name.starts_with(one))
    };
    let mut all: Vec<_> = branches
        .iter()
        .map(|branch| {
            let name = generic(branch).unwrap_or(&branch.name);
            (name, branch.expires_at.is_some())
        })
        .collect();
    all.sort_unstable();
    all
}

/// Name of the branch that the status records for the compute.
fn branch_in_use(status: &TenantStatus, branches: &[Branch]) -> Option<String> {
    let recorded = status.project.as_ref()?.branch_id.as_deref();
    let mut branches = branches.iter();
    let branch = branches.find(|branch| Some(branch.id.as_str()) == recorded)?;
    Some(branch.name.clone())
}

/// Whether the branch or the snapshot that the status names as the backup expires. `None` without a
/// backup.
fn expires(status: &TenantStatus, branches: &[Branch], snapshots: &[Snapshot]) -> Option<bool> {
    let backup = status.backup.as_ref()?;
    let branch = branches
        .iter()
        .find(|branch| Some(branch.id.as_str()) == backup.branch_id.as_deref());
    let snapshot = snapshots
        .iter()
        .find(|snapshot| Some(snapshot.id.as_str()) == backup.snapshot_id.as_deref());
    let expires_at = match (branch, snapshot) {
        (Some(branch), _) => branch.expires_at,
        (None, snapshot) => snapshot.and_then(|snapshot| snapshot.expires_at),
    };
    Some(expires_at.is_some())
}

/// Waits until the run has an outcome.
pub(crate) async fn wait_for_any(run: &Run) -> Result<Outcome> {
    wait::poll(timeouts::CONVERGE, "an outcome", async || {
        current(run).await.map(Some)
    })
    .await
}

/// Waits until the run has this outcome. The error lists the differences.
pub(crate) async fn expect(run: &Run, expected: &Outcome) -> Result<()> {
    wait::poll(
        timeouts::CONVERGE,
        "the outcome of an undisturbed run",
        async || {
            let outcome = current(run).await?;
            let differs = expected
                .iter()
                .filter(|(name, value)| outcome.get(*name) != Some(*value));
            let differs: Vec<_> = differs
                .map(|(name, value)| {
                    format!("{name}: expected {value}, got {:?}", outcome.get(name))
                })
                .collect();
            ensure!(
                differs.is_empty(),
                "the outcome differs from an undisturbed run: {}",
                differs.join("; ")
            );
            Ok(Some(()))
        },
    )
    .await
}

/// The account's existing projects. An account serves one run at a time.
async fn existing_projects(run: &Run) -> Result<usize> {
    Ok(run
        .lane
        .emulator
        .projects()
        .await?
        .iter()
        .filter(|project| project.deleted_at.is_none())
        .count())
}

/// Counts the projects whose names begin with the run's namespace.
async fn projects_created(run: &Run) -> Result<usize> {
    let own = format!("{}/", run.scenario.namespace());
    let all = run.lane.emulator.projects().await?;
    Ok(all
        .iter()
        .filter(|project| project.name.starts_with(&own))
        .count())
}

async fn objects(run: &Run, tenant: &Tenant) -> Result<Vec<String>> {
    let mut connection = run.open(&run.scenario.secret_data(tenant).await?).await?;
    let rows = sqlx::query(OBJECTS).fetch_all(&mut connection).await?;
    connection.close().await?;
    rows.iter().map(|row| Ok(row.try_get("object")?)).collect()
}
