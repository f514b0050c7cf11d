//! Pages of a workspace whose database is unavailable.

use axum::http::StatusCode;
use serde_json::json;

use super::site::Site;

/// A condition message for operators.
const MESSAGE: &str = "there is no Secret neon-api-key: put the account's API key there (namespace tenant-system), or correct \
    spec.neon.apiKeySecretRef of TenantClass default";

/// A site with a signed-in user whose Tenant is stalled.
async fn stalled() -> (Site, crate::browser::Browser, String) {
    let site = Site::start().await;
    let ada = site.signed_in("Ada").await;
    let workspace = site.workspace_of(site.user("ada").await).await;
    let name = Site::tenant_name(&workspace.id);
    let mut tenant = site.cluster.tenant(&name).unwrap();
    let generation = tenant["metadata"]["generation"].clone();
    let conditions = ["Stalled", "Ready", "Available"].map(|kind| {
        json!({
            "type": kind,
            "status": if kind == "Stalled" { "True" } else { "False" },
            "reason": "ApiKeyInvalid",
            "message": MESSAGE,
            "observedGeneration": generation,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        })
    });
    tenant["status"] =
        json!({ "phase": "Stalled", "observedGeneration": generation, "conditions": conditions });
    site.cluster.put("tenants", &name, tenant);
    site.until_database(&workspace, |state| {
        matches!(state, Err(app::tenants::Unavailable::Stalled(_)))
    })
    .await;
    (site, ada, format!("/w/{}", workspace.id))
}

#[tokio::test]
async fn no_page_shows_messages_of_the_controller() {
    let (_site, mut ada, base) = stalled().await;
    for path in [
        "provisioning",
        "documents",
        "chat",
        "settings",
        "export",
        "documents/search?q=pump",
    ] {
        let page = ada.get(&format!("{base}/{path}")).await;
        for inside in [
            "neon-api-key",
            "tenant-system",
            "apiKeySecretRef",
            "TenantClass",
        ] {
            assert!(
                !page.text.contains(inside),
                "{path} shows {inside}: {}",
                page.text
            );
        }
    }
    let page = ada.get(&format!("{base}/provisioning")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("ApiKeyInvalid"),
        "the reason for the operator: {}",
        page.text
    );
}

#[tokio::test]
async fn pages_that_need_the_database_link_to_its_status_page() {
    let (_site, mut ada, base) = stalled().await;
    let link = format!("href=\"{base}/provisioning\"");
    for (path, status) in [
        ("chat", StatusCode::SERVICE_UNAVAILABLE),
        ("export", StatusCode::SERVICE_UNAVAILABLE),
        ("documents", StatusCode::OK),
        ("settings", StatusCode::OK),
    ] {
        let page = ada.get(&format!("{base}/{path}")).await;
        assert_eq!(page.status, status, "{path}");
        assert!(page.text.contains(&link), "{path}: {}", page.text);
    }
    let documents = ada.get(&format!("{base}/documents")).await;
    assert!(
        documents.text.contains("callout warning"),
        "{}",
        documents.text
    );
    let fragment = ada
        .with("hx-request", "true")
        .get(&format!("{base}/chat"))
        .await;
    assert!(fragment.text.contains(&link), "{}", fragment.text);
}

#[tokio::test]
async fn the_documents_page_shows_the_database_status_only_while_it_is_unavailable() {
    let site = Site::start().await;
    let mut ada = site.signed_in("Ada").await;
    let workspace = site.workspace_of(site.user("ada").await).await;
    let path = format!("/w/{}/documents", workspace.id);
    let before = ada.get(&path).await;
    assert!(
        !before.text.contains("<div id=\"database-status\"></div>"),
        "{}",
        before.text
    );
    // The status polls and must not open an event stream: each replacement of the element would
    // open another one.
    let (_, note) = before.text.split_once("id=\"database-status\"").unwrap();
    let (note, _) = note.split_once("/provisioning").unwrap();
    assert!(
        note.contains("hx-trigger=\"every ") && !note.contains("sse-connect"),
        "{note}"
    );
    site.cluster.make_available(
        &Site::tenant_name(&workspace.id),
        "secret",
        app::tenants::MIN_SCHEMA_VERSION,
    );
    site.until_database(&workspace, Result::is_ok).await;
    let after = ada.get(&path).await;
    assert!(
        after.text.contains("<div id=\"database-status\"></div>"),
        "{}",
        after.text
    );
}
