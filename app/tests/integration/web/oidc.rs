//! OpenID sign-in: the successful flow, and invalid responses of the provider.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::issuer::{CLIENT_ID, CLIENT_SECRET, Issuer};
use super::site::Site;
use crate::browser::{Answer, Browser};

async fn site(issuer: &str) -> (Site, tempfile::NamedTempFile) {
    site_with(issuer, &[]).await
}

/// An app whose users sign in with this provider, and the file with its client secret.
pub(crate) async fn site_with(issuer: &str, flags: &[&str]) -> (Site, tempfile::NamedTempFile) {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), CLIENT_SECRET).unwrap();
    let own = [
        "--auth-mode=oidc".to_owned(),
        format!("--oidc-issuer={issuer}"),
        format!("--oidc-client-id={CLIENT_ID}"),
        format!("--oidc-client-secret-file={}", secret.path().display()),
        "--rate-limit-sign-ins=1000/1m,1000/1m".to_owned(),
    ];
    let flags: Vec<&str> = own
        .iter()
        .map(String::as_str)
        .chain(flags.iter().copied())
        .collect();
    (Site::with(&flags).await, secret)
}

/// Starts a sign-in and consents at the provider. Returns the URL to which the provider redirects.
async fn authorize(
    issuer: &Issuer,
    browser: &mut Browser,
    change: impl FnOnce(&mut Value),
) -> String {
    let start = browser.get("/sign-in/start?return_to=%2Faccount").await;
    assert_eq!(start.status, StatusCode::SEE_OTHER, "{}", start.text);
    issuer.consent(start.location(), change)
}

async fn sign_in(
    issuer: &Issuer,
    browser: &mut Browser,
    change: impl FnOnce(&mut Value),
) -> Answer {
    let back = authorize(issuer, browser, change).await;
    browser.get(&back).await
}

/// Makes the claims of a token invalid.
type Tamper = fn(&mut Value);

fn is_signed_in(browser: &Browser) -> bool {
    browser.cookies.contains_key("session")
}

#[tokio::test]
async fn a_successful_sign_in_returns_to_the_requested_page() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site(&issuer.url).await;
    let mut browser = site.browser();
    let page = browser.get("/sign-in?return_to=/account").await;
    assert!(
        page.text.contains("/sign-in/start?return_to=%2Faccount"),
        "{}",
        page.text
    );
    let answer = sign_in(&issuer, &mut browser, |_| {}).await;
    assert_eq!(answer.location(), "/account", "{}", answer.text);
    let account = browser.get("/account").await;
    for text in ["Ada Lovelace", "ada@example.com", "person-1", &issuer.url] {
        assert!(account.text.contains(text), "{text}");
    }
    assert_eq!(site.count("SELECT count(*) FROM sign_ins").await, 0);
    assert_eq!(site.count("SELECT count(*) FROM workspaces").await, 1);
}

#[tokio::test]
async fn the_subject_identifies_a_user_and_the_address_does_not() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site(&issuer.url).await;
    let mut ada = site.browser();
    sign_in(&issuer, &mut ada, |_| {}).await;
    let mut again = site.browser();
    sign_in(&issuer, &mut again, |claims| {
        claims["email"] = json!("new@example.com");
    })
    .await;
    assert_eq!(site.count("SELECT count(*) FROM users").await, 1);
    let mut mallory = site.browser();
    let answer = sign_in(&issuer, &mut mallory, |claims| {
        claims["sub"] = json!("person-2");
        claims["email_verified"] = json!(false);
    })
    .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(site.count("SELECT count(*) FROM users").await, 2);
    let verified = "SELECT count(*) FROM users WHERE email_verified";
    assert_eq!(site.count(verified).await, 1);
    assert_eq!(mallory.get("/account").await.status, StatusCode::OK);
}

#[tokio::test]
async fn tokens_with_invalid_claims_are_rejected() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site(&issuer.url).await;
    let tampered: [(&str, Tamper); 8] = [
        ("another nonce", |claims| claims["nonce"] = json!("other")),
        ("no nonce", |claims| claims["nonce"] = Value::Null),
        ("another audience", |claims| {
            claims["aud"] = json!("other-app");
        }),
        ("a second audience", |claims| {
            claims["aud"] = json!([CLIENT_ID, "other-app"]);
        }),
        ("another issuer", |claims| {
            claims["iss"] = json!("https://evil.example");
        }),
        ("expired", |claims| {
            claims["exp"] = json!(claims["iat"].as_i64().unwrap() - 120);
        }),
        ("from the future", |claims| {
            claims["iat"] = json!(claims["iat"].as_i64().unwrap() + 3600);
        }),
        ("made long ago", |claims| {
            claims["iat"] = json!(claims["iat"].as_i64().unwrap() - 3600);
        }),
    ];
    for (what, change) in tampered {
        let mut browser = site.browser();
        let answer = sign_in(&issuer, &mut browser, change).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
        assert!(answer.text.contains("role=\"alert\""), "{what}");
        assert!(!is_signed_in(&browser), "{what}");
    }
    assert_eq!(site.count("SELECT count(*) FROM users").await, 0);
}

