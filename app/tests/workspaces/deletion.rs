//! Removals, cut off after every effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use app::identity::Token;
use app::ids::{DocumentId, DeletionId, UserId, WorkspaceId};
use app::objects::{ObjectStoreError, DeletedObjects, TransientError};
use app::tenants::{PoolLimits, TenantName};
use app::workspaces::deletion::{self, ConversationCount, FileStore, NextStep, DeletionProgress, DeletionWorker, DeletionStep, request};
use app::domain::{Role, Workspace};
use app::workspaces::{reconcile, store, orphans};
use sqlx::types::Json;

use crate::pools::Plane;
use crate::world::{World, request};

/// FileStore that are only counted.
#[derive(Clone, Default)]
struct Counted {
    left: Arc<AtomicU64>,
    is_away: Arc<AtomicBool>,
}

impl FileStore for Counted {
    async fn remove_all(
        &self,
        _region: Option<&str>,
        _workspace: &WorkspaceId,
    ) -> Result<DeletedObjects, ObjectStoreError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(ObjectStoreError::Unavailable(TransientError::Unreachable));
        }
        let objects = self.left.swap(0, Ordering::SeqCst);
        Ok(DeletedObjects {
            objects,
            byte_count: objects * 1_000,
        })
    }
}

fn worker(world: &World, files: &Counted) -> DeletionWorker<Counted> {
    DeletionWorker {
        database: world.database.clone(),
        tenants: world.tenants.clone(),
        pools: world.pools.clone(),
        files: files.clone(),
    }
}

async fn document(world: &World, workspace: &WorkspaceId) {
    let id = DocumentId::random();
    sqlx::query(
        "INSERT INTO documents (id, workspace_id, file_name, title, media_type, byte_count, content_sha256, state, failure, upload_deadline)
         VALUES ($1, $2, 'a.pdf', 'A', 'application/pdf', 5, sha256($3), 'failed', 'broken', now())",
    )
    .bind(id.0)
    .bind(workspace.as_str())
    .bind(id.0.as_bytes().as_slice())
    .execute(&world.database)
    .await
    .expect("a document");
}

async fn progress(world: &World, id: DeletionId) -> DeletionProgress {
    deletion::find(&world.database, id)
        .await
        .unwrap()
        .unwrap()
        .progress
}

/// A deletion that somebody asked for.
async fn begun(world: &World, workspace: &Workspace) -> DeletionId {
    request::workspace(&world.database, &workspace.id, &Token::random())
        .await
        .unwrap()
        .unwrap()
}

async fn to_the_end(worker: &DeletionWorker<Counted>, id: DeletionId) {
    for _ in 0..50 {
        match deletion::run_step(worker, id).await.expect("a step") {
            NextStep::Done => return,
            NextStep::Continue => {}
            NextStep::RetryAfter(_) | NextStep::RetryWithBackoff => tokio::task::yield_now().await,
        }
    }
    panic!("no end");
}

