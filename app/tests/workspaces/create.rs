//! How a workspace comes to be, however often it is asked for and wherever a process dies.

use app::ids::UserId;
use app::tenants::{MAX_CONCURRENT_APPLIES, RenameOutcome, TenantName};
use app::workspaces::create::{CreateError, NewWorkspace, create};
use app::domain::{Workspace, WorkspaceState};
use app::workspaces::{reconcile, store};
use futures::future::join_all;
use serde_json::json;
use tokio::time::timeout;

use crate::world::{SOON, World, until, request};

async fn create_many(
    world: &World,
    user: UserId,
    requests: &[NewWorkspace],
) -> Vec<Result<Workspace, CreateError>> {
    join_all(
        requests
            .iter()
            .map(|request| create(&world.database, &world.limits, user, request)),
    )
    .await
}

#[tokio::test]
async fn a_form_that_is_sent_many_times_at_once_makes_one_workspace_and_one_tenant() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let request = request("Acme");
    let made = create_many(&world, user, &vec![request; 12]).await;
    let ids: std::collections::BTreeSet<_> = made
        .into_iter()
        .map(|made| made.expect("made").id)
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM workspaces").await, 1);
    let id = ids.first().unwrap();
    let applied =
        join_all((0..8).map(|_| reconcile::ensure_tenant(&world.database, &world.tenants, id))).await;
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
        ..request("Ada's workspace")
    };
    let made = create_many(&world, user, &[personal(), personal(), personal()]).await;
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
    let requests: Vec<_> = (0..10).map(|_| request("Acme")).collect();
    let made = create_many(&world, user, &requests).await;
    let refused = made
        .iter()
        .filter(|made| matches!(made, Err(CreateError::TooManyWorkspaces { limit: 3 })))
        .count();
    assert_eq!(refused, 7);
    assert_eq!(world.count("SELECT count(*) FROM workspaces").await, 3);
    let other = world.user("Bea").await;
    let theirs = create(&world.database, &world.limits, other, &requests[0])
        .await
        .expect("another person's limit, and another person's form");
    assert_ne!(Some(&theirs.id), made[0].as_ref().ok().map(|made| &made.id));
}

#[tokio::test]
async fn an_account_that_is_being_removed_makes_nothing() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    sqlx::query("UPDATE users SET deleting_since = now()")
        .execute(&world.database)
        .await
        .unwrap();
    let refused = create(&world.database, &world.limits, user, &request("Acme")).await;
    assert!(
        matches!(refused, Err(CreateError::AccountDeleted)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_died_before_or_after_the_tenant_was_applied_is_taken_up_again() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let before = create(&world.database, &world.limits, user, &request("One"))
        .await
        .unwrap();
    let after = create(&world.database, &world.limits, user, &request("Two"))
        .await
        .unwrap();
    // This one's Tenant was applied, and then its process died before it wrote the uid down.
    let applied = world.tenants.apply(&after).await.unwrap();
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 2);
    let row = store::find(&world.database, &after.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.tenant_uid.as_deref(), Some(&*applied.tenant.uid));
    let row = store::find(&world.database, &before.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.state, WorkspaceState::Active);
    assert_eq!(world.cluster.tenant_count(), 2);
    // The one that was found there may bear a name from before: that is looked at once more.
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 1);
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 0);
}

#[tokio::test]
async fn while_the_cluster_is_away_nothing_is_lost() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let made = create(&world.database, &world.limits, user, &request("Acme"))
        .await
        .unwrap();
    world.cluster.goes_away();
    reconcile::ensure_tenant(&world.database, &world.tenants, &made.id)
        .await
        .expect_err("nobody answers");
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 0);
    world.cluster.comes_back();
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 1);
}

#[tokio::test]
async fn a_tenant_that_somebody_took_away_is_never_made_again() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let workspace = world.workspace(user).await;
    let name = format!("ws-{}", workspace.id);
    world.cluster.take("tenants", &name);
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 0);
    let again = reconcile::ensure_tenant(&world.database, &world.tenants, &workspace.id)
        .await
        .unwrap();
    assert_eq!(again.map(|row| row.tenant_uid), Some(workspace.tenant_uid));
    assert_eq!(world.cluster.tenant_count(), 0);
}

#[tokio::test]
async fn a_stranger_s_tenant_of_the_name_is_left_alone() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let made = create(&world.database, &world.limits, user, &request("Acme"))
        .await
        .unwrap();
    let name = format!("ws-{}", made.id);
    let theirs = json!({
        "apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "metadata": {}, "spec": { "className": "theirs" },
    });
    world.cluster.put("tenants", &name, theirs);
    reconcile::ensure_tenant(&world.database, &world.tenants, &made.id)
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

