//! Which Tenants and files a deletion includes.

use app::identity::Token;
use app::ids::WorkspaceId;
use app::workspaces::deletion::{DeletionProgress, request};
use app::workspaces::{orphans, reconcile};
use sqlx::types::Json;

use super::{FakeFileStore, progress, request_deletion, run_to_completion, worker};
use crate::fixture::{Fixture, new_workspace};

#[tokio::test]
async fn late_uploads_are_deleted_even_if_no_more_can_arrive() {
    let fixture = Fixture::start().await;
    let workspace = fixture.workspace(fixture.user("Ada").await).await;
    let worker = worker(&fixture, &FakeFileStore::default());
    let id = request_deletion(&fixture, &workspace).await;
    // Uploads were still possible when the deletion started, but no longer are.
    let begun = DeletionProgress {
        uploads_until: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        ..progress(&fixture, id).await
    };
    sqlx::query("UPDATE deletions SET progress = $2 WHERE id = $1")
        .bind(id.0)
        .bind(Json(&begun))
        .execute(&fixture.database)
        .await
        .unwrap();
    run_to_completion(&worker, id).await;
    assert_eq!(
        fixture
            .count("SELECT count(*) FROM jobs WHERE kind = 'delete_late_uploads'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_tenant_whose_uid_was_never_recorded_is_deleted_with_its_workspace() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let made = app::workspaces::create::create(
        &fixture.database,
        &fixture.limits,
        user,
        &new_workspace("A"),
    )
    .await
    .unwrap();
    fixture.tenants.apply(&made).await.unwrap();
    let id = request::workspace(&fixture.database, &made.id, &Token::random())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        0,
        "the workspace is no longer pending"
    );
    run_to_completion(&worker(&fixture, &FakeFileStore::default()), id).await;
    assert_eq!(fixture.cluster.tenant_count(), 0);
}

#[tokio::test]
async fn a_tenant_with_another_uid_survives_the_deletion() {
    let fixture = Fixture::start().await;
    let workspace = fixture.workspace(fixture.user("Ada").await).await;
    let name = format!("ws-{}", workspace.id);
    let mut other = fixture.cluster.tenant(&name).unwrap();
    fixture.cluster.remove("tenants", &name);
    other["metadata"]["uid"] = serde_json::Value::Null;
    fixture.cluster.put("tenants", &name, other);
    let id = request_deletion(&fixture, &workspace).await;
    run_to_completion(&worker(&fixture, &FakeFileStore::default()), id).await;
    assert_eq!(fixture.cluster.tenant_count(), 1);
    assert_eq!(progress(&fixture, id).await.database, None);
}

#[tokio::test]
async fn only_tenants_of_deleted_workspaces_are_cleaned_up_as_orphans() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let stays = fixture.workspace(user).await;
    let made = app::workspaces::create::create(
        &fixture.database,
        &fixture.limits,
        user,
        &new_workspace("A"),
    )
    .await
    .unwrap();
    let id = request::workspace(&fixture.database, &made.id, &Token::random())
        .await
        .unwrap()
        .unwrap();
    run_to_completion(&worker(&fixture, &FakeFileStore::default()), id).await;
    // The delayed request of a process that died.
    fixture.tenants.apply(&made).await.unwrap();
    // A Tenant whose workspace was never recorded.
    let mut unknown = made.clone();
    unknown.id = WorkspaceId::random();
    fixture.tenants.apply(&unknown).await.unwrap();
    fixture
        .wait_for_tenant(&unknown.id, |view| view.is_some())
        .await;
    let found = orphans::clean_up(&fixture.database, &fixture.tenants)
        .await
        .unwrap();
    assert_eq!((found.deleted, found.unknown), (1, 1));
    assert!(fixture.cluster.tenant(&format!("ws-{}", made.id)).is_none());
    assert!(
        fixture
            .cluster
            .tenant(&format!("ws-{}", stays.id))
            .is_some()
    );
    assert!(
        fixture
            .cluster
            .tenant(&format!("ws-{}", unknown.id))
            .is_some()
    );
}