#[tokio::test]
async fn a_workspace_goes_with_all_it_holds_and_leaves_a_receipt() {
    let world = World::start().await;
    let owner = world.user("Ada").await;
    let workspace = world.workspace(owner).await;
    world.join(&workspace.id, Role::Member).await;
    let name = format!("ws-{}", workspace.id);
    world.cluster.make_available(&name, "secret", 2);
    document(&world, &workspace.id).await;
    document(&world, &workspace.id).await;
    let files = Counted::default();
    files.left.store(2, Ordering::SeqCst);
    let token = Token::random();
    let id = request::workspace(&world.database, &workspace.id, &token)
        .await
        .unwrap()
        .expect("begun");
    let found = store::for_member(&world.database, owner, &workspace.id).await;
    assert_eq!(found.unwrap(), None, "from now on it is gone for everybody");
    let again = request::workspace(&world.database, &workspace.id, &Token::random()).await;
    assert_eq!(again.unwrap(), None, "it is removed once");
    assert_eq!(
        world
            .count("SELECT count(*) FROM graphile_worker.jobs WHERE task_identifier = 'delete_workspace'")
            .await,
        1
    );
    to_the_end(&worker(&world, &files), id).await;
    assert_eq!(world.cluster.tenant_count(), 0);
    assert_eq!(world.count("SELECT count(*) FROM workspaces").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM documents").await, 0);
    let receipt = deletion::by_token(&world.database, &token)
        .await
        .unwrap()
        .unwrap();
    assert!(receipt.finished_at.is_some());
    let told = receipt.progress;
    assert_eq!((told.documents, told.members, told.files), (2, 2, 2));
    let database = told.database.unwrap();
    assert_eq!(database.project, Some(format!("project-{name}")));
    assert_eq!(database.region.as_deref(), Some("aws-eu-central-1"));
    assert!(database.recoverable_until() > database.deleted_at);
}

#[tokio::test]
async fn a_removal_that_is_cut_off_after_any_effect_comes_to_the_same_end() {
    // After each effect the row says what it said before: the process died in between.
    for cut in [DeletionStep::Files, DeletionStep::Database, DeletionStep::Rows] {
        let world = World::start().await;
        let workspace = world.workspace(world.user("Ada").await).await;
        let files = Counted::default();
        files.left.store(3, Ordering::SeqCst);
        let worker = worker(&world, &files);
        let id = request::workspace(&world.database, &workspace.id, &Token::random())
            .await
            .unwrap()
            .unwrap();
        loop {
            let before = progress(&world, id).await;
            let next = deletion::run_step(&worker, id).await.unwrap();
            if before.step == cut {
                sqlx::query("UPDATE deletions SET progress = $2, finished_at = NULL WHERE id = $1")
                    .bind(id.0)
                    .bind(Json(&before))
                    .execute(&world.database)
                    .await
                    .unwrap();
                break;
            }
            assert_ne!(next, NextStep::Done);
        }
        to_the_end(&worker, id).await;
        assert_eq!(world.cluster.tenant_count(), 0, "{cut:?}");
        assert_eq!(world.count("SELECT count(*) FROM workspaces").await, 0);
        assert_eq!(files.left.load(Ordering::SeqCst), 0);
        assert_eq!(progress(&world, id).await.step, DeletionStep::Finished, "{cut:?}");
    }
}

#[tokio::test]
async fn rows_stay_until_the_tenant_is_really_gone() {
    let world = World::start().await;
    let workspace = world.workspace(world.user("Ada").await).await;
    world.cluster.hold_deletions(true);
    let worker = worker(&world, &Counted::default());
    let id = begun(&world, &workspace).await;
    assert_eq!(deletion::run_step(&worker, id).await.unwrap(), NextStep::Continue);
    let waiting = tokio::spawn({
        let worker = worker.clone();
        async move { deletion::run_step(&worker, id).await }
    });
    world
        .until_seen(&workspace.id, |view| {
            view.is_some_and(|view| view.is_deleting)
        })
        .await;
    assert_eq!(world.count("SELECT count(*) FROM workspaces").await, 1);
    world.cluster.hold_deletions(false);
    assert_eq!(
        waiting.await.unwrap().unwrap(),
        NextStep::Continue,
        "the watch told of it"
    );
    to_the_end(&worker, id).await;
    assert_eq!(world.count("SELECT count(*) FROM workspaces").await, 0);
}

#[tokio::test]
async fn what_is_in_the_way_is_told_and_waited_out() {
    let world = World::start().await;
    let workspace = world.workspace(world.user("Ada").await).await;
    let files = Counted::default();
    let worker = worker(&world, &files);
    let id = begun(&world, &workspace).await;
    files.is_away.store(true, Ordering::SeqCst);
    deletion::run_step(&worker, id).await.expect_err("no files");
    assert!(progress(&world, id).await.blocked_on.is_some());
    files.is_away.store(false, Ordering::SeqCst);
    world.cluster.goes_away();
    assert_eq!(deletion::run_step(&worker, id).await.unwrap(), NextStep::Continue);
    deletion::run_step(&worker, id).await.expect_err("no cluster");
    assert!(progress(&world, id).await.blocked_on.is_some());
    world.cluster.comes_back();
    to_the_end(&worker, id).await;
    assert_eq!(progress(&world, id).await.blocked_on, None);
}

#[tokio::test]
async fn what_a_step_noted_before_it_failed_stays_in_the_receipt() {
    let world = World::start().await;
    let workspace = world.workspace(world.user("Ada").await).await;
    let name = format!("ws-{}", workspace.id);
    world.cluster.make_available(&name, "secret", 2);
    let worker = worker(&world, &Counted::default());
    let id = begun(&world, &workspace).await;
    assert_eq!(deletion::run_step(&worker, id).await.unwrap(), NextStep::Continue);
    world.cluster.refuse_deletions(true);
    deletion::run_step(&worker, id).await.expect_err("refused");
    let blocked_on = progress(&world, id).await;
    assert!(blocked_on.blocked_on.is_some());
    assert_eq!(
        blocked_on.database.unwrap().project,
        Some(format!("project-{name}"))
    );
    // Meanwhile somebody else sees to it: now only the note tells what it was.
    world.cluster.take("tenants", &name);
    to_the_end(&worker, id).await;
    let told = progress(&world, id).await;
    assert_eq!(told.blocked_on, None);
    assert_eq!(
        told.database.unwrap().project,
        Some(format!("project-{name}"))
    );
}

#[tokio::test]
async fn a_tenant_that_is_going_already_is_only_looked_at() {
    let world = World::start().await;
    let workspace = world.workspace(world.user("Ada").await).await;
    let name = TenantName::of(&workspace.id);
    world.cluster.hold_deletions(true);
    let tenant = world.tenants.get(&name).await.unwrap().unwrap();
    world.tenants.delete(&name, &tenant.uid).await.unwrap();
    let worker = worker(&world, &Counted::default());
    let id = begun(&world, &workspace).await;
    assert_eq!(deletion::run_step(&worker, id).await.unwrap(), NextStep::Continue);
    for _ in 0..2 {
        assert_eq!(deletion::run_step(&worker, id).await.unwrap(), NextStep::RetryWithBackoff);
    }
    assert_eq!(world.cluster.requests("DELETE tenants/"), 1);
    world.cluster.hold_deletions(false);
    to_the_end(&worker, id).await;
    assert_eq!(world.count("SELECT count(*) FROM workspaces").await, 0);
}

#[tokio::test]
async fn files_that_came_while_the_removal_took_its_time_are_swept_even_when_no_more_can_come() {
    let world = World::start().await;
    let workspace = world.workspace(world.user("Ada").await).await;
    let worker = worker(&world, &Counted::default());
    let id = begun(&world, &workspace).await;
    // When it began an upload was still possible; that was long ago.
    let begun = DeletionProgress {
        uploads_until: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        ..progress(&world, id).await
    };
    sqlx::query("UPDATE deletions SET progress = $2 WHERE id = $1")
        .bind(id.0)
        .bind(Json(&begun))
        .execute(&world.database)
        .await
        .unwrap();
    to_the_end(&worker, id).await;
    assert_eq!(
        world
            .count("SELECT count(*) FROM graphile_worker.jobs WHERE task_identifier = 'delete_late_uploads'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_workspace_whose_tenant_s_uid_was_never_written_down_takes_it_along() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let made = app::workspaces::create::create(&world.database, &world.limits, user, &request("A"))
        .await
        .unwrap();
    world.tenants.apply(&made).await.unwrap();
    let id = request::workspace(&world.database, &made.id, &Token::random())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        reconcile::reconcile_all(&world.database, &world.tenants).await,
        0,
        "it is not taken up again"
    );
    to_the_end(&worker(&world, &Counted::default()), id).await;
    assert_eq!(world.cluster.tenant_count(), 0);
}

#[tokio::test]
async fn another_tenant_of_the_name_survives_the_removal() {
    let world = World::start().await;
    let workspace = world.workspace(world.user("Ada").await).await;
    let name = format!("ws-{}", workspace.id);
    let mut other = world.cluster.tenant(&name).unwrap();
    world.cluster.take("tenants", &name);
    other["metadata"]["uid"] = serde_json::Value::Null;
    world.cluster.put("tenants", &name, other);
    let id = begun(&world, &workspace).await;
    to_the_end(&worker(&world, &Counted::default()), id).await;
    assert_eq!(world.cluster.tenant_count(), 1);
    assert_eq!(progress(&world, id).await.database, None);
}

#[tokio::test]
async fn a_tenant_that_lands_after_its_workspace_was_removed_is_deleted_and_no_other() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let stays = world.workspace(user).await;
    let made = app::workspaces::create::create(&world.database, &world.limits, user, &request("A"))
        .await
        .unwrap();
    let id = request::workspace(&world.database, &made.id, &Token::random())
        .await
        .unwrap()
        .unwrap();
    to_the_end(&worker(&world, &Counted::default()), id).await;
    // The request of a process that died meanwhile.
    world.tenants.apply(&made).await.unwrap();
    // And one that nothing is known of.
    let mut unknown = made.clone();
    unknown.id = WorkspaceId::random();
    world.tenants.apply(&unknown).await.unwrap();
    world.until_seen(&unknown.id, |view| view.is_some()).await;
    let found = orphans::clean_up(&world.database, &world.tenants).await.unwrap();
    assert_eq!((found.deleted, found.unknown), (1, 1));
    assert!(world.cluster.tenant(&format!("ws-{}", made.id)).is_none());
    assert!(world.cluster.tenant(&format!("ws-{}", stays.id)).is_some());
    assert!(
        world
            .cluster
            .tenant(&format!("ws-{}", unknown.id))
            .is_some()
    );
}

async fn drain(worker: &DeletionWorker<Counted>, world: &World, account: DeletionId) {
    for _ in 0..100 {
        let ids: Vec<uuid::Uuid> = sqlx::query_scalar(
            "SELECT id FROM deletions WHERE finished_at IS NULL AND kind = 'workspace'",
        )
        .fetch_all(&world.database)
        .await
        .unwrap();
        for id in ids {
            deletion::run_step(worker, DeletionId(id)).await.unwrap();
        }
        if deletion::run_step(worker, account).await.unwrap() == NextStep::Done {
            return;
        }
    }
    panic!("no end");
}

#[tokio::test]
async fn an_account_takes_along_what_nobody_else_owns_and_leaves_the_rest() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let alone = world.workspace(user).await;
    world.join(&alone.id, Role::Member).await;
    let shared = world.workspace(user).await;
    world.join(&shared.id, Role::Owner).await;
    let going = world.workspace(user).await;
    request::workspace(&world.database, &going.id, &Token::random())
        .await
        .unwrap()
        .unwrap();
    let token = Token::random();
    let account = request::account(&world.database, user, &token)
        .await
        .unwrap()
        .unwrap();
    let again = request::account(&world.database, user, &Token::random()).await;
    assert_eq!(again.unwrap(), None);
    drain(&worker(&world, &Counted::default()), &world, account).await;
    let left = store::find(&world.database, &shared.id).await.unwrap();
    assert!(left.is_some());
    assert_eq!(world.count("SELECT count(*) FROM workspaces").await, 1);
    assert_eq!(world.cluster.tenant_count(), 1);
    assert!(!exists(&world, user).await);
    let receipt = deletion::by_token(&world.database, &token)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(receipt.progress.workspaces_left, 1);
    let workspaces = deletion::workspaces_of(&world.database, account).await.unwrap();
    assert_eq!(workspaces.len(), 2, "also the one that was under way before");
    assert!(workspaces.iter().all(|workspace| workspace.finished_at.is_some()));
}

