//! Who may sign in and create an account, by the settings.

use app::domain::Role;
use app::identity::Token;
use app::workspaces::invitations;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::issuer::Issuer;
use super::oidc::site_with;
use super::site::Site;
use crate::browser::{Answer, Browser};

/// Signs in as the person with this address, and returns to a path.
async fn sign_in(
    issuer: &Issuer,
    browser: &mut Browser,
    email: &str,
    return_to: &str,
    change: impl FnOnce(&mut Value),
) -> Answer {
    let start = browser
        .get(&format!("/sign-in/start?return_to={return_to}"))
        .await;
    let back = issuer.consent(start.location(), |claims| {
        claims["sub"] = json!(email);
        claims["email"] = json!(email);
        change(claims);
    });
    browser.get(&back).await
}

async fn invitation(site: &Site, owner_subject: &str) -> String {
    let owner = site.user(owner_subject).await;
    let workspace = site.workspace_of(owner).await;
    let token = Token::random();
    invitations::create(
        &site.app.database,
        &workspace.id,
        owner,
        Role::Member,
        &token,
    )
    .await
    .unwrap();
    format!("/invitations/{}", token.reveal())
}

async fn counts(site: &Site) -> (i64, i64) {
    (
        site.count("SELECT count(*) FROM users").await,
        site.count("SELECT count(*) FROM workspaces").await,
    )
}

#[tokio::test]
async fn an_invitation_creates_one_account_and_no_workspace() {
    let issuer = Issuer::start().await;
    let flags = ["--sign-up=invited", "--first-owners=Ada@Example.com"];
    let (site, _secret) = site_with(&issuer.url, &flags).await;
    let grace = "grace@example.org";
    let refused = sign_in(&issuer, &mut site.browser(), grace, "/", |_| {}).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.text.contains("choose_account=true"),
        "{}",
        refused.text
    );
    let unverified = sign_in(
        &issuer,
        &mut site.browser(),
        "ada@example.com",
        "/",
        |claims| {
            claims["email_verified"] = json!(false);
        },
    )
    .await;
    assert_eq!(unverified.status, StatusCode::FORBIDDEN);
    assert_eq!(counts(&site).await, (0, 0));

    let mut ada = site.browser();
    let owner = sign_in(&issuer, &mut ada, "ada@example.com", "/", |_| {}).await;
    assert_eq!(owner.status, StatusCode::SEE_OTHER, "{}", owner.text);
    assert_eq!(counts(&site).await, (1, 1));

    let link = invitation(&site, "ada@example.com").await;
    let mut browser = site.browser();
    let joined = sign_in(&issuer, &mut browser, grace, &link, |_| {}).await;
    assert_eq!(joined.status, StatusCode::SEE_OTHER, "{}", joined.text);
    assert_eq!(browser.get(joined.location()).await.status, StatusCode::OK);
    assert_eq!(counts(&site).await, (2, 1));
    // The link is used up, and an account needs no invitation to sign in again.
    let second = sign_in(
        &issuer,
        &mut site.browser(),
        "eve@example.org",
        &link,
        |_| {},
    )
    .await;
    assert_eq!(second.status, StatusCode::FORBIDDEN);
    let unknown = format!("/invitations/{}", Token::random().reveal());
    let invented = sign_in(
        &issuer,
        &mut site.browser(),
        "eve@example.org",
        &unknown,
        |_| {},
    )
    .await;
    assert_eq!(invented.status, StatusCode::FORBIDDEN);
    let again = sign_in(&issuer, &mut site.browser(), grace, "/account", |_| {}).await;
    assert_eq!(again.location(), "/account", "{}", again.text);
    assert_eq!(counts(&site).await, (2, 1));
}

#[tokio::test]
async fn while_sign_up_is_closed_only_existing_accounts_sign_in() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site_with(
        &issuer.url,
        &["--sign-up=closed", "--first-owners=ada@example.com"],
    )
    .await;
    let refused = sign_in(&issuer, &mut site.browser(), "ada@example.com", "/", |_| {}).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(counts(&site).await, (0, 0));
    let issuer_url = issuer.url.clone();
    sqlx::query(
        "WITH added AS (INSERT INTO users (id, display_name) VALUES (gen_random_uuid(), 'Ada') RETURNING id)
         INSERT INTO identities (issuer, subject, user_id) SELECT $1, 'ada@example.com', id FROM added",
    )
    .bind(issuer_url)
    .execute(&site.app.database)
    .await
    .unwrap();
    let known = sign_in(
        &issuer,
        &mut site.browser(),
        "ada@example.com",
        "/account",
        |_| {},
    )
    .await;
    assert_eq!(known.location(), "/account", "{}", known.text);
}

