//! How a workspace comes to be, however often it is asked for and wherever a process dies.

use app::ids::UserId;
use app::workspaces::create::{CreateError, NewWorkspace, reserve};
use app::workspaces::{Workspace, WorkspaceState, apply, store};
use futures::future::join_all;
use serde_json::json;

use crate::world::{World, wish};

async fn reserve_many(
    world: &World,
    user: UserId,
    wishes: &[NewWorkspace],
) -> Vec<Result<Workspace, CreateError>> {
    join_all(
        wishes
            .iter()
            .map(|wish| reserve(&world.database, &world.offer, user, wish)),
    )
    .await
}

#[tokio::test]
async fn a_form_that_is_sent_many_times_at_once_makes_one_workspace_and_one_tenant() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let wish = wish("Acme");
    let made = reserve_many(&world, user, &vec![wish; 12]).await;
    let ids: std::collections::BTreeSet<_> = made
        .into_iter()
        .map(|made| made.expect("made").id)
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM workspaces").await, 1);
    let id = ids.first().unwrap();
    let applied =
        join_all((0..8).map(|_| apply::ensure_tenant(&world.database, &world.tenants, id))).await;
    for outcome in applied {
        outcome.expect("applied, or left to another");
    }
    assert_eq!(world.cluster.tenant_count(), 1);
    let row = store::find(&world.database, id).await.unwrap().unwrap();
    assert_eq!(row.state, WorkspaceState::Active);
    let tenant = world.cluster.tenant(&format!("ws-{id}")).unwrap();
    assert_eq!(
        row.tenant_uid.as_deref(),
        tenant["metadata"]["uid"].as_str()
    );
    assert_eq!(tenant["spec"]["displayName"], "Acme");
}

#[tokio::test]
async fn two_tabs_at_a_first_sign_in_make_one_personal_workspace() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let personal = || NewWorkspace {
        is_personal: true,
        ..wish("Ada's workspace")
    };
    let made = reserve_many(&world, user, &[personal(), personal(), personal()]).await;
    let ids: std::collections::BTreeSet<_> = made
        .into_iter()
        .map(|made| made.expect("made").id)
        .collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn many_forms_at_once_do_not_get_past_the_limit() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let wishes: Vec<_> = (0..10).map(|_| wish("Acme")).collect();
    let made = reserve_many(&world, user, &wishes).await;
    let refused = made
        .iter()
        .filter(|made| matches!(made, Err(CreateError::TooMany { limit: 3 })))
        .count();
    assert_eq!(refused, 7);
    assert_eq!(world.count("SELECT count(*) FROM workspaces").await, 3);
    let other = world.user("Bea").await;
    let theirs = reserve(&world.database, &world.offer, other, &wishes[0])
        .await
        .expect("another person's limit, and another person's form");
    assert_ne!(Some(&theirs.id), made[0].as_ref().ok().map(|made| &made.id));
}

#[tokio::test]
async fn an_account_that_is_being_removed_makes_nothing() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    sqlx::query("UPDATE users SET removing_since = now()")
        .execute(&world.database)
        .await
        .unwrap();
    let refused = reserve(&world.database, &world.offer, user, &wish("Acme")).await;
    assert!(
        matches!(refused, Err(CreateError::AccountGone)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_died_before_or_after_the_tenant_was_applied_is_taken_up_again() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let before = reserve(&world.database, &world.offer, user, &wish("One"))
        .await
        .unwrap();
    let after = reserve(&world.database, &world.offer, user, &wish("Two"))
        .await
        .unwrap();
    // This one's Tenant was applied, and then its process died before it wrote the uid down.
    let applied = world.tenants.apply(&after).await.unwrap();
    assert_eq!(apply::round(&world.database, &world.tenants).await, 2);
    let row = store::find(&world.database, &after.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.tenant_uid.as_deref(), Some(&*applied.uid));
    let row = store::find(&world.database, &before.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.state, WorkspaceState::Active);
    assert_eq!(world.cluster.tenant_count(), 2);
    assert_eq!(apply::round(&world.database, &world.tenants).await, 0);
}

#[tokio::test]
async fn while_the_cluster_is_away_nothing_is_lost() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let made = reserve(&world.database, &world.offer, user, &wish("Acme"))
        .await
        .unwrap();
    world.cluster.goes_away();
    apply::ensure_tenant(&world.database, &world.tenants, &made.id)
        .await
        .expect_err("nobody answers");
    assert_eq!(apply::round(&world.database, &world.tenants).await, 0);
    world.cluster.comes_back();
    assert_eq!(apply::round(&world.database, &world.tenants).await, 1);
}

#[tokio::test]
async fn a_tenant_that_somebody_took_away_is_never_made_again() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let workspace = world.workspace(user).await;
    let name = format!("ws-{}", workspace.id);
    world.cluster.take("tenants", &name);
    assert_eq!(apply::round(&world.database, &world.tenants).await, 0);
    let again = apply::ensure_tenant(&world.database, &world.tenants, &workspace.id)
        .await
        .unwrap();
    assert_eq!(again.map(|row| row.tenant_uid), Some(workspace.tenant_uid));
    assert_eq!(world.cluster.tenant_count(), 0);
}

#[tokio::test]
async fn a_stranger_s_tenant_of_the_name_is_left_alone() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let made = reserve(&world.database, &world.offer, user, &wish("Acme"))
        .await
        .unwrap();
    let name = format!("ws-{}", made.id);
    let theirs = json!({
        "apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "metadata": {}, "spec": { "className": "theirs" },
    });
    world.cluster.put("tenants", &name, theirs);
    apply::ensure_tenant(&world.database, &world.tenants, &made.id)
        .await
        .expect_err("not ours");
    assert_eq!(world.cluster.requests(&format!("PATCH tenants/{name}")), 0);
    let row = store::find(&world.database, &made.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.state, WorkspaceState::Creating);
    assert_eq!(row.tenant_uid, None);
}
