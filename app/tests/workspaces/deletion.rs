//! Deletions, interrupted after every effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use app::domain::{Role, Workspace};
use app::identity::Token;
use app::ids::{DeletionId, DocumentId, UserId, WorkspaceId};
use app::objects::{DeletedObjects, ObjectStoreError, TransientError};
use app::tenants::{PoolLimits, TenantName};
use app::workspaces::deletion::{
    self, ConversationCount, DeletionProgress, DeletionStep, DeletionWorker, FileStore, NextStep,
    request,
};
use app::workspaces::{orphans, reconcile, store};
use sqlx::types::Json;

use crate::fixture::{Fixture, new_workspace};
use crate::pools::DataPlaneFixture;

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
            .count("SELECT count(*) FROM graphile_worker.jobs WHERE task_identifier = 'delete_workspace'")
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
            .count("SELECT count(*) FROM graphile_worker.jobs WHERE task_identifier = 'delete_late_uploads'")
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

async fn run_account_deletion(
    worker: &DeletionWorker<FakeFileStore>,
    fixture: &Fixture,
    account: DeletionId,
) {
    for _ in 0..100 {
        let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
            "SELECT id FROM deletions WHERE finished_at IS NULL AND kind = 'workspace'",
        )
        .fetch_all(&fixture.database)
        .await
        .unwrap();
        for id in ids {
            deletion::run_step(worker, DeletionId(id)).await.unwrap();
        }
        if deletion::run_step(worker, account).await.unwrap() == NextStep::Done {
            return;
        }
    }
    panic!("the deletion did not finish");
}

#[tokio::test]
async fn deleting_an_account_deletes_its_own_workspaces_and_leaves_shared_ones() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let alone = fixture.workspace(user).await;
    fixture.join(&alone.id, Role::Member).await;
    let shared = fixture.workspace(user).await;
    fixture.join(&shared.id, Role::Owner).await;
    let pending = fixture.workspace(user).await;
    request::workspace(&fixture.database, &pending.id, &Token::random())
        .await
        .unwrap()
        .unwrap();
    let token = Token::random();
    let account = request::account(&fixture.database, user, &token)
        .await
        .unwrap()
        .unwrap();
    let again = request::account(&fixture.database, user, &Token::random()).await;
    assert_eq!(again.unwrap(), None);
    run_account_deletion(
        &worker(&fixture, &FakeFileStore::default()),
        &fixture,
        account,
    )
    .await;
    let left = store::find(&fixture.database, &shared.id).await.unwrap();
    assert!(left.is_some());
    assert_eq!(fixture.count("SELECT count(*) FROM workspaces").await, 1);
    assert_eq!(fixture.cluster.tenant_count(), 1);
    assert!(!exists(&fixture, user).await);
    let receipt = deletion::by_token(&fixture.database, &token)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(receipt.progress.workspaces_left, 1);
    let workspaces = deletion::workspaces_of(&fixture.database, account)
        .await
        .unwrap();
    assert_eq!(
        workspaces.len(),
        2,
        "includes the deletion that was requested before"
    );
    assert!(
        workspaces
            .iter()
            .all(|workspace| workspace.finished_at.is_some())
    );
}

async fn exists(fixture: &Fixture, user: UserId) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users WHERE id = $1)")
        .bind(user.0)
        .fetch_one(&fixture.database)
        .await
        .unwrap()
}

/// A workspace whose database contains conversations with these numbers of messages.
async fn with_conversations(plane: &DataPlaneFixture, conversations: &[i32]) -> Workspace {
    let (workspace, _) = plane.workspace().await;
    let tenant = plane.fixture.pools.get(&workspace).await.expect("open");
    for migration in [
        include_str!("../../../tenant-migrations/0001_documents.sql"),
        include_str!("../../../tenant-migrations/0002_conversations.sql"),
    ] {
        sqlx::raw_sql(migration)
            .execute(tenant.pool())
            .await
            .expect("the tenant's tables");
    }
    for messages in conversations {
        sqlx::query(
            "WITH thread AS (INSERT INTO threads (id, title, created_by) VALUES (gen_random_uuid(), 'A', gen_random_uuid()) RETURNING id)
             INSERT INTO messages (id, thread_id, ordinal, author, state)
             SELECT gen_random_uuid(), thread.id, ordinal, 'person', 'complete' FROM thread, generate_series(1, $1) AS ordinal",
        )
        .bind(messages)
        .execute(tenant.pool())
        .await
        .expect("a conversation");
    }
    workspace
}

#[tokio::test]
async fn conversations_are_counted_once_before_the_database_is_deleted() {
    let plane = DataPlaneFixture::start(PoolLimits::default()).await;
    let workspace = with_conversations(&plane, &[2, 3]).await;
    let fixture = &plane.fixture;
    let files = FakeFileStore::default();
    let worker = worker(fixture, &files);
    let id = request_deletion(fixture, &workspace).await;
    // The file store is unavailable: the count is saved nevertheless.
    files.is_unavailable.store(true, Ordering::SeqCst);
    deletion::run_step(&worker, id)
        .await
        .expect_err("the file store is unavailable");
    let counted = ConversationCount::Counted {
        threads: 2,
        messages: 5,
    };
    assert_eq!(progress(fixture, id).await.conversations, counted);
    let reads = fixture.cluster.requests("GET secrets/ws-");
    files.is_unavailable.store(false, Ordering::SeqCst);
    run_to_completion(&worker, id).await;
    assert_eq!(progress(fixture, id).await.conversations, counted);
    assert_eq!(fixture.cluster.requests("GET secrets/ws-"), reads);
    assert_eq!(fixture.pools.counts().open, 0);
}

#[tokio::test]
async fn an_unreadable_database_does_not_block_a_deletion() {
    let fixture = Fixture::start().await;
    let workspace = fixture.workspace(fixture.user("Ada").await).await;
    let id = request_deletion(&fixture, &workspace).await;
    run_to_completion(&worker(&fixture, &FakeFileStore::default()), id).await;
    let progress = progress(&fixture, id).await.conversations;
    assert_eq!(progress, ConversationCount::Unknown);
}