#[tokio::test]
async fn an_api_server_that_does_not_answer_holds_few_connections() {
    const WORKSPACES: usize = 12;
    let world = World::start().await;
    let mut made = Vec::new();
    for _ in 0..WORKSPACES {
        let user = world.user("Ada").await;
        made.push(
            create(&world.database, &world.limits, user, &request("Acme"))
                .await
                .unwrap()
                .id,
        );
    }
    world.cluster.falls_silent();
    let before = world.cluster.requests("GET tenants/ws-");
    let tasks: Vec<_> = made
        .into_iter()
        .map(|id| {
            let (database, tenants) = (world.database.clone(), world.tenants.clone());
            tokio::spawn(async move { reconcile::ensure_tenant(&database, &tenants, &id).await })
        })
        .collect();
    until("as many ask as may", || async {
        world.cluster.requests("GET tenants/ws-") - before == MAX_CONCURRENT_APPLIES
    })
    .await;
    // All the other connections can be had.
    let max = usize::try_from(world.database.options().get_max_connections()).unwrap();
    let others = (0..max - MAX_CONCURRENT_APPLIES).map(|_| world.database.acquire());
    let others = timeout(SOON, join_all(others)).await.expect("connections");
    assert!(others.iter().all(Result::is_ok));
    assert_eq!(
        world.cluster.requests("GET tenants/ws-") - before,
        MAX_CONCURRENT_APPLIES
    );
    drop(others);
    world.cluster.speaks_again();
    for task in tasks {
        // Those that found no place in time are left to a round.
        let _ = task.await.unwrap();
    }
    reconcile::reconcile_all(&world.database, &world.tenants).await;
    assert_eq!(world.cluster.tenant_count(), WORKSPACES);
}

#[tokio::test]
async fn a_new_name_comes_to_the_tenant_wherever_a_process_dies() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let workspace = world.workspace(user).await;
    let tenant = format!("ws-{}", workspace.id);
    let called = || world.cluster.tenant(&tenant).unwrap()["spec"]["displayName"].clone();
    let patches = || world.cluster.requests(&format!("PATCH tenants/{tenant}"));
    let rename = async |name: &str| {
        store::rename(&world.database, &workspace.id, &name.parse().unwrap())
            .await
            .unwrap()
    };
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 0);
    assert!(rename("Beta").await);
    // The row is all that was written; the API server is away, and then back.
    world.cluster.goes_away();
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 0);
    world.cluster.comes_back();
    assert_eq!(called(), "Acme");
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 1);
    assert_eq!(called(), "Beta");
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 0);
    // Died between the cluster and the row: looked at again, and found done.
    let before = patches();
    sqlx::query("UPDATE workspaces SET tenant_display_name = 'Acme'")
        .execute(&world.database)
        .await
        .unwrap();
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 1);
    assert_eq!(patches(), before);
    // What others say of the Tenant stays.
    let mut object = world.cluster.tenant(&tenant).unwrap();
    object["spec"]["className"] = json!("large");
    object["spec"]["suspend"] = json!(true);
    world.cluster.put("tenants", &tenant, object);
    rename("Gamma").await;
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 1);
    let object = world.cluster.tenant(&tenant).unwrap();
    assert_eq!(object["spec"]["displayName"], "Gamma");
    assert_eq!(object["spec"]["className"], "large");
    assert_eq!(object["spec"]["suspend"], true);
}

#[tokio::test]
async fn an_older_name_that_comes_late_changes_nothing() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let workspace = world.workspace(user).await;
    let name = TenantName::of(&workspace.id);
    // One process looks, and is slow; meanwhile another brings a newer name.
    let seen = world.tenants.observe(&name).await.unwrap().unwrap();
    let older = Workspace {
        name: "Older".to_owned(),
        ..workspace.clone()
    };
    store::rename(&world.database, &workspace.id, &"Newer".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(reconcile::reconcile_all(&world.database, &world.tenants).await, 1);
    assert_eq!(
        world.tenants.rename(&older, seen).await.unwrap(),
        RenameOutcome::Conflict
    );
    let tenant = world.cluster.tenant(name.as_str()).unwrap();
    assert_eq!(tenant["spec"]["displayName"], "Newer");
}

#[tokio::test]
async fn renaming_makes_no_tenant_that_somebody_took_away() {
    let world = World::start().await;
    let user = world.user("Ada").await;
    let workspace = world.workspace(user).await;
    world
        .cluster
        .take("tenants", &format!("ws-{}", workspace.id));
    store::rename(&world.database, &workspace.id, &"Beta".parse().unwrap())
        .await
        .unwrap();
    reconcile::reconcile_all(&world.database, &world.tenants).await;
    assert_eq!(world.cluster.tenant_count(), 0);
    assert_eq!(
        reconcile::reconcile_all(&world.database, &world.tenants).await,
        0,
        "and asks no more"
    );
}
