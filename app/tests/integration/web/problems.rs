//! Error responses.

use std::time::Duration;

use app::web::shared::App;
use app::web::shared::route::{Access, Route};
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use futures::StreamExt as _;

use super::site::Site;

#[tokio::test]
async fn a_404_is_a_page_a_fragment_or_json() {
    let site = Site::start().await;
    let browser = site.browser();
    let page = browser.clone().get("/nothing/here").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text.starts_with("<!DOCTYPE html>"), "{}", page.text);
    let request_id = page.header("x-request-id");
    assert!(!request_id.is_empty() && page.text.contains(request_id));
    let fragment = browser.clone().with("hx-request", "true").get("/no").await;
    assert!(
        fragment.text.starts_with("<div") && fragment.text.contains("role=\"alert\""),
        "{}",
        fragment.text
    );
    let json = browser.with("accept", "application/json").get("/no").await;
    let value: serde_json::Value = serde_json::from_str(&json.text).unwrap();
    assert_eq!(value["code"], "not_found");
    assert_eq!(value["status"], 404);
}

#[tokio::test]
async fn error_pages_show_the_navigation_of_signed_in_users() {
    let site = Site::start().await;
    let mut ada = site.signed_in("Ada").await;
    for path in ["/nope", "/documents", "/receipts/abc", "/assets/none.css"] {
        let page = ada.get(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(
            page.text.contains("href=\"/account\""),
            "{path}: {}",
            page.text
        );
        assert!(!page.text.contains("href=\"/sign-in\""), "{path}");
        let anonymous = site.browser().get(path).await;
        assert!(anonymous.text.contains("href=\"/sign-in\""), "{path}");
    }
}

#[tokio::test]
async fn requests_without_a_session_lead_to_the_sign_in_page_in_the_accepted_format() {
    let site = Site::start().await;
    let browser = site.browser();
    let page = browser.clone().get("/account?x=1").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(page.location(), "/sign-in?return_to=/account%3Fx%3D1");
    let mut htmx = browser.clone().with("hx-request", "true").with(
        "hx-current-url",
        "http://127.0.0.1:8000/w/abcdefghijkl/chat?q=1",
    );
    let fragment = htmx.get("/account").await;
    assert_eq!(fragment.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        fragment.header("hx-redirect"),
        "/sign-in?return_to=/w/abcdefghijkl/chat%3Fq%3D1"
    );
    let script = browser
        .with("accept", "text/event-stream")
        .get("/account")
        .await;
    assert_eq!(script.status, StatusCode::UNAUTHORIZED);
    assert!(script.text.contains("signed_out"), "{}", script.text);
}

#[tokio::test]
async fn an_unsupported_method_responds_with_an_error_page() {
    let site = Site::start().await;
    let answer = site.browser().post("/account", &[]).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.text.starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_rejected_with_and_without_content_length() {
    let site = Site::start().await;
    let mut browser = site.signed_in("Ada").await;
    let long = "a".repeat(70 * 1024);
    let answer = browser.post("/sign-out", &[("x", &long)]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let chunk = "a".repeat(40 * 1024);
    let chunks = futures::stream::iter([chunk.clone(), chunk]).map(Ok::<_, std::io::Error>);
    let request = Request::post("/sign-out")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from_stream(chunks))
        .unwrap();
    let answer = browser.ask(request).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

async fn hangs() -> &'static str {
    std::future::pending().await
}

async fn reads_the_database(State(app): State<App>) -> Result<String, app::web::shared::Problem> {
    let one: i32 = sqlx::query_scalar("SELECT 1")
        .fetch_one(&app.database)
        .await?;
    Ok(one.to_string())
}

async fn site_with_test_routes() -> Site {
    let routes = vec![
        Route::get("/panics", Access::Public, panics),
        Route::get("/hangs", Access::Public, hangs),
        Route::get("/reads", Access::Public, reads_the_database),
    ];
    Site::of(&["--request-timeout=1s"], Some(routes)).await
}

#[tokio::test]
async fn a_panic_ends_only_its_own_request() {
    let site = site_with_test_routes().await;
    let mut browser = site.browser();
    let answer = browser.get("/panics").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.text.contains("on purpose"), "{}", answer.text);
    assert!(answer.text.contains(answer.header("x-request-id")));
    assert_eq!(browser.get("/reads").await.status, StatusCode::OK);
    let metrics = site.app.metrics.encode().unwrap();
    assert!(metrics.contains("chat_app_http_panics_total 1"));
}

#[tokio::test]
async fn a_handler_that_hangs_times_out() {
    let answer = site_with_test_routes().await.browser().get("/hangs").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn an_unavailable_database_responds_with_503() {
    let site = site_with_test_routes().await;
    let closing = tokio::time::timeout(Duration::from_secs(10), site.app.database.close());
    closing.await.unwrap();
    let answer = site.browser().get("/reads").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "5");
    assert!(answer.text.contains("unavailable"), "{}", answer.text);
}
