//! The connection Secret is restored after a change, and Secrets of other owners are never changed.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Reason, SECRET_TYPE, keys};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use sqlx::Connection as _;
use test_support::neon::Account;
use test_support::scenario::{condition, is_available, project_id, secret_text, status};
use test_support::{Scenario, timeouts, wait};

test_support::tests![
    a_deleted_secret_is_recreated_with_the_same_password,
    a_changed_key_is_restored,
    a_secret_of_another_owner_is_never_changed,
    additions_of_others_to_the_secret_are_kept,
    every_driver_connects_with_the_uris_as_they_are,
    a_value_changed_under_the_controllers_own_name_is_restored,
    a_fight_over_the_secret_is_slowed_down_and_reported,
    a_renamed_secret_names_the_former_one,
    an_immutable_secret_that_is_outdated_stalls_the_tenant,
];

const SECRET: &str = "acme-connection";

async fn wait_for_data(
    scenario: &Scenario,
    what: &str,
    found: impl Fn(&BTreeMap<String, String>) -> bool,
) -> Result<Secret> {
    let secret = wait::until(
        &scenario.secrets(),
        SECRET,
        timeouts::CONVERGE,
        what,
        |secret| {
            secret
                .and_then(|secret| secret_text(secret).ok())
                .is_some_and(|data| found(&data))
        },
    )
    .await?;
    secret.context("the Secret does not exist")
}

async fn a_deleted_secret_is_recreated_with_the_same_password(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    let before = scenario.secret_data(&tenant).await?;
    let opened = account.connections_opened(&id).await?;
    scenario
        .secrets()
        .delete(SECRET, &DeleteParams::default())
        .await?;
    wait_for_data(scenario, "recreated", |data| *data == before).await?;
    ensure!(
        account.connections_opened(&id).await? == opened,
        "the database was opened"
    );
    let tenant = scenario.wait_until_ready("acme").await?;
    scenario.check_connection(&tenant).await?;
    Ok(())
}

async fn a_changed_key_is_restored(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let before = scenario.secret_data(&tenant).await?;
    let edits = [
        json!({"stringData": {(keys::PASSWORD): "hunter2"}}),
        json!({"stringData": {(keys::URI): "postgresql://elsewhere"}}),
        json!({"data": {(keys::HOST): null}}),
        json!({"data": null}),
    ];
    for edit in edits {
        scenario
            .secrets()
            .patch(SECRET, &PatchParams::default(), &Patch::Merge(&edit))
            .await?;
        wait_for_data(scenario, &format!("restored after {edit}"), |data| {
            *data == before
        })
        .await?;
    }
    scenario.wait_until_ready("acme").await?;
    Ok(())
}

async fn a_secret_of_another_owner_is_never_changed(scenario: &Scenario) -> Result<()> {
    let theirs: Secret = serde_json::from_value(json!({
        "metadata": {"name": SECRET, "labels": {"team": "billing"}}, "type": SECRET_TYPE,
        "stringData": {"password": "theirs"},
    }))?;
    let theirs = scenario
        .secrets()
        .create(&PostParams::default(), &theirs)
        .await?;
    scenario.apply("acme", json!({})).await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::SecretConflict)
        .await?;
    ensure!(
        message.contains(SECRET) && message.contains("spec.connectionSecret.name"),
        "{message}"
    );
    ensure!(
        !is_available(&scenario.tenant("acme").await?),
        "available without credentials"
    );
    let still = scenario.secrets().get(SECRET).await?;
    ensure!(
        still.data == theirs.data && still.metadata.labels == theirs.metadata.labels,
        "the Secret was changed"
    );
    ensure!(
        still.metadata.owner_references.is_none()
            && still.metadata.resource_version == theirs.metadata.resource_version,
        "the Secret was changed"
    );

    // Both solutions that the message proposes work.
    scenario
        .patch(
            "acme",
            json!({"spec": {"connectionSecret": {"name": "acme-db"}}}),
        )
        .await?;
    scenario.wait_until_ready("acme").await?;
    scenario
        .patch("acme", json!({"spec": {"connectionSecret": null}}))
        .await?;
    scenario
        .wait_until_stalled("acme", Reason::SecretConflict)
        .await?;
    scenario
        .secrets()
        .delete(SECRET, &DeleteParams::default())
        .await?;
    // No watch shows this, and the controller notices it nevertheless.
    let tenant = scenario.wait_until_ready("acme").await?;
    scenario.check_connection(&tenant).await?;
    Ok(())
}

