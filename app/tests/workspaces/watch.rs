//! What the watches tell, and what is known while the API server is away.

use std::pin::pin;

use app::tenants::{TenantName, Unavailable};
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::world::{SOON, World, until};

#[tokio::test]
async fn a_page_that_follows_a_tenant_sees_it_come_up_and_go() {
    let world = World::start().await;
    let workspace = world.workspace(world.user("Ada").await).await;
    let name = TenantName::of(&workspace.id);
    let mut changes = pin!(world.tenants.changes(&name));
    world.cluster.make_available(name.as_str(), "secret", 2);
    let view = loop {
        let view = timeout(SOON, changes.next()).await.expect("in time");
        if let Some(view) = view.expect("no end").filter(|view| view.is_available) {
            break view;
        }
    };
    assert_eq!(view.timings.ready_ms, Some(900));
    assert!(world.tenants.available(&workspace).is_ok());
    world.cluster.take("tenants", name.as_str());
    let last = timeout(SOON, changes.next()).await.expect("in time");
    assert_eq!(last, Some(None));
}

#[tokio::test]
async fn while_the_api_server_is_away_what_was_known_still_serves_and_readiness_says_so() {
    let world = World::start().await;
    let workspace = world.workspace(world.user("Ada").await).await;
    let name = TenantName::of(&workspace.id);
    world.cluster.make_available(name.as_str(), "secret", 2);
    world
        .until_seen(&workspace.id, |view| {
            view.is_some_and(|view| view.is_available)
        })
        .await;
    assert_eq!(world.tenants.watch_status().disconnected_since, None);
    world.cluster.goes_away();
    until("the interruption", || async {
        world.tenants.watch_status().disconnected_since.is_some()
    })
    .await;
    assert!(world.tenants.available(&workspace).is_ok());
    // What happens meanwhile is seen when it is back.
    world.cluster.take("tenants", name.as_str());
    world.cluster.comes_back();
    world.until_seen(&workspace.id, |view| view.is_none()).await;
    until("good news", || async {
        world.tenants.watch_status().disconnected_since.is_none()
    })
    .await;
}

#[tokio::test]
async fn an_old_schema_is_waited_for() {
    let world = World::start().await;
    let workspace = world.workspace(world.user("Ada").await).await;
    let name = format!("ws-{}", workspace.id);
    world.cluster.make_available(&name, "secret", 1);
    world
        .until_seen(&workspace.id, |view| {
            view.is_some_and(|view| view.is_available)
        })
        .await;
    assert_eq!(
        world.tenants.available(&workspace).map(|_| ()),
        Err(Unavailable::SchemaOutdated {
            has: Some(1),
            needs: 2
        })
    );
    world.cluster.make_available(&name, "secret", 3);
    until("the newer schema", || async {
        world.tenants.available(&workspace).is_ok()
    })
    .await;
}

#[tokio::test]
async fn the_controller_is_asked_to_look_once_a_minute_and_not_for_another_tenant() {
    let world = World::start().await;
    let workspace = world.workspace(world.user("Ada").await).await;
    let name = TenantName::of(&workspace.id);
    world.until_seen(&workspace.id, |view| view.is_some()).await;
    let view = world.tenants.view(&name).unwrap();
    let before = world.cluster.requests("PATCH tenants/");
    for _ in 0..5 {
        world.tenants.request_reconcile(&view).await;
    }
    assert_eq!(world.cluster.requests("PATCH tenants/"), before + 1);
    let tenant = world.cluster.tenant(name.as_str()).unwrap();
    assert!(tenant["metadata"]["annotations"]["dbpertenant.dev/reconcile-at"].is_string());
}
