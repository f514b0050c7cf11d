//! The conversations in a deleted workspace's database are counted for the receipt.

use std::sync::atomic::Ordering;

use app::domain::Workspace;
use app::tenants::PoolLimits;
use app::workspaces::deletion::{self, ConversationCount};

use super::{FakeFileStore, progress, request_deletion, run_to_completion, worker};
use crate::fixture::Fixture;
use crate::workspaces::pools::DataPlaneFixture;

/// A workspace whose database contains conversations with these numbers of messages.
async fn with_conversations(plane: &DataPlaneFixture, conversations: &[i32]) -> Workspace {
    let (workspace, _) = plane.workspace().await;
    let tenant = plane.fixture.pools.get(&workspace).await.expect("open");
    for migration in [
        include_str!("../../../../../tenant-migrations/0001_documents.sql"),
        include_str!("../../../../../tenant-migrations/0002_conversations.sql"),
        include_str!("../../../../../tenant-migrations/0003_feedback.sql"),
        include_str!("../../../../../tenant-migrations/0004_conversations.sql"),
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
