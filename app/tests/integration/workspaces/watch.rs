//! The watches, and availability during an outage of the API server.

use std::pin::pin;

use app::tenants::{TenantName, Unavailable};
use futures::StreamExt as _;
use test_support::wait::until_true;
use tokio::time::timeout;

use crate::fixture::{Fixture, TIMEOUT};

#[tokio::test]
async fn a_subscriber_sees_a_tenant_become_available_and_be_deleted() {
    let fixture = Fixture::start().await;
    let workspace = fixture.workspace(fixture.user("Ada").await).await;
    let name = TenantName::of(&workspace.id);
    let mut changes = pin!(fixture.tenants.changes(&name));
    fixture.cluster.make_available(name.as_str(), "secret", 2);
    let view = loop {
        let view = timeout(TIMEOUT, changes.next()).await.expect("in time");
        if let Some(view) = view.expect("no end").filter(|view| view.is_available) {
            break view;
        }
    };
    assert_eq!(view.timings.ready_ms, Some(900));
    assert!(fixture.tenants.available(&workspace).is_ok());
    fixture.cluster.remove("tenants", name.as_str());
    let last = timeout(TIMEOUT, changes.next()).await.expect("in time");
    assert_eq!(last, Some(None));
}

#[tokio::test]
async fn during_an_api_server_outage_cached_tenants_stay_available_and_the_status_reports_it() {
    let fixture = Fixture::start().await;
    let workspace = fixture.workspace(fixture.user("Ada").await).await;
    let name = TenantName::of(&workspace.id);
    fixture.cluster.make_available(name.as_str(), "secret", 2);
    fixture
        .wait_for_tenant(&workspace.id, |view| {
            view.is_some_and(|view| view.is_available)
        })
        .await;
    assert_eq!(fixture.tenants.watch_status().disconnected_since, None);
    fixture.cluster.disconnect();
    until_true("the watch to disconnect", || async {
        fixture.tenants.watch_status().disconnected_since.is_some()
    })
    .await;
    assert!(fixture.tenants.available(&workspace).is_ok());
    // Changes during the outage are seen after reconnecting.
    fixture.cluster.remove("tenants", name.as_str());
    fixture.cluster.reconnect();
    fixture
        .wait_for_tenant(&workspace.id, |view| view.is_none())
        .await;
    until_true("the watch to reconnect", || async {
        fixture.tenants.watch_status().disconnected_since.is_none()
    })
    .await;
}

#[tokio::test]
async fn a_database_with_an_outdated_schema_is_unavailable_until_updated() {
    let fixture = Fixture::start().await;
    let workspace = fixture.workspace(fixture.user("Ada").await).await;
    let name = format!("ws-{}", workspace.id);
    fixture.cluster.make_available(&name, "secret", 1);
    fixture
        .wait_for_tenant(&workspace.id, |view| {
            view.is_some_and(|view| view.is_available)
        })
        .await;
    assert_eq!(
        fixture.tenants.available(&workspace).map(|_| ()),
        Err(Unavailable::SchemaOutdated {
            version: Some(1),
            required: 2
        })
    );
    // Neon sees no connection, so only the app can report the use that a rollout may wait for.
    until_true("the record of the use", || async {
        let tenant = fixture.cluster.tenant(&name).expect("a Tenant");
        tenant["metadata"]["annotations"]["dbpertenant.dev/used-at"].is_string()
    })
    .await;
    fixture.cluster.make_available(&name, "secret", 3);
    until_true("the newer schema", || async {
        fixture.tenants.available(&workspace).is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_reconcile_is_requested_at_most_once_a_minute() {
    let fixture = Fixture::start().await;
    let workspace = fixture.workspace(fixture.user("Ada").await).await;
    let name = TenantName::of(&workspace.id);
    fixture
        .wait_for_tenant(&workspace.id, |view| view.is_some())
        .await;
    let view = fixture.tenants.view(&name).unwrap();
    let before = fixture.cluster.requests("PATCH tenants/");
    for _ in 0..5 {
        fixture.tenants.request_reconcile(&view).await;
    }
    assert_eq!(fixture.cluster.requests("PATCH tenants/"), before + 1);
    let tenant = fixture.cluster.tenant(name.as_str()).unwrap();
    assert!(tenant["metadata"]["annotations"]["dbpertenant.dev/reconcile-at"].is_string());
}
