//! Creating workspaces: repeated and concurrent requests, and processes that die halfway.

use app::domain::{Workspace, WorkspaceState};
use app::ids::UserId;
use app::tenants::{MAX_CONCURRENT_APPLIES, RenameOutcome, TenantName};
use app::workspaces::create::{CreateError, NewWorkspace, create};
use app::workspaces::{reconcile, store};
use futures::future::join_all;
use serde_json::json;
use test_support::wait::until_true;
use tokio::time::timeout;

use crate::fixture::{Fixture, TIMEOUT, new_workspace};

async fn create_many(
    fixture: &Fixture,
    user: UserId,
    requests: &[NewWorkspace],
) -> Vec<Result<Workspace, CreateError>> {
    join_all(
        requests
            .iter()
            .map(|request| create(&fixture.database, &fixture.limits, user, request)),
    )
    .await
}

#[tokio::test]
async fn submitting_a_form_many_times_concurrently_creates_one_workspace_and_one_tenant() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let request = new_workspace("Acme");
    let made = create_many(&fixture, user, &vec![request; 12]).await;
    let ids: std::collections::BTreeSet<_> = made
        .into_iter()
        .map(|made| made.expect("made").id)
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(fixture.count("SELECT count(*) FROM workspaces").await, 1);
    let id = ids.first().unwrap();
    let applied =
        join_all((0..8).map(|_| reconcile::ensure_tenant(&fixture.database, &fixture.tenants, id)))
            .await;
    for outcome in applied {
        outcome.expect("applied by this call or another one");
    }
    assert_eq!(fixture.cluster.tenant_count(), 1);
    let row = store::find(&fixture.database, id).await.unwrap().unwrap();
    assert_eq!(row.state, WorkspaceState::Active);
    let tenant = fixture.cluster.tenant(&format!("ws-{id}")).unwrap();
    assert_eq!(
        row.tenant_uid.as_deref(),
        tenant["metadata"]["uid"].as_str()
    );
    assert_eq!(tenant["spec"]["displayName"], "Acme");
}

#[tokio::test]
async fn concurrent_first_sign_ins_create_one_personal_workspace() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let personal = || NewWorkspace {
        is_personal: true,
        ..new_workspace("Ada's workspace")
    };
    let made = create_many(&fixture, user, &[personal(), personal(), personal()]).await;
    let ids: std::collections::BTreeSet<_> = made
        .into_iter()
        .map(|made| made.expect("made").id)
        .collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn concurrent_requests_cannot_exceed_the_workspace_limit() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let requests: Vec<_> = (0..10).map(|_| new_workspace("Acme")).collect();
    let made = create_many(&fixture, user, &requests).await;
    let refused = made
        .iter()
        .filter(|made| matches!(made, Err(CreateError::TooManyWorkspaces { limit: 3 })))
        .count();
    assert_eq!(refused, 7);
    assert_eq!(fixture.count("SELECT count(*) FROM workspaces").await, 3);
    let other = fixture.user("Bea").await;
    let theirs = create(&fixture.database, &fixture.limits, other, &requests[0])
        .await
        .expect("users have separate limits and forms");
    assert_ne!(Some(&theirs.id), made[0].as_ref().ok().map(|made| &made.id));
}

#[tokio::test]
async fn an_account_being_deleted_cannot_create_a_workspace() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    sqlx::query("UPDATE users SET deleting_since = now()")
        .execute(&fixture.database)
        .await
        .unwrap();
    let refused = create(
        &fixture.database,
        &fixture.limits,
        user,
        &new_workspace("Acme"),
    )
    .await;
    assert!(
        matches!(refused, Err(CreateError::AccountDeleted)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn workspaces_of_a_process_that_died_before_or_after_applying_are_reconciled() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let before = create(
        &fixture.database,
        &fixture.limits,
        user,
        &new_workspace("One"),
    )
    .await
    .unwrap();
    let after = create(
        &fixture.database,
        &fixture.limits,
        user,
        &new_workspace("Two"),
    )
    .await
    .unwrap();
    // This workspace's Tenant was applied, but the process died before it recorded the UID.
    let applied = fixture.tenants.apply(&after).await.unwrap();
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        2
    );
    let row = store::find(&fixture.database, &after.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.tenant_uid.as_deref(), Some(&*applied.tenant.uid));
    let row = store::find(&fixture.database, &before.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.state, WorkspaceState::Active);
    assert_eq!(fixture.cluster.tenant_count(), 2);
    // The existing Tenant may have an older name, so it is reconciled once more.
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        1
    );
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        0
    );
}