async fn exists(world: &World, user: UserId) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users WHERE id = $1)")
        .bind(user.0)
        .fetch_one(&world.database)
        .await
        .unwrap()
}

/// A workspace with a database and these conversations in it: a number of messages each.
async fn with_conversations(plane: &Plane, conversations: &[i32]) -> Workspace {
    let (workspace, _) = plane.workspace().await;
    let tenant = plane.world.pools.get(&workspace).await.expect("open");
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
async fn conversations_are_counted_before_their_database_goes_and_only_once() {
    let plane = Plane::start(PoolLimits::default()).await;
    let workspace = with_conversations(&plane, &[2, 3]).await;
    let world = &plane.world;
    let files = Counted::default();
    let worker = worker(world, &files);
    let id = begun(world, &workspace).await;
    // The store of files is away: what was counted is written down all the same.
    files.is_away.store(true, Ordering::SeqCst);
    deletion::run_step(&worker, id).await.expect_err("no files");
    let counted = ConversationCount::Counted {
        threads: 2,
        messages: 5,
    };
    assert_eq!(progress(world, id).await.conversations, counted);
    let reads = world.cluster.requests("GET secrets/ws-");
    files.is_away.store(false, Ordering::SeqCst);
    to_the_end(&worker, id).await;
    assert_eq!(progress(world, id).await.conversations, counted);
    assert_eq!(world.cluster.requests("GET secrets/ws-"), reads);
    assert_eq!(world.pools.counts().open, 0);
}

#[tokio::test]
async fn a_database_that_cannot_be_read_holds_no_removal_up() {
    let world = World::start().await;
    let workspace = world.workspace(world.user("Ada").await).await;
    let id = begun(&world, &workspace).await;
    to_the_end(&worker(&world, &Counted::default()), id).await;
    let told = progress(&world, id).await.conversations;
    assert_eq!(told, ConversationCount::Unknown);
}
