//! No password appears in a status, an event, a log line or a metric.

use anyhow::{Result, ensure};
use crds::{Reason, keys};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use test_support::scenario::project_id;
use test_support::{Scenario, checks};

test_support::tests![passwords_never_leak_whatever_happens_to_the_credentials];

async fn passwords_never_leak_whatever_happens_to_the_credentials(
    scenario: &Scenario,
) -> Result<()> {
    let cluster = scenario.cluster();
    // A password that was reset, a Secret that was deleted, a Secret that was edited, and a
    // migration that fails with a message.
    let files = scenario
        .apply_config_map(&[("0001_a.sql", "create table a ();")])
        .await?;
    let class = scenario
        .apply_class(json!({"migrations": {"source": "ConfigMap", "configMap": {"name": files}}}))
        .await?;
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let id = project_id(&tenant)?;
    cluster
        .account()
        .reset_password(&id, "neondb_owner")
        .await?;
    scenario.reconcile_and_wait("acme").await?;
    scenario
        .secrets()
        .delete("acme-connection", &DeleteParams::default())
        .await?;
    scenario.request_reconcile("acme").await?;
    scenario.wait_until_ready("acme").await?;
    let edit = json!({"stringData": {(keys::PASSWORD): "hunter2-hunter2"}});
    let tenant = scenario.reconcile_and_wait("acme").await?;
    scenario
        .secrets()
        .patch(
            "acme-connection",
            &PatchParams::default(),
            &Patch::Merge(edit),
        )
        .await?;
    let tenant = scenario
        .wait_until_ready(tenant.metadata.name.as_deref().unwrap_or_default())
        .await?;
    let statement = format!("do $$ begin raise '%', current_user; end $$; -- {id}");
    scenario
        .apply_config_map(&[
            ("0001_a.sql", "create table a ();"),
            ("0002_b.sql", &statement),
        ])
        .await?;
    scenario
        .wait_until_stalled("acme", Reason::MigrationFailed)
        .await?;

    let passwords = cluster.issued_passwords().await?;
    ensure!(
        passwords.len() >= 2,
        "only {} passwords were issued",
        passwords.len()
    );
    // The search works: it finds the passwords in the Secret, where they belong.
    let secret = serde_yaml::to_string(&scenario.secret_data(&tenant).await?)?;
    ensure!(
        !checks::find_secrets(&passwords, [("Secret".to_owned(), secret.as_str())]).is_empty(),
        "the search does not find the passwords in the Secret"
    );
    let metrics = cluster.metrics().await?;
    ensure!(
        metrics.lines().count() > 20,
        "there are no metrics, so this check proves nothing"
    );
    let leaked = checks::find_leaked_secrets(cluster).await?;
    ensure!(leaked.is_empty(), "{}", leaked.join("\n"));
    Ok(())
}
