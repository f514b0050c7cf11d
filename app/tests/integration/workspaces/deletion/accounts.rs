//! Deletions of accounts.

use app::domain::{Role, Workspace};
use app::identity::Token;
use app::ids::{DeletionId, UserId};
use app::workspaces::deletion::request::{self, AccountRequest};
use app::workspaces::deletion::{self, DeletionWorker, NextStep};
use app::workspaces::members::{self, MemberError};
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

async fn request_deletion(
    fixture: &Fixture,
    user: UserId,
    confirmed: &[&Workspace],
    token: &Token,
) -> DeletionId {
    let confirmed: Vec<_> = confirmed
        .iter()
        .map(|workspace| workspace.id.clone())
        .collect();
    match request::account(&fixture.database, user, &confirmed, token)
        .await
        .unwrap()
    {
        AccountRequest::Accepted(deletion) => deletion,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn owners_whose_accounts_are_being_deleted_do_not_keep_a_workspace() {
    let fixture = Fixture::start().await;
    let leaving = fixture.user("Ada").await;
    let workspace = fixture.workspace(leaving).await;
    let staying = fixture.join(&workspace.id, Role::Owner).await;
    let account = request_deletion(&fixture, leaving, &[], &Token::random()).await;
    // The deletion is requested, and its first step has not been run yet.
    let left = members::remove(&fixture.database, &workspace.id, staying).await;
    assert!(matches!(left, Err(MemberError::LastOwner)), "{left:?}");
    let plan = fixture.plan(10);
    let demoted = members::change_role(
        &fixture.database,
        &workspace.id,
        staying,
        Role::Member,
        &plan,
    )
    .await;
    assert!(
        matches!(demoted, Err(MemberError::LastOwner)),
        "{demoted:?}"
    );
    let listed = store::owned_alone(&fixture.database, staying)
        .await
        .unwrap();
    assert_eq!(listed, std::slice::from_ref(&workspace));
    run_account_deletion(
        &worker(&fixture, &FakeFileStore::default()),
        &fixture,
        account,
    )
    .await;
    let kept = store::find(&fixture.database, &workspace.id).await.unwrap();
    assert!(kept.is_some());
}

#[tokio::test]
async fn an_account_is_deleted_with_the_confirmed_workspaces_only() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let workspace = fixture.workspace(user).await;
    let other = fixture.join(&workspace.id, Role::Owner).await;
    // The page said that the workspace has another owner, who then leaves.
    members::remove(&fixture.database, &workspace.id, other)
        .await
        .unwrap();
    let request = request::account(&fixture.database, user, &[], &Token::random()).await;
    assert_eq!(request.unwrap(), AccountRequest::WorkspacesChanged);
    assert_eq!(fixture.count("SELECT count(*) FROM deletions").await, 0);
    assert_eq!(
        fixture
            .count("SELECT count(*) FROM users WHERE deleting_since IS NOT NULL")
            .await,
        0
    );
    request_deletion(&fixture, user, &[&workspace], &Token::random()).await;
}

#[tokio::test]
async fn of_an_owner_who_leaves_and_one_who_deletes_their_account_one_is_told() {
    let fixture = Fixture::start().await;
    for _ in 0..8 {
        let (one, other) = (fixture.user("Ada").await, fixture.user("Ben").await);
        let workspace = fixture.workspace(one).await;
        sqlx::query("INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'owner')")
            .bind(workspace.id.as_str())
            .bind(other.0)
            .execute(&fixture.database)
            .await
            .unwrap();
        let token = Token::random();
        let (left, request) = tokio::join!(
            members::remove(&fixture.database, &workspace.id, one),
            request::account(&fixture.database, other, &[], &token),
        );
        match (left, request.unwrap()) {
            (Ok(()), AccountRequest::WorkspacesChanged)
            | (Err(MemberError::LastOwner), AccountRequest::Accepted(_)) => {}
            outcome => panic!("{outcome:?}"),
        }
    }
}

#[tokio::test]
async fn deleting_an_account_deletes_its_own_workspaces_and_leaves_shared_ones() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let alone = fixture.workspace(user).await;
    fixture.join(&alone.id, Role::Member).await;
    let shared = fixture.workspace(user).await;
    fixture.join(&shared.id, Role::Owner).await;
    let left_before = fixture.workspace(fixture.user("Ben").await).await;
    sqlx::query("INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'member')")
        .bind(left_before.id.as_str())
        .bind(user.0)
        .execute(&fixture.database)
        .await
        .unwrap();
    members::remove(&fixture.database, &left_before.id, user)
        .await
        .unwrap();
    let pending = fixture.workspace(user).await;
    request::workspace(&fixture.database, &pending.id, &Token::random())
        .await
        .unwrap()
        .unwrap();
    let token = Token::random();
    let account = request_deletion(&fixture, user, &[&alone], &token).await;
    let again = request::account(&fixture.database, user, &[], &Token::random()).await;
    assert_eq!(again.unwrap(), AccountRequest::NotFound);
    run_account_deletion(
        &worker(&fixture, &FakeFileStore::default()),
        &fixture,
        account,
    )
    .await;
    let left = store::find(&fixture.database, &shared.id).await.unwrap();
    assert!(left.is_some());
    assert_eq!(fixture.count("SELECT count(*) FROM workspaces").await, 2);
    assert_eq!(fixture.cluster.tenant_count(), 2);
    assert!(!exists(&fixture, user).await);
    let receipt = deletion::by_token(&fixture.database, &token)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(receipt.progress.workspaces_left, 1);
    assert_eq!(
        private_conversation_jobs(&fixture).await,
        [&left_before, &shared].map(|left| (left.id.to_string(), user.to_string(), 0.0))
    );
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

/// Workspace, user and delay in days of the jobs that delete private conversations.
async fn private_conversation_jobs(fixture: &Fixture) -> Vec<(String, String, f64)> {
    sqlx::query_as(
        "SELECT payload ->> 'workspace', payload ->> 'user',
                round(greatest(extract(epoch FROM run_at - now()), 0) / 86400)::float8
         FROM jobs WHERE kind = 'delete_private_conversations' ORDER BY id",
    )
    .fetch_all(&fixture.database)
    .await
    .unwrap()
}

#[tokio::test]
async fn private_conversations_of_a_member_who_leaves_are_deleted_after_30_days() {
    let fixture = Fixture::start().await;
    let owner = fixture.user("Ada").await;
    let workspace = fixture.workspace(owner).await;
    let member = fixture.join(&workspace.id, Role::Member).await;
    members::remove(&fixture.database, &workspace.id, member)
        .await
        .unwrap();
    assert_eq!(
        private_conversation_jobs(&fixture).await,
        [(workspace.id.to_string(), member.to_string(), 30.0)]
    );
}

async fn exists(fixture: &Fixture, user: UserId) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM users WHERE id = $1)")
        .bind(user.0)
        .fetch_one(&fixture.database)
        .await
        .unwrap()
}
