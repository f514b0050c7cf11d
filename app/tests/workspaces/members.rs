//! Members and invitations, with everybody at once.

use app::identity::Token;
use app::workspaces::invitations::{self, InvitationError};
use app::workspaces::members::{self, MemberError};
use app::workspaces::{Role, store};
use futures::future::join_all;

use crate::world::World;

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
    let one = world.user("Ada").await;
    let workspace = world.workspace(one).await;
    let other = world.join(&workspace.id, Role::Owner).await;
    let (a, b) = tokio::join!(
        members::change_role(&world.database, &workspace.id, one, Role::Member),
        members::change_role(&world.database, &workspace.id, other, Role::Member),
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
            .map(|person| invitations::accept(&world.database, &token, *person, 10)),
    )
    .await;
    assert_eq!(came.iter().filter(|came| came.is_ok()).count(), 1);
    let is_not_good = |came: &&Result<_, _>| matches!(came, Err(InvitationError::NotGood));
    assert_eq!(came.iter().filter(is_not_good).count(), 5);
    let at = came.iter().position(Result::is_ok).unwrap();
    let again = invitations::accept(&world.database, &token, people[at], 10).await;
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
    let limit = world.offer.members_max;
    let came = join_all(
        guests
            .iter()
            .map(|(guest, token)| invitations::accept(&world.database, token, *guest, limit)),
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
        let looked = invitations::look(&world.database, &token).await;
        assert!(
            matches!(looked, Err(InvitationError::NotGood)),
            "{looked:?}"
        );
        let came = invitations::accept(&world.database, &token, guest, 10).await;
        assert!(matches!(came, Err(InvitationError::NotGood)), "{came:?}");
    }
    assert!(
        invitations::open(&world.database, &workspace.id)
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
    let offered = invitations::look(&world.database, &token).await.unwrap();
    assert_eq!(offered.workspace.id, workspace.id);
    assert_eq!(offered.role, Role::Owner);
}

#[tokio::test]
async fn an_owner_who_is_taken_out_or_made_a_member_keeps_no_link_and_makes_none() {
    let world = World::start().await;
    let owner = world.user("Ada").await;
    let workspace = world.workspace(owner).await;
    for demote in [true, false] {
        let second = world.user("Bea").await;
        let make = |by, role| invitations::create(&world.database, &workspace.id, by, role);
        let (_, token) = make(owner, Role::Owner).await.unwrap();
        invitations::accept(&world.database, &token, second, 10)
            .await
            .unwrap();
        let (_, kept) = make(second, Role::Owner).await.unwrap();
        if demote {
            members::change_role(&world.database, &workspace.id, second, Role::Member)
                .await
                .unwrap();
        } else {
            members::remove(&world.database, &workspace.id, second)
                .await
                .unwrap();
        }
        assert!(make(second, Role::Owner).await.is_err());
        assert!(invitations::look(&world.database, &kept).await.is_err());
        let guest = world.user("Cleo").await;
        assert!(
            invitations::accept(&world.database, &kept, guest, 10)
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn strangers_and_workspaces_on_their_way_out_look_the_same() {
    let world = World::start().await;
    let owner = world.user("Ada").await;
    let workspace = world.workspace(owner).await;
    let stranger = world.user("Bea").await;
    let found = store::for_member(&world.database, stranger, &workspace.id).await;
    assert_eq!(found.unwrap(), None);
    sqlx::query("UPDATE workspaces SET state = 'removing'")
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
    let refused = members::change_role(&world.database, &workspace.id, owner, Role::Member).await;
    assert!(matches!(refused, Err(MemberError::WorkspaceGone)));
}
