//! Deletions, interrupted after every effect.

mod accounts;
mod conversations;
mod tenants;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use app::domain::{Role, Workspace};
use app::identity::Token;
use app::ids::{DeletionId, DocumentId, WorkspaceId};
use app::objects::{DeletedObjects, ObjectStoreError, TransientError};
use app::tenants::TenantName;
use app::workspaces::deletion::{
    self, DeletionProgress, DeletionStep, DeletionWorker, FileStore, NextStep, request,
};
use app::workspaces::store;
use sqlx::types::Json;

use crate::fixture::Fixture;

/// A `FileStore` that only counts its files.
#[derive(Clone, Default)]
struct FakeFileStore {
    count: Arc<AtomicU64>,
    is_unavailable: Arc<AtomicBool>,
}

impl FileStore for FakeFileStore {
    async fn delete_all(
        &self,
        _region: Option<&str>,
        _workspace: &WorkspaceId,
    ) -> Result<DeletedObjects, ObjectStoreError> {
        if self.is_unavailable.load(Ordering::SeqCst) {
            return Err(ObjectStoreError::Unavailable(TransientError::Unreachable));
        }
        let objects = self.count.swap(0, Ordering::SeqCst);
        Ok(DeletedObjects {
            objects,
            byte_count: objects * 1_000,
        })
    }
}

fn worker(fixture: &Fixture, files: &FakeFileStore) -> DeletionWorker<FakeFileStore> {
    DeletionWorker {
        database: fixture.database.clone(),
        tenants: fixture.tenants.clone(),
        pools: fixture.pools.clone(),
        files: files.clone(),
    }
}

async fn document(fixture: &Fixture, workspace: &WorkspaceId) {
    let id = DocumentId::random();
    sqlx::query(
        "INSERT INTO documents (id, workspace_id, file_name, title, media_type, byte_count, content_sha256, state, failure, upload_deadline)
         VALUES ($1, $2, 'a.pdf', 'A', 'application/pdf', 5, sha256($3), 'failed', 'broken', now())",
    )
    .bind(id.0)
    .bind(workspace.as_str())
    .bind(id.0.as_bytes().as_slice())
    .execute(&fixture.database)
    .await
    .expect("a document");
}

async fn progress(fixture: &Fixture, id: DeletionId) -> DeletionProgress {
    deletion::find(&fixture.database, id)
        .await
        .unwrap()
        .unwrap()
        .progress
}

/// Requests the deletion of a workspace.
async fn request_deletion(fixture: &Fixture, workspace: &Workspace) -> DeletionId {
    request::workspace(&fixture.database, &workspace.id, &Token::random())
        .await
        .unwrap()
        .unwrap()
}

async fn run_to_completion(worker: &DeletionWorker<FakeFileStore>, id: DeletionId) {
    for _ in 0..50 {
        match deletion::run_step(worker, id).await.expect("a step") {
            NextStep::Done => return,
            NextStep::Continue => {}
            NextStep::RetryAfter(_) | NextStep::RetryWithBackoff => tokio::task::yield_now().await,
        }
    }
    panic!("the deletion did not finish");
}

#[tokio::test]
async fn deleting_a_workspace_deletes_everything_and_leaves_a_receipt() {
    let fixture = Fixture::start().await;
    let owner = fixture.user("Ada").await;
    let workspace = fixture.workspace(owner).await;
    fixture.join(&workspace.id, Role::Member).await;
    let name = format!("ws-{}", workspace.id);
    fixture.cluster.make_available(&name, "secret", 2);
    document(&fixture, &workspace.id).await;
    document(&fixture, &workspace.id).await;
    let files = FakeFileStore::default();
    files.count.store(2, Ordering::SeqCst);
    let token = Token::random();
    let id = request::workspace(&fixture.database, &workspace.id, &token)
        .await
        .unwrap()
        .expect("begun");
    let found = store::for_member(&fixture.database, owner, &workspace.id).await;
    assert_eq!(
        found.unwrap(),
        None,
        "the workspace is no longer visible to members"
    );
    let again = request::workspace(&fixture.database, &workspace.id, &Token::random()).await;
    assert_eq!(again.unwrap(), None, "the deletion is requested only once");
    assert_eq!(
        fixture
            .count("SELECT count(*) FROM jobs WHERE kind = 'delete_workspace'")
            .await,
        1
    );
    run_to_completion(&worker(&fixture, &files), id).await;
    assert_eq!(fixture.cluster.tenant_count(), 0);
    assert_eq!(fixture.count("SELECT count(*) FROM workspaces").await, 0);
    assert_eq!(fixture.count("SELECT count(*) FROM documents").await, 0);
    let receipt = deletion::by_token(&fixture.database, &token)
        .await
        .unwrap()
        .unwrap();
    assert!(receipt.finished_at.is_some());
    let progress = receipt.progress;
    assert_eq!(
        (progress.documents, progress.members, progress.files),
        (2, 2, 2)
    );
    let database = progress.database.unwrap();
    assert_eq!(database.project, Some(format!("project-{name}")));
    assert_eq!(database.region.as_deref(), Some("aws-eu-central-1"));
    assert!(database.recoverable_until() > database.deleted_at);
}