#[tokio::test]
async fn only_verified_addresses_of_the_allowed_domains_sign_in() {
    let issuer = Issuer::start().await;
    let flags = [
        "--sign-up=open",
        "--allowed-email-domains=example.com, b\u{fc}cher.example",
    ];
    let (site, _secret) = site_with(&issuer.url, &flags).await;
    for (email, verified) in [
        ("ada@example.org", true),
        ("ada@mail.example.com", true),
        ("ada@example.com.example.org", true),
        ("ada@example.com", false),
        ("", true),
        ("example.com", true),
    ] {
        let answer = sign_in(&issuer, &mut site.browser(), email, "/", |claims| {
            claims["sub"] = json!("someone");
            claims["email_verified"] = json!(verified);
        })
        .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{email} {verified}");
        assert!(answer.text.contains("@example.com"), "{}", answer.text);
    }
    assert_eq!(counts(&site).await, (0, 0));
    for email in ["Ada@EXAMPLE.com", "grace@xn--bcher-kva.example"] {
        let answer = sign_in(&issuer, &mut site.browser(), email, "/", |_| {}).await;
        assert_eq!(
            answer.status,
            StatusCode::SEE_OTHER,
            "{email}: {}",
            answer.text
        );
    }
    // The domain is checked at every sign-in, not only at the first.
    let moved = sign_in(
        &issuer,
        &mut site.browser(),
        "Ada@EXAMPLE.com",
        "/",
        |claims| {
            claims["email"] = json!("ada@example.org");
        },
    )
    .await;
    assert_eq!(moved.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_session_ends_when_the_domain_of_its_user_is_no_longer_allowed() {
    let issuer = Issuer::start().await;
    let flags = ["--sign-up=open", "--allowed-email-domains=example.com"];
    let (site, _secret) = site_with(&issuer.url, &flags).await;
    let mut ada = site.browser();
    sign_in(&issuer, &mut ada, "ada@example.com", "/", |_| {}).await;
    assert_eq!(ada.get("/account").await.status, StatusCode::OK);
    // What the users table would contain if another domain had been allowed at the sign-in.
    for (email, verified) in [("ada@example.org", true), ("ada@example.com", false)] {
        sqlx::query("UPDATE users SET email = $1, email_verified = $2")
            .bind(email)
            .bind(verified)
            .execute(&site.app.database)
            .await
            .unwrap();
        let answer = ada.get("/account").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{email} {verified}");
        assert!(
            answer.location().starts_with("/sign-in"),
            "{}",
            answer.location()
        );
    }
}

#[tokio::test]
async fn the_number_of_workspaces_in_all_is_limited() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site_with(&issuer.url, &["--max-workspaces=2"]).await;
    let mut ada = site.browser();
    sign_in(&issuer, &mut ada, "ada@example.com", "/", |_| {}).await;
    ada.learn_token().await;
    let request = "3f3c2f52-6a52-4a06-9d1b-5f2a25c9d6d1";
    let fields = [
        ("request_id", request),
        ("name", "Second"),
        ("region", ""),
        ("class", ""),
    ];
    let second = ada.post("/workspaces", &fields).await;
    assert_eq!(second.status, StatusCode::SEE_OTHER, "{}", second.text);
    let request = "c0f5b2de-95a4-4cb5-8a3d-0b1b7a4ad9e2";
    let fields = [
        ("request_id", request),
        ("name", "Third"),
        ("region", ""),
        ("class", ""),
    ];
    let third = ada.post("/workspaces", &fields).await;
    assert_ne!(third.status, StatusCode::SEE_OTHER);
    let refused = sign_in(
        &issuer,
        &mut site.browser(),
        "grace@example.com",
        "/",
        |_| {},
    )
    .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(counts(&site).await, (1, 2));
}

#[tokio::test]
async fn a_refused_person_can_choose_another_account_at_the_provider() {
    let issuer = Issuer::start().await;
    let (site, _secret) = site_with(&issuer.url, &[]).await;
    let start = site
        .browser()
        .get("/sign-in/start?return_to=/&choose_account=true")
        .await;
    assert!(start.location().contains("prompt=select_account"));
    let start = site.browser().get("/sign-in/start?return_to=/").await;
    assert!(!start.location().contains("prompt="));
}