/// Changes a value as the controller's own field manager, which `managedFields` does not show.
async fn forge_password(scenario: &Scenario) -> Result<()> {
    let mut secret = scenario.secrets().get(SECRET).await?;
    secret.metadata.managed_fields = None;
    secret.metadata.resource_version = None;
    let data = secret.data.as_mut().context("the Secret has no data")?;
    data.insert(
        keys::PASSWORD.to_owned(),
        k8s_openapi::ByteString(b"forged".to_vec()),
    );
    scenario
        .secrets()
        .patch(
            SECRET,
            &PatchParams::apply(crds::FIELD_MANAGER).force(),
            &Patch::Apply(&secret),
        )
        .await?;
    Ok(())
}

async fn a_value_changed_under_the_controllers_own_name_is_restored(
    scenario: &Scenario,
) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let before = scenario.secret_data(&tenant).await?;
    forge_password(scenario).await?;
    wait_for_data(scenario, "restored", |data| {
        data.get(keys::PASSWORD) == before.get(keys::PASSWORD)
    })
    .await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    scenario.check_connection(&tenant).await
}

async fn a_fight_over_the_secret_is_slowed_down_and_reported(scenario: &Scenario) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let before = scenario.secret_data(&tenant).await?;
    let edit = Patch::Merge(json!({"stringData": {(keys::PASSWORD): "theirs"}}));
    let params = PatchParams::default();
    // The other client changes the Secret whenever the controller has restored it.
    wait::poll(timeouts::CONVERGE, "the controller to wait", async || {
        let secret = scenario.secrets().get(SECRET).await?;
        if secret.data.is_some_and(|data| {
            data.get(keys::PASSWORD)
                .is_some_and(|value| value.0 != b"theirs")
        }) {
            scenario.secrets().patch(SECRET, &params, &edit).await?;
        }
        let tenant = scenario.tenant("acme").await?;
        let ready = condition(&tenant, ConditionType::Ready);
        Ok(ready
            .filter(|ready| ready.reason == Reason::SecretContested.as_str())
            .map(|_| ()))
    })
    .await?;
    let event = scenario
        .wait_for_event("acme", Reason::SecretContested)
        .await?;
    ensure!(event.type_.as_deref() == Some("Warning"), "{event:?}");
    let calls = Account(&emulator).calls("getConnectionURI");
    ensure!(calls < 10, "{calls} calls in a fight");
    // Once the other client stops, the Secret is restored.
    wait_for_data(scenario, "restored", |data| {
        data.get(keys::PASSWORD) == before.get(keys::PASSWORD)
    })
    .await?;
    scenario.wait_until_ready("acme").await?;
    Ok(())
}

async fn a_renamed_secret_names_the_former_one(scenario: &Scenario) -> Result<()> {
    scenario.apply_and_wait("acme", json!({})).await?;
    let rename = json!({"spec": {"connectionSecret": {"name": "acme-db"}}});
    scenario.patch("acme", rename).await?;
    let previous = |tenant: &crds::Tenant| {
        let binding = status(tenant)?.binding.clone()?;
        Some((binding.name, binding.previous_name))
    };
    let tenant = scenario.wait_until_ready("acme").await?;
    ensure!(
        previous(&tenant) == Some(("acme-db".to_owned(), Some(SECRET.to_owned()))),
        "{:?}",
        previous(&tenant)
    );
    scenario
        .wait_for_event("acme", Reason::SecretRenamed)
        .await?;
    scenario
        .secrets()
        .delete(SECRET, &DeleteParams::default())
        .await?;
    scenario
        .wait_for(
            "acme",
            timeouts::CONVERGE,
            "without a former Secret",
            |tenant| previous(tenant) == Some(("acme-db".to_owned(), None)),
        )
        .await?;
    Ok(())
}

