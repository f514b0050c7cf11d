//! Members and invitations under concurrent changes.

use app::domain::Role;
use app::identity::Token;
use app::ids::{InvitationId, UserId, WorkspaceId};
use app::workspaces::create::{CreateError, create};
use app::workspaces::invitations::{self, InvitationError};
use app::workspaces::members::{self, MemberError};
use app::workspaces::store;
use futures::future::join_all;
use sqlx::PgPool;

use crate::fixture::{Fixture, new_workspace};

async fn invite(
    database: &PgPool,
    workspace: &WorkspaceId,
    by: UserId,
    role: Role,
) -> Result<(InvitationId, Token), InvitationError> {
    let token = Token::random();
    let id = invitations::create(database, workspace, by, role, &token).await?;
    Ok((id, token))
}

#[tokio::test]
async fn creating_an_invitation_twice_with_one_token_creates_one() {
    let fixture = Fixture::start().await;
    let owner = fixture.user("Ada").await;
    let workspace = fixture.workspace(owner).await;
    let token = Token::random();
    let create = || {
        invitations::create(
            &fixture.database,
            &workspace.id,
            owner,
            Role::Member,
            &token,
        )
    };
    let created = join_all((0..4).map(|_| create())).await;
    let ids: Vec<InvitationId> = created.into_iter().map(Result::unwrap).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let open = invitations::list_open(&fixture.database, &workspace.id).await;
    assert_eq!(open.unwrap().len(), 1);
}

#[tokio::test]
async fn when_all_owners_leave_concurrently_one_stays() {
    let fixture = Fixture::start().await;
    let first = fixture.user("Ada").await;
    let workspace = fixture.workspace(first).await;
    let mut owners = vec![first];
    for _ in 0..3 {
        owners.push(fixture.join(&workspace.id, Role::Owner).await);
    }
    let left = join_all(
        owners
            .iter()
            .map(|owner| members::remove(&fixture.database, &workspace.id, *owner)),
    )
    .await;
    let stayed = left
        .iter()
        .filter(|left| matches!(left, Err(MemberError::LastOwner)))
        .count();
    assert_eq!(stayed, 1);
    let owners = members::list(&fixture.database, &workspace.id)
        .await
        .unwrap();
    assert_eq!(owners.len(), 1);
    assert!(owners[0].role.is_owner());
}

#[tokio::test]
async fn two_owners_demoting_each_other_leave_one_owner() {
    let fixture = Fixture::start().await;
    let plan = fixture.plan(10);
    let one = fixture.user("Ada").await;
    let workspace = fixture.workspace(one).await;
    let other = fixture.join(&workspace.id, Role::Owner).await;
    let (a, b) = tokio::join!(
        members::change_role(&fixture.database, &workspace.id, one, Role::Member, &plan),
        members::change_role(&fixture.database, &workspace.id, other, Role::Member, &plan),
    );
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1);
    assert_eq!(
        fixture
            .count("SELECT count(*) FROM members WHERE role = 'owner'")
            .await,
        1
    );
}

#[tokio::test]
async fn an_invitation_accepted_concurrently_admits_one_user() {
    let fixture = Fixture::start().await;
    let plan = fixture.plan(10);
    let owner = fixture.user("Ada").await;
    let workspace = fixture.workspace(owner).await;
    let (_, token) = invite(&fixture.database, &workspace.id, owner, Role::Member)
        .await
        .unwrap();
    let mut users = Vec::new();
    for _ in 0..6 {
        users.push(fixture.user("Guest").await);
    }
    let results = join_all(
        users
            .iter()
            .map(|user| invitations::accept(&fixture.database, &token, *user, &plan)),
    )
    .await;
    assert_eq!(results.iter().filter(|results| results.is_ok()).count(), 1);
    let is_invalid = |results: &&Result<_, _>| matches!(results, Err(InvitationError::Invalid));
    assert_eq!(results.iter().filter(is_invalid).count(), 5);
    let at = results.iter().position(Result::is_ok).unwrap();
    let again = invitations::accept(&fixture.database, &token, users[at], &plan).await;
    assert_eq!(
        again.expect("the same user opens the link again"),
        workspace.id
    );
    let role = store::for_member(&fixture.database, users[at], &workspace.id)
        .await
        .unwrap()
        .map(|(_, role)| role);
    assert_eq!(role, Some(Role::Member));
}

