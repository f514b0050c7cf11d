//! Members and invitations, with everybody at once.

use app::identity::Token;
use app::ids::WorkspaceId;
use app::workspaces::create::{CreateError, create};
use app::workspaces::invitations::{self, InvitationError};
use app::workspaces::members::{self, MemberError};
use app::domain::Role;
use app::workspaces::store;
use futures::future::join_all;

use crate::world::{World, request};

#[tokio::test]
async fn owners_who_all_leave_at_once_leave_one_behind() {
    let world = World::start().await;
    let first = world.user("Ada").await;
    let workspace = world.workspace(first).await;
    let mut owners = vec![first];
    for _ in 0..3 {
        owners.push(world.join(&workspace.id, Role::Owner).await);
    }
    let left = join_all(
        owners
            .iter()
            .map(|owner| members::remove(&world.database, &workspace.id, *owner)),
    )
    .await;
    let stayed = left
        .iter()
        .filter(|left| matches!(left, Err(MemberError::LastOwner)))
        .count();
    assert_eq!(stayed, 1);
    let owners = members::list(&world.database, &workspace.id).await.unwrap();
    assert_eq!(owners.len(), 1);
    assert!(owners[0].role.is_owner());
}

#[tokio::test]
async fn two_owners_who_make_each_other_members_leave_an_owner() {
    let world = World::start().await;
    let plan = world.plan(10);
    let one = world.user("Ada").await;
    let workspace = world.workspace(one).await;
    let other = world.join(&workspace.id, Role::Owner).await;
    let (a, b) = tokio::join!(
        members::change_role(&world.database, &workspace.id, one, Role::Member, &plan),
        members::change_role(&world.database, &workspace.id, other, Role::Member, &plan),
    );
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1);
    assert_eq!(
        world
            .count("SELECT count(*) FROM members WHERE role = 'owner'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_link_lets_one_person_in_however_many_come_at_once() {
    let world = World::start().await;
    let plan = world.plan(10);
    let owner = world.user("Ada").await;
    let workspace = world.workspace(owner).await;
    let (_, token) = invitations::create(&world.database, &workspace.id, owner, Role::Member)
        .await
        .unwrap();
    let mut people = Vec::new();
    for _ in 0..6 {
        people.push(world.user("somebody").await);
    }
    let came = join_all(
        people
            .iter()
            .map(|person| invitations::accept(&world.database, &token, *person, &plan)),
    )
    .await;
    assert_eq!(came.iter().filter(|came| came.is_ok()).count(), 1);
    let is_not_good = |came: &&Result<_, _>| matches!(came, Err(InvitationError::Invalid));
    assert_eq!(came.iter().filter(is_not_good).count(), 5);
    let at = came.iter().position(Result::is_ok).unwrap();
    let again = invitations::accept(&world.database, &token, people[at], &plan).await;
    assert_eq!(again.expect("the same person clicked twice"), workspace.id);
    let role = store::for_member(&world.database, people[at], &workspace.id)
        .await
        .unwrap()
        .map(|(_, role)| role);
    assert_eq!(role, Some(Role::Member));
}

#[tokio::test]
async fn many_links_at_once_do_not_get_past_the_limit_of_members() {
    let world = World::start().await;
    let owner = world.user("Ada").await;
    let workspace = world.workspace(owner).await;
    let mut guests = Vec::new();
    for _ in 0..6 {
        let (_, token) = invitations::create(&world.database, &workspace.id, owner, Role::Member)
            .await
            .unwrap();
        guests.push((world.user("somebody").await, token));
    }
    let plan = world.plan(world.limits.members_max);
    let came = join_all(
        guests
            .iter()
            .map(|(guest, token)| invitations::accept(&world.database, token, *guest, &plan)),
    )
    .await;
    assert_eq!(came.iter().filter(|came| came.is_ok()).count(), 3);
    assert_eq!(world.count("SELECT count(*) FROM members").await, 4);
    assert_eq!(
        world
            .count("SELECT count(*) FROM invitations WHERE accepted_at IS NULL")
            .await,
        3,
        "a link that let nobody in stays good"
    );
}

#[tokio::test]
async fn links_that_ran_out_were_revoked_or_never_made_are_told_alike() {
    let world = World::start().await;
    let plan = world.plan(10);
    let owner = world.user("Ada").await;
    let workspace = world.workspace(owner).await;
    let guest = world.user("Bea").await;
    let make = || invitations::create(&world.database, &workspace.id, owner, Role::Member);
    let (_, old) = make().await.unwrap();
    sqlx::query("UPDATE invitations SET expires_at = now()")
        .execute(&world.database)
        .await
        .unwrap();
    let (revoked_id, revoked) = make().await.unwrap();
    assert!(
        invitations::revoke(&world.database, &workspace.id, revoked_id)
            .await
            .unwrap()
    );
    for token in [old, revoked, Token::random()] {
        let looked = invitations::preview(&world.database, &token).await;
        assert!(
            matches!(looked, Err(InvitationError::Invalid)),
            "{looked:?}"
        );
        let came = invitations::accept(&world.database, &token, guest, &plan).await;
        assert!(matches!(came, Err(InvitationError::Invalid)), "{came:?}");
    }
    assert!(
        invitations::list_open(&world.database, &workspace.id)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn another_workspace_s_owner_cannot_revoke_a_link() {
    let world = World::start().await;
    let owner = world.user("Ada").await;
    let workspace = world.workspace(owner).await;
    let other = world.workspace(world.user("Bea").await).await;
    let (id, token) = invitations::create(&world.database, &workspace.id, owner, Role::Owner)
        .await
        .unwrap();
    assert!(
        !invitations::revoke(&world.database, &other.id, id)
            .await
            .unwrap()
    );
    let offered = invitations::preview(&world.database, &token).await.unwrap();
    assert_eq!(offered.workspace.id, workspace.id);
    assert_eq!(offered.role, Role::Owner);
}

#[tokio::test]
async fn an_owner_who_is_taken_out_or_made_a_member_keeps_no_link_and_makes_none() {
    let world = World::start().await;
    let plan = world.plan(10);
    let owner = world.user("Ada").await;
    let workspace = world.workspace(owner).await;
    for demote in [true, false] {
        let second = world.user("Bea").await;
        let make = |by, role| invitations::create(&world.database, &workspace.id, by, role);
        let (_, token) = make(owner, Role::Owner).await.unwrap();
        invitations::accept(&world.database, &token, second, &plan)
            .await
            .unwrap();
        let (_, kept) = make(second, Role::Owner).await.unwrap();
        if demote {
            members::change_role(&world.database, &workspace.id, second, Role::Member, &plan)
                .await
                .unwrap();
        } else {
            members::remove(&world.database, &workspace.id, second)
                .await
                .unwrap();
        }
        assert!(make(second, Role::Owner).await.is_err());
        assert!(invitations::preview(&world.database, &kept).await.is_err());
        let guest = world.user("Cleo").await;
        assert!(
            invitations::accept(&world.database, &kept, guest, &plan)
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn strangers_and_workspaces_on_their_way_out_look_the_same() {
    let world = World::start().await;
    let plan = world.plan(10);
    let owner = world.user("Ada").await;
    let workspace = world.workspace(owner).await;
    let stranger = world.user("Bea").await;
    let found = store::for_member(&world.database, stranger, &workspace.id).await;
    assert_eq!(found.unwrap(), None);
    sqlx::query("UPDATE workspaces SET state = 'deleting'")
        .execute(&world.database)
        .await
        .unwrap();
    let found = store::for_member(&world.database, owner, &workspace.id).await;
    assert_eq!(found.unwrap(), None);
    assert!(
        store::of_user(&world.database, owner)
            .await
            .unwrap()
            .is_empty()
    );
    let refused =
        members::change_role(&world.database, &workspace.id, owner, Role::Member, &plan).await;
    assert!(matches!(refused, Err(MemberError::WorkspaceDeleted)));
}

#[tokio::test]
async fn handing_workspaces_on_frees_no_more_than_others_have_room_for() {
    let world = World::start().await;
    let plan = world.plan(10);
    let (ada, bea) = (world.user("Ada").await, world.user("Bea").await);
    let make = async || create(&world.database, &world.limits, ada, &request("Acme")).await;
    let hand_on = async |workspace: &WorkspaceId| {
        sqlx::query("INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'member')")
            .bind(workspace.as_str())
            .bind(bea.0)
            .execute(&world.database)
            .await
            .unwrap();
        members::change_role(&world.database, workspace, bea, Role::Owner, &plan).await?;
        members::remove(&world.database, workspace, ada).await
    };
    // As many as one may own, all of them handed on, and as many once more: they are Bea's now, and she has no room.
    for _ in 0..plan.workspaces_per_user_max {
        let own = make().await.unwrap();
        hand_on(&own.id).await.unwrap();
    }
    for _ in 0..plan.workspaces_per_user_max {
        let own = make().await.unwrap();
        let refused = hand_on(&own.id).await;
        assert!(
            matches!(refused, Err(MemberError::TooManyWorkspaces { limit: 3 })),
            "{refused:?}"
        );
    }
    assert!(matches!(
        make().await,
        Err(CreateError::TooManyWorkspaces { limit: 3 })
    ));
    let theirs = create(&world.database, &world.limits, bea, &request("Hers")).await;
    assert!(
        matches!(theirs, Err(CreateError::TooManyWorkspaces { limit: 3 })),
        "{theirs:?}"
    );
}

#[tokio::test]
async fn whoever_becomes_an_owner_in_many_places_at_once_stays_within_the_limit() {
    let world = World::start().await;
    let plan = world.plan(10);
    let bea = world.user("Bea").await;
    let mut links = Vec::new();
    for _ in 0..5 {
        let owner = world.user("Ada").await;
        let workspace = world.workspace(owner).await;
        let (_, token) = invitations::create(&world.database, &workspace.id, owner, Role::Owner)
            .await
            .unwrap();
        links.push(token);
    }
    let accept = |token: Token| {
        let (database, plan) = (&world.database, &plan);
        async move { invitations::accept(database, &token, bea, plan).await }
    };
    let came = join_all(links.iter().cloned().map(accept)).await;
    let refused: Vec<usize> = (0..came.len())
        .filter(|at| {
            matches!(
                came[*at],
                Err(InvitationError::Members(MemberError::TooManyWorkspaces {
                    limit: 3
                }))
            )
        })
        .collect();
    assert_eq!(refused.len(), 2, "{came:?}");
    assert_eq!(
        world
            .count("SELECT count(*) FROM members m JOIN users u ON u.id = m.user_id WHERE u.display_name = 'Bea'")
            .await,
        3
    );
    // With room again the link is still good.
    let left = came.iter().find_map(|came| came.as_ref().ok()).unwrap();
    sqlx::query("DELETE FROM members WHERE workspace_id = $1 AND user_id = $2")
        .bind(left.as_str())
        .bind(bea.0)
        .execute(&world.database)
        .await
        .unwrap();
    accept(links[refused[0]].clone()).await.unwrap();
}
