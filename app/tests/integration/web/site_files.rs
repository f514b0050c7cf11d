//! The files that browsers and search engines request by a fixed name.

use axum::http::StatusCode;
use serde_json::Value;

use super::site::Site;

#[tokio::test]
async fn browsers_find_the_icon_the_manifest_and_the_rules_for_search_engines() {
    let site = Site::start().await;
    let mut browser = site.browser();
    let icon = browser.get("/favicon.ico").await;
    assert_eq!(icon.status, StatusCode::OK);
    assert_eq!(icon.header("content-type"), "image/x-icon");
    let robots = browser.get("/robots.txt").await;
    assert_eq!(robots.status, StatusCode::OK);
    assert!(robots.text.lines().any(|line| line == "Disallow: /"));
    let manifest = browser.get("/manifest.webmanifest").await;
    assert_eq!(manifest.header("content-type"), "application/manifest+json");
    let manifest: Value = serde_json::from_str(&manifest.text).expect("JSON");
    let icons = manifest["icons"].as_array().expect("icons");
    assert!(!icons.is_empty());
    for icon in icons {
        let response = browser.get(icon["src"].as_str().expect("a path")).await;
        assert_eq!(response.status, StatusCode::OK, "{icon}");
        assert_eq!(response.header("content-type"), icon["type"], "{icon}");
    }
    let page = browser.get("/").await;
    assert!(page.text.contains("href=\"/manifest.webmanifest\""));
    assert!(
        page.header("content-security-policy")
            .contains("manifest-src 'self'")
    );
}