#[tokio::test]
async fn a_workspace_created_during_a_cluster_outage_is_reconciled_afterwards() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let made = create(
        &fixture.database,
        &fixture.limits,
        user,
        &new_workspace("Acme"),
    )
    .await
    .unwrap();
    fixture.cluster.disconnect();
    reconcile::ensure_tenant(&fixture.database, &fixture.tenants, &made.id)
        .await
        .expect_err("the API server is disconnected");
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        0
    );
    fixture.cluster.reconnect();
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        1
    );
}

#[tokio::test]
async fn a_tenant_deleted_by_someone_else_is_never_recreated() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let workspace = fixture.workspace(user).await;
    let name = format!("ws-{}", workspace.id);
    fixture.cluster.remove("tenants", &name);
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        0
    );
    let again = reconcile::ensure_tenant(&fixture.database, &fixture.tenants, &workspace.id)
        .await
        .unwrap();
    assert_eq!(again.map(|row| row.tenant_uid), Some(workspace.tenant_uid));
    assert_eq!(fixture.cluster.tenant_count(), 0);
}

#[tokio::test]
async fn a_foreign_tenant_with_the_same_name_is_left_alone() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let made = create(
        &fixture.database,
        &fixture.limits,
        user,
        &new_workspace("Acme"),
    )
    .await
    .unwrap();
    let name = format!("ws-{}", made.id);
    let theirs = json!({
        "apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "metadata": {}, "spec": { "className": "theirs" },
    });
    fixture.cluster.put("tenants", &name, theirs);
    reconcile::ensure_tenant(&fixture.database, &fixture.tenants, &made.id)
        .await
        .expect_err("the Tenant is not owned");
    assert_eq!(
        fixture.cluster.requests(&format!("PATCH tenants/{name}")),
        0
    );
    let row = store::find(&fixture.database, &made.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.state, WorkspaceState::Creating);
    assert_eq!(row.tenant_uid, None);
}

#[tokio::test]
async fn an_unresponsive_api_server_ties_up_few_database_connections() {
    const WORKSPACES: usize = 12;
    let fixture = Fixture::start().await;
    let mut made = Vec::new();
    for _ in 0..WORKSPACES {
        let user = fixture.user("Ada").await;
        made.push(
            create(
                &fixture.database,
                &fixture.limits,
                user,
                &new_workspace("Acme"),
            )
            .await
            .unwrap()
            .id,
        );
    }
    fixture.cluster.stop_responding();
    let before = fixture.cluster.requests("GET tenants/ws-");
    let tasks: Vec<_> = made
        .into_iter()
        .map(|id| {
            let (database, tenants) = (fixture.database.clone(), fixture.tenants.clone());
            tokio::spawn(async move { reconcile::ensure_tenant(&database, &tenants, &id).await })
        })
        .collect();
    until_true("the maximum number of concurrent applies", || async {
        fixture.cluster.requests("GET tenants/ws-") - before == MAX_CONCURRENT_APPLIES
    })
    .await;
    // All other connections are available.
    let max = usize::try_from(fixture.database.options().get_max_connections()).unwrap();
    let others = (0..max - MAX_CONCURRENT_APPLIES).map(|_| fixture.database.acquire());
    let others = timeout(TIMEOUT, join_all(others))
        .await
        .expect("connections");
    assert!(others.iter().all(Result::is_ok));
    assert_eq!(
        fixture.cluster.requests("GET tenants/ws-") - before,
        MAX_CONCURRENT_APPLIES
    );
    drop(others);
    fixture.cluster.resume_responding();
    for task in tasks {
        // Calls without a permit in time are left to the next pass.
        let _ = task.await.unwrap();
    }
    reconcile::reconcile_all(&fixture.database, &fixture.tenants).await;
    assert_eq!(fixture.cluster.tenant_count(), WORKSPACES);
}

