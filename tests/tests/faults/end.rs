//! What a run comes to, in a form that can be compared with that of an undisturbed one.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use crds::Tenant;
use kube::ResourceExt;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};
use tests::case::{project_id, status};
use tests::neon::Account;
use tests::{limits, wait};

use crate::run::{Run, TENANT, conditions};

/// Everything in a database that people made or migrations did.
const OBJECTS: &str = "select c.relkind::text || ' ' || c.relname as object from pg_class c join pg_namespace n on n.oid = c.relnamespace \
     where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1";

/// How many projects the run's controllers made, deleted ones among them.
pub(crate) const PROJECTS_EVER: &str = "projects ever made";

/// Facts by their names.
pub(crate) type End = BTreeMap<&'static str, Value>;

/// What the run has come to now.
async fn reached(run: &Run) -> Result<End> {
    let Some(tenant) = run.case.tenants().get_opt(TENANT).await? else {
        let secrets = run
            .case
            .secrets()
            .list(&kube::api::ListParams::default())
            .await?;
        let left: Vec<_> = secrets.items.iter().map(ResourceExt::name_any).collect();
        ensure!(left.is_empty(), "Secrets are left: {left:?}");
        return Ok(End::from([
            ("tenant", json!("gone")),
            ("live projects", json!(living(run).await?)),
            (PROJECTS_EVER, json!(ever_made(run).await?)),
        ]));
    };
    let status = status(&tenant).context("there is no status yet")?;
    let secret = run.case.secret(&tenant).await?;
    let id = project_id(&tenant)?;
    let account = Account(&run.place.emulator).client()?;
    let project = account.projects().get(&id).send().await?;
    let computes = account.endpoints(&id).list().send().await?;
    let marked = run.marked(&tenant.uid().context("it has no UID")?).await?;
    let adopted = status
        .project
        .as_ref()
        .is_some_and(|project| project.adopted);
    ensure!(
        adopted || marked.iter().all(|one| one.id == id),
        "the status names {id}, and the account has {marked:?}"
    );
    let mut effective = json!(status.effective);
    ensure!(
        effective["region"] == json!(project.region_id),
        "{effective} is said to be in effect in {project:?}"
    );
    effective["className"] = json!("of the run");
    let mut end = End::from([
        ("conditions", json!(conditions(&tenant))),
        ("phase", json!(status.phase)),
        (
            "generation seen",
            json!(status.observed_generation == tenant.metadata.generation),
        ),
        ("finalizers", json!(tenant.finalizers())),
        ("effective", effective),
        ("creation", json!(status.creation)),
        ("binding", json!(status.binding)),
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
        ("live projects", json!(living(run).await?)),
        (PROJECTS_EVER, json!(ever_made(run).await?)),
        ("projects with the mark", json!(marked.len())),
        ("settings", json!(project.settings)),
        ("history", json!(project.history_retention_seconds)),
        (
            "computes",
            computes
                .iter()
                .map(|one| json!([one.autoscaling_limit_min_cu, one.autoscaling_limit_max_cu]))
                .collect(),
        ),
    ]);
    let schema = status
        .schema
        .as_ref()
        .context("the status names no schema")?;
    end.insert(
        "schema",
        json!([schema.version, schema.target, schema.checksum]),
    );
    end.insert("objects", json!(objects(run, &tenant).await?));
    Ok(end)
}

/// Waits until the run has come to an end.
pub(crate) async fn any(run: &Run) -> Result<End> {
    wait::poll(limits::CONVERGE, "an end", async || {
        reached(run).await.map(Some)
    })
    .await
}

/// Waits until the run has come to this end, and says what differs where it does not.
pub(crate) async fn expect(run: &Run, expected: &End) -> Result<()> {
    wait::poll(
        limits::CONVERGE,
        "the end of an undisturbed run",
        async || {
            let end = reached(run).await?;
            let differs = expected
                .iter()
                .filter(|(name, value)| end.get(*name) != Some(*value));
            let differs: Vec<_> = differs
                .map(|(name, value)| format!("{name}: {value}, but here {:?}", end.get(name)))
                .collect();
            ensure!(
                differs.is_empty(),
                "it differs from an undisturbed run: {}",
                differs.join("; ")
            );
            Ok(Some(()))
        },
    )
    .await
}

/// Projects of the account that are not deleted. An account serves one run at a time.
async fn living(run: &Run) -> Result<usize> {
    Ok(run
        .place
        .emulator
        .projects()
        .await?
        .iter()
        .filter(|project| project.deleted_at.is_none())
        .count())
}

/// Projects begin with the name of the Tenant's namespace, which is the run's.
async fn ever_made(run: &Run) -> Result<usize> {
    let own = format!("{}/", run.case.namespace());
    let all = run.place.emulator.projects().await?;
    Ok(all
        .iter()
        .filter(|project| project.name.starts_with(&own))
        .count())
}

async fn objects(run: &Run, tenant: &Tenant) -> Result<Vec<String>> {
    let mut connection = run.open(&run.case.secret(tenant).await?).await?;
    let rows = sqlx::query(OBJECTS).fetch_all(&mut connection).await?;
    connection.close().await?;
    rows.iter().map(|row| Ok(row.try_get("object")?)).collect()
}
