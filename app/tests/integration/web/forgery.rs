//! CSRF protection: forms of other sites, of other sessions and without a token.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};

use super::site::{ORIGIN, Site};
use crate::browser::{Answer, Browser};

const PATH: &str = "/sign-out/everywhere";

async fn json(browser: &mut Browser, path: &str) -> Answer {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("{}"))
        .unwrap();
    browser.ask(request).await
}

#[tokio::test]
async fn a_form_requires_the_token_of_its_session() {
    let site = Site::start().await;
    let mut ada = site.signed_in("Ada").await;
    let other = site.signed_in("Ada").await;
    for fields in [
        &[][..],
        &[("csrf", "")],
        &[("csrf", other.csrf.as_str())],
        &[("csrf", "AAAA")],
    ] {
        let answer = ada.post_bare(PATH, fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{fields:?}");
        assert!(answer.text.contains("csrf"));
    }
    assert_eq!(ada.get("/account").await.status, StatusCode::OK);
    assert_eq!(ada.post(PATH, &[]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn json_requests_require_the_token_in_a_header() {
    let site = Site::start().await;
    let mut ada = site.signed_in("Ada").await;
    assert_eq!(json(&mut ada, PATH).await.status, StatusCode::FORBIDDEN);
    let mut wrong = ada.clone().with("x-csrf-token", "AAAA");
    assert_eq!(json(&mut wrong, PATH).await.status, StatusCode::FORBIDDEN);
    // A correct form field does not compensate for a wrong header.
    assert_eq!(wrong.post(PATH, &[]).await.status, StatusCode::FORBIDDEN);
    let token = ada.csrf.clone();
    let mut right = ada.with("x-csrf-token", &token);
    assert_eq!(json(&mut right, PATH).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn cross_site_requests_are_rejected_even_with_a_token() {
    let site = Site::start().await;
    let ada = site.signed_in("Ada").await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = ada.clone().with(name, value).post(PATH, &[]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert!(answer.text.contains("cross_site"));
    }
    let mut own = ada
        .with("origin", ORIGIN)
        .with("sec-fetch-site", "same-origin");
    assert_eq!(own.post(PATH, &[]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_form_of_another_site_cannot_sign_a_user_in() {
    let site = Site::start().await;
    let mut victim = site.browser();
    let fields = [("name", "Mallory")];
    let answer = victim.post("/sign-in/local", &fields).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "no cookie, no token");
    let mut attacker = site.browser();
    let page = attacker.get("/sign-in").await;
    let token = page.token();
    victim.get("/sign-in").await;
    victim.csrf = token;
    let answer = victim.post("/sign-in/local", &fields).await;
    assert_eq!(
        answer.status,
        StatusCode::FORBIDDEN,
        "the token of another browser"
    );
    assert_eq!(site.count("SELECT count(*) FROM users").await, 0);
}