#[tokio::test]
async fn a_renamed_workspace_renames_its_tenant_wherever_a_process_dies() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let workspace = fixture.workspace(user).await;
    let tenant = format!("ws-{}", workspace.id);
    let display_name = || fixture.cluster.tenant(&tenant).unwrap()["spec"]["displayName"].clone();
    let patches = || fixture.cluster.requests(&format!("PATCH tenants/{tenant}"));
    let rename = async |name: &str| {
        store::rename(&fixture.database, &workspace.id, &name.parse().unwrap())
            .await
            .unwrap()
    };
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        0
    );
    assert!(rename("Beta").await);
    // Only the row was written; the API server is disconnected and then reconnects.
    fixture.cluster.disconnect();
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        0
    );
    fixture.cluster.reconnect();
    assert_eq!(display_name(), "Acme");
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        1
    );
    assert_eq!(display_name(), "Beta");
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        0
    );
    // The process died after renaming the Tenant: the next pass finds the name already set.
    let before = patches();
    sqlx::query("UPDATE workspaces SET tenant_display_name = 'Acme'")
        .execute(&fixture.database)
        .await
        .unwrap();
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        1
    );
    assert_eq!(patches(), before);
    // Fields set by other field managers are kept.
    let mut object = fixture.cluster.tenant(&tenant).unwrap();
    object["spec"]["className"] = json!("large");
    object["spec"]["suspend"] = json!(true);
    fixture.cluster.put("tenants", &tenant, object);
    rename("Gamma").await;
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        1
    );
    let object = fixture.cluster.tenant(&tenant).unwrap();
    assert_eq!(object["spec"]["displayName"], "Gamma");
    assert_eq!(object["spec"]["className"], "large");
    assert_eq!(object["spec"]["suspend"], true);
}

#[tokio::test]
async fn a_delayed_rename_does_not_overwrite_a_newer_name() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let workspace = fixture.workspace(user).await;
    let name = TenantName::of(&workspace.id);
    // One process reads the Tenant and is then delayed; meanwhile another sets a newer name.
    let seen = fixture.tenants.observe(&name).await.unwrap().unwrap();
    let older = Workspace {
        name: "Older".to_owned(),
        ..workspace.clone()
    };
    store::rename(&fixture.database, &workspace.id, &"Newer".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        1
    );
    assert_eq!(
        fixture.tenants.rename(&older, seen).await.unwrap(),
        RenameOutcome::Conflict
    );
    let tenant = fixture.cluster.tenant(name.as_str()).unwrap();
    assert_eq!(tenant["spec"]["displayName"], "Newer");
}

#[tokio::test]
async fn renaming_does_not_recreate_a_deleted_tenant() {
    let fixture = Fixture::start().await;
    let user = fixture.user("Ada").await;
    let workspace = fixture.workspace(user).await;
    fixture
        .cluster
        .remove("tenants", &format!("ws-{}", workspace.id));
    store::rename(&fixture.database, &workspace.id, &"Beta".parse().unwrap())
        .await
        .unwrap();
    reconcile::reconcile_all(&fixture.database, &fixture.tenants).await;
    assert_eq!(fixture.cluster.tenant_count(), 0);
    assert_eq!(
        reconcile::reconcile_all(&fixture.database, &fixture.tenants).await,
        0,
        "the row is no longer pending"
    );
}
