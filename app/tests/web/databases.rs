//! A workspace whose database cannot be used: what its people read, and where every page leads them.

use axum::http::StatusCode;
use serde_json::json;

use crate::site::Site;

/// As the controller says it to whoever may read the cluster.
const MESSAGE: &str = "there is no Secret neon-api-key: put the account's API key there (namespace tenant-system), or correct \
    spec.neon.apiKeySecretRef of TenantClass default";

/// The site, with a signed-in person whose Tenant the controller has given up until somebody mends something.
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
    site.until_database(&workspace, |seen| {
        matches!(seen, Err(app::tenants::Unavailable::Stalled(_)))
    })
    .await;
    (site, ada, format!("/w/{}", workspace.id))
}

#[tokio::test]
async fn no_page_shows_the_cluster_s_insides_to_whoever_waits_for_a_database() {
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
        page.text.contains("renew its key to the database account"),
        "{}",
        page.text
    );
    assert!(
        page.text.contains("ApiKeyInvalid"),
        "what the operator is told: {}",
        page.text
    );
}

#[tokio::test]
async fn every_page_that_needs_the_database_leads_to_the_one_that_says_how_it_is() {
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
        documents.text.contains("The database is held up."),
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
async fn a_database_that_can_be_used_is_not_spoken_of_above_the_documents() {
    let site = Site::start().await;
    let mut ada = site.signed_in("Ada").await;
    let workspace = site.workspace_of(site.user("ada").await).await;
    let path = format!("/w/{}/documents", workspace.id);
    let before = ada.get(&path).await;
    assert!(
        before.text.contains("The database is not there yet."),
        "{}",
        before.text
    );
    // What is swapped away holds no stream: it would speak at once to the line that comes in its place, and so on for ever.
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