async fn an_immutable_secret_that_is_outdated_stalls_the_tenant(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let edit = json!({"immutable": true, "stringData": {(keys::PASSWORD): "theirs"}});
    scenario
        .secrets()
        .patch(SECRET, &PatchParams::default(), &Patch::Merge(edit))
        .await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::SecretConflict)
        .await?;
    ensure!(message.contains(SECRET), "{message}");
    ensure!(
        !is_available(&scenario.tenant("acme").await?),
        "available with a wrong password"
    );
    scenario
        .secrets()
        .delete(SECRET, &DeleteParams::default())
        .await?;
    let again = scenario.wait_until_ready("acme").await?;
    ensure!(
        project_id(&again)? == project_id(&tenant)?,
        "another project"
    );
    scenario.check_connection(&again).await
}

async fn additions_of_others_to_the_secret_are_kept(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let before = scenario.secret_data(&tenant).await?;
    let theirs = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": SECRET, "labels": {"team": "billing"}, "annotations": {"note": "copied to the app"}},
        "stringData": {"theirs": "kept"},
    });
    scenario
        .secrets()
        .patch(
            SECRET,
            &PatchParams::apply("another-manager"),
            &Patch::Apply(theirs),
        )
        .await?;
    let edit = json!({"stringData": {(keys::PASSWORD): "hunter2"}});
    scenario
        .secrets()
        .patch(SECRET, &PatchParams::default(), &Patch::Merge(edit))
        .await?;
    let secret = wait_for_data(scenario, "restored", |data| {
        data.get(keys::PASSWORD) == before.get(keys::PASSWORD)
    })
    .await?;
    let label = secret
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get("team"));
    let note = secret
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get("note"));
    ensure!(
        label.map(String::as_str) == Some("billing"),
        "the label was removed"
    );
    ensure!(
        note.map(String::as_str) == Some("copied to the app"),
        "the annotation was removed"
    );
    ensure!(
        secret_text(&secret)?.get("theirs").map(String::as_str) == Some("kept"),
        "the key was removed"
    );
    Ok(())
}

/// With nothing but the URI, and for node-postgres, which always verifies the certificate, the CA.
async fn every_driver_connects_with_the_uris_as_they_are(scenario: &Scenario) -> Result<()> {
    const STATEMENT: &str = "select 'answer ' || 6 * 7";
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let data = scenario.secret_data(&tenant).await?;
    let tools = std::env::var_os("NEON_TOOLS")
        .map(std::path::PathBuf::from)
        .context("NEON_TOOLS is not set: run `make test`")?;
    let ca = scenario.cluster().folder().join("drivers-ca.crt");
    std::fs::write(&ca, data.get(keys::CA_CRT).context("no ca.crt")?)?;
    let scripts = local_stack::repository().join("tests/neon-tools");
    for key in [keys::URI, keys::POOLED_URI] {
        let uri = data.get(key).with_context(|| format!("no {key}"))?;
        ensure!(
            uri.contains("sslmode=require&channel_binding=require"),
            "{key} has another form"
        );
        let mut psql = Command::new(scenario.cluster().psql());
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--command"]);
        psql.args([STATEMENT, uri]);
        let mut psycopg = Command::new("python3");
        psycopg.arg(scripts.join("query.py")).args([uri, STATEMENT]);
        psycopg.env("PYTHONPATH", tools.join("python"));
        let mut node = Command::new("node");
        node.arg(scripts.join("query.mjs")).args([uri, STATEMENT]);
        node.env("NODE_EXTRA_CA_CERTS", &ca);
        for (driver, mut command) in [
            ("psql", psql),
            ("psycopg", psycopg),
            ("node-postgres", node),
        ] {
            command.env("NEON_TOOLS", &tools);
            // The scripts' shared module requires these, and this script does not use them.
            command
                .env("API_URL", "http://127.0.0.1:1")
                .env("API_KEY", "none");
            let answer = test_support::command::output(command)
                .await
                .with_context(|| format!("{driver} with {key}"))?;
            ensure!(answer.trim() == "answer 42", "{driver}: {answer}");
        }
        // sqlx verifies nothing with `sslmode=require`.
        let mut sqlx = sqlx::PgConnection::connect(uri).await.context("sqlx")?;
        let answer: String = sqlx::query_scalar(STATEMENT).fetch_one(&mut sqlx).await?;
        sqlx.close().await?;
        ensure!(answer == "answer 42", "sqlx: {answer}");
    }
    Ok(())
}