#[tokio::test]
async fn concurrent_invitations_cannot_exceed_the_member_limit() {
    let fixture = Fixture::start().await;
    let owner = fixture.user("Ada").await;
    let workspace = fixture.workspace(owner).await;
    let mut guests = Vec::new();
    for _ in 0..6 {
        let (_, token) = invite(&fixture.database, &workspace.id, owner, Role::Member)
            .await
            .unwrap();
        guests.push((fixture.user("Guest").await, token));
    }
    let plan = fixture.plan(fixture.limits.max_members);
    let results = join_all(
        guests
            .iter()
            .map(|(guest, token)| invitations::accept(&fixture.database, token, *guest, &plan)),
    )
    .await;
    assert_eq!(results.iter().filter(|results| results.is_ok()).count(), 3);
    assert_eq!(fixture.count("SELECT count(*) FROM members").await, 4);
    assert_eq!(
        fixture
            .count("SELECT count(*) FROM invitations WHERE accepted_at IS NULL")
            .await,
        3,
        "invitations that admitted no one stay open"
    );
}

#[tokio::test]
async fn expired_revoked_and_unknown_invitations_give_the_same_error() {
    let fixture = Fixture::start().await;
    let plan = fixture.plan(10);
    let owner = fixture.user("Ada").await;
    let workspace = fixture.workspace(owner).await;
    let guest = fixture.user("Bea").await;
    let make = || invite(&fixture.database, &workspace.id, owner, Role::Member);
    let (_, old) = make().await.unwrap();
    sqlx::query("UPDATE invitations SET expires_at = now()")
        .execute(&fixture.database)
        .await
        .unwrap();
    let (revoked_id, revoked) = make().await.unwrap();
    assert!(
        invitations::revoke(&fixture.database, &workspace.id, revoked_id)
            .await
            .unwrap()
    );
    for token in [old, revoked, Token::random()] {
        let preview = invitations::preview(&fixture.database, &token).await;
        assert!(
            matches!(preview, Err(InvitationError::Invalid)),
            "{preview:?}"
        );
        let results = invitations::accept(&fixture.database, &token, guest, &plan).await;
        assert!(
            matches!(results, Err(InvitationError::Invalid)),
            "{results:?}"
        );
    }
    assert!(
        invitations::list_open(&fixture.database, &workspace.id)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn an_owner_of_another_workspace_cannot_revoke_an_invitation() {
    let fixture = Fixture::start().await;
    let owner = fixture.user("Ada").await;
    let workspace = fixture.workspace(owner).await;
    let other = fixture.workspace(fixture.user("Bea").await).await;
    let (id, token) = invite(&fixture.database, &workspace.id, owner, Role::Owner)
        .await
        .unwrap();
    assert!(
        !invitations::revoke(&fixture.database, &other.id, id)
            .await
            .unwrap()
    );
    let preview = invitations::preview(&fixture.database, &token)
        .await
        .unwrap();
    assert_eq!(preview.workspace.id, workspace.id);
    assert_eq!(preview.role, Role::Owner);
}

#[tokio::test]
async fn a_removed_or_demoted_owner_keeps_no_invitation_and_cannot_create_one() {
    let fixture = Fixture::start().await;
    let plan = fixture.plan(10);
    let owner = fixture.user("Ada").await;
    let workspace = fixture.workspace(owner).await;
    for demote in [true, false] {
        let second = fixture.user("Bea").await;
        let make = |by, role| invite(&fixture.database, &workspace.id, by, role);
        let (_, token) = make(owner, Role::Owner).await.unwrap();
        invitations::accept(&fixture.database, &token, second, &plan)
            .await
            .unwrap();
        let (_, kept) = make(second, Role::Owner).await.unwrap();
        if demote {
            members::change_role(
                &fixture.database,
                &workspace.id,
                second,
                Role::Member,
                &plan,
            )
            .await
            .unwrap();
        } else {
            members::remove(&fixture.database, &workspace.id, second)
                .await
                .unwrap();
        }
        assert!(make(second, Role::Owner).await.is_err());
        assert!(
            invitations::preview(&fixture.database, &kept)
                .await
                .is_err()
        );
        let guest = fixture.user("Cleo").await;
        assert!(
            invitations::accept(&fixture.database, &kept, guest, &plan)
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn non_members_and_members_of_a_workspace_being_deleted_get_the_same_result() {
    let fixture = Fixture::start().await;
    let plan = fixture.plan(10);
    let owner = fixture.user("Ada").await;
    let workspace = fixture.workspace(owner).await;
    let outsider = fixture.user("Bea").await;
    let found = store::for_member(&fixture.database, outsider, &workspace.id).await;
    assert_eq!(found.unwrap(), None);
    sqlx::query("UPDATE workspaces SET state = 'deleting'")
        .execute(&fixture.database)
        .await
        .unwrap();
    let found = store::for_member(&fixture.database, owner, &workspace.id).await;
    assert_eq!(found.unwrap(), None);
    assert!(
        store::of_user(&fixture.database, owner)
            .await
            .unwrap()
            .is_empty()
    );
    let refused =
        members::change_role(&fixture.database, &workspace.id, owner, Role::Member, &plan).await;
    assert!(matches!(refused, Err(MemberError::WorkspaceDeleted)));
}

#[tokio::test]
async fn handing_over_workspaces_cannot_exceed_the_new_owners_limit() {
    let fixture = Fixture::start().await;
    let plan = fixture.plan(10);
    let (ada, bea) = (fixture.user("Ada").await, fixture.user("Bea").await);
    let make = async || {
        create(
            &fixture.database,
            &fixture.limits,
            ada,
            &new_workspace("Acme"),
        )
        .await
    };
    let hand_over = async |workspace: &WorkspaceId| {
        sqlx::query("INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'member')")
            .bind(workspace.as_str())
            .bind(bea.0)
            .execute(&fixture.database)
            .await
            .unwrap();
        members::change_role(&fixture.database, workspace, bea, Role::Owner, &plan).await?;
        members::remove(&fixture.database, workspace, ada).await
    };
    // Ada hands over as many workspaces as Bea may own, and then creates as many again: Bea cannot
    // take those over as well.
    for _ in 0..plan.max_workspaces_per_user.get() {
        let own = make().await.unwrap();
        hand_over(&own.id).await.unwrap();
    }
    for _ in 0..plan.max_workspaces_per_user.get() {
        let own = make().await.unwrap();
        let refused = hand_over(&own.id).await;
        assert!(
            matches!(refused, Err(MemberError::TooManyWorkspaces { limit: 3 })),
            "{refused:?}"
        );
    }
    assert!(matches!(
        make().await,
        Err(CreateError::TooManyWorkspaces { limit: 3 })
    ));
    let theirs = create(
        &fixture.database,
        &fixture.limits,
        bea,
        &new_workspace("Hers"),
    )
    .await;
    assert!(
        matches!(theirs, Err(CreateError::TooManyWorkspaces { limit: 3 })),
        "{theirs:?}"
    );
}

#[tokio::test]
async fn accepting_owner_invitations_concurrently_cannot_exceed_the_limit() {
    let fixture = Fixture::start().await;
    let plan = fixture.plan(10);
    let bea = fixture.user("Bea").await;
    let mut links = Vec::new();
    for _ in 0..5 {
        let owner = fixture.user("Ada").await;
        let workspace = fixture.workspace(owner).await;
        let (_, token) = invite(&fixture.database, &workspace.id, owner, Role::Owner)
            .await
            .unwrap();
        links.push(token);
    }
    let accept = |token: Token| {
        let (database, plan) = (&fixture.database, &plan);
        async move { invitations::accept(database, &token, bea, plan).await }
    };
    let results = join_all(links.iter().cloned().map(accept)).await;
    let refused: Vec<usize> = (0..results.len())
        .filter(|at| {
            matches!(
                results[*at],
                Err(InvitationError::Members(MemberError::TooManyWorkspaces {
                    limit: 3
                }))
            )
        })
        .collect();
    assert_eq!(refused.len(), 2, "{results:?}");
    assert_eq!(
        fixture
            .count("SELECT count(*) FROM members m JOIN users u ON u.id = m.user_id WHERE u.display_name = 'Bea'")
            .await,
        3
    );
    // After another workspace was left, the invitation can still be accepted.
    let left = results
        .iter()
        .find_map(|results| results.as_ref().ok())
        .unwrap();
    sqlx::query("DELETE FROM members WHERE workspace_id = $1 AND user_id = $2")
        .bind(left.as_str())
        .bind(bea.0)
        .execute(&fixture.database)
        .await
        .unwrap();
    accept(links[refused[0]].clone()).await.unwrap();
}