#[tokio::test]
async fn a_clock_skew_of_one_minute_is_tolerated() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site(&issuer.url).await;
    let mut browser = site.browser();
    sign_in(&issuer, &mut browser, |claims| {
        let issued_at = claims["iat"].as_i64().unwrap();
        claims["iat"] = json!(issued_at + 30);
        claims["exp"] = json!(issued_at - 30);
    })
    .await;
    assert!(is_signed_in(&browser));
}

#[tokio::test]
async fn tokens_with_invalid_signatures_are_rejected() {
    for forge in [Issuer::forge, Issuer::sign_nothing] {
        let issuer = Issuer::start().await;
        let (site, _secret) = site(&issuer.url).await;
        forge(&issuer);
        let mut browser = site.browser();
        let answer = sign_in(&issuer, &mut browser, |_| {}).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(!is_signed_in(&browser));
    }
}

#[tokio::test]
async fn unknown_keys_cause_a_limited_number_of_key_fetches() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site(&issuer.url).await;
    sign_in(&issuer, &mut site.browser(), |_| {}).await;
    assert_eq!(issuer.key_fetches(), 1);
    issuer.rotate("second");
    let mut browser = site.browser();
    sign_in(&issuer, &mut browser, |_| {}).await;
    assert!(is_signed_in(&browser));
    assert_eq!(issuer.key_fetches(), 2);
    issuer.forge();
    for _ in 0..3 {
        sign_in(&issuer, &mut site.browser(), |_| {}).await;
    }
    assert_eq!(issuer.key_fetches(), 2);
}

#[tokio::test]
async fn a_response_works_once_in_its_browser_with_its_state() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site(&issuer.url).await;
    let mut browser = site.browser();
    let back = authorize(&issuer, &mut browser, |_| {}).await;

    let mut elsewhere = site.browser();
    elsewhere.get("/sign-in").await;
    let (path, _) = back.split_once("&state=").unwrap();
    let wrong_state = format!("{path}&state=AAAA");
    for (browser, path) in [
        (&elsewhere, back.as_str()),
        (&browser, path),
        (&browser, &wrong_state),
    ] {
        let mut browser = browser.clone();
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.text.contains("role=\"alert\""), "{}", answer.text);
        assert!(!is_signed_in(&browser));
    }

    let answer = browser.get(&back).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let replay = browser.clone().get(&back).await;
    assert_eq!(replay.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.count("SELECT count(*) FROM sessions").await, 1);
}

#[tokio::test]
async fn an_expired_sign_in_is_rejected() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site(&issuer.url).await;
    let mut browser = site.browser();
    let back = authorize(&issuer, &mut browser, |_| {}).await;
    site.execute("UPDATE sign_ins SET expires_at = now()").await;
    assert_eq!(browser.get(&back).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn denied_and_mixed_up_responses_are_rejected() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site(&issuer.url).await;
    let mut browser = site.browser();
    let back = authorize(&issuer, &mut browser, |_| {}).await;
    let (_, state) = back.split_once("&state=").unwrap();
    let path = format!("/sign-in/callback?error=access_denied&state={state}");
    let answer = browser.get(&path).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("role=\"alert\""));
    let mixed = authorize(&issuer, &mut browser, |_| {}).await;
    let answer = browser
        .get(&format!("{mixed}&iss=https%3A%2F%2Fevil.example"))
        .await;
    assert_eq!(
        answer.status,
        StatusCode::BAD_REQUEST,
        "response of another issuer"
    );
}

#[tokio::test]
async fn sign_in_works_again_after_the_provider_was_unreachable() {
    let issuer = Issuer::start().await;
    let address = issuer.url.trim_start_matches("http://").parse().unwrap();
    let url = issuer.url.clone();
    drop(issuer);
    let (site, _secret) = site(&url).await;
    let mut browser = site.browser();
    let answer = browser.get("/sign-in/start").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.text.contains("role=\"alert\""));
    let issuer = Issuer::at(address).await;
    sign_in(&issuer, &mut browser, |_| {}).await;
    assert!(is_signed_in(&browser));
}

#[tokio::test]
async fn local_sign_in_is_unavailable_with_a_provider() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site(&issuer.url).await;
    let mut browser = site.browser();
    browser.get("/sign-in").await;
    let token: app::identity::Token = browser.cookies["anonymous"].parse().unwrap();
    token.csrf().as_str().clone_into(&mut browser.csrf);
    let answer = browser.post("/sign-in/local", &[("name", "Ada")]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