#[tokio::test]
async fn a_deletion_interrupted_after_any_effect_reaches_the_same_end() {
    // Restoring the previous progress simulates a process that died before saving it.
    for cut in [
        DeletionStep::Files,
        DeletionStep::Database,
        DeletionStep::Rows,
    ] {
        let fixture = Fixture::start().await;
        let workspace = fixture.workspace(fixture.user("Ada").await).await;
        let files = FakeFileStore::default();
        files.count.store(3, Ordering::SeqCst);
        let worker = worker(&fixture, &files);
        let id = request::workspace(&fixture.database, &workspace.id, &Token::random())
            .await
            .unwrap()
            .unwrap();
        loop {
            let before = progress(&fixture, id).await;
            let next = deletion::run_step(&worker, id).await.unwrap();
            if before.step == cut {
                sqlx::query("UPDATE deletions SET progress = $2, finished_at = NULL WHERE id = $1")
                    .bind(id.0)
                    .bind(Json(&before))
                    .execute(&fixture.database)
                    .await
                    .unwrap();
                break;
            }
            assert_ne!(next, NextStep::Done);
        }
        run_to_completion(&worker, id).await;
        assert_eq!(fixture.cluster.tenant_count(), 0, "{cut:?}");
        assert_eq!(fixture.count("SELECT count(*) FROM workspaces").await, 0);
        assert_eq!(files.count.load(Ordering::SeqCst), 0);
        assert_eq!(
            progress(&fixture, id).await.step,
            DeletionStep::Finished,
            "{cut:?}"
        );
    }
}

#[tokio::test]
async fn rows_are_kept_until_the_tenant_is_deleted() {
    let fixture = Fixture::start().await;
    let workspace = fixture.workspace(fixture.user("Ada").await).await;
    fixture.cluster.block_deletes(true);
    let worker = worker(&fixture, &FakeFileStore::default());
    let id = request_deletion(&fixture, &workspace).await;
    assert_eq!(
        deletion::run_step(&worker, id).await.unwrap(),
        NextStep::Continue
    );
    let waiting = tokio::spawn({
        let worker = worker.clone();
        async move { deletion::run_step(&worker, id).await }
    });
    fixture
        .wait_for_tenant(&workspace.id, |view| {
            view.is_some_and(|view| view.is_deleting)
        })
        .await;
    assert_eq!(fixture.count("SELECT count(*) FROM workspaces").await, 1);
    fixture.cluster.block_deletes(false);
    assert_eq!(
        waiting.await.unwrap().unwrap(),
        NextStep::Continue,
        "the watch reported the deletion"
    );
    run_to_completion(&worker, id).await;
    assert_eq!(fixture.count("SELECT count(*) FROM workspaces").await, 0);
}

#[tokio::test]
async fn a_blocked_deletion_reports_the_reason_and_continues_later() {
    let fixture = Fixture::start().await;
    let workspace = fixture.workspace(fixture.user("Ada").await).await;
    let files = FakeFileStore::default();
    let worker = worker(&fixture, &files);
    let id = request_deletion(&fixture, &workspace).await;
    files.is_unavailable.store(true, Ordering::SeqCst);
    deletion::run_step(&worker, id)
        .await
        .expect_err("the file store is unavailable");
    assert!(progress(&fixture, id).await.blocked_on.is_some());
    files.is_unavailable.store(false, Ordering::SeqCst);
    fixture.cluster.disconnect();
    assert_eq!(
        deletion::run_step(&worker, id).await.unwrap(),
        NextStep::Continue
    );
    deletion::run_step(&worker, id)
        .await
        .expect_err("the API server is disconnected");
    assert!(progress(&fixture, id).await.blocked_on.is_some());
    fixture.cluster.reconnect();
    run_to_completion(&worker, id).await;
    assert_eq!(progress(&fixture, id).await.blocked_on, None);
}

#[tokio::test]
async fn progress_saved_by_a_failed_step_is_kept_in_the_receipt() {
    let fixture = Fixture::start().await;
    let workspace = fixture.workspace(fixture.user("Ada").await).await;
    let name = format!("ws-{}", workspace.id);
    fixture.cluster.make_available(&name, "secret", 2);
    let worker = worker(&fixture, &FakeFileStore::default());
    let id = request_deletion(&fixture, &workspace).await;
    assert_eq!(
        deletion::run_step(&worker, id).await.unwrap(),
        NextStep::Continue
    );
    fixture.cluster.reject_deletes(true);
    deletion::run_step(&worker, id).await.expect_err("refused");
    let blocked_on = progress(&fixture, id).await;
    assert!(blocked_on.blocked_on.is_some());
    assert_eq!(
        blocked_on.database.unwrap().project,
        Some(format!("project-{name}"))
    );
    // Meanwhile another client deletes the Tenant: only the saved progress describes it.
    fixture.cluster.remove("tenants", &name);
    run_to_completion(&worker, id).await;
    let progress = progress(&fixture, id).await;
    assert_eq!(progress.blocked_on, None);
    assert_eq!(
        progress.database.unwrap().project,
        Some(format!("project-{name}"))
    );
}

#[tokio::test]
async fn a_tenant_already_being_deleted_is_not_deleted_again() {
    let fixture = Fixture::start().await;
    let workspace = fixture.workspace(fixture.user("Ada").await).await;
    let name = TenantName::of(&workspace.id);
    fixture.cluster.block_deletes(true);
    let tenant = fixture.tenants.get(&name).await.unwrap().unwrap();
    fixture.tenants.delete(&name, &tenant.uid).await.unwrap();
    let worker = worker(&fixture, &FakeFileStore::default());
    let id = request_deletion(&fixture, &workspace).await;
    assert_eq!(
        deletion::run_step(&worker, id).await.unwrap(),
        NextStep::Continue
    );
    for _ in 0..2 {
        assert_eq!(
            deletion::run_step(&worker, id).await.unwrap(),
            NextStep::RetryWithBackoff
        );
    }
    assert_eq!(fixture.cluster.requests("DELETE tenants/"), 1);
    fixture.cluster.block_deletes(false);
    run_to_completion(&worker, id).await;
    assert_eq!(fixture.count("SELECT count(*) FROM workspaces").await, 0);
}
