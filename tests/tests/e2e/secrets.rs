//! The connection Secret: restored when it goes astray, and nobody else's is ever touched.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, keys};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tests::case::{is_available, project_id, text};
use tests::{Case, limits, wait};

tests::tests![
    a_deleted_secret_is_written_again_with_the_same_password,
    an_edited_key_is_restored,
    a_secret_that_is_not_ours_is_never_touched,
    what_others_add_to_the_secret_survives,
];

const SECRET: &str = "acme-connection";

async fn until(
    case: &Case,
    what: &str,
    found: impl Fn(&BTreeMap<String, String>) -> bool,
) -> Result<Secret> {
    let secret = wait::until(&case.secrets(), SECRET, limits::CONVERGE, what, |secret| {
        secret
            .and_then(|secret| text(secret).ok())
            .is_some_and(|data| found(&data))
    })
    .await?;
    secret.context("no Secret")
}

async fn a_deleted_secret_is_written_again_with_the_same_password(case: &Case) -> Result<()> {
    let tenant = case.apply_ready("acme", json!({})).await?;
    let (account, id) = (case.cluster().account(), project_id(&tenant)?);
    let before = case.secret(&tenant).await?;
    let opened = account.connections_opened(&id).await?;
    case.secrets()
        .delete(SECRET, &DeleteParams::default())
        .await?;
    until(case, "written again", |data| *data == before).await?;
    ensure!(
        account.connections_opened(&id).await? == opened,
        "the database was opened"
    );
    let tenant = case.ready("acme").await?;
    case.opens(&tenant).await?;
    Ok(())
}

async fn an_edited_key_is_restored(case: &Case) -> Result<()> {
    let tenant = case.apply_ready("acme", json!({})).await?;
    let before = case.secret(&tenant).await?;
    let edits = [
        json!({"stringData": {(keys::PASSWORD): "hunter2"}}),
        json!({"stringData": {(keys::URI): "postgresql://elsewhere"}}),
        json!({"data": {(keys::HOST): null}}),
        json!({"data": null}),
    ];
    for edit in edits {
        case.secrets()
            .patch(SECRET, &PatchParams::default(), &Patch::Merge(&edit))
            .await?;
        until(case, &format!("restored after {edit}"), |data| {
            *data == before
        })
        .await?;
    }
    case.ready("acme").await?;
    Ok(())
}

async fn a_secret_that_is_not_ours_is_never_touched(case: &Case) -> Result<()> {
    let theirs: Secret = serde_json::from_value(json!({
        "metadata": {"name": SECRET, "labels": {"team": "billing"}}, "stringData": {"password": "theirs"},
    }))?;
    let theirs = case
        .secrets()
        .create(&PostParams::default(), &theirs)
        .await?;
    case.apply("acme", json!({})).await?;
    let message = case.stalled("acme", Reason::SecretConflict).await?;
    ensure!(
        message.contains(SECRET) && message.contains("spec.connectionSecret.name"),
        "{message}"
    );
    ensure!(
        !is_available(&case.tenant("acme").await?),
        "available without credentials"
    );
    let still = case.secrets().get(SECRET).await?;
    ensure!(
        still.data == theirs.data && still.metadata.labels == theirs.metadata.labels,
        "it was touched"
    );
    ensure!(
        still.metadata.owner_references.is_none()
            && still.metadata.resource_version == theirs.metadata.resource_version,
        "it was touched"
    );

    // Both ways out that the message names.
    case.patch(
        "acme",
        json!({"spec": {"connectionSecret": {"name": "acme-db"}}}),
    )
    .await?;
    case.ready("acme").await?;
    case.patch("acme", json!({"spec": {"connectionSecret": null}}))
        .await?;
    case.stalled("acme", Reason::SecretConflict).await?;
    case.secrets()
        .delete(SECRET, &DeleteParams::default())
        .await?;
    case.ask_for_a_close_look("acme").await?;
    let tenant = case.ready("acme").await?;
    case.opens(&tenant).await?;
    Ok(())
}

async fn what_others_add_to_the_secret_survives(case: &Case) -> Result<()> {
    let tenant = case.apply_ready("acme", json!({})).await?;
    let before = case.secret(&tenant).await?;
    let theirs = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": SECRET, "labels": {"team": "billing"}, "annotations": {"note": "copied to the app"}},
        "stringData": {"theirs": "kept"},
    });
    case.secrets()
        .patch(
            SECRET,
            &PatchParams::apply("somebody-else"),
            &Patch::Apply(theirs),
        )
        .await?;
    let edit = json!({"stringData": {(keys::PASSWORD): "hunter2"}});
    case.secrets()
        .patch(SECRET, &PatchParams::default(), &Patch::Merge(edit))
        .await?;
    let secret = until(case, "restored", |data| {
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
        "the label is gone"
    );
    ensure!(
        note.map(String::as_str) == Some("copied to the app"),
        "the annotation is gone"
    );
    ensure!(
        text(&secret)?.get("theirs").map(String::as_str) == Some("kept"),
        "the key is gone"
    );
    Ok(())
}
