//! CSRF tokens, and the headers of all responses.

use app::web::router::routes;
use axum::http::{Method, StatusCode};

use super::{FIELDS, Matrix, fill, send};

#[tokio::test]
async fn routes_that_change_state_require_a_csrf_token() {
    let matrix = Matrix::start().await;
    let mut tried = 0;
    for route in routes()
        .into_iter()
        .filter(|route| route.method != Method::GET)
    {
        let path = fill(route.path, |name| match name {
            "token" => "AAAA".to_owned(),
            "session" => uuid::Uuid::new_v4().to_string(),
            "workspace" => matrix.a.id.to_string(),
            _ => matrix.of_b.document.to_string(),
        });
        let answer = matrix.alice.clone().post_bare(&path, &FIELDS).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route:?}");
        assert!(answer.text.contains("csrf"), "{route:?}");
        tried += 1;
    }
    assert!(tried >= 15, "only {tried} requests");
}

#[tokio::test]
async fn every_response_has_security_and_rate_limit_headers() {
    let matrix = Matrix::start().await;
    for route in routes() {
        let path = fill(route.path, |name| match name {
            "workspace" => matrix.a.id.to_string(),
            "token" | "file" => "AAAA".to_owned(),
            _ => uuid::Uuid::new_v4().to_string(),
        });
        let anonymous = matrix.site.browser();
        let answer = send(&anonymous, &route, &path).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{route:?}: {policy}"
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{route:?}");
        }
        for name in [
            "permissions-policy",
            "ratelimit-limit",
            "ratelimit-remaining",
            "ratelimit-reset",
            "cache-control",
            "x-request-id",
        ] {
            assert!(!answer.header(name).is_empty(), "{route:?}: {name}");
        }
    }
}
