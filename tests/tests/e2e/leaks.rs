//! No password stands in a status, an event, a log line or a metric: whatever happens to the credentials.

use anyhow::{Result, ensure};
use crds::{Reason, keys};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tests::case::project_id;
use tests::{Case, checks};

tests::tests![no_password_is_shown_whatever_happens_to_the_credentials];

async fn no_password_is_shown_whatever_happens_to_the_credentials(case: &Case) -> Result<()> {
    let cluster = case.cluster();
    // A migration that fails, and says why; a password that is refused; a Secret that is rewritten; one that is not ours.
    let files = case
        .config_map(&[("0001_a.sql", "create table a ();")])
        .await?;
    let class = case
        .class(json!({"migrations": {"source": "ConfigMap", "configMap": {"name": files}}}))
        .await?;
    let tenant = case
        .apply_ready("acme", json!({"className": class}))
        .await?;
    let id = project_id(&tenant)?;
    cluster
        .account()
        .reset_password(&id, "neondb_owner")
        .await?;
    case.look_closely("acme").await?;
    case.secrets()
        .delete("acme-connection", &DeleteParams::default())
        .await?;
    case.ask_for_a_close_look("acme").await?;
    case.ready("acme").await?;
    let edit = json!({"stringData": {(keys::PASSWORD): "hunter2-hunter2"}});
    let tenant = case.look_closely("acme").await?;
    case.secrets()
        .patch(
            "acme-connection",
            &PatchParams::default(),
            &Patch::Merge(edit),
        )
        .await?;
    let tenant = case
        .ready(tenant.metadata.name.as_deref().unwrap_or_default())
        .await?;
    let statement = format!("do $$ begin raise '%', current_user; end $$; -- {id}");
    case.config_map(&[
        ("0001_a.sql", "create table a ();"),
        ("0002_b.sql", &statement),
    ])
    .await?;
    case.stalled("acme", Reason::MigrationFailed).await?;

    let given = cluster.issued_passwords().await?;
    ensure!(
        given.len() >= 2,
        "only {} passwords were given",
        given.len()
    );
    // The search finds what is there: the Secret, where passwords belong.
    let secret = serde_yaml::to_string(&case.secret(&tenant).await?)?;
    ensure!(
        !checks::holding(&given, [("Secret".to_owned(), secret.as_str())]).is_empty(),
        "the search finds nothing"
    );
    let metrics = cluster.metrics().await?;
    ensure!(
        metrics.lines().count() > 20,
        "no metrics: nothing was proven"
    );
    let shown = checks::places_with_passwords(cluster).await?;
    ensure!(shown.is_empty(), "{}", shown.join("\n"));
    Ok(())
}
