//! Deletions of accounts.

use app::domain::Role;
use app::identity::Token;
use app::ids::{DeletionId, UserId};
use app::workspaces::deletion::{self, DeletionWorker, NextStep, request};
use app::workspaces::store;

use super::{FakeFileStore, worker};
use crate::fixture::Fixture;

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
