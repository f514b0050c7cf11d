//! Forms that another site, another session or nobody made.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};

use crate::browser::{Answer, Browser};
use crate::site::{ORIGIN, Site};

const PATH: &str = "/sign-out/everywhere";

async fn json(browser: &mut Browser, path: &str) -> Answer {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("{}"))
        .unwrap();
    browser.ask(request).await
}

#[tokio::test]
async fn a_form_needs_the_token_of_this_very_session() {
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
        assert!(answer.text.contains("This form can no longer be sent"));
    }
    assert_eq!(ada.get("/account").await.status, StatusCode::OK);
    assert_eq!(ada.post(PATH, &[]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_script_brings_the_token_in_a_header_and_nothing_else_will_do() {
    let site = Site::start().await;
    let mut ada = site.signed_in("Ada").await;
    assert_eq!(json(&mut ada, PATH).await.status, StatusCode::FORBIDDEN);
    let mut wrong = ada.clone().with("x-csrf-token", "AAAA");
    assert_eq!(json(&mut wrong, PATH).await.status, StatusCode::FORBIDDEN);
    // A wrong header is not made good by a right field.
    assert_eq!(wrong.post(PATH, &[]).await.status, StatusCode::FORBIDDEN);
    let token = ada.csrf.clone();
    let mut right = ada.with("x-csrf-token", &token);
    assert_eq!(json(&mut right, PATH).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn what_comes_from_another_site_is_refused_even_with_the_token() {
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
        assert!(answer.text.contains("came from another site"));
    }
    let mut own = ada
        .with("origin", ORIGIN)
        .with("sec-fetch-site", "same-origin");
    assert_eq!(own.post(PATH, &[]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn nobody_can_be_signed_in_by_another_sites_form() {
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
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "another's token");
    assert_eq!(site.count("SELECT count(*) FROM users").await, 0);
}
